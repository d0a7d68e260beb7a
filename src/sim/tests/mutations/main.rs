//! Each rule of the quorum layer can be seen to matter: ensembles that come through with it, and
//! do not without it, and for the reason that it is there for. Where the other side must be an
//! older server, or the case is too rare for a seed, it is made by hand.
//!
//! Rules are switched off by the feature `mutations` only.
#![cfg(feature = "mutations")]

mod document;
mod election;
mod leader;
mod learner;
mod node;
mod simulated;

use bytes::Bytes;
use jute::Encode;
use zk_wire::OpCode;
use zk_wire::quorum::notification::{Notification, PeerState, VERSION};
use zk_wire::txn::{Txn, TxnBody, TxnHeader};
use zk_zab::Zxid;
use zk_zab::rules::{Rule, Rules};

fn rules(off: Option<Rule>) -> Rules {
    Rules { off }
}

/// What a server says whose vote is for `leader`.
fn says(state: PeerState, leader: i64, zxid: Zxid, round: i64, peer_epoch: i64) -> Notification {
    Notification {
        state,
        leader,
        zxid: zxid.0,
        round,
        peer_epoch,
        version: VERSION,
        config: None,
    }
}

/// A transaction with so many bytes of data.
fn payload(zxid: Zxid, bytes: usize) -> Bytes {
    let data = vec![b'x'; bytes];
    let txn = Txn {
        header: TxnHeader {
            client_id: 1,
            cxid: 1,
            zxid: zxid.0,
            time: 0,
            op: OpCode::SetData.to_i32(),
        },
        body: TxnBody::SetData {
            op: OpCode::SetData,
            path: Some("/".into()),
            data: Some(&data),
            version: 0,
        },
        digest: None,
    };
    txn.to_vec().into()
}
