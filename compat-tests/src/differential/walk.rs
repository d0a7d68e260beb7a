//! The last look: every node of both trees, data, ACL, children and stat.
//!
//! Owns: the walk. Does not know: how to compare; the runner does.

use super::exchange::{FrameKind, Header};
use super::op::{Op, code};
use super::run::{Mismatch, OBSERVER, Runner};
use super::step::Request;
use crate::raw::In;

/// Nodes asked about at once.
const BATCH: usize = 16;

/// Walks both trees as the observer, who may read everything; the number of nodes.
pub fn walk(runner: &mut Runner) -> Result<usize, Mismatch> {
    let mut queue = vec![b"/".to_vec()];
    let mut seen = 0;
    while !queue.is_empty() {
        let batch = queue.split_off(queue.len().saturating_sub(BATCH));
        let mut requests = Vec::new();
        for path in &batch {
            let path = Some(path.clone());
            for op in [
                Op::Watching {
                    op: code::GET_DATA,
                    path: path.clone(),
                    watch: false,
                },
                Op::OnePath {
                    op: code::GET_ACL,
                    path: path.clone(),
                },
                Op::Watching {
                    op: code::GET_CHILDREN2,
                    path,
                    watch: false,
                },
            ] {
                let xid = i32::try_from(requests.len() + 1).expect("a small batch");
                requests.push(Request {
                    xid,
                    op: op.code(),
                    body: op.body(),
                });
            }
        }
        let outcome = runner.send(OBSERVER, &requests)?;
        seen += batch.len();
        for frame in &outcome.frames {
            let FrameKind::Reply(i) = frame.kind else {
                continue;
            };
            if requests[i].op != code::GET_CHILDREN2
                || Header::of(&frame.bytes).is_none_or(|h| h.err != 0)
            {
                continue;
            }
            let mut input = In::new(&frame.bytes[16..]);
            for _ in 0..input.int().unwrap_or(0) {
                let Some(Some(name)) = input.bytes() else {
                    break;
                };
                let mut path = batch[i / 3].clone();
                if path != b"/" {
                    path.push(b'/');
                }
                path.extend_from_slice(name);
                queue.push(path);
            }
        }
    }
    Ok(seen)
}
