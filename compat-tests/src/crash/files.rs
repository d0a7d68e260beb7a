//! What lies in a server's directory: segments and their records, copies, and fingerprints.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use zk_wire::file::name::{self, Named};
use zk_wire::file::txn_log::{Item, Scanner};

/// An error of a file, with its name.
pub fn at(path: &Path) -> impl FnOnce(std::io::Error) -> String + '_ {
    move |e| format!("{}: {e}", path.display())
}

/// The log's segments, first zxid and file, in order. A folder that is missing has none.
pub fn segments(folder: &Path) -> Vec<(i64, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found: Vec<(i64, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| match name::parse(entry.file_name().to_str()?) {
            Some(Named::Log { zxid }) => Some((zxid, entry.path())),
            Some(Named::Snapshot { .. }) | None => None,
        })
        .collect();
    found.sort();
    found
}

/// A record's place in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Of its frame.
    pub offset: usize,
    /// Behind its frame.
    pub end: usize,
    /// Its zxid.
    pub zxid: i64,
}

/// The records of a segment, all of which must be valid.
///
/// # Errors
/// The file cannot be read, or holds anything else than records and padding.
pub fn records(path: &Path) -> Result<Vec<Place>, String> {
    let bytes = fs::read(path).map_err(at(path))?;
    let mut scanner = Scanner::new(&bytes).map_err(|e| format!("{}: {e}", path.display()))?;
    let mut places = Vec::new();
    loop {
        let offset = scanner.offset();
        match scanner.next() {
            Some(Item::Record(record)) => places.push(Place {
                offset,
                end: record.end,
                zxid: record.header.zxid,
            }),
            Some(Item::End { .. }) | None => return Ok(places),
            Some(other) => return Err(format!("{}: {other:?}", path.display())),
        }
    }
}

/// The last segment that holds a record, and its records.
///
/// # Errors
/// There is none, or as [`records`].
pub fn last_segment(folder: &Path) -> Result<(PathBuf, Vec<Place>), String> {
    for (_, path) in segments(folder).into_iter().rev() {
        let places = records(&path)?;
        if !places.is_empty() {
            return Ok((path, places));
        }
    }
    Err(format!("no record in {}", folder.display()))
}

/// Copies a folder with everything in it.
///
/// # Errors
/// A file cannot be copied.
pub fn copy(from: &Path, to: &Path) -> Result<(), String> {
    fs::create_dir_all(to).map_err(at(to))?;
    for entry in fs::read_dir(from).map_err(at(from))? {
        let entry = entry.map_err(at(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(at(&source))?.is_dir() {
            copy(&source, &target)?;
        } else {
            fs::copy(&source, &target).map_err(at(&source))?;
        }
    }
    Ok(())
}

/// Every file of a folder with its bytes, by name.
///
/// # Errors
/// One cannot be read.
pub fn contents(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, String> {
    let mut all = BTreeMap::new();
    if !folder.exists() {
        return Ok(all);
    }
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        if path.is_dir() {
            all.extend(contents(&path)?);
        } else {
            let bytes = fs::read(&path).map_err(at(&path))?;
            all.insert(path, bytes);
        }
    }
    Ok(all)
}

/// The names that differ between two readings of a folder.
pub fn changed(
    before: &BTreeMap<PathBuf, Vec<u8>>,
    after: &BTreeMap<PathBuf, Vec<u8>>,
) -> Vec<PathBuf> {
    before
        .keys()
        .chain(after.keys().filter(|path| !before.contains_key(*path)))
        .filter(|path| before.get(*path) != after.get(*path))
        .cloned()
        .collect()
}
