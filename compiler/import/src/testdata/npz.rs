//! NumPy's `.npz`: a zip of `.npy` files.

use super::{TestDataError, read_npy};
use mlp_graph::Tensor;
use std::io::{Cursor, Read};

/// All arrays of an archive together may unpack to no more than this.
const UNPACKED_BYTES: u64 = 1 << 31;

/// Reads all arrays of a `.npz` with their names, in the archive's order.
pub fn read_npz(bytes: &[u8]) -> Result<Vec<(String, Tensor)>, TestDataError> {
    let damaged = |error: zip::result::ZipError| TestDataError::new("the archive", format!("{error}; the file is damaged or not a .npz"));
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    let mut left = UNPACKED_BYTES;
    let mut arrays = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(damaged)?;
        let Some(name) = entry.name().map_err(damaged)?.strip_suffix(".npy").map(str::to_owned) else { continue };
        let what = format!("array `{name}`");
        // The declared size is a claim; what is read decides, and it may not exceed what is left.
        let mut content = Vec::new();
        let mut limited = entry.take(left + 1);
        limited.read_to_end(&mut content).map_err(|error| TestDataError::new(&what, error.to_string()))?;
        left = left
            .checked_sub(content.len() as u64)
            .ok_or_else(|| TestDataError::new(&what, format!("the archive unpacks to more than {} GiB", UNPACKED_BYTES >> 30)))?;
        let tensor = read_npy(&content).map_err(|error| TestDataError::new(&what, error.detail))?;
        arrays.push((name, tensor));
    }
    Ok(arrays)
}
