//! The files of the configuration that the server itself writes: the dynamic file, the proposed
//! one beside it, and the static file that names the dynamic one.
//!
//! Owns the order in which they change. Does not know what they say or what they are called: texts
//! and paths come ready-made.
//!
//! Invariant: whatever crash there is, the static file names a dynamic file that is there whole;
//! and a proposed configuration is there until the committed one is.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::files::Files;
use crate::small;

/// A text and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The file.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
}

/// A configuration that was committed, as files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The dynamic file; its name says the version.
    pub dynamic: Text,
    /// The static file, which then names the dynamic one; `None` when it does so already.
    pub fixed: Option<Text>,
    /// The proposed configuration, which is settled by this one.
    pub next: PathBuf,
}

/// The text of a file; `None` when it is not there. Either is durable: whoever reads acts upon it,
/// and the run that wrote it may have ended before it was.
///
/// # Errors
/// [`Error::Refused`] when it is no text, or far too long for one; [`Error::Io`].
pub fn read(files: &dyn Files, path: &Path) -> Result<Option<String>> {
    match small::sync_folder(files, path) {
        // A folder of the operator, where this server writes nothing.
        Err(Error::Io { source, .. })
            if matches!(
                source.kind(),
                ErrorKind::PermissionDenied | ErrorKind::NotFound
            ) => {}
        synced => synced?,
    }
    let Some(bytes) = small::read(files, path)? else {
        return Ok(None);
    };
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(Error::Refused {
            found: format!("{} is not a text", path.display()),
            remedy: "Restore the file, or remove it if the static file does not name it".into(),
        }),
    }
}

/// Writes a copy of the static file as it was, durably.
///
/// # Errors
/// [`Error::Io`]. Then the copy of before is there or the new one.
pub fn back_up(files: &dyn Files, copy: &Path, text: &[u8]) -> Result<()> {
    small::replace(files, copy, text)
}

/// Saves a proposed configuration, durably: to be done before the proposal is acknowledged.
///
/// # Errors
/// [`Error::Io`]. Then the old text is there or the new one.
pub fn save_next(files: &dyn Files, next: &Text) -> Result<()> {
    small::replace(files, &next.path, next.text.as_bytes())
}

/// Saves a committed configuration, durably: the dynamic file, then the static one, then the
/// proposed one goes. Doing it again is no harm.
///
/// # Errors
/// [`Error::Io`]. Then what was done so far is in force, and the module's invariant holds.
pub fn save_committed(files: &dyn Files, committed: &Committed) -> Result<()> {
    let dynamic = &committed.dynamic;
    small::replace(files, &dynamic.path, dynamic.text.as_bytes())?;
    if let Some(fixed) = &committed.fixed {
        small::replace(files, &fixed.path, fixed.text.as_bytes())?;
    }
    small::remove(files, &committed.next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelFiles;

    fn text(path: &str, text: &str) -> Text {
        Text {
            path: path.into(),
            text: text.into(),
        }
    }

    fn disk() -> ModelFiles {
        let disk = ModelFiles::new();
        disk.create_dir(Path::new("/conf")).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        for (path, text) in [
            ("/conf/zoo.cfg", "dynamicConfigFile=/conf/zoo.cfg.dynamic.1"),
            ("/conf/zoo.cfg.dynamic.1", "one"),
            ("/conf/zoo.cfg.dynamic.next", "two, version 2"),
        ] {
            disk.tamper(Path::new(path), |file| *file = text.as_bytes().to_vec());
        }
        disk
    }

    #[test]
    fn a_copy_is_kept_byte_by_byte() {
        let disk = disk();
        let copy = Path::new("/conf/zoo.cfg.bak");
        for text in [&b"# caf\xe9\n"[..], b"server.1=a:1:2\n"] {
            back_up(&disk, copy, text).unwrap();
            assert_eq!(small::read(&disk, copy).unwrap().as_deref(), Some(text));
        }
    }

    fn committed() -> Committed {
        Committed {
            dynamic: text("/conf/zoo.cfg.dynamic.2", "two"),
            fixed: Some(text(
                "/conf/zoo.cfg",
                "dynamicConfigFile=/conf/zoo.cfg.dynamic.2",
            )),
            next: "/conf/zoo.cfg.dynamic.next".into(),
        }
    }

    fn check(disk: &ModelFiles) -> &'static str {
        let fixed = read(disk, Path::new("/conf/zoo.cfg")).unwrap().unwrap();
        let next = read(disk, Path::new("/conf/zoo.cfg.dynamic.next")).unwrap();
        let named = fixed.strip_prefix("dynamicConfigFile=").unwrap();
        let dynamic = read(disk, Path::new(named)).unwrap();
        match (named, dynamic.as_deref(), next.as_deref()) {
            ("/conf/zoo.cfg.dynamic.1", Some("one"), Some("two, version 2")) => "old",
            ("/conf/zoo.cfg.dynamic.2", Some("two"), Some("two, version 2")) => "between",
            ("/conf/zoo.cfg.dynamic.2", Some("two"), None) => "new",
            found => panic!("{found:?}"),
        }
    }

    #[test]
    fn a_crash_at_every_call_leaves_a_whole_configuration() {
        let calls = {
            let disk = disk();
            save_committed(&disk, &committed()).unwrap();
            assert_eq!(check(&disk), "new");
            disk.calls()
        };
        let mut seen = std::collections::BTreeSet::new();
        for call in 0..=calls {
            for seed in 0..30_u64 {
                let disk = disk();
                disk.stop_at(call);
                let done = save_committed(&disk, &committed()).is_ok();
                let mut n = seed;
                disk.crash(&mut || {
                    n = u64::wrapping_add(u64::wrapping_mul(n, 6_364_136_223_846_793_005), 99);
                    n >> 33
                });
                let state = check(&disk);
                assert!(!done || state == "new");
                seen.insert(state);
                save_committed(&disk, &committed()).unwrap();
                assert_eq!(check(&disk), "new");
            }
        }
        assert_eq!(seen.len(), 3, "{seen:?}");
    }

    #[test]
    fn a_proposed_configuration_is_the_old_or_the_new() {
        for call in 0..6 {
            for seed in 0..20_u64 {
                let disk = disk();
                disk.stop_at(call);
                let next = text("/conf/zoo.cfg.dynamic.next", "three");
                let done = save_next(&disk, &next).is_ok();
                let mut n = seed;
                disk.crash(&mut || {
                    n = u64::wrapping_add(u64::wrapping_mul(n, 6_364_136_223_846_793_005), 99);
                    n >> 33
                });
                let found = read(&disk, &next.path).unwrap().unwrap();
                assert!(found == "three" || (!done && found == "two, version 2"));
            }
        }
    }

    #[test]
    fn a_file_that_is_no_text_is_named() {
        let disk = disk();
        let path = Path::new("/conf/zoo.cfg.dynamic.1");
        disk.tamper(path, |file| *file = vec![0xff, 0xfe]);
        let said = read(&disk, path).unwrap_err().to_string();
        assert!(said.contains("/conf/zoo.cfg.dynamic.1 is not a text"));
        assert_eq!(read(&disk, Path::new("/conf/none")).unwrap(), None);
    }
}
