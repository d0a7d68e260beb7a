//! A held state of the store as the tree that follows a SNAP packet.
//!
//! Owns which rows go where in it; [`crate::install`] is the other side. Does not know sockets:
//! whoever is given the bytes blocks as long as it must.
//!
//! Invariants: what is sent is of one state, that of [`Snapshot::meta`], whose zxid the packet
//! says; parents come before children. Memory is bounded by one piece and one row, all sessions
//! and the lists.

use std::ops::ControlFlow;

use zk_core::acl::AclId;
use zk_core::auth::wire_list;
use zk_wire::quorum::snap::{OPEN_ACL, SnapEncoder};

use crate::error::{Error, Result};
use crate::limits::SNAP_PIECE;
use crate::store::Snapshot;

/// What is given the bytes, piece by piece; it may say that it wants no more.
pub type TakePiece<'a> = dyn FnMut(&[u8]) -> ControlFlow<()> + 'a;

/// The number on the wire of one of our lists.
fn number(id: AclId) -> i64 {
    if id == AclId::OPEN {
        OPEN_ACL
    } else {
        i64::from(id.0)
    }
}

/// Hands the whole tree out, signature included; [`ControlFlow::Break`] when `take` wanted no more.
///
/// # Errors
/// [`Error::Store`] when the state is not exact yet ([`Snapshot::is_exact`]): it may not be sent
/// on. What the store says.
pub fn send(snapshot: &Snapshot<'_>, take: &mut TakePiece<'_>) -> Result<ControlFlow<()>> {
    if !snapshot.is_exact()? {
        return Err(Error::Store {
            action: "send a tree",
            why: "it was taken over itself and lacks what came meanwhile".into(),
        });
    }
    let mut sessions = Vec::new();
    snapshot.sessions(&mut |id, timeout| sessions.push((id, timeout)))?;
    let mut acls = Vec::new();
    snapshot.acls(&mut |id, list| acls.push((id, list)))?;
    let mut piece = Vec::new();
    let mut flow = ControlFlow::Continue(());
    let mut pass = |piece: &mut Vec<u8>, least: usize| {
        if piece.len() >= least {
            flow = take(piece);
            piece.clear();
        }
        flow
    };
    let mut encoder = SnapEncoder::begin(sessions.len(), acls.len(), &mut piece);
    for (id, timeout) in sessions {
        encoder.session(id.0, timeout, &mut piece);
        if pass(&mut piece, SNAP_PIECE).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    for (id, list) in acls {
        encoder.acl(number(id), &wire_list(&list), &mut piece);
        if pass(&mut piece, SNAP_PIECE).is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    let mut given_up = ControlFlow::Continue(());
    snapshot.scan(None, &mut |path, row| {
        encoder.node(path, row.data, number(row.acl), &row.stat, &mut piece);
        given_up = pass(&mut piece, SNAP_PIECE);
        given_up
    })?;
    if given_up.is_continue() {
        encoder.end(&mut piece);
        given_up = pass(&mut piece, 0);
    }
    Ok(given_up)
}
