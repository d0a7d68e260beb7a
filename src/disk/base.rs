//! Which RocksDB folder is the store: a pointer file, so that a whole store can take the place of
//! another by one rename.
//!
//! Owns the pointer, the names of the folders and the removal of those that are not pointed at.
//! Does not know what is in them.
//!
//! Invariant: the folder that the pointer names is complete. Every other one is of no use: begun
//! and given up, or replaced.

use std::path::{Path, PathBuf};

use crate::directory::Layout;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::small;

/// Name of the folder while there is no pointer.
const FIRST: &str = "rocks";

/// The number in a folder's name: 1 for the first, which has none.
fn number(name: &str) -> Option<u32> {
    if name == FIRST {
        return Some(1);
    }
    let digits = name.strip_prefix(FIRST)?.strip_prefix('-')?;
    let number = digits.parse().ok()?;
    (number > 1 && digits == format!("{number}")).then_some(number)
}

/// Name of the current folder; `None` when nothing was ever switched.
fn named(files: &dyn Files, layout: &Layout) -> Result<Option<(String, u32)>> {
    let path = layout.base_pointer();
    let Some(bytes) = small::read(files, &path)? else {
        return Ok(None);
    };
    let name = std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.strip_suffix('\n'));
    match name.and_then(|name| Some((name.to_owned(), number(name)?))) {
        Some(found) => Ok(Some(found)),
        None => Err(Error::Refused {
            found: format!("{} does not name a folder of the store", path.display()),
            remedy:
                "Restore dataDir and dataLogDir together from a backup, or in an ensemble give \
                     this server an empty dataDir and dataLogDir: it then takes everything from \
                     the other servers"
                    .into(),
        }),
    }
}

/// The current folder, and whether a pointer says so.
///
/// # Errors
/// [`Error::Refused`] when the pointer is damaged; [`Error::Io`].
pub fn current(files: &dyn Files, layout: &Layout) -> Result<(PathBuf, bool)> {
    Ok(match named(files, layout)? {
        Some((name, _)) => (layout.store().join(name), true),
        None => (layout.store().join(FIRST), false),
    })
}

/// The folder for the store that may take the place of the current one.
///
/// # Errors
/// As [`current`].
pub fn next(files: &dyn Files, layout: &Layout) -> Result<PathBuf> {
    let number = named(files, layout)?.map_or(1, |(_, number)| number);
    let next = number.saturating_add(1);
    Ok(layout.store().join(format!("{FIRST}-{next}")))
}

/// Makes a folder the current one, durably: the switch. The folder and everything in it must be
/// durable.
///
/// # Errors
/// [`Error::Misuse`] when the folder is none of ours; [`Error::Io`], and then either is current.
pub fn point(files: &dyn Files, layout: &Layout, folder: &Path) -> Result<()> {
    let name = folder.file_name().and_then(|name| name.to_str());
    let ours = folder.parent() == Some(&layout.store());
    let Some(name) = name.filter(|name| ours && number(name).is_some()) else {
        let folder = folder.display();
        return Err(Error::Misuse(format!("{folder} is no folder of the store")));
    };
    let text = format!("{name}\n");
    small::replace(files, &layout.base_pointer(), text.as_bytes())
}

/// Removes the folders that are not the current one. Nobody may have them open.
///
/// # Errors
/// As [`current`].
pub fn sweep(files: &dyn Files, layout: &Layout) -> Result<()> {
    let (current, _) = current(files, layout)?;
    let folder = layout.store();
    if !small::exists(files, &folder)? {
        return Ok(());
    }
    let names = files
        .list(&folder)
        .map_err(|e| Error::io("list", &folder, e))?;
    for name in names.iter().filter(|name| number(name).is_some()) {
        let path = folder.join(name);
        if path != current {
            files
                .remove_tree(&path)
                .map_err(|e| Error::io("remove", &path, e))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelFiles;

    #[test]
    fn the_pointer_names_the_folder() {
        let (disk, layout) = (ModelFiles::new(), Layout::new("/data", "/log"));
        let folder = |name: &str| layout.store().join(name);
        disk.create_dir(&layout.store()).unwrap();
        assert_eq!(current(&disk, &layout).unwrap(), (folder("rocks"), false));
        assert_eq!(next(&disk, &layout).unwrap(), folder("rocks-2"));
        for name in ["rocks", "rocks-2", "rocks-9", "rocks-x", "other"] {
            disk.create_dir(&folder(name).join("inside")).unwrap();
        }
        point(&disk, &layout, &folder("rocks-9")).unwrap();
        assert_eq!(current(&disk, &layout).unwrap(), (folder("rocks-9"), true));
        assert_eq!(next(&disk, &layout).unwrap(), folder("rocks-10"));
        sweep(&disk, &layout).unwrap();
        let left = disk.list(&layout.store()).unwrap();
        assert_eq!(left, ["base", "other", "rocks-9", "rocks-x"]);
        assert!(point(&disk, &layout, Path::new("/data/rocks-2")).is_err());
        assert!(point(&disk, &layout, &folder("rocks-02")).is_err());
        for bad in ["", "rocks", "rocks-1\n", "../x\n", "rocks-2\nmore\n"] {
            disk.tamper(&layout.base_pointer(), |file| {
                *file = bad.as_bytes().to_vec()
            });
            let said = current(&disk, &layout).unwrap_err().to_string();
            assert!(said.contains("/data/zabkeeper-store/base"), "{said}");
        }
    }
}
