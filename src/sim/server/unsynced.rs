//! A disk some of whose syncs do nothing and say that they did: the server that must be caught.

use std::io;
use std::path::Path;

use zk_disk::files::{FileHandle, Files};
use zk_disk::model::ModelFiles;

use crate::plan::Syncs;

/// See the module.
#[derive(Debug)]
pub(super) struct Unsynced {
    pub disk: ModelFiles,
    pub syncs: Syncs,
}

#[derive(Debug)]
struct Handle {
    handle: Box<dyn FileHandle>,
    syncs: bool,
}

impl Unsynced {
    fn wrap(&self, handle: Box<dyn FileHandle>) -> Box<dyn FileHandle> {
        let syncs = matches!(self.syncs, Syncs::All | Syncs::Files);
        Box::new(Handle { handle, syncs })
    }
}

impl FileHandle for Handle {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.handle.read_at(buf, offset)
    }

    fn write_at(&mut self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.handle.write_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.handle.size()
    }

    fn set_size(&mut self, size: u64) -> io::Result<()> {
        self.handle.set_size(size)
    }

    fn preallocate(&mut self, size: u64) -> io::Result<()> {
        self.handle.preallocate(size)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        if self.syncs {
            self.handle.sync_data()
        } else {
            Ok(())
        }
    }
}

impl Files for Unsynced {
    fn create(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        self.disk.create(path).map(|handle| self.wrap(handle))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        self.disk.open(path).map(|handle| self.wrap(handle))
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        self.disk.open_read(path).map(|handle| self.wrap(handle))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn remove_tree(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_tree(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match self.syncs {
            Syncs::All | Syncs::Folders => self.disk.sync_dir(dir),
            Syncs::Files | Syncs::Nothing => Ok(()),
        }
    }
}
