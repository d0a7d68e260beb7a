//! A directory that was filled and stopped in order, from which each damaged one is copied.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use super::Context;
use super::files::{self, Place};
use super::load::{Ended, Mix, Writer};
use super::op::Op;
use super::seen::{self, Seen, Session};
use super::server::{Running, Setup};

const WRITERS: usize = 3;
const REQUESTS: u64 = 1_200;
/// Segments that a base has at least.
const SEGMENTS: usize = 6;

/// A copy of the base, and what must be in it.
#[derive(Debug, Clone)]
pub struct Base {
    /// How to start a server there.
    pub setup: Setup,
    /// Everything that was acknowledged.
    pub tree: BTreeMap<String, Seen>,
    /// The last zxid.
    pub zxid: i64,
}

static BASE: OnceLock<Result<Base, String>> = OnceLock::new();

fn settings(setup: Setup) -> Setup {
    setup.with("preAllocSize=16").with("txnLogSizeLimitInKb=32")
}

/// A writer's manners here.
pub const MIX: Mix = Mix {
    window: 16,
    reads: 10,
    nodes: 120,
    count: true,
    close_after: Some(REQUESTS),
    names: (6, 20),
};

fn make(folder: &Path, binary: &Path, seed: u64) -> Result<Base, String> {
    let setup = settings(Setup::new(binary, folder));
    let mut server = setup.start()?;
    let mut reader = seen::fresh(server.addr, 60_000)?;
    for at in 0..WRITERS {
        let root = format!("/b{at}");
        reader.must(&plain(&root, None))?;
        let mut writer = Writer::new(&root, seed + at as u64);
        let mut conn = writer.connect(server.addr, 60_000)?;
        match writer.run(&mut conn, &MIX, u64::MAX, &AtomicU64::new(0))? {
            Ended::Done => {}
            Ended::Closed => return Err("a connection was closed".into()),
        }
    }
    let tree = read(&mut reader)?;
    reader.must(&Op::CloseSession)?;
    let zxid = server.zxid()?;
    server.term()?;
    let found = files::segments(&setup.log_folder()).len();
    if found < SEGMENTS {
        return Err(format!("the base has {found} segments only"));
    }
    Ok(Base { setup, tree, zxid })
}

/// A create without more.
pub fn plain(path: &str, data: Option<&[u8]>) -> Op {
    Op::Create {
        path: path.into(),
        data: data.map(<[u8]>::to_vec),
        acl: 0,
        ephemeral: false,
        sequential: false,
        stat: false,
    }
}

/// All subtrees of a base.
///
/// # Errors
/// They cannot be read.
pub fn read(reader: &mut Session) -> Result<BTreeMap<String, Seen>, String> {
    let mut tree = BTreeMap::new();
    for at in 0..WRITERS {
        tree.extend(reader.subtree(&format!("/b{at}"), 1)?);
    }
    Ok(tree)
}

impl Base {
    /// A copy for one case.
    ///
    /// # Errors
    /// The base cannot be made or copied.
    pub fn copy(context: &Context) -> Result<Base, String> {
        let base = BASE
            .get_or_init(|| make(&context.shared.join("base"), &context.binary, context.seed))
            .clone()?;
        let setup = settings(Setup::new(&context.binary, &context.work));
        files::copy(&base.setup.data, &setup.data)?;
        Ok(Base { setup, ..base })
    }

    /// The log's segments.
    pub fn segments(&self) -> Vec<PathBuf> {
        let all = files::segments(&self.setup.log_folder());
        all.into_iter().map(|(_, path)| path).collect()
    }

    /// The last segment with its records.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn last(&self) -> Result<(PathBuf, Vec<Place>), String> {
        files::last_segment(&self.setup.log_folder())
    }

    /// Starts a server and finds everything there, and that it takes a write.
    ///
    /// # Errors
    /// It does not start, or something is missing.
    pub fn starts(&self) -> Result<Running, String> {
        let server = self.setup.start()?;
        let mut reader = seen::fresh(server.addr, 60_000)?;
        self.same(&mut reader)?;
        reader.must(&plain("/after", None))?;
        reader.must(&Op::Delete {
            path: "/after".into(),
            version: -1,
        })?;
        reader.must(&Op::CloseSession)?;
        Ok(server)
    }

    /// Finds everything there.
    ///
    /// # Errors
    /// What differs.
    pub fn same(&self, reader: &mut Session) -> Result<(), String> {
        let tree = read(reader)?;
        for (path, want) in &self.tree {
            match tree.get(path) {
                None => return Err(format!("{path} is missing")),
                Some(got) if got != want => return Err(format!("{path}: {got:?}, not {want:?}")),
                Some(_) => {}
            }
        }
        match tree.keys().find(|path| !self.tree.contains_key(*path)) {
            Some(path) => Err(format!("{path} is too much")),
            None => Ok(()),
        }
    }

    /// The start is refused, with these words, and not one file of the log or of the snapshots is
    /// touched.
    ///
    /// # Errors
    /// It is not so.
    pub fn refuses(&self, words: &[String]) -> Result<String, String> {
        let folder = self.setup.log_folder();
        let before = files::contents(&folder)?;
        let output = self.setup.refused()?;
        let changed = files::changed(&before, &files::contents(&folder)?);
        if !changed.is_empty() {
            return Err(format!("the refused start changed {changed:?}:\n{output}"));
        }
        let line = output
            .lines()
            .find_map(|line| line.strip_prefix("zabkeeper does not start: "))
            .ok_or_else(|| format!("no line that says why:\n{output}"))?;
        match words.iter().find(|word| !line.contains(word.as_str())) {
            Some(word) => Err(format!("the refusal lacks {word:?}: {line}")),
            None => Ok(line.to_owned()),
        }
    }
}
