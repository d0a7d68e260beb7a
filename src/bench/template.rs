//! Requests encoded once, whose numbers are overwritten for each use.
//!
//! Owns: where in a frame the xid, the digits of a path and the data are; the names of keys.
//!
//! Does not know: which key is asked for when, or what a reply means.
//!
//! Invariants: the frames are those of `zk-wire`, so whatever it encodes rightly is right here; a
//! path has a fixed number of digits, so no length in the frame ever changes.

use std::borrow::Cow;
use std::ops::Range;

use jute::Encode;
use zk_wire::OpCode;
use zk_wire::client::{
    Acl, CreateRequest, DeleteRequest, Id, MultiOp, PathWatchRequest, RequestHeader,
    SetDataRequest, encode_multi, frame, perms,
};

use crate::limits::FILLER;

const PARENT_DIGITS: usize = 6;
const KEY_DIGITS: usize = 9;
/// Bytes of data that say which key and which write of it they belong to.
pub const STAMP: usize = 8;
const XID: Range<usize> = 4..8;

/// Keys above this have no name.
pub const MAX_KEYS: u32 = 1_000_000_000;
/// Parents above this have no name.
pub const MAX_PARENTS: u32 = 1_000_000;

/// The tree that a run works in: `ROOT/p000007/k000001234`, or `ROOT/k000001234` without parents.
#[derive(Debug, Clone)]
pub struct Names {
    root: String,
    parents: u32,
}

impl Names {
    /// Keys under `root`, spread over `parents` nodes (0: all directly under it).
    pub fn new(root: String, parents: u32) -> Self {
        Self { root, parents }
    }

    /// The node above everything.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The number of parents.
    pub fn parents(&self) -> u32 {
        self.parents
    }

    /// The path of a parent.
    pub fn parent(&self, parent: u32) -> String {
        format!("{}/p{parent:0PARENT_DIGITS$}", self.root)
    }

    /// The path of a key.
    pub fn key(&self, key: u32) -> String {
        match self.parents {
            0 => format!("{}/k{key:0KEY_DIGITS$}", self.root),
            parents => format!("{}/k{key:0KEY_DIGITS$}", self.parent(key % parents)),
        }
    }

    /// The key that a path ends in.
    pub fn key_of(path: &[u8]) -> Option<u32> {
        let digits = path.get(path.len().checked_sub(KEY_DIGITS)?..)?;
        digits.iter().try_fold(0, |number: u32, digit| {
            digit
                .is_ascii_digit()
                .then(|| number * 10 + u32::from(digit - b'0'))
        })
    }
}

/// What the data of znodes look like: the key, the number of the write, then bytes that do not
/// compress and differ from key to key.
#[derive(Debug, Clone)]
pub struct Data {
    size: usize,
    filler: Vec<u8>,
}

impl Data {
    /// Data of `size` bytes.
    pub fn new(size: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(0x7a6b);
        let mut filler = vec![0; FILLER + size];
        random.fill(&mut filler);
        Self { size, filler }
    }

    /// Bytes of each znode.
    pub fn size(&self) -> usize {
        self.size
    }

    fn text(&self, key: u32) -> &[u8] {
        let from = (key as usize).wrapping_mul(61) % FILLER;
        &self.filler[from..from + self.size]
    }

    /// Overwrites `out`, of [`size`](Self::size) bytes, with the data of the `write`th write.
    pub fn put(&self, key: u32, write: u32, out: &mut [u8]) {
        out.copy_from_slice(self.text(key));
        if let Some(stamp) = out.first_chunk_mut::<STAMP>() {
            stamp[..4].copy_from_slice(&key.to_be_bytes());
            stamp[4..].copy_from_slice(&write.to_be_bytes());
        }
    }

    /// Which write of `key` these data are of; `None` when they are of no write of it. Data too
    /// short for a stamp say 0.
    pub fn write_of(&self, key: u32, data: &[u8]) -> Option<u32> {
        let text = self.text(key);
        if data.len() != text.len() {
            return None;
        }
        let Some((stamp, rest)) = data.split_first_chunk::<STAMP>() else {
            return (data == text).then_some(0);
        };
        if stamp[..4] != key.to_be_bytes() || rest != &text[STAMP..] {
            return None;
        }
        Some(u32::from_be_bytes([stamp[4], stamp[5], stamp[6], stamp[7]]))
    }
}

#[derive(Debug, Clone)]
struct Slot {
    parent: Option<Range<usize>>,
    key: Range<usize>,
    data: Option<Range<usize>>,
}

/// A frame to be sent again and again with another xid, other keys, other data.
#[derive(Debug, Clone)]
pub struct Template {
    frame: Vec<u8>,
    slots: Vec<Slot>,
    parents: u32,
}

/// A request in a frame of its own, with an xid of 0.
pub fn request(op: OpCode, body: &dyn Encode) -> Vec<u8> {
    let mut out = Vec::new();
    let start = frame::begin(&mut out);
    RequestHeader {
        xid: 0,
        op: op.to_i32(),
    }
    .encode(&mut out);
    body.encode(&mut out);
    frame::finish(&mut out, start);
    out
}

/// Appends a frame with its xid set.
pub fn emit(frame: &[u8], xid: i32, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(frame);
    out[at..][XID].copy_from_slice(&xid.to_be_bytes());
}

/// create, with everybody allowed everything.
pub fn create<'a>(path: &'a str, data: &'a [u8], flags: i32) -> CreateRequest<'a> {
    CreateRequest {
        path: text(path),
        data: Some(data),
        acl: Some(vec![Acl {
            perms: perms::ALL,
            id: Id {
                scheme: text("world"),
                id: text("anyone"),
            },
        }]),
        flags,
    }
}

/// setData without a version.
pub fn set<'a>(path: &'a str, data: &'a [u8]) -> SetDataRequest<'a> {
    SetDataRequest {
        path: text(path),
        data: Some(data),
        version: -1,
    }
}

fn text(text: &str) -> jute::Str<'_> {
    Some(Cow::Borrowed(text))
}

impl Template {
    /// create of a key: flags 0 persistent, 1 ephemeral.
    pub fn create(names: &Names, data: &Data, flags: i32) -> Self {
        let (path, text) = sample(names, data);
        let frame = request(OpCode::Create, &create(&path, &text, flags));
        Self::find(frame, names, &path, Some(&text), 1)
    }

    /// setData of a key, any version.
    pub fn set(names: &Names, data: &Data) -> Self {
        let (path, text) = sample(names, data);
        let frame = request(OpCode::SetData, &set(&path, &text));
        Self::find(frame, names, &path, Some(&text), 1)
    }

    /// delete of a key, any version.
    pub fn delete(names: &Names) -> Self {
        let path = names.key(0);
        let body = DeleteRequest {
            path: text(&path),
            version: -1,
        };
        Self::find(request(OpCode::Delete, &body), names, &path, None, 1)
    }

    /// exists, getData of a key.
    pub fn read(names: &Names, op: OpCode, watch: bool) -> Self {
        let path = names.key(0);
        let body = PathWatchRequest {
            path: text(&path),
            watch,
        };
        Self::find(request(op, &body), names, &path, None, 1)
    }

    /// getChildren of a parent; what is given as the key is the parent's number.
    pub fn children(names: &Names) -> Self {
        let path = names.parent(0);
        let body = PathWatchRequest {
            path: text(&path),
            watch: false,
        };
        let frame = request(OpCode::GetChildren, &body);
        let end = position(&frame, path.as_bytes(), 0) + path.len();
        Self {
            frame,
            slots: vec![Slot {
                parent: None,
                key: end - PARENT_DIGITS..end,
                data: None,
            }],
            parents: 0,
        }
    }

    /// A multi of `count` setData.
    pub fn multi_set(names: &Names, data: &Data, count: usize) -> Self {
        let (path, text) = sample(names, data);
        let ops: Vec<_> = (0..count)
            .map(|_| MultiOp::SetData(set(&path, &text)))
            .collect();
        let mut frame = Vec::new();
        let start = frame::begin(&mut frame);
        RequestHeader {
            xid: 0,
            op: OpCode::Multi.to_i32(),
        }
        .encode(&mut frame);
        encode_multi(&ops, &mut frame);
        frame::finish(&mut frame, start);
        Self::find(frame, names, &path, Some(&text), count)
    }

    fn find(frame: Vec<u8>, names: &Names, path: &str, data: Option<&[u8]>, count: usize) -> Self {
        let mut from = 0;
        let slots = (0..count)
            .map(|_| {
                let start = position(&frame, path.as_bytes(), from);
                let end = start + path.len();
                from = end;
                let parent = start + names.root.len() + "/p".len();
                Slot {
                    parent: (names.parents > 0).then_some(parent..parent + PARENT_DIGITS),
                    key: end - KEY_DIGITS..end,
                    data: data.map(|data| {
                        // A length of four bytes stands between the path and the data.
                        let start = end + 4;
                        assert_eq!(
                            &frame[start..start + data.len()],
                            data,
                            "data follow the path"
                        );
                        from = start + data.len();
                        start..from
                    }),
                }
            })
            .collect();
        Self {
            frame,
            slots,
            parents: names.parents,
        }
    }

    /// The number of keys in one frame.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Appends the frame for one key, without data.
    #[inline]
    pub fn emit(&self, xid: i32, key: u32, out: &mut Vec<u8>) {
        let at = self.begin(xid, out);
        self.fill(0, key, &mut out[at..]);
    }

    /// Appends the frame for one key, with the data of the `write`th write.
    #[inline]
    pub fn emit_data(&self, xid: i32, key: u32, data: &Data, write: u32, out: &mut Vec<u8>) {
        let at = self.begin(xid, out);
        self.fill_data(0, key, data, write, &mut out[at..]);
    }

    /// Appends the frame with the xid set; gives where it begins.
    #[inline]
    pub fn begin(&self, xid: i32, out: &mut Vec<u8>) -> usize {
        let at = out.len();
        emit(&self.frame, xid, out);
        at
    }

    #[inline]
    fn fill(&self, slot: usize, key: u32, frame: &mut [u8]) {
        let slot = &self.slots[slot];
        if let Some(parent) = &slot.parent {
            digits(key % self.parents, &mut frame[parent.clone()]);
        }
        digits(key, &mut frame[slot.key.clone()]);
    }

    /// Sets key and data of one slot of a frame that [`begin`](Self::begin) has appended.
    #[inline]
    pub fn fill_data(&self, slot: usize, key: u32, data: &Data, write: u32, frame: &mut [u8]) {
        self.fill(slot, key, frame);
        if let Some(range) = &self.slots[slot].data {
            data.put(key, write, &mut frame[range.clone()]);
        }
    }
}

fn sample(names: &Names, data: &Data) -> (String, Vec<u8>) {
    let mut text = vec![0; data.size];
    data.put(0, 0, &mut text);
    (names.key(0), text)
}

fn position(frame: &[u8], needle: &[u8], from: usize) -> usize {
    from + frame[from..]
        .windows(needle.len())
        .position(|window| window == needle)
        .expect("the path stands in the frame that was made of it")
}

#[inline]
fn digits(mut number: u32, out: &mut [u8]) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jute::{Decode, Reader};
    use zk_wire::client::decode_multi;

    fn names(parents: u32) -> Names {
        Names::new("/bench/run".into(), parents)
    }

    #[test]
    fn every_template_gives_what_wire_would_encode() {
        for parents in [0, 7] {
            let names = names(parents);
            let data = Data::new(100);
            let mut bytes = vec![0; 100];
            data.put(123_456, 9, &mut bytes);
            let path = names.key(123_456);
            let mut expected = request(OpCode::Create, &create(&path, &bytes, 1));
            expected[XID].copy_from_slice(&77i32.to_be_bytes());
            let mut out = vec![1, 2, 3];
            Template::create(&names, &data, 1).emit_data(77, 123_456, &data, 9, &mut out);
            assert_eq!(out[3..], expected);

            let mut expected = request(OpCode::SetData, &set(&path, &bytes));
            expected[XID].copy_from_slice(&(-5i32).to_be_bytes());
            let mut out = Vec::new();
            Template::set(&names, &data).emit_data(-5, 123_456, &data, 9, &mut out);
            assert_eq!(out, expected);

            let body = PathWatchRequest {
                path: text(&path),
                watch: true,
            };
            let mut out = Vec::new();
            Template::read(&names, OpCode::GetData, true).emit(0, 123_456, &mut out);
            assert_eq!(out, request(OpCode::GetData, &body));
        }
    }

    #[test]
    fn a_multi_has_all_its_keys() {
        let names = names(3);
        let data = Data::new(10);
        let template = Template::multi_set(&names, &data, 4);
        let mut out = Vec::new();
        let at = template.begin(5, &mut out);
        for slot in 0..4 {
            template.fill_data(slot, 10 + slot as u32, &data, 2, &mut out[at..]);
        }
        let ops = decode_multi(&mut Reader::new(&out[12..])).unwrap();
        let found: Vec<_> = ops
            .iter()
            .map(|op| match op {
                MultiOp::SetData(set) => {
                    let path = set.path.as_deref().unwrap();
                    let key = Names::key_of(path.as_bytes()).unwrap();
                    assert_eq!(path, names.key(key));
                    (key, data.write_of(key, set.data.unwrap()))
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(found, [10, 11, 12, 13].map(|key| (key, Some(2))));
    }

    #[test]
    fn children_are_those_of_the_parent() {
        let names = names(40);
        let mut out = Vec::new();
        Template::children(&names).emit(0, 39, &mut out);
        let body = PathWatchRequest::decode(&mut Reader::new(&out[12..])).unwrap();
        assert_eq!(body.path.as_deref(), Some("/bench/run/p000039"));
    }

    #[test]
    fn data_know_their_key_and_write() {
        let data = Data::new(100);
        let mut bytes = vec![0; 100];
        data.put(5, 3, &mut bytes);
        assert_eq!(data.write_of(5, &bytes), Some(3));
        assert_eq!(data.write_of(6, &bytes), None);
        assert_eq!(data.write_of(5, &bytes[1..]), None);
        bytes[99] ^= 1;
        assert_eq!(data.write_of(5, &bytes), None);
        assert_eq!(Data::new(0).write_of(5, b""), Some(0));
    }

    #[test]
    fn keys_of_paths() {
        assert_eq!(Names::key_of(b"/a/k000000042"), Some(42));
        assert_eq!(Names::key_of(b"/a/kx00000042"), None);
        assert_eq!(Names::key_of(b"42"), None);
    }
}
