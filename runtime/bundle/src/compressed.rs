//! Weights as a browser may download them: deflated, the bytes of each number apart.
//!
//! A compressed file is a zlib stream (RFC 1950) of blocks of [`BLOCK`] bytes, the last one shorter. In a block, the bytes are sorted by their place in a number of `lanes` bytes:
//! all first bytes, then all second ones, and so on; what is left of a block that is no multiple of `lanes` follows. Signs and exponents of floats are much alike, and
//! lie together so; with one lane nothing moves. The digests that count are those of the file that comes out: nobody trusts a compressed file.

use crate::bundle::{Bundle, BundleError};
use crate::contents::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};
use std::io::Write;

/// Bytes that are sorted together.
pub const BLOCK: usize = 1 << 16;

/// Lanes that are tried: bytes as they are, and numbers of four bytes.
const LANES: [usize; 2] = [1, 4];

/// The effort of the encoder; more of it saves less than one percent of weights.
const LEVEL: u32 = 6;

/// Every which block of a file is compressed to choose the lanes.
const SAMPLE: usize = 16;

/// A file that is compressed for browsers in another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compressed {
    /// The file with the compressed bytes.
    pub file: String,
    /// Bytes of a number.
    pub lanes: usize,
}

/// The compressed bytes and their lanes, or none where they would not save a tenth: a browser's decoder takes time too.
pub fn compress(bytes: &[u8]) -> Option<(Bytes, usize)> {
    let sample: Vec<u8> = bytes.chunks(BLOCK).step_by(SAMPLE).flatten().copied().collect();
    let lanes = LANES.into_iter().min_by_key(|&lanes| deflate(&sample, lanes).len())?;
    let compressed = deflate(bytes, lanes);
    (compressed.len() < bytes.len() / 10 * 9).then_some((compressed.into(), lanes))
}

fn deflate(bytes: &[u8], lanes: usize) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(LEVEL));
    let mut sorted = Vec::with_capacity(BLOCK);
    for block in bytes.chunks(BLOCK) {
        let (numbers, rest) = block.split_at(block.len() / lanes * lanes);
        sorted.clear();
        for lane in 0..lanes {
            sorted.extend(numbers.iter().skip(lane).step_by(lanes));
        }
        sorted.extend(rest);
        encoder.write_all(&sorted).expect("a vector takes what is written");
    }
    encoder.finish().expect("a vector takes what is written")
}

impl Bundle {
    /// Adds compressed forms of the weights of all pipelines, where they are a tenth smaller, for browsers to download. The weights themselves stay: native runtimes
    /// use them where they lie. `compress` is [`compress`], or knows what that gave before.
    pub fn compress_weights(&mut self, compress: impl Fn(&[u8]) -> Option<(Bytes, usize)>) -> Result<(), BundleError> {
        let weights: Vec<(String, String)> = self.manifest.pipelines.iter().map(|p| (p.name.to_lowercase(), p.weights.clone())).collect();
        for (stem, name) in weights {
            let Some((bytes, lanes)) = compress(self.file(&name)?.as_ref()) else { continue };
            let file = self.add(&stem, "weights.zz", bytes);
            if let Some(entry) = self.manifest.files.get_mut(&name) {
                entry.compressed = Some(Compressed { file, lanes });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::ZlibDecoder;
    use std::io::Read;

    /// The definition, read the other way round.
    fn decompress(compressed: &[u8], lanes: usize) -> Vec<u8> {
        let mut sorted = Vec::new();
        ZlibDecoder::new(compressed).read_to_end(&mut sorted).unwrap();
        let mut bytes = Vec::new();
        for block in sorted.chunks(BLOCK) {
            let count = block.len() / lanes;
            bytes.extend((0..count * lanes).map(|i| block[i % lanes * count + i / lanes]));
            bytes.extend(&block[count * lanes..]);
        }
        bytes
    }

    #[test]
    fn floats_are_packed_by_lanes_and_come_back() {
        let floats: Vec<u8> =
            (0..100_001u32).flat_map(|i| (f64::from(i.wrapping_mul(2_654_435_761)).sin() as f32 * 0.1).to_le_bytes()).collect();
        for bytes in [&floats[..], &floats[..floats.len() - 3]] {
            let (compressed, lanes) = compress(bytes).expect("exponents are alike");
            assert_eq!(lanes, 4);
            assert!(compressed.len() < bytes.len() / 10 * 9);
            assert_eq!(decompress(&compressed, lanes), bytes);
        }
    }

    #[test]
    fn repeated_bytes_are_packed_as_they_are() {
        let bytes: Vec<u8> = (0..200_000u32).map(|i| (i % 1009 % 251) as u8).collect();
        let (compressed, lanes) = compress(&bytes).expect("they repeat");
        assert_eq!((lanes, decompress(&compressed, lanes)), (1, bytes));
    }

    #[test]
    fn what_does_not_shrink_is_left() {
        let mut state = 1u64;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        });
        let noise: Vec<u8> = noise.take(100_000).collect();
        assert_eq!(compress(&noise), None);
        assert_eq!(compress(&[]), None);
    }
}
