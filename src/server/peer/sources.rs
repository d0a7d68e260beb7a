//! Log and store as streams read them.
//!
//! Knows the order of a snapshot's parts and what a store calls its lists. Does not know sockets.
//!
//! Invariants: a snapshot is one state of the store, told with its zxid; what is read of the log
//! is held back from purge.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use zk_core::acl::{AclId, List};
use zk_disk::files::Files;
use zk_disk::log::{PinnedReader, Pins};
use zk_disk::store::{Snapshot, Store};
use zk_wire::client::{Acl, Id};
use zk_wire::quorum::snap::{OPEN_ACL, SnapEncoder};
use zk_zab::ids::Zxid;

use super::stream::{Broken, LogRecords, LogSource, SnapSource};
use crate::limits::STREAM_BLOCK;

/// The log of this server.
#[derive(Debug)]
pub struct DiskLog {
    /// The disk.
    pub files: Arc<dyn Files>,
    /// The log's folder.
    pub dir: PathBuf,
    /// Who reads it.
    pub pins: Pins,
}

impl LogSource for DiskLog {
    fn open(&self, after: Zxid, until: Zxid) -> Result<Box<dyn LogRecords>, String> {
        let (from, until) = (after.0.saturating_add(1), until.0);
        let reader = PinnedReader::open(self.files.clone(), &self.dir, &self.pins, from, until);
        Ok(Box::new(DiskRecords(
            reader.map_err(|error| error.to_string())?,
        )))
    }
}

struct DiskRecords(PinnedReader);

impl LogRecords for DiskRecords {
    fn next(&mut self) -> Result<Option<(Zxid, &[u8])>, String> {
        let record = self.0.next_record().map_err(|error| error.to_string())?;
        Ok(record.map(|it| (Zxid(it.zxid), it.payload)))
    }

    fn extend(&mut self, until: Zxid) -> Result<(), String> {
        self.0.extend(until.0).map_err(|error| error.to_string())
    }
}

/// The tree of this server, as its store has it.
#[derive(Debug)]
pub struct StoredTree {
    /// The store.
    pub store: Arc<dyn Store>,
}

fn source(error: zk_disk::Error) -> Broken {
    Broken::Source(error.to_string())
}

impl SnapSource for StoredTree {
    fn send(
        &self,
        begin: &mut dyn FnMut(Zxid) -> Result<(), Broken>,
        take: &mut dyn FnMut(Vec<u8>) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let snapshot = self.store.snapshot().map_err(source)?;
        let Some(meta) = snapshot.meta().map_err(source)? else {
            return Err(Broken::Source("the store has nothing yet".into()));
        };
        begin(meta.tree.zxid)?;
        encode(&snapshot, take)
    }
}

fn encode(
    snapshot: &Snapshot<'_>,
    take: &mut dyn FnMut(Vec<u8>) -> Result<(), Broken>,
) -> Result<(), Broken> {
    let mut sessions = Vec::new();
    snapshot
        .sessions(&mut |id, timeout| sessions.push((id.0, timeout)))
        .map_err(source)?;
    let mut lists: Vec<(AclId, List)> = Vec::new();
    snapshot
        .acls(&mut |id, list| {
            if id != AclId::OPEN {
                lists.push((id, list));
            }
        })
        .map_err(source)?;
    let mut block = Vec::new();
    let mut encoder = SnapEncoder::begin(sessions.len(), lists.len(), &mut block);
    for (id, timeout) in sessions {
        encoder.session(id, timeout, &mut block);
        if block.len() >= STREAM_BLOCK {
            take(std::mem::take(&mut block))?;
        }
    }
    for (id, list) in lists {
        let entries: Vec<Acl<'_>> = list
            .iter()
            .map(|entry| Acl {
                perms: entry.perms,
                id: Id {
                    scheme: Some((&*entry.scheme).into()),
                    id: entry.id.as_deref().map(Into::into),
                },
            })
            .collect();
        encoder.acl(i64::from(id.0), &entries, &mut block);
        if block.len() >= STREAM_BLOCK {
            take(std::mem::take(&mut block))?;
        }
    }
    let mut broken = None;
    // In the order of keys every parent comes before its children.
    snapshot
        .scan(None, &mut |path, row| {
            let acl = match row.acl {
                AclId::OPEN => OPEN_ACL,
                AclId(number) => i64::from(number),
            };
            encoder.node(path, row.data, acl, &row.stat, &mut block);
            if block.len() >= STREAM_BLOCK
                && let Err(why) = take(std::mem::take(&mut block))
            {
                broken = Some(why);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
        .map_err(source)?;
    if let Some(why) = broken {
        return Err(why);
    }
    encoder.end(&mut block);
    take(block)
}

#[cfg(test)]
mod tests {
    use zk_core::acl::{Entry, perm, world};
    use zk_core::tree::Row;
    use zk_disk::store::{Batch, Merged, Meta, ModelStore};
    use zk_wire::quorum::snap::{SnapDecoder, SnapItem, SnapProgress};
    use zk_wire::stat::StatPersisted;

    use super::*;

    fn stored(nodes: &[(String, Option<Vec<u8>>, AclId)]) -> ModelStore {
        let store = ModelStore::new();
        let mut batch = Batch::new();
        batch
            .session(zk_core::ids::SessionId(7).0, Some(8_000))
            .expect("a row");
        let mine = Entry {
            perms: perm::READ,
            scheme: "auth".into(),
            id: None,
        };
        batch
            .acl(3, Some(&[world(perm::READ), mine]))
            .expect("a row");
        for (path, data, acl) in nodes {
            let row = Row {
                stat: StatPersisted {
                    czxid: 5,
                    ..StatPersisted::default()
                },
                acl: *acl,
                children: 0,
                crc: 0,
                data: data.as_deref(),
            };
            batch.put_node(path, &row);
        }
        let mut meta = Meta::default();
        meta.tree.zxid = Zxid(0x1_0000_0009);
        batch.set_meta(meta);
        let mut merged = Merged::new();
        merged.add(&batch);
        store.write(&merged).expect("written");
        store
    }

    #[test]
    fn the_store_as_a_snapshot() {
        let nodes = [
            (String::new(), None, AclId::OPEN),
            ("/b".into(), Some(vec![1; 2 * STREAM_BLOCK]), AclId(3)),
            ("/b/a".into(), Some(vec![]), AclId::OPEN),
        ];
        let tree = StoredTree {
            store: Arc::new(stored(&nodes)),
        };
        let (mut at, mut bytes, mut blocks) = (None, Vec::new(), 0);
        let sent = tree.send(
            &mut |zxid| {
                at = Some(zxid);
                Ok(())
            },
            &mut |block| {
                blocks += 1;
                bytes.extend_from_slice(&block);
                Ok(())
            },
        );
        assert_eq!(sent, Ok(()));
        assert_eq!(at, Some(Zxid(0x1_0000_0009)));
        assert_eq!(blocks, 2);
        let mut decoder = SnapDecoder::new(1 << 20);
        let mut rest = &bytes[..];
        let mut found = Vec::new();
        loop {
            match decoder.next(rest).expect("a tree") {
                SnapProgress::Item(item, taken) => {
                    found.push(match item {
                        SnapItem::Session { id, timeout } => format!("session {id} {timeout}"),
                        SnapItem::Acl { id, acl } => format!(
                            "list {id} of {}, the last without id: {}",
                            acl.len(),
                            acl.last().is_some_and(|it| it.id.id.is_none())
                        ),
                        SnapItem::Node {
                            path,
                            data,
                            acl,
                            stat,
                        } => format!("{path} {:?} {acl} {}", data.map(<[u8]>::len), stat.czxid),
                        SnapItem::End => "end".into(),
                    });
                    rest = &rest[taken..];
                }
                SnapProgress::More(_) => panic!("the tree is whole"),
                SnapProgress::Done => break,
            }
        }
        let expected = [
            "session 7 8000",
            "list 3 of 2, the last without id: true",
            " None -1 5",
            &format!("/b Some({}) 3 5", 2 * STREAM_BLOCK),
            "/b/a Some(0) -1 5",
            "end",
        ];
        assert_eq!(found, expected);
        assert!(rest.is_empty());
    }

    #[test]
    fn a_link_that_is_gone_ends_the_scan() {
        let nodes: Vec<_> = (0..50)
            .map(|n| (format!("/{n}"), Some(vec![0; STREAM_BLOCK]), AclId::OPEN))
            .collect();
        let tree = StoredTree {
            store: Arc::new(stored(&nodes)),
        };
        let mut blocks = 0;
        let sent = tree.send(&mut |_| Ok(()), &mut |_| {
            blocks += 1;
            if blocks < 3 {
                Ok(())
            } else {
                Err(Broken::Gone)
            }
        });
        assert_eq!((sent, blocks), (Err(Broken::Gone), 3));
        let empty = StoredTree {
            store: Arc::new(ModelStore::new()),
        };
        let sent = empty.send(&mut |_| Ok(()), &mut |_| Ok(()));
        assert_eq!(
            sent,
            Err(Broken::Source("the store has nothing yet".into()))
        );
    }
}
