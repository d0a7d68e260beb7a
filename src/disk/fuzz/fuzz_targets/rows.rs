//! Rows and keys of the store: whatever the bytes, an error or a value that encodes to them.
#![no_main]

use jute_fuzz::bounded;
use libfuzzer_sys::fuzz_target;
use zk_disk::store::{Meta, StoredRow, key, row};

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = bounded(data.len(), || row::node(data)) {
        let mut again = Vec::new();
        row::put_node(&mut again, &value);
        // Flags may announce what is as usual, so only the value must come back.
        assert_eq!(row::node(&again).expect("what was encoded"), value);
        assert!(again.len() <= data.len(), "the shortest form is written");
        let stored = StoredRow::new(data.to_vec()).expect("it was read before");
        assert_eq!(stored.row().expect("it was checked"), value);
    }
    if let Ok(value) = bounded(data.len(), || row::session(data)) {
        let again = row::put_session(value).expect("a session");
        assert_eq!(row::session(&again).expect("what was encoded"), value);
    }
    if let Ok(value) = row::acl(data) {
        let again = row::put_acl(&value).expect("a list");
        assert_eq!(row::acl(&again).expect("what was encoded"), value);
    }
    if let Ok(path) = key::node_path(data) {
        assert_eq!(key::node(path), data);
    }
    if let Ok((owner, path)) = key::owner_path(data) {
        let mut again = Vec::new();
        key::put_owner(&mut again, owner, path);
        assert_eq!(again, data);
    }
    // The six rows of the meta family, 8 bytes each; a byte says which are there.
    if let Some((there, values)) = data.split_first() {
        let names = Meta::default().rows().map(|(name, _)| name);
        let mut get = |name: &'static [u8]| {
            let i = names.iter().position(|n| *n == name).expect("a known name");
            let value = values.get(i * 8..i * 8 + 8).filter(|_| there & 1 << i == 0);
            Ok(value.map(<[u8]>::to_vec))
        };
        if let Ok(Some(meta)) = Meta::from_rows(&mut get) {
            let rows = meta.rows();
            let mut same = |name: &'static [u8]| {
                Ok(rows
                    .iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, v)| v.to_vec()))
            };
            assert_eq!(
                Meta::from_rows(&mut same).expect("what was encoded"),
                Some(meta)
            );
        }
    }
});
