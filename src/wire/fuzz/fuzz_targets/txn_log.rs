//! Logs: what is found in a file that may be damaged anywhere.
#![no_main]

use jute_fuzz::bounded;
use libfuzzer_sys::fuzz_target;
use zk_wire::file::txn_log::{
    self, END_MARK, HEADER_LEN, Item, OVERHEAD, PREFIX, Scanner, checksum, encode_payload,
};

fuzz_target!(|data: &[u8]| {
    scan(data);
    // Checksums are hard to guess, so the same once more with right ones.
    let mut file = data.to_vec();
    repair(&mut file);
    scan(&file);
});

/// Gives what looks like a record a right end mark and checksum, as far as they follow each other.
fn repair(file: &mut [u8]) {
    let mut offset = HEADER_LEN;
    while let Some(prefix) = file
        .get(offset..)
        .and_then(|rest| rest.first_chunk::<PREFIX>())
    {
        let [.., a, b, c, d] = *prefix;
        let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).unwrap_or(0);
        let end = offset + OVERHEAD + length;
        if length == 0 || end > file.len() {
            return;
        }
        let sum = u64::from(checksum(&file[offset + PREFIX..end - 1]));
        file[offset..offset + 8].copy_from_slice(&sum.to_be_bytes());
        file[end - 1] = END_MARK;
        offset = end;
    }
}

fn scan(file: &[u8]) {
    let Ok(scanner) = Scanner::new(file) else {
        return;
    };
    let items: Vec<Item<'_>> = scanner.collect();
    let (last, records) = items.split_last().expect("an end");
    let mut offset = HEADER_LEN;
    for item in records {
        let Item::Record(record) = item else {
            panic!("{item:?} before the end")
        };
        assert_eq!(record.offset, offset, "records follow each other");
        offset = record.end;
        // What is framed again has the same bytes.
        let mut framed = Vec::new();
        encode_payload(record.payload, &mut framed);
        assert_eq!(framed, file[record.offset..record.end]);
        if let Ok(txn) = bounded(record.payload.len(), || record.txn()) {
            assert_eq!(txn.header, record.header);
        }
    }
    match last {
        Item::Record(record) => panic!("{record:?} at the end"),
        Item::End { offset: end } => {
            assert_eq!(*end, offset);
            assert!(file[offset..].iter().all(|&b| b == 0));
        }
        Item::Torn { offset: end, .. } => {
            assert_eq!(*end, offset);
            // Cut where it is torn, the log is in order.
            let mut cut = Scanner::new(&file[..offset]).expect("the header is there");
            assert_eq!(cut.by_ref().last(), Some(Item::End { offset }));
        }
        Item::Corrupt {
            offset: end, next, ..
        } => {
            assert_eq!(*end, offset);
            if let Some(next) = next {
                assert!(next.offset > offset);
                assert_eq!(txn_log::read_record(file, next.offset).as_ref(), Ok(next));
            }
        }
    }
}
