//! The table of replacements that a model of SentencePiece has: a trie of bytes in a double array, preceded by its size, then texts that each end with a 0.
//!
//! Those who use it follow it without looking where it leads, so that every way through it is walked here.

use super::TokenizerError;
use std::collections::BTreeSet;

/// Looks whether a table, in base 64, can be followed by any text.
pub(super) fn check(base64: &str) -> Result<(), TokenizerError> {
    let broken = || TokenizerError("`precompiled_charsmap` of its normalizer is damaged".to_owned());
    let bytes = decode(base64).ok_or_else(broken)?;
    let (size, rest) = bytes.split_first_chunk::<4>().ok_or_else(broken)?;
    let size = u32::from_le_bytes(*size) as usize;
    if size == 0 || !size.is_multiple_of(4) {
        return Err(broken());
    }
    let (trie, texts) = rest.split_at_checked(size).ok_or_else(broken)?;
    let texts = std::str::from_utf8(texts).map_err(|_| broken())?;
    let units: Vec<u32> = trie.chunks_exact(4).map(|unit| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]])).collect();
    if follow(&units, texts) { Ok(()) } else { Err(broken()) }
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 0x200) >> 6)) as usize
}

/// Walks every way through a trie; false where one leaves it, or has a value that is no place in `texts`.
fn follow(units: &[u32], texts: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut waiting = vec![offset(units[0])];
    while let Some(base) = waiting.pop() {
        if !seen.insert(base) {
            continue;
        }
        for byte in 1..=255 {
            let place = base ^ byte;
            let Some(&unit) = units.get(place) else { return false };
            if unit & 0x8000_00ff != byte as u32 {
                continue;
            }
            let child = place ^ offset(unit);
            if unit >> 8 & 1 == 1 {
                let value = units.get(child).map(|value| (value & 0x7fff_ffff) as usize);
                if !value.is_some_and(|value| texts.is_char_boundary(value)) {
                    return false;
                }
            }
            waiting.push(child);
        }
    }
    true
}

/// The bytes of a text in base 64, with or without what fills it up at its end.
fn decode(base64: &str) -> Option<Vec<u8>> {
    let letters = base64.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(letters.len() / 4 * 3 + 2);
    let (mut bits, mut known) = (0u32, 0);
    for letter in letters.bytes() {
        let digit = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        known += 6;
        if known >= 8 {
            known -= 8;
            bytes.push((bits >> known) as u8);
            bits &= (1 << known) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_64_is_read() {
        assert_eq!(decode("SGk=").as_deref(), Some(&b"Hi"[..]));
        assert_eq!(decode("/+9h").as_deref(), Some(&[0xff, 0xef, b'a'][..]));
        assert_eq!(decode("a b"), None);
    }

    #[test]
    fn a_way_out_of_the_table_is_found() {
        // One key, `a`, whose value says that "c" replaces it.
        let (base, step) = (256, 128);
        let (key, leaf) = (base ^ 97, base ^ 97 ^ step);
        let mut units = vec![0u32; 512];
        units[0] = (base as u32) << 10;
        units[key] = 97 | 1 << 8 | (step as u32) << 10;
        units[leaf] = 2 | 1 << 31;
        assert!(follow(&units, "b\0c\0"));
        assert!(!follow(&units[..300], "b\0c\0"), "the table is cut short");
        units[leaf] = 9 | 1 << 31;
        assert!(!follow(&units, "b\0c\0"), "the value is behind the texts");
        units[key] = 97 | 1 << 8 | 0x200 | 7 << 10;
        assert!(!follow(&units, "b\0c\0"), "the next step leaves the table");
    }
}
