//! A snapshot that is being received: from the packet that announced it up to its signature.
//!
//! Owns: the way of the bytes to a thread that may block, and what is behind the signature. Does
//! not know: where the snapshot goes ([`SnapSink`]).
//!
//! Invariants: the signature ends it, and not a byte behind it is lost. A sink that is slow holds
//! the sender up. A link that ends before the signature drops the sink unfinished. One sink at a
//! time: the next is begun when the one before is dropped, so nothing of a link that is gone comes
//! in between.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::ReadHalf;
use tokio::sync::{mpsc, oneshot};
use zk_wire::quorum::snap::{SnapDecoder, SnapItem, SnapProgress};
use zk_zab::ids::{LinkId, Zxid};
use zk_zab::io::In;

use super::budget::Delivery;
use super::link::{Ends, reserve};
use crate::limits::{HEARD_EVERY, INSTALL_BLOCKS};

/// Where a snapshot goes. Dropped unfinished, it is given up.
pub trait SnapSink: Send {
    /// Takes the next item; never [`SnapItem::End`].
    ///
    /// # Errors
    /// It cannot be taken, in words; the link is then closed.
    fn take(&mut self, item: SnapItem<'_>) -> Result<(), String>;

    /// All of it was there. What it means that it is staged is between the sink and the core.
    ///
    /// # Errors
    /// It is not whole, or cannot be kept.
    fn finish(self: Box<Self>) -> Result<(), String>;
}

/// Who gives sinks.
pub trait SnapSinks: Send + Sync {
    /// Begins to take a snapshot. Called on a thread that may block.
    ///
    /// # Errors
    /// None can be taken now.
    fn begin(&self, zxid: Zxid) -> Result<Box<dyn SnapSink>, String>;
}

/// What is behind it; `None` where the link has ended before its end.
type Outcome = Result<Option<BytesMut>, String>;

/// Reads a snapshot whose first bytes may be in `buf` already. Leaves what follows it there.
///
/// # Errors
/// Why the link cannot go on.
pub(super) async fn receive(
    link: LinkId,
    zxid: Zxid,
    reader: &mut ReadHalf<'_>,
    buf: &mut BytesMut,
    ends: &Ends,
) -> Result<(), String> {
    let alone = ends.installing.clone().lock_owned().await;
    let (blocks, taken) = mpsc::channel(INSTALL_BLOCKS);
    let (said, outcome) = oneshot::channel();
    let (sinks, max_field) = (ends.installs.clone(), ends.max_field);
    std::thread::Builder::new()
        .name("install".into())
        .spawn(move || {
            let outcome = install(sinks, zxid, max_field, taken);
            drop(alone);
            // Whoever asked may have gone.
            let _ = said.send(outcome);
        })
        .map_err(|error| format!("no thread to take a snapshot: {error}"))?;
    tokio::pin!(outcome);
    let mut heard = Instant::now();
    let taken = loop {
        if !buf.is_empty() {
            tokio::select! {
                biased;
                taken = &mut outcome => break taken,
                room = blocks.reserve() => {
                    if let Ok(room) = room {
                        room.send(buf.split().freeze());
                    } else {
                        break outcome.await;
                    }
                }
            }
            if heard.elapsed() >= HEARD_EVERY {
                heard = Instant::now();
                (ends.sink)(Delivery::free(vec![In::Heard(link)]));
            }
        }
        reserve(buf);
        let read = tokio::select! {
            biased;
            taken = &mut outcome => break taken,
            read = reader.read_buf(buf) => read,
        };
        match read {
            Ok(0) => {
                // All of it may have come.
                drop(blocks);
                break outcome.await;
            }
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    };
    let taken = taken.map_err(|_| "taking the snapshot has failed".to_string())??;
    let mut rest = taken.ok_or("it has closed the connection in the middle of a snapshot")?;
    rest.unsplit(buf.split());
    *buf = rest;
    (ends.sink)(Delivery::free(vec![In::SnapRead(link)]));
    Ok(())
}

/// Takes a snapshot block by block. Returns what is behind it.
fn install(
    sinks: Arc<dyn SnapSinks>,
    zxid: Zxid,
    max_field: usize,
    mut blocks: mpsc::Receiver<Bytes>,
) -> Outcome {
    let mut sink = sinks.begin(zxid)?;
    let mut decoder = SnapDecoder::new(max_field);
    let mut buf = BytesMut::new();
    loop {
        match decoder.next(&buf).map_err(|error| error.to_string())? {
            SnapProgress::Item(SnapItem::End, taken) => {
                buf.advance(taken);
                break;
            }
            SnapProgress::Item(item, taken) => {
                sink.take(item)?;
                buf.advance(taken);
            }
            SnapProgress::More(_) => match blocks.blocking_recv() {
                Some(block) => buf.extend_from_slice(&block),
                None => return Ok(None),
            },
            SnapProgress::Done => break,
        }
    }
    sink.finish()?;
    // What is under way is behind it.
    blocks.close();
    while let Some(block) = blocks.blocking_recv() {
        buf.extend_from_slice(&block);
    }
    Ok(Some(buf))
}
