//! The contents of a bundle's files: where they lie, how they come into memory, and their digests.

use crate::bundle::BundleError;
use crate::manifest::{FileEntry, PIECE};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

pub use bytes::Bytes;

/// Bytes to which contents are aligned in memory where they are read from files, and in archives: a cache line, as the kernels of native runtimes want weights.
pub const CONTENT_ALIGN: usize = 64;

/// Files of this size have a BLAKE3 digest too: SHA-256 of smaller ones takes no time that anyone would notice.
const LARGE: usize = 1 << 18;

/// Brings the first bytes of a file into memory, as many as are asked for: [`copied`], or a function that maps them.
pub type Load = fn(&File, usize) -> io::Result<Bytes>;

/// Reads the first `len` bytes of a file to memory that begins on a cache line.
pub fn copied(mut file: &File, len: usize) -> io::Result<Bytes> {
    let bytes = aligned(len, |memory| file.by_ref().take(len as u64).read_to_end(memory).map(|_| ()))?;
    if bytes.len() == len { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Memory that begins on a cache line, with what `fill` appends to it: `len` bytes at most.
fn aligned(len: usize, fill: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<Bytes> {
    let mut memory: Vec<u8> = Vec::new();
    let room = len.checked_add(CONTENT_ALIGN - 1).ok_or(io::ErrorKind::OutOfMemory)?;
    memory.try_reserve_exact(room).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let start = memory.as_ptr().align_offset(CONTENT_ALIGN);
    memory.resize(start, 0);
    fill(&mut memory)?;
    // As its owner, so that the vector is not moved to a box of its exact length.
    Ok(Bytes::from_owner(memory).slice(start..))
}

/// Lower-case hexadecimal SHA-256.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl FileEntry {
    /// The size and digests of a file's bytes.
    pub fn of(bytes: &[u8]) -> FileEntry {
        let blake3 = (bytes.len() >= LARGE).then(|| blake3::hash(bytes).to_hex().to_string());
        let pieces = if bytes.len() > PIECE { bytes.chunks(PIECE).map(digest).collect() } else { Vec::new() };
        FileEntry { sha256: digest(bytes), blake3, bytes: bytes.len() as u64, pieces, compressed: None }
    }

    /// Whether bytes have this digest: BLAKE3 where the entry has it, else SHA-256, which browsers compute.
    fn is_of(&self, bytes: &[u8]) -> bool {
        match &self.blake3 {
            Some(blake3) => blake3::hash(bytes).to_hex().as_str() == blake3,
            None => digest(bytes) == self.sha256,
        }
    }
}

/// Where a file's contents come from.
#[derive(Debug)]
enum Source {
    /// They are there.
    Memory(Bytes),
    /// A file of the bundle's folder.
    File(PathBuf, Load),
}

/// The contents of one file, brought into memory and compared with their digest when they are first asked for.
#[derive(Debug)]
pub(crate) struct Contents {
    source: Source,
    loaded: Mutex<Option<Bytes>>,
    verified: OnceLock<()>,
}

impl Contents {
    fn new(source: Source) -> Contents {
        Contents { source, loaded: Mutex::new(None), verified: OnceLock::new() }
    }

    /// Contents that were just made, and are what their entry says.
    pub(crate) fn made(bytes: Bytes) -> Contents {
        let contents = Contents::new(Source::Memory(bytes));
        contents.verified.get_or_init(|| ());
        contents
    }

    /// Contents that were read from somewhere; their size is compared at once.
    pub(crate) fn read(bytes: Bytes, name: &str, entry: &FileEntry) -> Result<Contents, BundleError> {
        fits(name, bytes.len() as u64, entry)?;
        Ok(Contents::new(Source::Memory(bytes)))
    }

    /// Contents that lie in a file; its size is compared at once.
    pub(crate) fn in_file(path: PathBuf, load: Load, name: &str, entry: &FileEntry) -> Result<Contents, BundleError> {
        let facts = std::fs::metadata(&path).map_err(|source| BundleError::Io { path: path.clone(), source })?;
        if !facts.is_file() {
            return Err(file_error(name, "it is no regular file"));
        }
        fits(name, facts.len(), entry)?;
        Ok(Contents::new(Source::File(path, load)))
    }

    /// The contents, whatever their digest is.
    pub(crate) fn unverified(&self, name: &str, entry: &FileEntry) -> Result<Bytes, BundleError> {
        match &self.source {
            Source::Memory(bytes) => Ok(bytes.clone()),
            Source::File(path, load) => {
                let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(bytes) = &*loaded {
                    return Ok(bytes.clone());
                }
                Ok(loaded.insert(open_and_load(path, *load, name, entry)?).clone())
            }
        }
    }

    /// The contents, which are what the manifest says.
    pub(crate) fn verified(&self, name: &str, entry: &FileEntry) -> Result<Bytes, BundleError> {
        let bytes = self.unverified(name, entry)?;
        if self.verified.get().is_none() {
            if !entry.is_of(&bytes) {
                return Err(file_error(name, "its digest is not the manifest's: the file was changed or damaged"));
            }
            self.verified.get_or_init(|| ());
        }
        Ok(bytes)
    }
}

fn open_and_load(path: &Path, load: Load, name: &str, entry: &FileEntry) -> Result<Bytes, BundleError> {
    let io = |source| BundleError::Io { path: path.into(), source };
    let file = File::open(path).map_err(io)?;
    // Again: it may have changed since the bundle was opened.
    fits(name, file.metadata().map_err(io)?.len(), entry)?;
    load(&file, entry.bytes as usize).map_err(io)
}

fn fits(name: &str, bytes: u64, entry: &FileEntry) -> Result<(), BundleError> {
    if bytes == entry.bytes {
        return Ok(());
    }
    Err(file_error(name, format!("it has {bytes} bytes, the manifest says {}", entry.bytes)))
}

pub(crate) fn file_error(file: &str, reason: impl Into<String>) -> BundleError {
    BundleError::File { file: file.into(), reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_begins_on_a_cache_line() {
        for len in [0, 1, 64, 100_001] {
            let bytes = aligned(len, |memory| {
                memory.extend(std::iter::repeat_n(7, len));
                Ok(())
            })
            .unwrap();
            assert_eq!(bytes.as_ptr() as usize % CONTENT_ALIGN, 0);
            assert!(bytes.len() == len && bytes.iter().all(|&byte| byte == 7));
        }
        assert_eq!(aligned(usize::MAX, |_| Ok(())).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
    }

    #[test]
    fn either_digest_tells_of_a_change() {
        let mut bytes = vec![3; LARGE];
        let entry = FileEntry::of(&bytes);
        let sha256_only = FileEntry { blake3: None, ..entry.clone() };
        assert!(entry.blake3.is_some() && entry.is_of(&bytes) && sha256_only.is_of(&bytes));
        bytes[LARGE / 2] ^= 1;
        assert!(!entry.is_of(&bytes) && !sha256_only.is_of(&bytes));
        assert_eq!(FileEntry::of(b"small").blake3, None);
    }
}
