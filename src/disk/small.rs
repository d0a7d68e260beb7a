//! Small files that are read whole and replaced whole: epochs, the pointer to the store, texts of
//! the configuration.
//!
//! Does not know what they say.
//!
//! Invariant: whoever reads such a file, after whatever crash, finds all of an old text or all of
//! a new one. The new text is written beside the file under its name and `.tmp`, made durable,
//! and only then given the name.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::{FileHandle, Files};
use crate::limits::SMALL_FILE;

/// Where the new text of a file is written first; Java uses the same name.
pub fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    path.with_file_name(name)
}

/// The folder of a file.
fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        Some(_) | None => Path::new("."),
    }
}

/// Makes the names in a file's folder durable.
///
/// # Errors
/// [`Error::Io`].
pub fn sync_folder(files: &dyn Files, path: &Path) -> Result<()> {
    let dir = folder(path);
    files.sync_dir(dir).map_err(|e| Error::io("fsync", dir, e))
}

/// True when a file or folder is there.
///
/// # Errors
/// [`Error::Io`].
pub fn exists(files: &dyn Files, path: &Path) -> Result<bool> {
    files
        .exists(path)
        .map_err(|e| Error::io("look for", path, e))
}

/// The bytes of a file; `None` when it is not there.
///
/// # Errors
/// [`Error::Refused`] when it has more than [`SMALL_FILE`] bytes; [`Error::Io`].
pub fn read(files: &dyn Files, path: &Path) -> Result<Option<Vec<u8>>> {
    let io = |e| Error::io("read", path, e);
    if !exists(files, path)? {
        return Ok(None);
    }
    let handle = files
        .open_read(path)
        .map_err(|e| Error::io("open", path, e))?;
    let size = handle.size().map_err(io)?;
    if size > SMALL_FILE {
        return Err(Error::Refused {
            found: format!("{} has {size} bytes", path.display()),
            remedy: format!("A file of this name has at most {SMALL_FILE}: look whose it is"),
        });
    }
    let mut bytes = vec![0; size as usize];
    let n = handle.read_full(&mut bytes, 0).map_err(io)?;
    bytes.truncate(n);
    Ok(Some(bytes))
}

/// Writes a text under the temporary name, its bytes durable, its name not.
///
/// # Errors
/// [`Error::Io`].
pub fn prepare(files: &dyn Files, path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = temporary(path);
    if exists(files, &temporary)? {
        files
            .remove(&temporary)
            .map_err(|e| Error::io("remove", &temporary, e))?;
    }
    let mut handle = files
        .create(&temporary)
        .map_err(|e| Error::io("create", &temporary, e))?;
    fill(&mut *handle, &temporary, bytes)
}

fn fill(handle: &mut dyn FileHandle, path: &Path, bytes: &[u8]) -> Result<()> {
    handle
        .write_at(bytes, 0)
        .map_err(|e| Error::io("write", path, e))?;
    handle.sync_data().map_err(|e| Error::io("fsync", path, e))
}

/// Gives the text under the temporary name to the file, durably.
///
/// # Errors
/// [`Error::Io`].
pub fn commit(files: &dyn Files, path: &Path) -> Result<()> {
    let temporary = temporary(path);
    files
        .rename(&temporary, path)
        .map_err(|e| Error::io("rename", &temporary, e))?;
    sync_folder(files, path)
}

/// Replaces a file, or makes it, durably. Its folder must exist.
///
/// # Errors
/// [`Error::Io`]. The file then has the old text or the new one.
pub fn replace(files: &dyn Files, path: &Path, bytes: &[u8]) -> Result<()> {
    prepare(files, path, bytes)?;
    commit(files, path)
}

/// Replaces a file by a text that may stand under the temporary name already, without taking it
/// from there in between.
///
/// # Errors
/// [`Error::Io`]. The file then has the old text or the new one.
pub fn replace_prepared(files: &dyn Files, path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = temporary(path);
    if read(files, &temporary)?.as_deref() != Some(bytes) {
        return replace(files, path, bytes);
    }
    // Written once more: that it can be read does not say that it is durable.
    let mut handle = files
        .open(&temporary)
        .map_err(|e| Error::io("open", &temporary, e))?;
    fill(&mut *handle, &temporary, bytes)?;
    commit(files, path)
}

/// Removes a file durably; one that is not there is no error.
///
/// # Errors
/// [`Error::Io`].
pub fn remove(files: &dyn Files, path: &Path) -> Result<()> {
    if exists(files, path)? {
        files
            .remove(path)
            .map_err(|e| Error::io("remove", path, e))?;
    }
    // That it is gone does not say that this is durable.
    sync_folder(files, path)
}
