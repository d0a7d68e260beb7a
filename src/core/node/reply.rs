//! From what a transaction did to the reply of its request. It does not know connections.

use alloc::vec::Vec;

use jute::Encode;
use zk_wire::client::{
    Create2Response, MultiResult, PathResponse, ReconfigResponse, StatResponse,
    encode_multi_results,
};
use zk_wire::txn::{SubTxn, TxnBody};
use zk_wire::{Code, OpCode};

use crate::ids::Zxid;
use crate::io::Reply;
use crate::op::Answer;

/// Bytes that are encoded already.
pub(super) struct Raw<'a>(pub(super) &'a [u8]);

impl Encode for Raw<'_> {
    fn size(&self) -> usize {
        self.0.len()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
}

/// Gives the reply to `done`.
pub(super) fn respond(
    answer: &Answer<'_>,
    body: &TxnBody<'_>,
    op: OpCode,
    zxid: Zxid,
    send: &mut dyn FnMut(&Reply<'_>),
) {
    let close = op == OpCode::CloseSession;
    let mut reply = |err: i32, body: Option<&dyn Encode>| {
        send(&Reply {
            zxid,
            err,
            body,
            close,
        })
    };
    match answer {
        Answer::Nothing => reply(0, None),
        Answer::Error(err) => reply(*err, None),
        Answer::Path(path) => reply(
            0,
            Some(&PathResponse {
                path: Some((*path).into()),
            }),
        ),
        Answer::PathStat(path, stat) => {
            reply(
                0,
                Some(&Create2Response {
                    path: Some((*path).into()),
                    stat: *stat,
                }),
            );
        }
        Answer::Stat(stat) => match body {
            // The new configuration, as it is in force now.
            TxnBody::SetData {
                op: OpCode::Reconfig,
                data,
                ..
            } => reply(
                0,
                Some(&ReconfigResponse {
                    data: *data,
                    stat: *stat,
                }),
            ),
            _ => reply(0, Some(&StatResponse { stat: *stat })),
        },
        Answer::Multi(answers) => {
            let TxnBody::Multi(subs) = body else {
                panic!("a multi's answer for {:?}", body.op());
            };
            let moved = Answer::Error(Code::SessionMoved.to_i32());
            if answers.contains(&moved) {
                // It is the connection that is wrong, not one operation.
                return reply(Code::SessionMoved.to_i32(), None);
            }
            let results: Vec<_> = answers
                .iter()
                .zip(subs)
                .map(|(answer, sub)| multi_result(answer, sub))
                .collect();
            let mut encoded = Vec::new();
            encode_multi_results(&results, &mut encoded);
            reply(0, Some(&Raw(&encoded)));
        }
    }
}

fn multi_result<'a>(answer: &Answer<'a>, sub: &SubTxn<'_>) -> MultiResult<'a> {
    match answer {
        Answer::Nothing if matches!(sub.body, TxnBody::Check { .. }) => MultiResult::Check,
        Answer::Nothing => MultiResult::Delete,
        Answer::Error(err) => MultiResult::Error(*err),
        Answer::Path(path) => MultiResult::Create(PathResponse {
            path: Some((*path).into()),
        }),
        Answer::PathStat(path, stat) => MultiResult::Create2(Create2Response {
            path: Some((*path).into()),
            stat: *stat,
        }),
        Answer::Stat(stat) => MultiResult::SetData(StatResponse { stat: *stat }),
        Answer::Multi(_) => panic!("a multi inside a multi"),
    }
}
