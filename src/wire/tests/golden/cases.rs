//! The cases on disk, and what holds for every record.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};

use jute::{Decode, Encode, Reader};

use crate::Rule;
use crate::show::{Printer, Show};

/// One case.
pub struct Case {
    /// Format, record and case.
    pub name: String,
    /// The bytes.
    pub bin: Vec<u8>,
    /// What Java prints for them.
    pub txt: String,
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures")
        .join(name)
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The records of a format that have cases.
pub fn records(format: &str) -> BTreeSet<String> {
    names(&folder(format))
}

/// The cases of a record.
pub fn cases(format: &str, record: &str) -> Vec<Case> {
    let folder = folder(format).join(record);
    let names = names(&folder);
    let cases: Vec<Case> = names
        .iter()
        .filter_map(|name| name.strip_suffix(".bin"))
        .map(|case| Case {
            name: format!("{format}/{record}/{case}"),
            bin: fs::read(folder.join(format!("{case}.bin"))).unwrap(),
            txt: fs::read_to_string(folder.join(format!("{case}.txt"))).unwrap(),
        })
        .collect();
    assert_eq!(
        names.len(),
        2 * cases.len(),
        "{format}/{record}: a .txt for each .bin, no more"
    );
    assert!(!cases.is_empty(), "{format}/{record} has no case");
    cases
}

/// One case by name.
pub fn case(format: &str, record: &str, case: &str) -> Case {
    let name = format!("{format}/{record}/{case}");
    cases(format, record)
        .into_iter()
        .find(|case| case.name == name)
        .expect(&name)
}

/// Decodes, prints, encodes, and cuts short a record that has no rule.
pub fn check<'a, T>(case: &'a Case)
where
    T: Decode<'a> + Encode + Show + PartialEq + Debug,
{
    check_with::<T>(case, &[]);
}

/// The same, for a record that may end early at the lengths given.
pub fn check_with<'a, T>(case: &'a Case, early: &[(Rule, usize)])
where
    T: Decode<'a> + Encode + Show + PartialEq + Debug,
{
    let Case { name, bin, txt } = case;
    let mut r = Reader::new(bin);
    let value = T::decode(&mut r).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(r.remaining(), 0, "{name}: all bytes belong to it");
    assert_eq!(Printer::print(&value, ""), *txt, "{name}");
    assert_eq!(value.size(), bin.len(), "{name}: size");
    assert_eq!(value.to_vec(), *bin, "{name}: encoded again");
    assert!(T::MIN <= bin.len(), "{name}: at least {}", T::MIN);
    for cut in 0..bin.len() {
        let result = T::decode(&mut Reader::new(&bin[..cut]));
        match early.iter().find(|(_, length)| *length == cut) {
            Some((rule, _)) => assert!(result.is_ok(), "{name} cut at {cut}: {rule:?}: {result:?}"),
            None => assert!(result.is_err(), "{name} cut at {cut}: {result:?}"),
        }
    }
}
