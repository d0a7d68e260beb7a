//! Records of the log over a tree: what a start does, and what a follower will do. No watch fires
//! and nobody is answered.

use alloc::boxed::Box;
use alloc::vec::Vec;

use jute::{Decode, Reader};
use zk_wire::txn::{Txn, TxnBody};

use super::ledger::mismatch;
use crate::config::Config;
use crate::ids::{ConnId, SessionId, Zxid};
use crate::io::{Grant, Post, Reply};
use crate::op::{self, Apply};
use crate::tree::{Need, Tree};
use crate::watch::Watches;

/// What one record of the log did when it was replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Its zxid.
    pub zxid: Zxid,
    /// How the tree's digest differs from the record's, if it does.
    pub mismatch: Option<Box<str>>,
}

/// Replays one record of the log over the tree: no watch fires, nobody is answered.
///
/// # Errors
/// The record cannot be decoded, or a row is missing.
pub fn replay(tree: &mut Tree, config: &Config, payload: &[u8]) -> Result<Replayed, ReplayError> {
    let txn = Txn::decode(&mut Reader::new(payload)).map_err(ReplayError::Undecodable)?;
    let zxid = Zxid(txn.header.zxid);
    tree.settle_quotas().map_err(ReplayError::Need)?;
    if let Some(need) = needs(tree, &txn).into_iter().next() {
        return Err(ReplayError::Need(need));
    }
    let mut watches = Watches::default();
    let mut a = Apply {
        tree,
        watches: &mut watches,
        post: &mut Nobody,
        config,
        zxid,
        time_ms: txn.header.time,
        session: SessionId(txn.header.client_id),
        visits: 0,
    };
    op::apply(&mut a, &txn.body);
    tree.set_last_zxid(zxid);
    Ok(Replayed {
        zxid,
        mismatch: mismatch(tree, &txn),
    })
}

/// Why a record was not replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayError {
    /// Its bytes make no transaction.
    Undecodable(jute::Error),
    /// A row must be loaded first; nothing was changed.
    Need(Need),
}

/// The rows that a transaction needs and that are not resident.
pub fn needs(tree: &Tree, txn: &Txn<'_>) -> Vec<Need> {
    let mut needs = Vec::new();
    if tree.is_complete() {
        return needs;
    }
    collect_needs(tree, &txn.body, &mut needs);
    if matches!(txn.body, TxnBody::CloseSession { .. }) {
        for path in tree.ephemerals_of(SessionId(txn.header.client_id)) {
            want(tree, path, &mut needs);
        }
    }
    needs
}

fn want(tree: &Tree, path: &str, needs: &mut Vec<Need>) {
    if let Err(need) = tree.get(path) {
        needs.push(need);
    }
    if let Some((parent, name)) = crate::path::split(path) {
        if let Err(need) = tree.get(parent) {
            needs.push(need);
        }
        if name == crate::quota::STATS && parent.starts_with(crate::quota::QUOTA) {
            needs.push(Need::All);
        }
    }
}

fn collect_needs(tree: &Tree, body: &TxnBody<'_>, needs: &mut Vec<Need>) {
    match body {
        TxnBody::CreateSession { .. } | TxnBody::Error { .. } | TxnBody::Check { .. } => {}
        TxnBody::CloseSession { paths } => {
            for path in paths.iter().flatten().flatten() {
                want(tree, path, needs);
            }
        }
        TxnBody::Create { path, .. }
        | TxnBody::CreateContainer { path, .. }
        | TxnBody::CreateTtl { path, .. }
        | TxnBody::Delete { path, .. }
        | TxnBody::SetData { path, .. }
        | TxnBody::SetAcl { path, .. } => {
            if let Some(path) = path.as_deref() {
                want(tree, path, needs);
            }
        }
        TxnBody::Multi(subs) => {
            for sub in subs {
                collect_needs(tree, &sub.body, needs);
            }
        }
    }
}

struct Nobody;

impl Post for Nobody {
    fn before_write(&mut self, _: &Tree, _: &mut Watches, _: ConnId) -> Result<(), Need> {
        Ok(())
    }
    fn event(&mut self, _: ConnId, _: Zxid, _: crate::watch::Event, _: &str) {}
    fn done(&mut self, _: ConnId, _: i32, _: &Reply<'_>) {}
    fn connected(&mut self, _: ConnId, _: Option<Grant>) {}
    fn detach(&mut self, _: SessionId, _: Option<ConnId>) {}
}
