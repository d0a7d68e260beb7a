//! The tree behind a SNAP packet: whole, and in pieces.
#![no_main]

use jute_fuzz::bounded;
use libfuzzer_sys::fuzz_target;
use zk_wire::quorum::snap::{
    OPEN_ACL, SnapDecoder, SnapEncoder, SnapError, SnapItem, SnapProgress,
};

/// Smaller than the longest input, so that it is passed.
const LIMIT: usize = 4096;

fuzz_target!(|data: &[u8]| {
    // The last bytes say how the rest is cut.
    let (stream, cuts) = data.split_at(data.len() - data.len().min(4));
    let whole = bounded(data.len(), || read(stream, std::iter::empty()));
    let steps = cuts.iter().map(|&step| usize::from(step)).cycle();
    let pieces = bounded(data.len(), || read(stream, steps));
    assert_eq!(pieces, whole);
    if let (items, Ok(Some(end))) = whole {
        check(&items, &stream[..end]);
    }
});

/// The items of a tree, and where it ends, if it does.
fn read(
    stream: &[u8],
    mut steps: impl Iterator<Item = usize>,
) -> (Vec<SnapItem<'_>>, Result<Option<usize>, SnapError>) {
    let mut decoder = SnapDecoder::new(LIMIT);
    let mut items = Vec::new();
    let (mut start, mut end) = (0, 0);
    loop {
        assert_eq!(decoder.offset(), start as u64);
        match decoder.next(&stream[start..end]) {
            Ok(SnapProgress::Item(item, taken)) => {
                items.push(item);
                start += taken;
                assert!(start <= end);
            }
            Ok(SnapProgress::More(need)) => {
                assert!(start + need > end, "more is asked for, not less");
                assert!(need <= 2 * LIMIT + 100);
                if end == stream.len() {
                    return (items, Ok(None));
                }
                let left = stream.len() - end;
                end += steps.next().unwrap_or(left).clamp(1, left);
            }
            Ok(SnapProgress::Done) => return (items, Ok(Some(start))),
            Err(error) => return (items, Err(error)),
        }
    }
}

/// The same items come back from what they are written as.
fn check(items: &[SnapItem<'_>], bytes: &[u8]) {
    let count = |is: fn(&SnapItem<'_>) -> bool| items.iter().filter(|item| is(item)).count();
    let reserved = |item: &SnapItem<'_>| matches!(item, SnapItem::Acl { id: OPEN_ACL, .. });
    if items.iter().any(reserved) || bytes.iter().any(|&b| b >= 0xed) {
        return; // What no server writes, or Java cannot read back.
    }
    let mut out = Vec::new();
    let mut encoder = SnapEncoder::begin(
        count(|item| matches!(item, SnapItem::Session { .. })),
        count(|item| matches!(item, SnapItem::Acl { .. })),
        &mut out,
    );
    for item in items {
        match item {
            SnapItem::Session { id, timeout } => encoder.session(*id, *timeout, &mut out),
            SnapItem::Acl { id, acl } => encoder.acl(*id, acl, &mut out),
            SnapItem::Node {
                path,
                data,
                acl,
                stat,
            } => encoder.node(path, *data, *acl, stat, &mut out),
            SnapItem::End => {}
        }
    }
    encoder.end(&mut out);
    let (back, end) = read(&out, std::iter::empty());
    // Text that was malformed may be too long now that it is replaced.
    if end.is_ok() {
        assert_eq!((&back[..], end), (items, Ok(Some(out.len()))));
    }
}
