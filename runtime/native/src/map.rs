//! Files mapped into memory, so that weights are used where they lie.

use memmap2::Mmap;
use mlp_bundle::contents::{Bytes, copied};
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Files of fewer bytes are read: a map takes whole pages, and more time to set up than a copy.
const MAP_FROM: usize = 1 << 16;

/// The maps that are in use, so that what lies in one can be told from other memory.
static MAPS: Mutex<Vec<Weak<Mmap>>> = Mutex::new(Vec::new());

/// A map as the owner of bytes.
struct Shared(Arc<Mmap>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The first `len` bytes of a file, mapped and not copied where it is large: the system reads pages as they are used, shares them among processes, and takes them
/// back for others where memory runs short. It is a [`mlp_bundle::contents::Load`]. A file that cannot be mapped (a pipe, some network file systems) is read.
///
/// A map shows the file as it is at each moment. Who *writes* to a mapped file in place changes what the map's owner computes, digests notwithstanding, and who
/// *truncates* it ends the process with a bus error (`SIGBUS`) at the next use of a page that is gone; no check beforehand can prevent either. `mlpc build` does
/// neither: it writes a new file and renames it over the old one, which leaves maps of the old one as they were. Where others may write to the file, or it lies
/// on storage that may vanish, use [`mlp_bundle::contents::copied`].
pub fn mapped(file: &File, len: usize) -> io::Result<Bytes> {
    let facts = file.metadata()?;
    if len < MAP_FROM || !facts.is_file() {
        return copied(file, len);
    }
    if facts.len() < len as u64 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut options = memmap2::MmapOptions::new();
    // All of it is about to be read for its digest: one call brings in all pages, instead of a fault for every few.
    options.len(len).populate();
    // SAFETY: nobody here writes to the file, and the map is read-only. Weights are data of no meaning to the safety of a program: where a value of them is an
    // index, the plan bounds it. What others do to the file is stated above.
    match unsafe { options.map(file) } {
        Ok(map) => Ok(Bytes::from_owner(Shared(registered(map)))),
        Err(_) => copied(file, len),
    }
}

fn registered(map: Mmap) -> Arc<Mmap> {
    let map = Arc::new(map);
    let mut maps = MAPS.lock().unwrap_or_else(PoisonError::into_inner);
    maps.retain(|known| known.strong_count() > 0);
    maps.push(Arc::downgrade(&map));
    map
}

/// Gives the pages of bytes that lie in a map back to the system, which reads them from the file again where they are used again: for weights that were rewritten
/// for this processor. Other bytes are left alone.
pub(crate) fn release(bytes: &[u8]) {
    let maps = MAPS.lock().unwrap_or_else(PoisonError::into_inner);
    let start = bytes.as_ptr() as usize;
    let holds = |map: &Arc<Mmap>| (map.as_ptr() as usize..=map.as_ptr() as usize + map.len()).contains(&start);
    if let Some(map) = maps.iter().filter_map(Weak::upgrade).find(holds) {
        let offset = start - map.as_ptr() as usize;
        drop_pages(&map, offset, bytes.len().min(map.len() - offset));
    }
}

#[cfg(unix)]
fn drop_pages(map: &Mmap, offset: usize, len: usize) {
    // SAFETY: the map is of a file and read-only, so that its pages hold nothing that the file does not.
    let advised = unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, offset, len) };
    // Where the system refuses, the pages stay, and nothing else is different.
    let _ = advised;
}

#[cfg(not(unix))]
fn drop_pages(_: &Mmap, _: usize, _: usize) {}

#[cfg(test)]
mod tests {
    use super::*;
    use mlp_bundle::contents::CONTENT_ALIGN;
    use std::io::Write;

    #[test]
    fn a_map_has_the_contents_of_its_file() {
        let contents: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&contents).unwrap();
        let bytes = mapped(&file, contents.len()).unwrap();
        assert!(bytes == contents);
        assert_eq!(bytes.as_ptr() as usize % CONTENT_ALIGN, 0);
        assert_eq!(mapped(&file, contents.len() + 1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_file_that_takes_the_place_of_a_mapped_one_does_not_change_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.bin");
        mlp_bundle::bundle::write_whole(&path, &[1; MAP_FROM]).unwrap();
        let bytes = mapped(&File::open(&path).unwrap(), MAP_FROM).unwrap();
        mlp_bundle::bundle::write_whole(&path, &[2; 10]).unwrap();
        assert!(bytes.iter().all(|&byte| byte == 1));
    }

    /// Kilobytes of the map at an address that are in memory.
    #[cfg(target_os = "linux")]
    fn resident(at: *const u8) -> u64 {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut inside = false;
        for line in maps.lines() {
            let range = line.split(' ').next().and_then(|word| word.split_once('-'));
            if let Some((from, to)) =
                range.and_then(|(from, to)| Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?)))
            {
                inside = (from..to).contains(&(at as usize));
            } else if let (true, Some(size)) = (inside, line.strip_prefix("Rss:")) {
                return size.trim().trim_end_matches(" kB").parse().unwrap();
            }
        }
        panic!("the map is not there");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn released_pages_leave_memory_and_come_back_with_their_contents() {
        let contents: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&contents).unwrap();
        let bytes = mapped(&file, contents.len()).unwrap();
        let all = resident(bytes.as_ptr());
        assert!(all >= 900, "the map is brought in at once: {all} kB are there");
        release(&bytes[100_000..900_000]);
        let left = resident(bytes.as_ptr());
        assert!(left <= all - 700, "{left} of {all} kB are left");
        assert!(bytes == contents);
        let own = contents.clone();
        release(&own);
        assert!(own == contents, "other memory is left alone");
    }

    #[test]
    fn small_files_are_read_from_their_start() {
        use std::io::Seek;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"labels").unwrap();
        file.rewind().unwrap();
        assert_eq!(mapped(&file, 6).unwrap(), "labels");
        assert_eq!(mapped(&file, 7).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
