//! createSession and closeSession.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use jute::{List as Vector, Str};
use zk_wire::txn::TxnBody;

use super::{Answer, Apply, Prep, Stop, delete};
use crate::path;

/// What closing the session deletes, and the records of it.
///
/// # Errors
/// A row that is not resident.
pub fn prepare_close(p: &mut Prep<'_>) -> Result<TxnBody<'static>, Stop> {
    let paths = p.pending.ephemerals(p.tree, p.session);
    // Everything must be resident before the first record is written.
    for path in &paths {
        p.find(path)?;
        p.find(path::split(path).map_or("", |(parent, _)| parent))?;
    }
    for path in &paths {
        let node = p.record(path)?;
        let parent_path = path::split(path).map_or("", |(parent, _)| parent);
        let parent = p.record(parent_path)?;
        let mut after = parent.clone();
        after.children -= 1;
        after.stat.pzxid = after.stat.pzxid.max(p.zxid.0);
        p.set(parent_path, Some(&parent), Some(after));
        p.set(path, Some(&node), None);
    }
    let listed = p.config.close_session_txn;
    let names = paths
        .iter()
        .map(|path| Some(Cow::Owned(path.as_ref().into())))
        .collect();
    Ok(TxnBody::CloseSession {
        paths: listed.then_some(names),
    })
}

/// Applies a closeSession: the listed nodes, whoever owns them, then whatever else is the
/// session's.
pub fn apply_close<'a>(a: &mut Apply<'_>, paths: &Vector<Str<'_>>) -> Answer<'a> {
    for path in paths.iter().flatten().flatten() {
        // Replays over a newer state meet nodes that are gone already.
        let _ = delete::delete(a, path);
    }
    let rest: Vec<_> = a
        .tree
        .ephemerals_of(a.session)
        .map(alloc::string::String::from)
        .collect();
    for path in &rest {
        let _ = delete::delete(a, path);
    }
    a.tree.close_session(a.session);
    Answer::Nothing
}
