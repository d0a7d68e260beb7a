//! The `zookeeper-client` crate against a running server: `client HOST:PORT`.
//!
//! Prints a line for each test and "N passed, N failed" at the end. Each test has clients of its own,
//! chrooted to a node of its own, so that none depends on another.

mod proxy;

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use zookeeper_client as zk;

use proxy::Proxy;
use zk::{Acl, Acls, AuthId, Client, CreateMode, CreateOptions, Error, EventType, Permission};

const PATIENCE: Duration = Duration::from_secs(40);
const TIMEOUT: Duration = Duration::from_secs(6);
const OPEN: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());

/// What a test returns: a client's error, or that an expectation failed (by panic).
type Outcome = Result<(), Error>;

/// Where a test works: the server, and a node of its own.
#[derive(Clone)]
struct Place {
    server: String,
    root: String,
}

impl Place {
    async fn connect(&self) -> Result<Client, Error> {
        self.connect_by(&self.server).await
    }

    async fn connect_by(&self, server: &str) -> Result<Client, Error> {
        let client = Client::connector()
            .with_session_timeout(TIMEOUT)
            .connect(server)
            .await?;
        Ok(client.chroot(self.root.clone()).expect("a valid chroot"))
    }
}

/// Retries while the connection is being made again.
async fn persist<T, F, R>(mut call: F) -> Result<T, Error>
where
    F: FnMut() -> R,
    R: Future<Output = Result<T, Error>>,
{
    loop {
        match call().await {
            // The client reports the loss before it has connected again; it offers nothing to wait on.
            Err(Error::ConnectionLoss) => tokio::time::sleep(Duration::from_millis(20)).await,
            other => return other,
        }
    }
}

async fn nodes(place: Place) -> Outcome {
    let client = place.connect().await?;
    let (stat, _) = client.create("/n", b"one", &OPEN).await?;
    assert_eq!(
        (stat.version, stat.data_length, stat.czxid),
        (0, 3, stat.mzxid)
    );
    assert_eq!(client.get_data("/n").await?, (b"one".to_vec(), stat));
    assert_eq!(
        client.create("/n", b"", &OPEN).await.unwrap_err(),
        Error::NodeExists
    );
    assert_eq!(
        client.create("/x/y", b"", &OPEN).await.unwrap_err(),
        Error::NoNode
    );
    let set = client.set_data("/n", b"three", Some(0)).await?;
    assert!(set.version == 1 && set.mzxid > stat.mzxid && set.pzxid == stat.pzxid);
    assert_eq!(
        client.set_data("/n", b"", Some(0)).await.unwrap_err(),
        Error::BadVersion
    );
    client.create("/n/c", b"", &OPEN).await?;
    assert_eq!(
        client.delete("/n", None).await.unwrap_err(),
        Error::NotEmpty
    );
    client.delete("/n/c", Some(0)).await?;
    let stat = client.check_stat("/n").await?.expect("it is there");
    assert_eq!((stat.cversion, stat.num_children), (2, 0));
    client.delete("/n", Some(1)).await?;
    assert_eq!(client.check_stat("/n").await?, None);
    client.mkdir("/a/b/c", &OPEN).await?;
    client.sync("/a").await?;
    assert_eq!(client.count_descendants_number("/a").await?, 2);
    Ok(())
}

async fn kinds_of_nodes(place: Place) -> Outcome {
    let client = place.connect().await?;
    let mode = |mode: CreateMode| mode.with_acls(Acls::anyone_all());
    for number in 0..3 {
        let (_, sequence) = client
            .create("/s-", b"", &mode(CreateMode::PersistentSequential))
            .await?;
        assert_eq!(sequence.into_i64(), number);
    }
    let (stat, sequence) = client
        .create("/e-", b"", &mode(CreateMode::EphemeralSequential))
        .await?;
    assert_eq!(
        (stat.ephemeral_owner, sequence.to_string().as_str()),
        (client.session_id().0, "0000000003")
    );
    assert_eq!(
        client
            .create("/e-0000000003/c", b"", &OPEN)
            .await
            .unwrap_err(),
        Error::NoChildrenForEphemerals
    );
    assert_eq!(client.list_ephemerals("/").await?, ["/e-0000000003"]);
    let (stat, _) = client
        .create("/container", b"", &mode(CreateMode::Container))
        .await?;
    assert_eq!(stat.ephemeral_owner, 0);
    let brief = OPEN.with_ttl(Duration::from_millis(300));
    client.create("/ttl", b"", &brief).await?;
    let (stat, watcher) = client.check_and_watch_stat("/ttl").await?;
    if stat.is_some() {
        assert_eq!(watcher.changed().await.event_type, EventType::NodeDeleted);
    }
    Ok(())
}

async fn children(place: Place) -> Outcome {
    let client = place.connect().await?;
    let creates: Vec<_> = (0..200).map(|number| format!("/n{number:03}")).collect();
    let pending: Vec<_> = creates
        .iter()
        .map(|path| client.create(path, b"", &OPEN))
        .collect();
    for one in pending {
        one.await?;
    }
    let (mut names, stat) = client.get_children("/").await?;
    names.sort();
    assert!(
        names
            .iter()
            .zip(&creates)
            .all(|(name, path)| name == &path[1..])
    );
    assert_eq!((names.len(), stat.num_children), (200, 200));
    assert_eq!(
        client.list_children("/none").await.unwrap_err(),
        Error::NoNode
    );
    Ok(())
}

async fn one_shot_watches(place: Place) -> Outcome {
    let (client, other) = (place.connect().await?, place.connect().await?);
    let (_, watcher) = client.check_and_watch_stat("/w").await?;
    let (stat, _) = other.create("/w", b"", &OPEN).await?;
    let event = watcher.changed().await;
    assert_eq!(
        (event.event_type, event.path.as_str(), event.zxid),
        (EventType::NodeCreated, "/w", stat.czxid)
    );
    let (_, _, data) = client.get_and_watch_data("/w").await?;
    let (_, _, child) = client.get_and_watch_children("/w").await?;
    other.set_data("/w", b"x", None).await?;
    assert_eq!(data.changed().await.event_type, EventType::NodeDataChanged);
    other.create("/w/c", b"", &OPEN).await?;
    assert_eq!(
        child.changed().await.event_type,
        EventType::NodeChildrenChanged
    );
    let (_, _, gone) = client.get_and_watch_data("/w/c").await?;
    other.delete("/w/c", None).await?;
    assert_eq!(gone.changed().await.event_type, EventType::NodeDeleted);
    let (_, _, removed) = client.get_and_watch_data("/w").await?;
    // Dropping a watcher removes its watch from the server.
    drop(removed);
    client.sync("/w").await?;
    Ok(())
}

async fn persistent_watches(place: Place) -> Outcome {
    let (client, other) = (place.connect().await?, place.connect().await?);
    client.create("/w", b"", &OPEN).await?;
    let mut one = client.watch("/w", zk::AddWatchMode::Persistent).await?;
    let mut all = client
        .watch("/w", zk::AddWatchMode::PersistentRecursive)
        .await?;
    for _ in 0..2 {
        other.create("/w/c", b"", &OPEN).await?;
        other.set_data("/w/c", b"x", None).await?;
        other.delete("/w/c", None).await?;
        for wanted in [
            EventType::NodeCreated,
            EventType::NodeDataChanged,
            EventType::NodeDeleted,
        ] {
            let event = all.changed().await;
            assert_eq!((event.event_type, event.path.as_str()), (wanted, "/w/c"));
        }
        for _ in 0..2 {
            let event = one.changed().await;
            assert_eq!(
                (event.event_type, event.path.as_str()),
                (EventType::NodeChildrenChanged, "/w")
            );
        }
    }
    Ok(())
}

async fn multi(place: Place) -> Outcome {
    let client = place.connect().await?;
    let mut writer = client.new_multi_writer();
    writer.add_create("/m", b"1", &OPEN)?;
    writer.add_create(
        "/m/s-",
        b"",
        &CreateMode::PersistentSequential.with_acls(Acls::anyone_all()),
    )?;
    writer.add_check_version("/m", 0)?;
    writer.add_set_data("/m", b"2", Some(0))?;
    let results = writer.commit().await.map_err(Error::from)?;
    assert!(
        matches!(&results[1], zk::MultiWriteResult::Create { path, .. } if path == "/m/s-0000000000")
    );
    assert!(matches!(&results[3], zk::MultiWriteResult::SetData { stat } if stat.version == 1));
    let mut writer = client.new_multi_writer();
    writer.add_set_data("/m", b"3", None)?;
    writer.add_delete("/none", None)?;
    let failure = writer.commit().await.unwrap_err();
    assert_eq!(
        failure,
        zk::MultiWriteError::OperationFailed {
            index: 1,
            source: Error::NoNode
        }
    );
    let mut writer = client.new_check_writer("/m", Some(9))?;
    writer.add_delete("/m", None)?;
    let failure = writer.commit().await.unwrap_err();
    assert_eq!(
        failure,
        zk::CheckWriteError::CheckFailed {
            source: Error::BadVersion
        }
    );
    let mut reader = client.new_multi_reader();
    reader.add_get_data("/m")?;
    reader.add_get_children("/m")?;
    reader.add_get_data("/none")?;
    let results = reader.commit().await?;
    assert!(
        matches!(&results[0], zk::MultiReadResult::Data { data, stat } if data == b"2" && stat.version == 1)
    );
    assert!(
        matches!(&results[1], zk::MultiReadResult::Children { children } if children == &["s-0000000000"])
    );
    assert!(matches!(
        &results[2],
        zk::MultiReadResult::Error { err: Error::NoNode }
    ));
    Ok(())
}

async fn acls(place: Place) -> Outcome {
    let (client, other) = (place.connect().await?, place.connect().await?);
    client.auth("digest", b"me:pw").await?;
    client
        .create(
            "/acl",
            b"s",
            &CreateMode::Persistent.with_acls(Acls::creator_all()),
        )
        .await?;
    assert_eq!(other.get_data("/acl").await.unwrap_err(), Error::NoAuth);
    assert_eq!(other.check_stat("/acl").await.unwrap_err(), Error::NoAuth);
    let (acl, stat) = client.get_acl("/acl").await?;
    assert_eq!(
        (acl[0].scheme(), &acl[0].id()[..3], stat.aversion),
        ("digest", "me:", 0)
    );
    let open = [Acl::new(Permission::ALL, AuthId::anyone())];
    assert_eq!(
        client.set_acl("/acl", &open, Some(4)).await.unwrap_err(),
        Error::BadVersion
    );
    assert_eq!(client.set_acl("/acl", &open, Some(0)).await?.aversion, 1);
    other.get_data("/acl").await?;
    let bad = [Acl::new(Permission::ALL, AuthId::new("nonsense", "x"))];
    let options = CreateMode::Persistent.with_acls(Acls::new(&bad));
    assert_eq!(
        client.create("/bad", b"", &options).await.unwrap_err(),
        Error::InvalidAcl
    );
    let users = client.list_auth_users().await?;
    assert!(
        users
            .iter()
            .any(|user| (user.scheme(), user.user()) == ("digest", "me"))
    );
    assert_eq!(
        other.auth("nonsense", b"x").await.unwrap_err(),
        Error::AuthFailed
    );
    Ok(())
}

async fn ephemerals_and_close(place: Place) -> Outcome {
    let (client, other) = (place.connect().await?, place.connect().await?);
    client
        .create(
            "/e",
            b"",
            &CreateMode::Ephemeral.with_acls(Acls::anyone_all()),
        )
        .await?;
    let (stat, watcher) = other.check_and_watch_stat("/e").await?;
    assert_eq!(
        stat.map(|stat| stat.ephemeral_owner),
        Some(client.session_id().0)
    );
    drop(client);
    assert_eq!(watcher.changed().await.event_type, EventType::NodeDeleted);
    Ok(())
}

/// The connection breaks: the client sends its first frames back to back (connect request, auth,
/// watches), and finds session, identity and watches as they were.
async fn reconnect(place: Place) -> Outcome {
    let proxy = Proxy::start(&place.server).await;
    let (client, other) = (
        place.connect_by(&proxy.address()).await?,
        place.connect().await?,
    );
    client.auth("digest", b"me:pw").await?;
    let session = client.session_id();
    client
        .create(
            "/mine",
            b"",
            &CreateMode::Ephemeral.with_acls(Acls::creator_all()),
        )
        .await?;
    other.create("/w", b"", &OPEN).await?;
    let mut below = client
        .watch("/w", zk::AddWatchMode::PersistentRecursive)
        .await?;
    for round in 0..2 {
        let (_, _, data) = client.get_and_watch_data("/w").await?;
        let absent = format!("/w/absent{round}");
        let (_, exists) = client.check_and_watch_stat(&absent).await?;
        proxy.cut();
        other.set_data("/w", b"missed", None).await?;
        persist(|| client.set_data("/mine", b"x", None)).await?;
        assert_eq!(client.session_id(), session);
        let event = data.changed().await;
        assert_eq!(
            (event.event_type, event.path.as_str()),
            (EventType::NodeDataChanged, "/w")
        );
        other.create(&absent, b"", &OPEN).await?;
        assert_eq!(exists.changed().await.event_type, EventType::NodeCreated);
        loop {
            let event = below.changed().await;
            if event.event_type == EventType::NodeCreated {
                assert_eq!(event.path, absent);
                break;
            }
        }
    }
    client.delete("/mine", None).await?;
    Ok(())
}

async fn reattach(place: Place) -> Outcome {
    let first = Client::connector()
        .with_session_timeout(TIMEOUT)
        .with_detached()
        .connect(&place.server)
        .await?;
    let path = format!("{}/e", place.root);
    first
        .create(
            &path,
            b"",
            &CreateMode::Ephemeral.with_acls(Acls::anyone_all()),
        )
        .await?;
    let session = first.into_session();
    let id = session.id();
    let second = Client::connector()
        .with_session_timeout(TIMEOUT)
        .with_session(session)
        .connect(&place.server)
        .await?;
    assert_eq!(second.session_id(), id);
    assert_eq!(
        second
            .check_stat(&path)
            .await?
            .map(|stat| stat.ephemeral_owner),
        Some(id.0)
    );
    let session = second.session().clone();
    drop(second);
    let other = place.connect().await?;
    let (stat, watcher) = other.check_and_watch_stat("/e").await?;
    if stat.is_some() {
        assert_eq!(watcher.changed().await.event_type, EventType::NodeDeleted);
    }
    let late = Client::connector()
        .with_session(session)
        .connect(&place.server)
        .await;
    assert_eq!(late.unwrap_err(), Error::SessionExpired);
    Ok(())
}

async fn lock(place: Place) -> Outcome {
    let (client, other) = (place.connect().await?, place.connect().await?);
    client.create("/locks", b"", &OPEN).await?;
    let prefix = || zk::LockPrefix::new_curator("/locks", "lock-").expect("a valid prefix");
    let held = client.lock(prefix(), b"", Acls::anyone_all()).await?;
    let waiting = other.lock(prefix(), b"", Acls::anyone_all());
    tokio::pin!(waiting);
    tokio::select! {
        _ = &mut waiting => panic!("held twice"),
        () = async {
            while client.list_children("/locks").await.map_or(0, |names| names.len()) < 2 {}
        } => {}
    }
    drop(held);
    waiting.await?;
    Ok(())
}

async fn pipelining(place: Place) -> Outcome {
    let client = place.connect().await?;
    client.create("/n", b"", &OPEN).await?;
    let sets: Vec<_> = (0..1000)
        .map(|number: i32| client.set_data("/n", b"x", Some(number)))
        .collect();
    for (number, set) in sets.into_iter().enumerate() {
        assert_eq!(set.await?.version as usize, number + 1);
    }
    Ok(())
}

async fn large_data_and_config(place: Place) -> Outcome {
    let client = place.connect().await?;
    let data: Vec<u8> = (0..1_000_000).map(|at: u32| (at * 7) as u8).collect();
    client.create("/large", &data, &OPEN).await?;
    assert!(client.get_data("/large").await?.0 == data);
    let (config, stat) = client.get_config().await?;
    assert_eq!((config.len(), stat.version, stat.aversion), (0, 0, -1));
    Ok(())
}

async fn delete_tree(client: &Client, path: &str) -> Outcome {
    for name in client.list_children(path).await? {
        let child = format!("{path}/{name}");
        Box::pin(delete_tree(client, &child)).await?;
    }
    client.delete(path, None).await
}

type Test = fn(Place) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        [$((stringify!($name), (|place| Box::pin($name(place))) as Test)),*]
    };
}

async fn run(server: String) -> Result<bool, Error> {
    let tests = tests![
        nodes,
        kinds_of_nodes,
        children,
        one_shot_watches,
        persistent_watches,
        multi,
        acls,
        ephemerals_and_close,
        reconnect,
        reattach,
        lock,
        pipelining,
        large_data_and_config,
    ];
    let root = format!("/rust-{}", std::process::id());
    let setup = Client::connect(&server).await?;
    setup.create(&root, b"", &OPEN).await?;
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests {
        let begun = Instant::now();
        let place = Place {
            server: server.clone(),
            root: format!("{root}/{name}"),
        };
        setup.create(&place.root, b"", &OPEN).await?;
        // A task of its own: a failed expectation is a panic there.
        let problem = match tokio::time::timeout(PATIENCE, tokio::spawn(test(place))).await {
            Ok(Ok(Ok(()))) => None,
            Ok(Ok(Err(error))) => Some(error.to_string()),
            Ok(Err(panic)) => Some(panic.to_string()),
            Err(late) => Some(late.to_string()),
        };
        let word = if problem.is_some() { "FAIL" } else { "ok  " };
        println!(
            "{word} {:6.2}s  {}",
            begun.elapsed().as_secs_f64(),
            name.replace('_', " ")
        );
        match problem {
            None => passed += 1,
            Some(problem) => {
                failed += 1;
                println!("{problem}");
            }
        }
    }
    if let Err(error) = delete_tree(&setup, &root).await {
        println!("the test's nodes stay behind: {error}");
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0 && passed > 0)
}

fn main() {
    let Some(server) = std::env::args().nth(1) else {
        eprintln!("usage: client HOST:PORT");
        std::process::exit(2);
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    match runtime.block_on(run(server)) {
        Ok(true) => {}
        Ok(false) => std::process::exit(1),
        Err(error) => {
            println!("{error}\n0 passed, 1 failed");
            std::process::exit(1);
        }
    }
}
