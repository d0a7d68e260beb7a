//! A store that does not keep up: writes wait for it at the bound, and nowhere else.

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use jute::Encode;
use zabkeeper::persist::{Persist, PersistQueue};
use zk_core::Config;
use zk_core::node::replay;
use zk_core::tree::Tree;
use zk_disk::Result;
use zk_disk::log::Pins;
use zk_disk::model::ModelFiles;
use zk_disk::purge::Window;
use zk_disk::store::{Family, Merged, ModelStore, Snapshot, Store, TakePair};
use zk_wire::OpCode;
use zk_wire::txn::{Txn, TxnBody, TxnHeader};

use crate::harness::BOUND;

/// A store whose first write lasts until it is released.
#[derive(Debug)]
struct Slow {
    store: ModelStore,
    entered: Mutex<Option<mpsc::Sender<()>>>,
    release: Mutex<mpsc::Receiver<()>>,
}

impl Store for Slow {
    fn values(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        self.store.values(family, keys)
    }

    fn range(
        &self,
        family: Family,
        from: &[u8],
        prefix: &[u8],
        take: &mut TakePair<'_>,
    ) -> Result<()> {
        self.store.range(family, from, prefix, take)
    }

    fn write(&self, merged: &Merged) -> Result<()> {
        if let Some(entered) = self.entered.lock().expect("no panic").take() {
            let _ = entered.send(());
            let _ = self.release.lock().expect("no panic").recv_timeout(BOUND);
        }
        self.store.write(merged)
    }

    fn flush(&self) -> Result<i64> {
        self.store.flush()
    }

    fn snapshot(&self) -> Result<Snapshot<'_>> {
        self.store.snapshot()
    }
}

const WRITES: i64 = 40;
const DATA: [u8; 1_000] = [7; 1_000];

fn create(zxid: i64) -> Vec<u8> {
    let path = format!("/n{zxid}");
    Txn {
        header: TxnHeader {
            client_id: 0,
            cxid: 1,
            zxid,
            time: 5,
            op: OpCode::Create.to_i32(),
        },
        body: TxnBody::Create {
            op: OpCode::Create,
            path: Some(path.into()),
            data: Some(&DATA),
            acl: Some(Vec::new()),
            ephemeral: false,
            parent_cversion: zxid as i32,
        },
        digest: None,
    }
    .to_vec()
}

#[test]
fn writes_wait_for_a_store_that_is_behind() {
    let (entered, wait_entered) = mpsc::channel();
    let (release, wait_release) = mpsc::channel();
    let store = Arc::new(Slow {
        store: ModelStore::new(),
        entered: Mutex::new(Some(entered)),
        release: Mutex::new(wait_release),
    });
    let queue = Arc::new(PersistQueue::bounded(10 * DATA.len()));
    let (room, wait_room) = mpsc::channel();
    let flushed = Arc::new(AtomicI64::new(0));
    let persist = Persist {
        flushed: {
            let flushed = flushed.clone();
            Box::new(move |_, zxid| flushed.store(zxid.0, Ordering::SeqCst))
        },
        room: Box::new(move || {
            let _ = room.send(());
        }),
        purged: Box::new(|_| {}),
        pins: Pins::new(),
        queue: queue.clone(),
        store: store.clone(),
        persisted: 0,
        files: Arc::new(ModelFiles::new()),
        log_dir: PathBuf::from("/log"),
        late_sync: None,
        segments: Arc::default(),
        window: Window::default(),
        snapshots: Vec::new(),
    };
    let persist = std::thread::spawn(move || persist.run());
    let applied = Arc::new(AtomicI64::new(0));
    let writer = {
        let (queue, applied) = (queue.clone(), applied.clone());
        std::thread::spawn(move || {
            let config = Config::default();
            let mut tree = Tree::new(config.extended, 7);
            for zxid in 1..=WRITES {
                while !queue.has_room() {
                    wait_room.recv_timeout(BOUND).expect("room");
                }
                replay(&mut tree, &config, &create(zxid)).expect("replayed");
                queue.take_changes(&mut tree, None);
                applied.store(zxid, Ordering::SeqCst);
            }
        })
    };
    wait_entered
        .recv_timeout(BOUND)
        .expect("the store is written");
    let before = applied.load(Ordering::SeqCst);
    assert!(
        (1..=10).contains(&before),
        "{before} writes in front of a store that is held"
    );
    release.send(()).expect("it waits");
    writer.join().expect("every write finds room");
    queue.stop();
    persist.join().expect("it ends");
    assert_eq!(flushed.load(Ordering::SeqCst), WRITES);
    let meta = store.meta().expect("readable").expect("written");
    assert_eq!(meta.tree.zxid.0, WRITES);
}
