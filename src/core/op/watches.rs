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
    let path = name(&request.path);
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
    let path = name(&request.path);
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
/// MARSHALLINGERROR, also for a null vector or path: what stands before it is told and watched all
/// the same.
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

    // Look everything up first: nothing is told or watched while a row is missing.
    let mut plan: Vec<(&str, Table, Option<Event>)> = Vec::new();
    let looked_up = look_up(r, &request, since, &mut plan);
    if let Err(Stop::Need(_)) = looked_up {
        return looked_up;
    }
    for (path, _, event) in &plan {
        if let Some(event) = event {
            encode_event(-1, *event, path, r.events);
        }
    }
    let conn = r.conn;
    let mut whole = looked_up;
    r.watches.with(&mut |watches| {
        for (path, table, event) in &plan {
            if event.is_none() {
                watches.arm(conn, *table, path, Mode::Standard);
            }
        }
        for (list, recursive) in [
            (&request.persistent, false),
            (&request.persistent_recursive, true),
        ] {
            if whole.is_ok() {
                whole = list
                    .as_ref()
                    .map(|list| {
                        list.iter()
                            .for_each(|path| watches.add_watch(conn, name(path), recursive));
                    })
                    .ok_or(Stop::Code(Code::MarshallingError));
            }
        }
    });
    whole
}

/// What becomes of the one-shot watches of a setWatches, up to the first null list or path.
fn look_up<'q>(
    r: &Read<'_>,
    request: &'q SetWatches2<'_>,
    since: i64,
    plan: &mut Vec<(&'q str, Table, Option<Event>)>,
) -> Result<(), Stop> {
    let changed = |node: Option<NodeView<'_>>, newer: fn(&NodeView<'_>) -> i64, event| match node {
        None => Some(Event::Deleted),
        Some(node) if newer(&node) > since => Some(event),
        Some(_) => None,
    };
    for path in present(&request.data)? {
        let path = non_null(path)?;
        let event = changed(r.tree.get(path)?, |n| n.stat().mzxid, Event::DataChanged);
        plan.push((path, Table::Data, event));
    }
    for path in present(&request.exist)? {
        let path = non_null(path)?;
        plan.push((path, Table::Data, r.tree.get(path)?.map(|_| Event::Created)));
    }
    for path in present(&request.child)? {
        let path = non_null(path)?;
        let event = changed(
            r.tree.get(path)?,
            |n| n.stat().pzxid,
            Event::ChildrenChanged,
        );
        plan.push((path, Table::Child, event));
    }
    Ok(())
}

fn present<'a, 's>(list: &'a Vector<Str<'s>>) -> Result<&'a [Str<'s>], Stop> {
    list.as_deref().ok_or(Stop::Code(Code::MarshallingError))
}

/// The name under which a path is watched. Java's tables take null too, and print it like this.
fn name<'a>(path: &'a Str<'_>) -> &'a str {
    path.as_deref().unwrap_or("null")
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
