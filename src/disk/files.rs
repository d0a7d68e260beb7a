//! The disk as this crate sees it, and the real one.
//!
//! Owns the few calls that durability rests on, so that the simulator can replace the disk by a
//! model that forgets. Does not know what the bytes mean.
//!
//! Invariants: written bytes are durable only after [`FileHandle::sync_data`] of a handle of that
//! file returned, a created, renamed or removed name only after [`Files::sync_dir`] of its folder
//! returned. After a failed write or sync nothing may be assumed of the bytes since the last
//! successful one, and trying the sync again proves nothing.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// An open file. Positions are explicit: there is no cursor.
pub trait FileHandle: Send + fmt::Debug {
    /// Reads up to `buf.len()` bytes at `offset`; 0 means the end of the file.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `buf` at `offset`, growing the file when needed.
    ///
    /// # Errors
    /// What the system says; part of `buf` may then be written.
    fn write_at(&mut self, buf: &[u8], offset: u64) -> io::Result<()>;

    /// Size of the file in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn size(&self) -> io::Result<u64>;

    /// Cuts the file, or grows it with zeros.
    ///
    /// # Errors
    /// What the system says.
    fn set_size(&mut self, size: u64) -> io::Result<()>;

    /// Grows the file to `size` with zeros and, where the file system can, takes the space for
    /// them. Never shrinks.
    ///
    /// # Errors
    /// What the system says, a full disk among it.
    fn preallocate(&mut self, size: u64) -> io::Result<()>;

    /// Makes everything written to the file, through this handle or another, and its size durable
    /// (fdatasync).
    ///
    /// # Errors
    /// What the system says. Then what was written since the last success may be lost whatever
    /// later calls return.
    fn sync_data(&mut self) -> io::Result<()>;

    /// Fills `buf` from `offset` on as far as the file goes; returns how much it read.
    ///
    /// # Errors
    /// What the system says.
    fn read_full(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }
}

/// A file system.
pub trait Files: Send + Sync + fmt::Debug {
    /// Creates an empty file and opens it for reading and writing.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken, else what the system says.
    fn create(&self, path: &Path) -> io::Result<Box<dyn FileHandle>>;

    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, path: &Path) -> io::Result<Box<dyn FileHandle>>;

    /// Opens an existing file for reading only.
    ///
    /// # Errors
    /// What the system says.
    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FileHandle>>;

    /// Makes a folder and its missing parents; one that exists is no error.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Gives a file or folder a new name, replacing a file of that name.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder with everything in it. A crash on the way, or before the folder above was
    /// synced, leaves any part of it.
    ///
    /// # Errors
    /// `NotFound` when there is no such folder, else what the system says.
    fn remove_tree(&self, dir: &Path) -> io::Result<()>;

    /// Names in a folder, sorted.
    ///
    /// # Errors
    /// `NotFound` when there is no such folder, else what the system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// True when a file or folder of this name is there.
    ///
    /// # Errors
    /// What the system says.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// The real file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsFiles;

#[derive(Debug)]
struct OsHandle(fs::File);

impl FileHandle for OsHandle {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&mut self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_size(&mut self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn preallocate(&mut self, size: u64) -> io::Result<()> {
        let present = self.size()?;
        if size <= present {
            return Ok(());
        }
        let flags = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&self.0, flags, present, size - present) {
            Ok(()) => Ok(()),
            // Not every file system can: then the zeros take their space when they are written.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.0.set_len(size),
            Err(e) => Err(e.into()),
        }
    }

    fn sync_data(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Files for OsFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        Ok(Box::new(OsHandle(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        Ok(Box::new(OsHandle(
            fs::OpenOptions::new().read(true).write(true).open(path)?,
        )))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        Ok(Box::new(OsHandle(fs::File::open(path)?)))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_tree(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // A name that is not UTF-8 is none of ours and none of Java's.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }
}
