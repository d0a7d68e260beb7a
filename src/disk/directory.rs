//! The data directory: where things lie, who holds it, and whether a start may trust what is
//! there.
//!
//! Owns the layout, the lock, the store's format file and the boot decision. Does not know what a
//! transaction does: that each replayed record leads to the tree digest that it carries is checked
//! by whoever replays.
//!
//! Invariant: an empty tree is only ever begun beside no log, no snapshot and no store. Whatever
//! could lose or invent a transaction is refused with what was found and what to do, and a
//! refused start changes no file of log, snapshot or store.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zk_wire::file::name::{self, Named};

use crate::error::{Error, Result, Zxid};
use crate::files::Files;
use crate::log::{self, Recovered, ScanOptions, follows};
use crate::store::{Base, Discard, FORMAT_VERSION, Meta, Store};
use crate::{base, install, purge, small};

/// Where everything lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// `dataDir`.
    pub data_dir: PathBuf,
    /// `dataLogDir`, often the same.
    pub log_dir: PathBuf,
}

/// Name of the store's folder beside `version-2`.
pub const STORE: &str = "zabkeeper-store";

/// Name of the lock file beside `version-2`.
pub const LOCK: &str = "zabkeeper.lock";

const VERSION_2: &str = "version-2";
const FORMAT_FILE: &str = "FORMAT";
const FORMAT_WORD: &str = "zabkeeper-store";

impl Layout {
    /// The layout of these two folders.
    pub fn new(data_dir: impl Into<PathBuf>, log_dir: impl Into<PathBuf>) -> Layout {
        Layout {
            data_dir: data_dir.into(),
            log_dir: log_dir.into(),
        }
    }

    /// Folder of the log's segments.
    pub fn logs(&self) -> PathBuf {
        self.log_dir.join(VERSION_2)
    }

    /// Folder of Java's snapshots.
    pub fn snapshots(&self) -> PathBuf {
        self.data_dir.join(VERSION_2)
    }

    /// Folder of the store.
    pub fn store(&self) -> PathBuf {
        self.data_dir.join(STORE)
    }

    /// Folder of the log that follows a store on its way in; see [`crate::log::staged`].
    pub fn incoming_logs(&self) -> PathBuf {
        self.log_dir.join("zabkeeper-incoming")
    }

    /// Folder of snapshots of Java that the log does not continue.
    pub fn aside(&self) -> PathBuf {
        self.data_dir.join("zabkeeper-aside")
    }

    /// The file that names the folder in use of those that RocksDB has to itself; see
    /// [`crate::base`].
    pub fn base_pointer(&self) -> PathBuf {
        self.store().join("base")
    }

    /// The file of the members with which this was last used; see [`crate::members`].
    pub fn members(&self) -> PathBuf {
        self.data_dir.join("zabkeeper.members")
    }

    fn format(&self) -> PathBuf {
        self.store().join(FORMAT_FILE)
    }
}

/// The directory is held by this process until this is dropped.
#[derive(Debug)]
pub struct Lock {
    _files: Vec<File>,
}

impl Lock {
    /// Makes both folders if need be and takes them. The kernel gives the lock back when the
    /// process ends, however it ends.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has one of them; [`Error::Io`].
    pub fn take(layout: &Layout) -> Result<Lock> {
        let mut files = Vec::new();
        let mut held = Vec::new();
        for dir in [&layout.data_dir, &layout.log_dir] {
            std::fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
            let real = dir
                .canonicalize()
                .map_err(|e| Error::io("resolve", dir, e))?;
            if held.contains(&real) {
                continue;
            }
            let path = real.join(LOCK);
            let file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)
                .map_err(|e| Error::io("open", &path, e))?;
            match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::Locked { path }),
                Err(e) => return Err(Error::io("lock", &path, e.into())),
            }
            files.push(file);
            held.push(real);
        }
        Ok(Lock { _files: files })
    }
}

/// What was found of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreFound {
    /// No folder, or one in which nothing was ever written.
    Missing,
    /// A store at this state.
    Present(Meta),
    /// A store that cannot be read, and why.
    Damaged(String),
}

/// What the boot decision rests on.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// For the texts.
    pub layout: &'a Layout,
    /// The store.
    pub store: &'a StoreFound,
    /// Where the store came from.
    pub base: Base,
    /// Whether a store was ever installed here in the place of another.
    pub installed: bool,
    /// The log, scanned with the store's zxid as the probe.
    pub log: &'a Recovered,
    /// Zxids in the names of Java's snapshots, in order.
    pub snapshots: &'a [i64],
}

/// How to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// Nothing was ever here: an empty tree.
    Fresh,
    /// From the store, with the log's records behind it.
    Open {
        /// The state of the store.
        meta: Meta,
        /// First and last zxid to replay; `None` when the store has everything.
        replay: Option<(i64, i64)>,
        /// Java's snapshots that the log does not continue: to be named in a warning, for a Java
        /// server must not be started on them.
        stranded: Vec<i64>,
    },
    /// The log is complete from the first transaction on: an empty tree and all of it.
    Rebuild {
        /// Last zxid to replay; the first is 1.
        until: i64,
        /// Why the store that is there cannot be used; its folder is moved aside.
        damaged: Option<String>,
    },
}

fn refused<T>(found: String, remedy: &str) -> Result<T> {
    Err(Error::Refused {
        found,
        remedy: remedy.into(),
    })
}

const RESTORE: &str =
    "Restore dataDir and dataLogDir together from a backup, or put back what was moved away";

/// Decides how to start.
///
/// # Errors
/// [`Error::Refused`] and [`Error::Hole`], as the module's invariant says.
pub fn decide(facts: &Facts<'_>) -> Result<Boot> {
    let layout = facts.layout;
    let (logs, store) = (layout.logs(), layout.store());
    let (logs, store) = (logs.display(), store.display());
    let range = facts.log.first_zxid.zip(facts.log.last_zxid);
    let meta = match facts.store {
        StoreFound::Present(meta) => meta,
        StoreFound::Missing | StoreFound::Damaged(_) => return without_store(facts, range),
    };
    let at = meta.tree.zxid.0;
    let newest = facts.snapshots.iter().copied().max();
    let Some((first, last)) = range else {
        begun_later(facts, Some(at))?;
        if let Some(newest) = newest {
            return refused(
                format!(
                    "{} holds snapshot.{newest:x} of another server, {logs} no log, and the store {store} is at zxid {}",
                    layout.snapshots().display(),
                    Zxid(at)
                ),
                "Move the snapshots aside if they are leftovers; a directory of Apache ZooKeeper cannot be taken over yet",
            );
        }
        // Beside a store that was installed there is no record before the next transaction.
        if at > 0 && at != facts.base.log_floor {
            return refused(
                format!(
                    "the store {store} is at zxid {} but there is no log in {logs}, so transactions behind it may be missing",
                    Zxid(at)
                ),
                "Check dataLogDir, and put the log files back",
            );
        }
        return Ok(Boot::Open {
            meta: *meta,
            replay: None,
            stranded: Vec::new(),
        });
    };
    if first > at && !follows(at, first) {
        return refused(
            format!(
                "the store {store} is at zxid {} but the log in {logs} begins with {}: the transactions between them are missing",
                Zxid(at),
                Zxid(first)
            ),
            RESTORE,
        );
    }
    if last < at {
        return refused(
            format!(
                "the log in {logs} ends at zxid {}, before the store {store} at {}: acknowledged transactions may be missing",
                Zxid(last),
                Zxid(at)
            ),
            RESTORE,
        );
    }
    if first <= at {
        match &facts.log.probe {
            None => {
                return refused(
                    format!(
                        "the log in {logs} has no transaction with the zxid {} that the store {store} is at",
                        Zxid(at)
                    ),
                    RESTORE,
                );
            }
            Some(probe) if meta.record != 0 && probe.checksum != meta.record => {
                return refused(
                    format!(
                        "the transaction with zxid {} in {logs} is another than the one that the store {store} has applied: they are not of one history",
                        Zxid(at)
                    ),
                    RESTORE,
                );
            }
            Some(_) => {}
        }
    }
    if let Some(newest) = newest.filter(|newest| *newest > last) {
        return refused(
            format!(
                "snapshot.{newest:x} in {} is newer than the last zxid {} in {logs}: another server went on from here, and its log is not there",
                layout.snapshots().display(),
                Zxid(last)
            ),
            "Put that server's log files into dataLogDir, or move the snapshot aside if what it holds is to be given up",
        );
    }
    let replay = (last > at).then(|| (first.max(at.saturating_add(1)), last));
    Ok(Boot::Open {
        meta: *meta,
        replay,
        stranded: purge::stranded(facts.snapshots, first),
    })
}

/// A log without a record whose first file was begun for another transaction than the one behind
/// the store, or the very first without a store: what was before it is missing.
fn begun_later(facts: &Facts<'_>, store: Option<i64>) -> Result<()> {
    let Some(path) = facts.log.empty.first() else {
        return Ok(());
    };
    let named = path
        .file_name()
        .and_then(|file| name::parse(file.to_str()?));
    match named {
        Some(Named::Log { zxid }) if store.map_or(zxid != 1, |at| !follows(at, zxid)) => refused(
            format!(
                "{} was begun for the transaction with zxid {}, and those before it are not there",
                path.display(),
                Zxid(zxid)
            ),
            RESTORE,
        ),
        Some(_) | None => Ok(()),
    }
}

fn without_store(facts: &Facts<'_>, range: Option<(i64, i64)>) -> Result<Boot> {
    let layout = facts.layout;
    let damaged = match facts.store {
        StoreFound::Damaged(why) => Some(why.clone()),
        StoreFound::Missing | StoreFound::Present(_) => None,
    };
    let state = match &damaged {
        Some(why) => format!("the store {} is damaged ({why})", layout.store().display()),
        None => format!("there is no store {}", layout.store().display()),
    };
    if let Some(newest) = facts.snapshots.iter().copied().max() {
        return refused(
            format!(
                "{} holds snapshot.{newest:x} of Apache ZooKeeper, and {state}",
                layout.snapshots().display()
            ),
            "A directory of Apache ZooKeeper cannot be taken over yet: give this server an empty dataDir and dataLogDir, or restore the store from a backup",
        );
    }
    if facts.installed {
        return refused(
            format!(
                "{state}, and the log does not hold what was taken over from another server with it"
            ),
            "Restore dataDir and dataLogDir together from a backup, or give this server an empty \
             dataDir and dataLogDir: it then takes everything from the other servers of its ensemble",
        );
    }
    if range.is_none() {
        begun_later(facts, None)?;
    }
    match (range, damaged) {
        (Some((1, until)), damaged) => Ok(Boot::Rebuild { until, damaged }),
        (Some((first, last)), _) => refused(
            format!(
                "{} holds the transactions from zxid {} to {} but not the earlier ones, and {state}",
                layout.logs().display(),
                Zxid(first),
                Zxid(last)
            ),
            RESTORE,
        ),
        (None, Some(_)) => refused(
            format!(
                "{state}, and there is no log in {}",
                layout.logs().display()
            ),
            RESTORE,
        ),
        (None, None) => Ok(Boot::Fresh),
    }
}

/// Makes a folder and the missing ones above it, durably.
///
/// That a folder is there does not make it durable: the start that made it may have ended before
/// it synced the one above. So the folder and the one that holds it (a configured one) are made
/// durable by every start.
pub(crate) fn create_dir(files: &dyn Files, dir: &Path) -> Result<()> {
    let mut made = Vec::new();
    let mut there = false;
    for (level, path) in dir
        .ancestors()
        .filter(|p| p.file_name().is_some())
        .enumerate()
    {
        there = there
            || files
                .exists(path)
                .map_err(|e| Error::io("look for", path, e))?;
        if there && level > 1 {
            break;
        }
        made.push((path, there));
    }
    files
        .create_dir(dir)
        .map_err(|e| Error::io("create", dir, e))?;
    for (path, there) in made.into_iter().rev() {
        let above = match path.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            Some(_) | None => Path::new("."),
        };
        match files.sync_dir(above) {
            Ok(()) => {}
            // An operator made it where this server may not look.
            Err(e) if there && e.kind() == std::io::ErrorKind::PermissionDenied => {}
            Err(e) => return Err(Error::io("fsync", above, e)),
        }
    }
    Ok(())
}

/// Zxids in the names of Java's snapshots in a folder, in order. A missing folder has none.
///
/// # Errors
/// [`Error::Io`].
pub fn snapshots(files: &dyn Files, dir: &Path) -> Result<Vec<i64>> {
    if !files
        .exists(dir)
        .map_err(|e| Error::io("look for", dir, e))?
    {
        return Ok(Vec::new());
    }
    let names = files.list(dir).map_err(|e| Error::io("list", dir, e))?;
    let mut zxids: Vec<i64> = names
        .iter()
        .filter_map(|n| match name::parse(n) {
            Some(Named::Snapshot { zxid, .. }) => Some(zxid),
            Some(Named::Log { .. }) | None => None,
        })
        .collect();
    zxids.sort_unstable();
    zxids.dedup();
    Ok(zxids)
}

/// Reads the store's format file: the version of the store that is to be opened, `None` when
/// there is no store.
fn check_format(
    files: &dyn Files,
    layout: &Layout,
) -> Result<std::result::Result<Option<u32>, String>> {
    let path = layout.format();
    let Some(bytes) = small::read(files, &path)? else {
        // The file comes first, so without it there is nothing yet, or it was taken away.
        return Ok(if small::exists(files, &base::current(files, layout)?.0)? {
            Err(format!("{} is missing", path.display()))
        } else {
            Ok(None)
        });
    };
    let version = std::str::from_utf8(&bytes).ok().and_then(|text| {
        text.strip_suffix('\n')?
            .strip_prefix(FORMAT_WORD)?
            .trim()
            .parse()
            .ok()
    });
    match version {
        None => Ok(Err(format!("{} is not a format file", path.display()))),
        Some(found) if found > FORMAT_VERSION => Err(Error::NewerFormat {
            path: layout.store(),
            found,
            known: FORMAT_VERSION,
        }),
        Some(found) => Ok(Ok(Some(found))),
    }
}

/// Writes the format file.
fn put_format(files: &dyn Files, layout: &Layout) -> Result<()> {
    let text = format!("{FORMAT_WORD} {FORMAT_VERSION}\n");
    small::replace(files, &layout.format(), text.as_bytes())
}

/// Makes the store's folder with its format file, durably, in this order: a format file means
/// that a store was begun.
fn create_store(files: &dyn Files, layout: &Layout) -> Result<()> {
    create_dir(files, &layout.store())?;
    put_format(files, layout)
}

/// Moves a store that cannot be used out of the way.
fn set_aside(files: &dyn Files, layout: &Layout) -> Result<PathBuf> {
    let folder = layout.store();
    let mut n = 1_u32;
    let aside = loop {
        let aside = layout.data_dir.join(format!("{STORE}.damaged-{n}"));
        if !files
            .exists(&aside)
            .map_err(|e| Error::io("look for", &aside, e))?
        {
            break aside;
        }
        n += 1;
    };
    files
        .rename(&folder, &aside)
        .map_err(|e| Error::io("rename", &folder, e))?;
    let above = &layout.data_dir;
    files
        .sync_dir(above)
        .map_err(|e| Error::io("fsync", above, e))?;
    Ok(aside)
}

/// A directory that was opened.
#[derive(Debug)]
pub struct Opened<S> {
    /// The store, new or as it was.
    pub store: S,
    /// Where the store came from.
    pub base: Base,
    /// How to start.
    pub boot: Boot,
    /// The log, repaired. Its [`Recovered::torn`] is to be named in a log line.
    pub log: Recovered,
    /// Where a damaged store was moved to.
    pub set_aside: Option<PathBuf>,
    /// Java's snapshots in the directory.
    pub snapshots: Vec<i64>,
}

impl<S> Opened<S> {
    /// How far what is here is known to be committed: as far as the store, and as far as the mark
    /// of the log says. What the log holds behind it may never have been.
    pub fn committed(&self) -> i64 {
        let store = match &self.boot {
            Boot::Open { meta, .. } => meta.tree.zxid.0,
            Boot::Fresh | Boot::Rebuild { .. } => 0,
        };
        let hint = self.log.mark.map_or(0, |mark| mark.committed);
        store.max(hint.min(self.log.last_zxid.unwrap_or(store)))
    }
}

/// Opens the directory: finishes an installation that was switched to, looks at store, log and
/// snapshots, decides, and only then repairs the log, makes what is missing and removes what an
/// installation that was given up has left. `open` opens the store at a folder, or makes one there. The
/// caller holds the [`Lock`].
///
/// # Errors
/// As [`decide`] and [`log::scan`]; [`Error::NewerFormat`]; [`Error::Io`]; what `open` returns,
/// but [`Error::StoreCorrupt`] is a fact to decide on.
pub fn open<S: Store>(
    files: &Arc<dyn Files>,
    layout: &Layout,
    open: &mut dyn FnMut(&Path) -> Result<S>,
) -> Result<Opened<S>> {
    let files = &**files;
    let mut store = None;
    let mut origin = Base::default();
    let format = check_format(files, layout)?;
    let (folder, installed) = base::current(files, layout)?;
    let found = match &format {
        Err(why) => StoreFound::Damaged(why.clone()),
        Ok(None) => StoreFound::Missing,
        Ok(Some(_)) => {
            let opened = open(&folder).and_then(|store| Ok((store.meta()?, store.base()?, store)));
            match opened {
                Ok((Some(meta), base, there)) => {
                    store = Some(there);
                    origin = base;
                    StoreFound::Present(meta)
                }
                Ok((None, _, _)) if installed => {
                    StoreFound::Damaged(format!("{} holds no store", folder.display()))
                }
                Ok((None, _, there)) => {
                    store = Some(there);
                    StoreFound::Missing
                }
                Err(e @ Error::StoreCorrupt { .. }) => StoreFound::Damaged(e.to_string()),
                Err(e) => return Err(e),
            }
        }
    };
    if origin.discard != Discard::Nothing
        && let Some(store) = &store
    {
        // The switch was made; this is no more to be judged but to be finished.
        install::finish(files, layout, store)?;
        origin = store.base()?;
    }
    let snapshots = snapshots(files, &layout.snapshots())?;
    let probe = match &found {
        StoreFound::Present(meta) => Some(meta.tree.zxid.0),
        StoreFound::Missing | StoreFound::Damaged(_) => None,
    };
    let logs = layout.logs();
    let log = log::scan(files, &logs, ScanOptions { probe })?;
    let boot = decide(&Facts {
        layout,
        store: &found,
        base: origin,
        installed,
        log: &log,
        snapshots: &snapshots,
    })?;
    create_dir(files, &logs)?;
    create_dir(files, &layout.snapshots())?;
    if store.is_some() {
        // The start that made the format file may have ended before it was durable.
        create_dir(files, &layout.store())?;
        small::sync_folder(files, &layout.format())?;
        if format != Ok(Some(FORMAT_VERSION)) {
            // Before anything is written that an older program would not understand.
            put_format(files, layout)?;
        }
        install::abandon(files, layout)?;
    }
    log::repair(files, &logs, &log)?;
    let mut aside = None;
    if let Boot::Rebuild {
        damaged: Some(_), ..
    } = &boot
    {
        store = None;
        aside = Some(set_aside(files, layout)?);
    }
    let store = match store {
        Some(store) => store,
        None => {
            create_store(files, layout)?;
            open(&base::current(files, layout)?.0)?
        }
    };
    Ok(Opened {
        store,
        base: origin,
        boot,
        log,
        set_aside: aside,
        snapshots,
    })
}
