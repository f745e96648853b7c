//! Files that are read once, for graphs that are made of the same files at many sizes.

use crate::cache::{Cache, Stamp};
use crate::host::Host;
use mlp_bundle::contents::Bytes;
use mlp_import::onnx::FamilySizes;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The files of another host, whose contents stay as they were first read and are shared by all who ask. Nothing is kept for the next build: a graph of the family is
/// of no use to it, and all of them would push out what is.
pub(crate) struct Once<'h> {
    host: &'h dyn Host,
    files: RefCell<BTreeMap<PathBuf, Bytes>>,
    digests: RefCell<BTreeMap<PathBuf, String>>,
    families: RefCell<BTreeMap<PathBuf, FamilySizes>>,
    /// What a family starts as.
    family: FamilySizes,
}

impl<'h> Once<'h> {
    /// Nothing is read yet.
    pub(crate) fn new(host: &'h dyn Host) -> Once<'h> {
        Once { host, files: RefCell::default(), digests: RefCell::default(), families: RefCell::default(), family: FamilySizes::default() }
    }

    /// Starts anew with what graphs of one model at several sizes have in common.
    pub(crate) fn forget_families(&self) {
        self.families.borrow_mut().clear();
    }

    /// The same files, for families whose graphs compute what follows from sizes.
    pub(crate) fn computed(self) -> Once<'h> {
        Once { families: RefCell::default(), family: FamilySizes::computed(), ..self }
    }
}

impl Host for Once<'_> {
    fn read(&self, path: &Path) -> io::Result<Bytes> {
        if let Some(bytes) = self.files.borrow().get(path) {
            return Ok(bytes.clone());
        }
        let bytes = self.host.read(path)?;
        self.files.borrow_mut().insert(path.to_owned(), bytes.clone());
        Ok(bytes)
    }

    fn digest(&self, path: &Path) -> Option<String> {
        self.digests.borrow().get(path).cloned()
    }

    fn has_digest(&self, path: &Path, digest: &str) {
        self.digests.borrow_mut().insert(path.to_owned(), digest.to_owned());
    }

    fn family(&self, path: &Path) -> Option<FamilySizes> {
        // Models of one family count their sizes by themselves.
        let start = || self.family.fresh();
        Some(self.families.borrow_mut().entry(path.to_owned()).or_insert_with(start).clone())
    }

    fn exists(&self, path: &Path) -> bool {
        self.host.exists(path)
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        self.host.length(path)
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.host.resolve(path)
    }

    fn stamp(&self, path: &Path) -> Option<Stamp> {
        self.host.stamp(path)
    }

    fn cache(&self) -> Option<&dyn Cache> {
        None
    }

    fn took(&self, phase: &'static str, time: Duration) {
        self.host.took(phase, time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Counts how often it is asked.
    #[derive(Default)]
    struct Counting {
        reads: Cell<usize>,
    }

    impl Host for Counting {
        fn read(&self, path: &Path) -> io::Result<Bytes> {
            self.reads.set(self.reads.get() + 1);
            if path == Path::new("none") { Err(io::ErrorKind::NotFound.into()) } else { Ok(Bytes::from(vec![self.reads.get() as u8])) }
        }
    }

    #[test]
    fn a_file_is_read_once_and_stays_what_it_was() {
        let host = Counting::default();
        let once = Once::new(&host);
        let (a, b) = (Path::new("a"), Path::new("b"));
        let first = once.read(a).unwrap();
        assert_eq!((once.read(a).unwrap(), once.read(b).unwrap()[0], host.reads.get()), (first.clone(), 2, 2));
        assert_eq!(once.digest(a), None);
        once.has_digest(a, "5ca1ab1e");
        assert_eq!((once.digest(a).as_deref(), once.digest(b)), (Some("5ca1ab1e"), None));
        assert_eq!(once.read_part(b, 0, Some(1)).unwrap()[0], 2);
        assert!(once.read(Path::new("none")).is_err());
        assert!(once.cache().is_none());
    }
}
