//! Files mapped into memory, so that weights are used where they lie.

use mlp_bundle::contents::{Bytes, copied};
use std::fs::File;
use std::io;

/// Files of fewer bytes are read: a map takes whole pages, and more time to set up than a copy.
const MAP_FROM: usize = 1 << 16;

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
        Ok(map) => Ok(Bytes::from_owner(map)),
        Err(_) => copied(file, len),
    }
}

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
