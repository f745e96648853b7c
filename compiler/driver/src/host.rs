//! The door to the outside world: whoever drives the compiler decides where files come from, what is kept between builds, and who hears how long phases took.

use crate::cache::{Cache, DiskCache, Stamp};
use mlp_bundle::contents::{Bytes, copied};
use mlp_import::onnx::FamilySizes;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use web_time::Instant;

/// Where the compiler gets files.
pub trait Host {
    /// The contents of a file.
    fn read(&self, path: &Path) -> io::Result<Bytes>;

    /// The SHA-256 of a file's contents, where the host gives the same contents as it did when that was found.
    fn digest(&self, _path: &Path) -> Option<String> {
        None
    }

    /// Hears the SHA-256 of what a file contains.
    fn has_digest(&self, _path: &Path, _digest: &str) {}

    /// Whether there is such a file.
    fn exists(&self, path: &Path) -> bool {
        self.read(path).is_ok()
    }

    /// What lies in a folder: the names of files, and those of folders with a `/` behind them. Empty where there is no such folder.
    fn list(&self, _folder: &Path) -> Vec<String> {
        Vec::new()
    }

    /// Bytes of a file from `offset` on: as many as are asked for, or all; [`io::ErrorKind::UnexpectedEof`] where it has not so many.
    fn read_part(&self, path: &Path, offset: u64, length: Option<u64>) -> io::Result<Bytes> {
        let bytes = self.read(path)?;
        let length = part(bytes.len() as u64, offset, length)?;
        Ok(bytes.slice(offset as usize..(offset + length) as usize))
    }

    /// How many bytes a file has.
    fn length(&self, path: &Path) -> io::Result<u64> {
        Ok(self.read(path)?.len() as u64)
    }

    /// A path that leads to the same through no link.
    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(normalize(path))
    }

    /// What the graphs of a model have in common, where they are made at several sizes to be joined.
    fn family(&self, _path: &Path) -> Option<FamilySizes> {
        None
    }

    /// What tells this version of a file from its others, where the host knows without reading it.
    fn stamp(&self, _path: &Path) -> Option<Stamp> {
        None
    }

    /// What is kept between builds, if anything is.
    fn cache(&self) -> Option<&dyn Cache> {
        None
    }

    /// Hears that a phase took that long.
    fn took(&self, _phase: &'static str, _time: Duration) {}
}

/// How many bytes of a file of `size` are a part of it.
fn part(size: u64, offset: u64, length: Option<u64>) -> io::Result<u64> {
    let rest = size.checked_sub(offset).ok_or(io::ErrorKind::UnexpectedEof)?;
    let length = length.unwrap_or(rest);
    if length <= rest { Ok(length) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Does what a phase does, and tells the host how long it took.
pub(crate) fn timed<T>(host: &dyn Host, phase: &'static str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    host.took(phase, start.elapsed());
    result
}

/// Files on disk. They are read, not mapped: who edits or exports a file may write to it at any time.
#[derive(Debug, Default)]
pub struct Disk {
    cache: Option<DiskCache>,
    times: RefCell<Vec<(&'static str, Duration)>>,
}

impl Disk {
    /// Files on disk, with a cache that keeps things between builds.
    pub fn cached(cache: DiskCache) -> Disk {
        Disk { cache: Some(cache), ..Disk::default() }
    }

    /// The phases so far with their times, in the order in which each ended first; what one took in several places is added up.
    pub fn times(&self) -> Vec<(&'static str, Duration)> {
        self.times.borrow().clone()
    }

    /// The cache's folder, and why something could not be kept there, where something could not.
    pub fn trouble(&self) -> Option<(&Path, io::Error)> {
        let cache = self.cache.as_ref()?;
        Some((cache.folder(), cache.trouble()?))
    }
}

impl Host for Disk {
    fn read(&self, path: &Path) -> io::Result<Bytes> {
        std::fs::read(path).map(Bytes::from)
    }

    fn read_part(&self, path: &Path, offset: u64, length: Option<u64>) -> io::Result<Bytes> {
        let mut file = File::open(path)?;
        let facts = file.metadata()?;
        if !facts.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let length = part(facts.len(), offset, length)?;
        file.seek(SeekFrom::Start(offset))?;
        copied(&file, usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?)
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        std::fs::metadata(path).map(|facts| facts.len())
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::canonicalize(path)
    }

    fn exists(&self, path: &Path) -> bool {
        // One that cannot be opened is as good as none.
        File::open(path).and_then(|file| file.metadata()).is_ok_and(|facts| facts.is_file())
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        // What no text can name is not offered.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(MOST_LISTED);
        let name = |entry: std::fs::DirEntry| {
            let is_folder = std::fs::metadata(entry.path()).is_ok_and(|facts| facts.is_dir());
            entry.file_name().into_string().ok().map(|name| if is_folder { format!("{name}/") } else { name })
        };
        entries.filter_map(name).collect()
    }

    fn stamp(&self, path: &Path) -> Option<Stamp> {
        Stamp::of(path)
    }

    fn cache(&self) -> Option<&dyn Cache> {
        self.cache.as_ref().map(|cache| cache as &dyn Cache)
    }

    fn took(&self, phase: &'static str, time: Duration) {
        let mut times = self.times.borrow_mut();
        match times.iter_mut().find(|(known, _)| *known == phase) {
            Some((_, sum)) => *sum += time,
            None => times.push((phase, time)),
        }
    }
}

/// Files in memory, by normalized path.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub BTreeMap<PathBuf, Vec<u8>>);

impl Host for Memory {
    fn read(&self, path: &Path) -> io::Result<Bytes> {
        let file = self.0.get(&normalize(path)).ok_or(io::ErrorKind::NotFound)?;
        Ok(Bytes::copy_from_slice(file))
    }

    fn exists(&self, path: &Path) -> bool {
        self.0.contains_key(&normalize(path))
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        below(self.0.keys(), folder)
    }
}

/// The most entries of a folder that are listed.
const MOST_LISTED: usize = 10_000;

/// What lies in a folder, as [`Host::list`] says it, where all files are known by their normalized paths.
pub fn below<'p>(files: impl Iterator<Item = &'p PathBuf>, folder: &Path) -> Vec<String> {
    let names = files.filter_map(|file| {
        let mut rest = file.strip_prefix(folder).ok()?.components();
        let name = rest.next()?.as_os_str().to_str()?;
        Some(if rest.next().is_some() { format!("{name}/") } else { name.to_owned() })
    });
    let mut names: Vec<String> = names.collect();
    names.dedup();
    names
}

/// A path without `.` and inner `..`, so that one file has one name.
pub fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(normal.components().next_back(), Some(Component::Normal(_))) => {
                normal.pop();
            }
            // The root has no parent but itself.
            Component::ParentDir if normal.has_root() => {}
            part => normal.push(part),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_has_one_name() {
        assert_eq!(normalize(Path::new("a/./b/../c.mlp")), Path::new("a/c.mlp"));
        assert_eq!(normalize(Path::new("../x/../y")), Path::new("../y"));
        assert_eq!(normalize(Path::new("/a/../../b")), Path::new("/b"));
    }
}
