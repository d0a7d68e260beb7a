//! Golden rows: the store's format, byte for byte. `UPDATE_EXPECT=1` writes the files anew, which
//! is right only together with a new format version.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use zk_core::acl::{AclId, Entry};
use zk_core::ids::Zxid;
use zk_core::tree::{self, Row};
use zk_disk::Error;
use zk_disk::store::{Base, Discard, FORMAT_VERSION, Meta, key, row};
use zk_wire::stat::StatPersisted;

fn folder(family: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/store")
        .join(family)
}

/// Checks one case: the bytes are those of the file, they read back as the text beside it, and no
/// truncation of them is taken for a whole row.
fn check<T: Debug>(
    family: &str,
    case: &str,
    bytes: &[u8],
    decode: impl for<'a> Fn(&'a [u8]) -> Result<String, Error>,
    value: T,
) {
    let (bin, txt) = (
        folder(family).join(format!("{case}.bin")),
        folder(family).join(format!("{case}.txt")),
    );
    let text = format!("{value:#?}\n");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::create_dir_all(folder(family)).unwrap();
        std::fs::write(&bin, bytes).unwrap();
        std::fs::write(&txt, &text).unwrap();
    }
    let golden = std::fs::read(&bin).unwrap_or_else(|e| panic!("{}: {e}", bin.display()));
    assert_eq!(
        golden, bytes,
        "{family}/{case}: other bytes are written than before"
    );
    let expected = std::fs::read_to_string(&txt).unwrap();
    assert_eq!(decode(&golden).unwrap(), expected, "{family}/{case}");
    for size in 0..golden.len() {
        assert!(
            decode(&golden[..size]).is_err(),
            "{family}/{case} cut to {size} bytes"
        );
    }
    let mut longer = golden;
    longer.push(0);
    assert!(decode(&longer).is_err(), "{family}/{case} with a byte more");
}

#[test]
fn nodes() {
    let fresh = StatPersisted {
        czxid: 0x1_0000_0007,
        mzxid: 0x1_0000_0007,
        pzxid: 0x1_0000_0007,
        ctime: 1_700_000_000_123,
        mtime: 1_700_000_000_123,
        ..StatPersisted::default()
    };
    let row = |stat, data| Row {
        stat,
        acl: AclId::OPEN,
        children: 0,
        crc: 0xdead_beef,
        data,
    };
    let cases: Vec<(&str, Row<'_>)> = vec![
        (
            "root",
            Row {
                children: 1,
                crc: 0,
                ..row(StatPersisted::default(), Some(&b""[..]))
            },
        ),
        ("fresh", row(fresh, Some(&b"hello"[..]))),
        ("null_data", row(fresh, None)),
        ("empty_data", row(fresh, Some(&b""[..]))),
        (
            "changed",
            Row {
                acl: AclId(300),
                children: 1_000,
                ..row(
                    StatPersisted {
                        mzxid: 0x2_0000_0001,
                        pzxid: 0x3_0000_0009,
                        mtime: 1_700_000_111_123,
                        version: 3,
                        cversion: 1_001,
                        aversion: -1,
                        ..fresh
                    },
                    Some(&[0xff; 200][..]),
                )
            },
        ),
        (
            "ephemeral",
            row(
                StatPersisted {
                    ephemeral_owner: 0x1_0001_2345_0000,
                    ..fresh
                },
                Some(&b"x"[..]),
            ),
        ),
        (
            "container",
            row(
                StatPersisted {
                    ephemeral_owner: i64::MIN,
                    ..fresh
                },
                None,
            ),
        ),
        (
            "ttl_modified_backward",
            row(
                StatPersisted {
                    ephemeral_owner: 0xff00_0000_0000_2710_u64 as i64,
                    mzxid: 0x1_0000_0006,
                    mtime: 1_699_999_999_999,
                    ..fresh
                },
                Some(&b"x"[..]),
            ),
        ),
        (
            "extremes",
            Row {
                stat: StatPersisted {
                    czxid: i64::MIN,
                    mzxid: i64::MAX,
                    pzxid: -1,
                    ctime: i64::MAX,
                    mtime: i64::MIN,
                    version: i32::MIN,
                    cversion: i32::MAX,
                    aversion: -1,
                    ephemeral_owner: -1,
                },
                acl: AclId(u32::MAX),
                children: u32::MAX,
                crc: u32::MAX,
                data: Some(&b"\0"[..]),
            },
        ),
    ];
    for (case, value) in cases {
        let mut bytes = Vec::new();
        row::put_node(&mut bytes, &value);
        check(
            "node",
            case,
            &bytes,
            |b| row::node(b).map(|r| format!("{r:#?}\n")),
            value,
        );
    }
}

#[test]
fn sessions() {
    for (case, timeout) in [
        ("usual", 30_000),
        ("zero", 0),
        ("negative", -1),
        ("largest", i32::MAX),
    ] {
        let value = row::Session { timeout };
        let bytes = row::put_session(value).unwrap();
        check(
            "session",
            case,
            &bytes,
            |b| row::session(b).map(|s| format!("{s:#?}\n")),
            value,
        );
    }
}

#[test]
fn acls() {
    let entry = |perms, scheme: &str, id: Option<&str>| Entry {
        perms,
        scheme: scheme.into(),
        id: id.map(Into::into),
    };
    let cases = [
        ("empty", vec![]),
        ("one", vec![entry(1, "world", Some("anyone"))]),
        (
            "two",
            vec![
                entry(31, "digest", Some("a:b")),
                entry(-1, "ip", Some("10.0.0.0/8")),
            ],
        ),
        ("null_id", vec![entry(0, "x", None)]),
    ];
    for (case, value) in cases {
        let bytes = row::put_acl(&value).unwrap();
        check(
            "acl",
            case,
            &bytes,
            |b| row::acl(b).map(|l| format!("{l:#?}\n")),
            value,
        );
    }
}

#[test]
fn keys() {
    for (case, path) in [("root", ""), ("top", "/a"), ("deep", "/a/b\u{e9}/c")] {
        let bytes = key::node(path);
        let (bin, txt) = (
            folder("key").join(format!("{case}.bin")),
            folder("key").join(format!("{case}.txt")),
        );
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::create_dir_all(folder("key")).unwrap();
            std::fs::write(&bin, &bytes).unwrap();
            std::fs::write(&txt, format!("{path}\n")).unwrap();
        }
        let golden = std::fs::read(&bin).unwrap();
        assert_eq!(golden, bytes);
        let text = std::fs::read_to_string(&txt).unwrap();
        assert_eq!(format!("{}\n", key::node_path(&golden).unwrap()), text);
    }
}

/// Rows of the meta family in one piece.
fn packed(rows: &[(&'static [u8], [u8; 8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in rows {
        bytes.push(name.len() as u8);
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(value);
    }
    bytes
}

type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// The rows again. One more than there are names is none of ours.
fn unpacked(mut rest: &[u8], names: usize) -> Result<Rows, Error> {
    let mut rows = Rows::new();
    while let Some((len, more)) = rest.split_first() {
        let name = more.get(..usize::from(*len)).unwrap_or_default();
        let value = more.get(usize::from(*len)..).unwrap_or_default();
        let value = &value[..value.len().min(8)];
        rows.push((name.to_vec(), value.to_vec()));
        rest = more
            .get(usize::from(*len) + value.len()..)
            .unwrap_or_default();
    }
    if rows.len() > names {
        return Err(Error::Misuse("too many rows".into()));
    }
    Ok(rows)
}

fn find(rows: &Rows, name: &[u8]) -> Option<Vec<u8>> {
    let row = rows.iter().find(|(n, _)| n == name);
    row.map(|(_, value)| value.clone())
}

#[test]
fn meta() {
    let value = Meta {
        tree: tree::Meta {
            zxid: Zxid(0x1_0000_0007),
            digest: 1_371_985_504,
            node_count: 5,
            data_size: 99,
        },
        record: 0x11e6_0398,
    };
    let bytes = packed(&value.rows());
    let decode = |rest: &[u8]| {
        let rows = unpacked(rest, 6)?;
        let meta = Meta::from_rows(&mut |name| Ok(find(&rows, name)))?;
        let meta = meta.ok_or_else(|| Error::Misuse("no rows".into()))?;
        Ok(format!("{meta:#?}\n"))
    };
    // As the first version wrote them.
    let old = folder("meta").join("version_1");
    let bytes_then = std::fs::read(old.with_extension("bin")).unwrap();
    let text_then = std::fs::read_to_string(old.with_extension("txt")).unwrap();
    assert_eq!(decode(&bytes_then).unwrap(), text_then);
    check("meta", "usual", &bytes, decode, value);
}

#[test]
fn base() {
    let value = Base {
        fuzzy_until: 0x2_0000_0031,
        base_high: 0x2_0000_0032,
        log_floor: 0x2_0000_0007,
        discard: Discard::Staged,
        unresolved: 17,
    };
    let decode = |rest: &[u8]| {
        let rows = unpacked(rest, 5)?;
        // A missing row is no error: a store of the first version has none.
        for (name, _) in Base::default().rows() {
            find(&rows, name).ok_or_else(|| Error::Misuse("a row is missing".into()))?;
        }
        let base = Base::from_rows(&mut |name| Ok(find(&rows, name)))?;
        Ok(format!("{base:#?}\n"))
    };
    check("meta", "base", &packed(&value.rows()), decode, value);
    let none = Base::from_rows(&mut |_| Ok(None)).unwrap();
    assert_eq!(none, Base::default());
    let strange = Base::from_rows(&mut |_| Ok(Some(9_u64.to_be_bytes().to_vec())));
    assert!(matches!(strange, Err(Error::StoreCorrupt { .. })));
}

#[test]
fn a_newer_format_is_refused() {
    let newer = u64::from(FORMAT_VERSION) + 1;
    let mut get = |name: &'static [u8]| {
        Ok(Some(if name == b"format" {
            newer.to_be_bytes().to_vec()
        } else {
            vec![0; 8]
        }))
    };
    let refused = Meta::from_rows(&mut get);
    assert!(matches!(refused, Err(Error::NewerFormat { found, .. }) if u64::from(found) == newer));
}

#[test]
fn rows_of_another_shape_are_refused() {
    // A flag of the future, a number in a longer form than needed, one of more than 64 bits.
    let fresh = [1, 0, 0, 0, 0, 2, 2, 0];
    assert!(row::node(&fresh).is_ok());
    for (at, bytes) in [
        (0, vec![0x81]),
        (5, vec![0x82, 0]),
        (5, [vec![0xff; 9], vec![2]].concat()),
    ] {
        let mut bad = fresh.to_vec();
        bad.splice(at..=at, bytes);
        assert!(row::node(&bad).is_err(), "{bad:?}");
    }
    // A length that the row does not have.
    assert!(row::node(&[1, 0, 0, 0, 0, 2, 2, 0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
}
