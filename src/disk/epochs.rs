//! `acceptedEpoch` and `currentEpoch`: what this server has promised, and whose history it has.
//!
//! Owns the two files, in `dataDir/version-2` as Java has them, and the judgement at a start. Does
//! not know elections.
//!
//! Invariant: an epoch is saved before the word is given that rests on it: whoever calls sends the
//! word after [`save`] has returned. The current one never goes down, and the accepted one only when
//! a leader takes back what it has promised to itself alone; never below the current one.

use std::path::PathBuf;

use zk_wire::file::epoch;

use crate::directory::Layout;
use crate::error::{Error, Result, Zxid};
use crate::files::Files;
use crate::small;

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The highest epoch that this server has promised to a leader, or as one.
    Accepted,
    /// The last epoch whose leader's history this server has taken over.
    Current,
}

impl Kind {
    /// Name of the file.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Accepted => "acceptedEpoch",
            Kind::Current => "currentEpoch",
        }
    }

    fn path(self, layout: &Layout) -> PathBuf {
        layout.snapshots().join(self.name())
    }
}

/// The two epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epochs {
    /// See [`Kind::Accepted`].
    pub accepted: u32,
    /// See [`Kind::Current`].
    pub current: u32,
}

const REMEDY: &str = "Restore the epoch files together with the log, or give this server an empty \
                      dataDir and dataLogDir: it then takes everything from the other servers";

fn refused<T>(found: String) -> Result<T> {
    Err(Error::Refused {
        found,
        remedy: REMEDY.into(),
    })
}

fn read(files: &dyn Files, layout: &Layout, kind: Kind) -> Result<Option<u32>> {
    let path = kind.path(layout);
    let Some(bytes) = small::read(files, &path)? else {
        return Ok(None);
    };
    let number = epoch::parse(&bytes).ok();
    match number.and_then(|number| u32::try_from(number).ok()) {
        Some(epoch) => Ok(Some(epoch)),
        None => refused(format!("{} does not hold an epoch", path.display())),
    }
}

/// Reads and judges the two files at a start; `last` is the last zxid of log or store. The folder
/// must exist. A missing file is made, with the epoch of that zxid, as Java does.
///
/// Java refuses when the last transaction is of a later epoch than the current one, unless
/// `currentEpoch.tmp` is there. Here that is how a crash between a synchronisation and its epoch
/// file looks: nothing was said under the new epoch, so the old one is kept, which only makes the
/// vote weaker. It must have been promised.
///
/// # Errors
/// [`Error::Refused`] when the files contradict each other or the log; [`Error::Io`].
pub fn load(files: &dyn Files, layout: &Layout, last: i64) -> Result<Epochs> {
    let of_last = (last >> 32) as u32;
    // What is read is acted upon, and the last run may have ended before it was durable.
    small::sync_folder(files, &Kind::Accepted.path(layout))?;
    let accepted = read(files, layout, Kind::Accepted)?;
    let current = read(files, layout, Kind::Current)?;
    let epochs = Epochs {
        accepted: accepted.unwrap_or(of_last),
        current: current.unwrap_or(of_last),
    };
    if of_last > epochs.accepted {
        return refused(format!(
            "the accepted epoch {} in {} is older than the last zxid {}",
            epochs.accepted,
            Kind::Accepted.path(layout).display(),
            Zxid(last)
        ));
    }
    if epochs.accepted < epochs.current {
        return refused(format!(
            "the accepted epoch {} in {} is less than the current epoch {} in {}",
            epochs.accepted,
            Kind::Accepted.path(layout).display(),
            epochs.current,
            Kind::Current.name()
        ));
    }
    if accepted.is_none() {
        save(files, layout, Kind::Accepted, epochs.accepted)?;
    }
    if current.is_none() {
        save(files, layout, Kind::Current, epochs.current)?;
    }
    Ok(epochs)
}

/// Saves an epoch durably.
///
/// # Errors
/// [`Error::Io`]. The file then holds the old epoch or the new one.
pub fn save(files: &dyn Files, layout: &Layout, kind: Kind, epoch: u32) -> Result<()> {
    let text = epoch::render(epoch.into());
    small::replace_prepared(files, &kind.path(layout), text.as_bytes())
}

/// Leaves, durably, the note that the log is about to go beyond the current epoch: to be called
/// before the first record of a later epoch than the current one is written. `epoch` is that
/// record's. [`load`] does not need it; a Java server that is started on this directory after a
/// crash does.
///
/// # Errors
/// [`Error::Io`].
pub fn announce(files: &dyn Files, layout: &Layout, epoch: u32) -> Result<()> {
    let path = Kind::Current.path(layout);
    small::prepare(files, &path, epoch::render(epoch.into()).as_bytes())?;
    small::sync_folder(files, &path)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::model::ModelFiles;

    fn layout() -> Layout {
        Layout::new("/data", "/log")
    }

    fn disk() -> ModelFiles {
        let disk = ModelFiles::new();
        disk.create_dir(&layout().snapshots()).unwrap();
        disk.sync_dir(Path::new("/")).unwrap();
        disk.sync_dir(Path::new("/data")).unwrap();
        disk
    }

    fn put(disk: &ModelFiles, name: &str, text: &str) {
        disk.tamper(&layout().snapshots().join(name), |file| {
            *file = text.as_bytes().to_vec();
        });
    }

    fn text(disk: &ModelFiles, name: &str) -> String {
        let bytes = disk.bytes(&layout().snapshots().join(name)).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    const LAST: i64 = 0x5_0000_0007;

    #[test]
    fn missing_files_are_made_from_the_last_zxid() {
        for (last, epoch) in [(0, 0), (9, 0), (LAST, 5)] {
            let disk = disk();
            let epochs = load(&disk, &layout(), last).unwrap();
            let both = Epochs {
                accepted: epoch,
                current: epoch,
            };
            assert_eq!(epochs, both);
            assert_eq!(text(&disk, "acceptedEpoch"), epoch.to_string());
            assert_eq!(text(&disk, "currentEpoch"), epoch.to_string());
        }
    }

    #[test]
    fn what_is_there_is_judged() {
        for (accepted, current, expected) in [
            ("6", "5", Ok((6, 5))),
            ("5", "5", Ok((5, 5))),
            ("9\n", "7", Ok((9, 7))),
            // A crash between the synchronisation and the epoch file.
            ("5", "4", Ok((5, 4))),
            ("4", "4", Err("older than the last zxid 0x500000007")),
            ("5", "6", Err("is less than the current epoch 6")),
            ("five", "5", Err("acceptedEpoch does not hold an epoch")),
            ("5", "", Err("currentEpoch does not hold an epoch")),
            ("-1", "5", Err("does not hold")),
            ("4294967296", "5", Err("does not hold")),
        ] {
            let disk = disk();
            put(&disk, "acceptedEpoch", accepted);
            put(&disk, "currentEpoch", current);
            let found = load(&disk, &layout(), LAST);
            match (found, expected) {
                (Ok(epochs), Ok(expected)) => {
                    assert_eq!((epochs.accepted, epochs.current), expected);
                }
                (Err(error), Err(words)) => {
                    let said = error.to_string();
                    assert!(said.contains(words) && said.contains("empty"), "{said}");
                    assert_eq!(disk.calls(), 4, "a refusal changes nothing");
                }
                (found, expected) => panic!("{found:?} instead of {expected:?}"),
            }
        }
        let disk = disk();
        put(&disk, "currentEpoch", "6");
        assert!(
            load(&disk, &layout(), LAST).is_err(),
            "6 was never promised"
        );
    }

    #[test]
    fn a_crash_at_every_call_leaves_the_old_epoch_or_the_new() {
        let act = |disk: &ModelFiles, announced: bool| -> Result<()> {
            if announced {
                announce(disk, &layout(), 7)?;
            }
            save(disk, &layout(), Kind::Current, 7)
        };
        for announced in [false, true] {
            let calls = {
                let disk = disk();
                save(&disk, &layout(), Kind::Current, 6).unwrap();
                save(&disk, &layout(), Kind::Accepted, 7).unwrap();
                disk.kill();
                act(&disk, announced).unwrap();
                disk.calls()
            };
            for call in 0..=calls {
                for seed in 0..20 {
                    let disk = disk();
                    save(&disk, &layout(), Kind::Current, 6).unwrap();
                    save(&disk, &layout(), Kind::Accepted, 7).unwrap();
                    disk.kill();
                    disk.stop_at(call);
                    let done = act(&disk, announced).is_ok();
                    let mut n = seed;
                    disk.crash(&mut || {
                        n = u64::wrapping_add(u64::wrapping_mul(n, 6_364_136_223_846_793_005), 99);
                        n >> 33
                    });
                    let epochs = load(&disk, &layout(), LAST).unwrap();
                    assert!(epochs.current == 7 || (!done && epochs.current == 6));
                    // And it can be saved again, whatever lies beside it.
                    save(&disk, &layout(), Kind::Current, 8).unwrap();
                    assert_eq!(text(&disk, "currentEpoch"), "8");
                }
            }
        }
    }

    #[test]
    fn what_a_start_has_read_is_durable() {
        for call in 0..8 {
            for seed in 0..20 {
                let disk = disk();
                save(&disk, &layout(), Kind::Accepted, 7).unwrap();
                save(&disk, &layout(), Kind::Current, 5).unwrap();
                let before = disk.calls();
                disk.stop_at(before + call);
                let _ = save(&disk, &layout(), Kind::Current, 7);
                disk.kill();
                let read = load(&disk, &layout(), LAST).unwrap();
                let mut n = seed;
                disk.crash(&mut || {
                    n = u64::wrapping_add(u64::wrapping_mul(n, 6_364_136_223_846_793_005), 99);
                    n >> 33
                });
                assert_eq!(load(&disk, &layout(), LAST).unwrap(), read);
            }
        }
    }

    #[test]
    fn java_finds_the_note_it_looks_for() {
        let disk = disk();
        save(&disk, &layout(), Kind::Current, 6).unwrap();
        announce(&disk, &layout(), 7).unwrap();
        assert_eq!(text(&disk, "currentEpoch.tmp"), "7");
        assert_eq!(text(&disk, "currentEpoch"), "6");
        save(&disk, &layout(), Kind::Current, 7).unwrap();
        assert!(
            !disk
                .exists(&layout().snapshots().join("currentEpoch.tmp"))
                .unwrap()
        );
    }
}
