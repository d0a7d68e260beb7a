//! addWatch, checkWatches, removeWatches, setWatches, setWatches2.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use jute::{Encode, List as Vector, Str};
use zk_wire::Code;
use zk_wire::client::{
    AddWatchRequest, ErrorResponse, ReplyHeader, SetWatches, SetWatches2, WatcherEvent,
    WatchesRequest,
};

use super::{Read, Stop, decode, non_null};
use crate::tree::NodeView;
use crate::watch::{Event, Kind, Mode, Table};

/// Answers an addWatch. The node may be missing; neither access nor the path's form is checked.
///
/// # Errors
/// MARSHALLINGERROR, also for an unknown mode.
pub fn add(r: &mut Read<'_>, body: &[u8]) -> Result<(), Stop> {
    let request: AddWatchRequest<'_> = decode(body, r.config.max_field)?;
    let recursive = match request.mode {
        0 => false,
        1 => true,
        _ => return Err(Code::MarshallingError.into()),
    };
    let path = non_null(&request.path)?;
    let conn = r.conn;
    r.watches
        .with(&mut |watches| watches.add_watch(conn, path, recursive));
    ErrorResponse { err: 0 }.encode(r.out);
    Ok(())
}

/// Answers a checkWatches, or with `remove` a removeWatches. No event tells of a removal.
///
/// # Errors
/// MARSHALLINGERROR for an unknown kind, NOWATCHER.
pub fn check(r: &mut Read<'_>, body: &[u8], remove: bool) -> Result<(), Stop> {
    let request: WatchesRequest<'_> = decode(body, r.config.max_field)?;
    let kind = Kind::from_i32(request.kind).ok_or(Code::MarshallingError)?;
    let path = non_null(&request.path)?;
    let conn = r.conn;
    let mut found = false;
    r.watches.with(&mut |watches| {
        found = if remove {
            watches.remove(conn, path, kind)
        } else {
            watches.contains(conn, path, kind)
        };
    });
    if found {
        Ok(())
    } else {
        Err(Code::NoWatcher.into())
    }
}

/// Answers a setWatches or setWatches2: what has changed since `relative_zxid` is told at once,
/// in front of the reply, with zxid -1 and without an access check; the rest is watched.
///
/// # Errors
/// MARSHALLINGERROR, also for a null vector.
pub fn set(r: &mut Read<'_>, body: &[u8], with_persistent: bool) -> Result<(), Stop> {
    let request = if with_persistent {
        decode::<SetWatches2<'_>>(body, r.config.max_field)?
    } else {
        let SetWatches {
            relative_zxid,
            data,
            exist,
            child,
        } = decode(body, r.config.max_field)?;
        SetWatches2 {
            relative_zxid,
            data,
            exist,
            child,
            persistent: Some(Vec::new()),
            persistent_recursive: Some(Vec::new()),
        }
    };
    let since = request.relative_zxid;
    let data = paths(&request.data)?;
    let exist = paths(&request.exist)?;
    let child = paths(&request.child)?;
    let persistent = paths(&request.persistent)?;
    let recursive = paths(&request.persistent_recursive)?;

    // Look everything up first: nothing is told or watched while a row is missing.
    let mut plan: Vec<(&str, Table, Option<Event>)> = Vec::new();
    let changed = |node: Option<NodeView<'_>>, newer: fn(&NodeView<'_>) -> i64, event| match node {
        None => Some(Event::Deleted),
        Some(node) if newer(&node) > since => Some(event),
        Some(_) => None,
    };
    for path in &data {
        let event = changed(r.tree.get(path)?, |n| n.stat().mzxid, Event::DataChanged);
        plan.push((path, Table::Data, event));
    }
    for path in &exist {
        plan.push((path, Table::Data, r.tree.get(path)?.map(|_| Event::Created)));
    }
    for path in &child {
        let event = changed(
            r.tree.get(path)?,
            |n| n.stat().pzxid,
            Event::ChildrenChanged,
        );
        plan.push((path, Table::Child, event));
    }
    for (path, _, event) in &plan {
        if let Some(event) = event {
            encode_event(-1, *event, path, r.events);
        }
    }
    let conn = r.conn;
    r.watches.with(&mut |watches| {
        for (path, table, event) in &plan {
            if event.is_none() {
                watches.arm(conn, *table, path, Mode::Standard);
            }
        }
        for path in &persistent {
            watches.add_watch(conn, path, false);
        }
        for path in &recursive {
            watches.add_watch(conn, path, true);
        }
    });
    Ok(())
}

fn paths<'a>(list: &'a Vector<Str<'_>>) -> Result<Vec<&'a str>, Stop> {
    let list = list.as_ref().ok_or(Code::MarshallingError)?;
    list.iter().map(non_null).collect()
}

/// Appends a whole notification frame. The state is always SyncConnected.
pub fn encode_event(zxid: i64, event: Event, path: &str, out: &mut Vec<u8>) {
    let header = ReplyHeader {
        xid: -1,
        zxid,
        err: 0,
    };
    let event = WatcherEvent {
        kind: event as i32,
        state: 3,
        path: Some(Cow::Borrowed(path)),
    };
    jute::encode_len(header.size() + event.size(), out);
    header.encode(out);
    event.encode(out);
}
