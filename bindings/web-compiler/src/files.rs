//! The files of a page, in its memory.

use mlp_bundle::contents::Bytes;
use mlp_driver::cache::{Cache, Key, Stamp};
use mlp_driver::host::{Host, below, normalize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Files by normalized path. Copies share them.
#[derive(Clone, Default)]
pub(crate) struct Files(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    files: BTreeMap<PathBuf, (u64, Bytes)>,
    kept: Kept,
    /// How many files were put so far: what tells their versions apart.
    puts: u64,
}

impl Files {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, path: &str, bytes: Vec<u8>) {
        let mut table = self.table();
        table.puts += 1;
        let version = table.puts;
        table.files.insert(normalize(Path::new(path)), (version, bytes.into()));
    }

    pub(crate) fn remove(&self, path: &str) {
        self.table().files.remove(&normalize(Path::new(path)));
    }

    /// A file as text.
    pub(crate) fn text(&self, path: &str) -> io::Result<String> {
        String::from_utf8(self.read(Path::new(path))?.into()).map_err(|_| io::Error::other("it is not UTF-8 text"))
    }
}

impl Host for Files {
    fn read(&self, path: &Path) -> io::Result<Bytes> {
        self.table().files.get(&normalize(path)).map(|(_, bytes)| bytes.clone()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn exists(&self, path: &Path) -> bool {
        self.table().files.contains_key(&normalize(path))
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        below(self.table().files.keys(), folder)
    }

    fn stamp(&self, path: &Path) -> Option<Stamp> {
        let path = normalize(path);
        let table = self.table();
        let (version, bytes) = table.files.get(&path)?;
        Some(Stamp::new(&path, bytes.len() as u64, Duration::ZERO, &version.to_string()))
    }
}

/// What builds keep for the next one: models, imported, above all.
#[derive(Default)]
struct Kept {
    entries: BTreeMap<Key, Bytes>,
    bytes: usize,
}

/// The most bytes that are kept.
const MAX_KEPT: usize = 256 << 20;

impl Cache for Files {
    fn get(&self, key: &Key) -> Option<Bytes> {
        self.table().kept.entries.get(key).cloned()
    }

    fn put(&self, key: &Key, parts: &[&[u8]]) {
        let size = parts.iter().map(|part| part.len()).sum::<usize>();
        let kept = &mut self.table().kept;
        if size > MAX_KEPT {
            return;
        }
        if kept.bytes + size > MAX_KEPT {
            *kept = Kept::default();
        }
        kept.bytes += size;
        if let Some(before) = kept.entries.insert(key.clone(), parts.concat().into()) {
            kept.bytes -= before.len();
        }
    }
}

/// The files, seen by one build, which hears how long its phases took.
pub(crate) struct Building<'f> {
    files: &'f Files,
    times: RefCell<Vec<(&'static str, Duration)>>,
}

impl<'f> Building<'f> {
    pub(crate) fn new(files: &'f Files) -> Building<'f> {
        Building { files, times: RefCell::default() }
    }

    /// The phases in the order in which each ended first.
    pub(crate) fn times(&self) -> Vec<(&'static str, Duration)> {
        self.times.borrow().clone()
    }
}

impl Host for Building<'_> {
    fn read(&self, path: &Path) -> io::Result<Bytes> {
        self.files.read(path)
    }

    fn exists(&self, path: &Path) -> bool {
        self.files.exists(path)
    }

    fn stamp(&self, path: &Path) -> Option<Stamp> {
        self.files.stamp(path)
    }

    fn cache(&self) -> Option<&dyn Cache> {
        Some(self.files)
    }

    fn took(&self, phase: &'static str, time: Duration) {
        let mut times = self.times.borrow_mut();
        match times.iter_mut().find(|(known, _)| *known == phase) {
            Some((_, sum)) => *sum += time,
            None => times.push((phase, time)),
        }
    }
}
