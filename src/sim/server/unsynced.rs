//! A disk whose syncs do nothing and say that they did: the server that must be caught.

use std::io;
use std::path::Path;

use zk_disk::files::{FileHandle, Files};
use zk_disk::model::ModelFiles;

/// See the module.
#[derive(Debug)]
pub(super) struct Unsynced(pub ModelFiles);

#[derive(Debug)]
struct Handle(Box<dyn FileHandle>);

fn wrap(handle: Box<dyn FileHandle>) -> Box<dyn FileHandle> {
    Box::new(Handle(handle))
}

impl FileHandle for Handle {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&mut self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(buf, offset)
    }

    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn set_size(&mut self, size: u64) -> io::Result<()> {
        self.0.set_size(size)
    }

    fn preallocate(&mut self, size: u64) -> io::Result<()> {
        self.0.preallocate(size)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Files for Unsynced {
    fn create(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        self.0.create(path).map(wrap)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        self.0.open(path).map(wrap)
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn FileHandle>> {
        self.0.open_read(path).map(wrap)
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.exists(path)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}
