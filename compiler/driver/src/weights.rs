//! What is made of weights whatever plan they belong to: their digests, and their compressed form. Both are kept under the weights' content, by a digest that is several
//! times as fast as those of the entry: a pipeline changes far oftener than its model.

use crate::cache::{Cache, Key};
use crate::host::{Host, timed};
use mlp_bundle::contents::Bytes;
use mlp_bundle::manifest::FileEntry;
use mlp_bundle::{Bundle, BundleError, compressed};

/// Of weights of this size, what was made is kept.
const LARGE: usize = 1 << 20;

/// The size and digests of weights.
pub(crate) fn entry(cache: Option<&dyn Cache>, weights: &[u8]) -> FileEntry {
    let Some(cache) = cache.filter(|_| weights.len() >= LARGE) else { return FileEntry::of(weights) };
    let key = Key::new("weights entry", &[weights]);
    let known = cache.get(&key).and_then(|entry| serde_json::from_slice(&entry).ok());
    known.unwrap_or_else(|| {
        let entry = FileEntry::of(weights);
        cache.put(&key, &[&serde_json::to_vec(&entry).expect("an entry is plain data")]);
        entry
    })
}

/// Adds compressed forms of a bundle's weights.
pub fn compress(host: &dyn Host, bundle: &mut Bundle) -> Result<(), BundleError> {
    timed(host, "compress weights", || bundle.compress_weights(|weights| compressed_form(host.cache(), weights)))
}

/// The compressed bytes and their lanes, or none where they are not worth it. An entry is the lanes, then the bytes; 0 lanes say that there are none.
fn compressed_form(cache: Option<&dyn Cache>, weights: &[u8]) -> Option<(Bytes, usize)> {
    let Some(cache) = cache.filter(|_| weights.len() >= LARGE) else { return compressed::compress(weights) };
    let key = Key::new("compressed weights", &[weights]);
    if let Some(entry) = cache.get(&key).filter(|entry| !entry.is_empty()) {
        return (entry[0] > 0).then(|| (entry.slice(1..), usize::from(entry[0])));
    }
    let made = compressed::compress(weights);
    match &made {
        Some((bytes, lanes)) => cache.put(&key, &[&[*lanes as u8], bytes]),
        None => cache.put(&key, &[&[0]]),
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::InMemory;

    /// Weights of which something is kept, and those of which nothing is.
    fn weights(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i % 1009 % 251) as u8).collect()
    }

    /// Changes the only entry.
    fn tamper(cache: &InMemory, change: impl Fn(&mut Vec<u8>)) {
        let mut entries = cache.0.lock().unwrap();
        assert_eq!(entries.len(), 1);
        entries.values_mut().for_each(change);
    }

    #[test]
    fn digests_of_large_weights_are_found_again() {
        let cache = InMemory::default();
        for length in [LARGE - 1, LARGE] {
            let weights = weights(length);
            for _ in 0..2 {
                assert_eq!(entry(Some(&cache), &weights), FileEntry::of(&weights));
            }
        }
        // That it was found shows where it was changed; what cannot be understood is made again.
        let marked = FileEntry { bytes: 7, ..FileEntry::of(b"") };
        tamper(&cache, |entry| *entry = serde_json::to_vec(&marked).unwrap());
        assert_eq!(entry(Some(&cache), &weights(LARGE)), marked);
        tamper(&cache, Vec::clear);
        assert_eq!(entry(Some(&cache), &weights(LARGE)), FileEntry::of(&weights(LARGE)));
    }

    #[test]
    fn compressed_forms_of_large_weights_are_found_again() {
        let cache = InMemory::default();
        for length in [LARGE - 1, LARGE] {
            let weights = weights(length);
            let expected = compressed::compress(&weights);
            assert!(expected.is_some());
            for _ in 0..2 {
                assert_eq!(compressed_form(Some(&cache), &weights), expected);
            }
        }
        tamper(&cache, |entry| *entry = vec![3, 1, 2]);
        assert_eq!(compressed_form(Some(&cache), &weights(LARGE)), Some((vec![1, 2].into(), 3)));
        tamper(&cache, |entry| *entry = vec![0]);
        assert_eq!(compressed_form(Some(&cache), &weights(LARGE)), None);
        tamper(&cache, Vec::clear);
        assert_eq!(compressed_form(Some(&cache), &weights(LARGE)), compressed::compress(&weights(LARGE)));
    }
}
