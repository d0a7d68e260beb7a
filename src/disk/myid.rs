//! `myid`: which server of the ensemble this directory belongs to.
//!
//! Owns reading the file and the texts of what can be wrong with it. Does not know the
//! configuration: the ids in it are an argument.
//!
//! The file lies in `dataDir`, beside `version-2`, and only its first line counts. As in Java
//! nothing in it is trimmed.

use std::path::{Path, PathBuf};

use zk_wire::file::epoch;

use crate::directory::Layout;
use crate::error::{Error, Result};
use crate::files::Files;
use crate::small;

/// Name of the file.
pub const NAME: &str = "myid";

/// Where it belongs.
pub fn path(layout: &Layout) -> PathBuf {
    layout.data_dir.join(NAME)
}

/// The number in the file; `None` when there is no file.
///
/// # Errors
/// [`Error::Refused`] when there is no number in it; [`Error::Io`].
pub fn read(files: &dyn Files, layout: &Layout) -> Result<Option<i64>> {
    let path = path(layout);
    let Some(bytes) = small::read(files, &path)? else {
        return Ok(None);
    };
    match epoch::parse(&bytes) {
        Ok(id) => Ok(Some(id)),
        Err(_) => {
            let line = bytes.split(|b| matches!(b, b'\n' | b'\r')).next();
            let line = line.unwrap_or_default();
            let shown = &line[..line.len().min(40)];
            Err(Error::Refused {
                found: format!(
                    "the first line of {} is \"{}\", which is not a number",
                    path.display(),
                    shown.escape_ascii()
                ),
                remedy: "Write the id of this server there, the N of its server.N line, and nothing else".into(),
            })
        }
    }
}

/// The id of this server, which must be one of `members`, the ids of the configuration.
///
/// # Errors
/// [`Error::Refused`] when the file is missing, holds no number or one that the configuration does
/// not have; [`Error::Io`].
pub fn of_member(files: &dyn Files, layout: &Layout, members: &[i64]) -> Result<i64> {
    let path = path(layout);
    let list = || {
        let ids: Vec<String> = members.iter().map(i64::to_string).collect();
        ids.join(", ")
    };
    match read(files, layout)? {
        Some(id) if members.contains(&id) => Ok(id),
        Some(id) => Err(Error::Refused {
            found: format!(
                "{} says that this is server {id}, but the configuration has no server.{id}",
                path.display()
            ),
            remedy: format!(
                "It has {}: write the id of this server into {NAME}, or add its line to the configuration",
                list()
            ),
        }),
        None => Err(Error::Refused {
            found: match astray(files, layout)? {
                Some(astray) => format!(
                    "{} is missing; there is {}, which is not where it belongs",
                    path.display(),
                    astray.display()
                ),
                None => format!("{} is missing", path.display()),
            },
            remedy: format!(
                "Write the id of this server there, one of {}: the N of its server.N line",
                list()
            ),
        }),
    }
}

/// A file of this name where others have put it by mistake.
fn astray(files: &dyn Files, layout: &Layout) -> Result<Option<PathBuf>> {
    let folders: [&Path; 3] = [&layout.snapshots(), &layout.log_dir, &layout.logs()];
    for folder in folders {
        let path = folder.join(NAME);
        if folder != layout.data_dir && small::exists(files, &path)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ModelFiles;

    fn said(found: Result<i64>) -> String {
        found.unwrap_err().to_string()
    }

    #[test]
    fn a_number_of_the_configuration_is_taken() {
        let layout = Layout::new("/data", "/log");
        for (text, id) in [("1", 1), ("3\n", 3), ("+2\r\nrest", 2), ("255", 255)] {
            let disk = ModelFiles::new();
            disk.tamper(&path(&layout), |file| *file = text.as_bytes().to_vec());
            assert_eq!(of_member(&disk, &layout, &[1, 2, 3, 255]).unwrap(), id);
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_what_to_do() {
        let layout = Layout::new("/data", "/log");
        let disk = ModelFiles::new();
        assert_eq!(read(&disk, &layout).unwrap(), None);
        let text = said(of_member(&disk, &layout, &[1, 2]));
        assert!(text.contains("/data/myid is missing") && text.contains("one of 1, 2"));
        disk.tamper(Path::new("/data/version-2/myid"), |file| file.push(b'1'));
        let text = said(of_member(&disk, &layout, &[1, 2]));
        assert!(text.contains("there is /data/version-2/myid"), "{text}");
        for bad in ["", " 1", "1 ", "one", "\n1"] {
            disk.tamper(&path(&layout), |file| *file = bad.as_bytes().to_vec());
            let text = said(of_member(&disk, &layout, &[1]));
            assert!(text.contains("not a number"), "{text}");
        }
        disk.tamper(&path(&layout), |file| *file = b"7".to_vec());
        let text = said(of_member(&disk, &layout, &[1, 2]));
        assert!(
            text.contains("no server.7") && text.contains("1, 2"),
            "{text}"
        );
        disk.tamper(&path(&layout), |file| *file = vec![b'1'; 2 << 20]);
        assert!(said(of_member(&disk, &layout, &[1])).contains("bytes"));
    }
}
