//! The configuration files that a reconfiguration writes: the dynamic file, the one of a
//! configuration that is not committed yet, and the static file that points to the former.
//!
//! Owns: the names of these files and the rewriting of the static file. Does not know: the file
//! system, when a file is written; the text of the dynamic files is
//! [`QuorumConfig::file_text`](crate::quorum::config::QuorumConfig::file_text) and
//! [`next_file_text`](crate::quorum::config::QuorumConfig::next_file_text).

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::quorum::config::is_member_key;
use crate::text::properties::PropertiesError;
use crate::text::{hash_order, java, properties};

/// The key that names the dynamic file.
const DYNAMIC_KEY: &str = "dynamicConfigFile";

/// Name of the dynamic file of a committed configuration.
pub fn name(config_file: &str, version: i64) -> String {
    format!("{config_file}.dynamic.{version:x}")
}

/// Name of the file of the configuration seen last, while it is not committed.
pub fn next_name(config_file: &str) -> String {
    format!("{config_file}.dynamic.next")
}

/// Name of the copy of the static file as it was before a server first moved its membership out.
pub fn backup_name(config_file: &str) -> String {
    format!("{config_file}.bak")
}

/// The version in a dynamic file's name: what stands behind the last dot, if it is a hexadecimal
/// number. A name without one has version 0.
pub fn version(name: &str) -> Option<i64> {
    let (_, suffix) = name.rsplit_once('.')?;
    java::parse_long_hex(suffix)
}

/// The static file, rewritten so that it points to `dynamic`: without membership, peer type and
/// the old pointer, and, if the membership says where this server's clients connect (`erase_client`),
/// without every key that begins with `clientPort`. Entries come out in the order of Java's hash
/// table, comments are lost.
///
/// What the grammar would read differently (a backslash, a character above U+00FF) is written as
/// an escape; Java writes it bare and does not find it again at its next start.
///
/// # Errors
/// [`PropertiesError`], if the file cannot be read.
pub fn rewrite_static(
    file: &[u8],
    dynamic: &str,
    erase_client: bool,
) -> Result<Vec<u8>, PropertiesError> {
    let entries = properties::parse(file)?;
    // The last of equal keys wins, at the place of the first.
    let mut values = BTreeMap::new();
    let mut keys = Vec::new();
    for entry in &entries {
        if values.insert(entry.key.as_str(), &entry.value).is_none() {
            keys.push(entry.key.as_str());
        }
    }
    let mut out = Vec::with_capacity(file.len());
    for key in hash_order::properties(keys) {
        let name = java::trim(key);
        let gone = is_member_key(name)
            || name.starts_with(DYNAMIC_KEY)
            || name.starts_with("peerType")
            || (erase_client && name.starts_with("clientPort"));
        if !gone {
            write_line(&mut out, name, java::trim(values[key]));
        }
    }
    write_line(&mut out, DYNAMIC_KEY, dynamic);
    Ok(out)
}

fn write_line(out: &mut Vec<u8>, key: &str, value: &str) {
    // In a key `=`, `:` and blanks end it, and `#` and `!` at its front make it a comment.
    for (index, c) in key.chars().enumerate() {
        if matches!(c, '=' | ':' | ' ') || (index == 0 && matches!(c, '#' | '!')) {
            out.push(b'\\');
        }
        write_char(out, c);
    }
    out.push(b'=');
    for c in value.chars() {
        write_char(out, c);
    }
    out.push(b'\n');
}

fn write_char(out: &mut Vec<u8>, c: char) {
    match u8::try_from(c) {
        Ok(b'\\') => out.extend_from_slice(b"\\\\"),
        Ok(b'\n') => out.extend_from_slice(b"\\n"),
        Ok(b'\r') => out.extend_from_slice(b"\\r"),
        Ok(b'\t') => out.extend_from_slice(b"\\t"),
        Ok(b'\x0C') => out.extend_from_slice(b"\\f"),
        Ok(byte) => out.push(byte),
        Err(_) => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_version_in_hexadecimal() {
        assert_eq!(name("zoo.cfg", 0x1_0000_0001), "zoo.cfg.dynamic.100000001");
        assert_eq!(name("zoo.cfg", -1), "zoo.cfg.dynamic.ffffffffffffffff");
        assert_eq!(next_name("zoo.cfg"), "zoo.cfg.dynamic.next");
        assert_eq!(backup_name("zoo.cfg"), "zoo.cfg.bak");
        assert_eq!(version(&next_name("zoo.cfg")), None);
    }

    #[test]
    fn what_is_written_reads_the_same() {
        let file = b"a=1\\\\2\\t3\nb\\ c\\=d=\xFC\\u4e2d\n\\#e=\\\n  f\n\\u4e2d\\:=\n";
        let written = rewrite_static(file, "C:\\zk\\zoo.cfg.dynamic.1", false).unwrap();
        let sorted = |file: &[u8]| {
            let entries = properties::parse(file).unwrap();
            let mut entries: Vec<_> = entries.into_iter().map(|it| (it.key, it.value)).collect();
            entries.sort();
            entries
        };
        let mut expected = sorted(file);
        expected.push((DYNAMIC_KEY.into(), "C:\\zk\\zoo.cfg.dynamic.1".into()));
        expected.sort();
        assert_eq!(sorted(&written), expected);
        assert!(rewrite_static(b"a=\\u1", "d", false).is_err());
    }
}
