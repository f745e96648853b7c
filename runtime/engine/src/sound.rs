//! Sound: WAV files decoded.

/// One channel of samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Samples a second.
    pub rate: u32,
    /// The samples, from -1 to 1.
    pub samples: Vec<f32>,
}

/// Why bytes are no sound that a pipeline takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SoundError {
    /// They are no WAV file, or a broken one.
    #[error("the sound cannot be read: {0}; WAV files of PCM or floats are understood")]
    Format(&'static str),
    /// The samples are coded in a way that is not known.
    #[error(
        "the sound's samples are of {bits} bits in format {format}; WAV files of 8, 16, 24 or 32 bits (PCM), or of 32 or 64 bits (floats) are understood"
    )]
    Coding {
        /// The number of the format in the file.
        format: u16,
        /// Bits a sample.
        bits: u16,
    },
    /// There are several channels.
    #[error("the sound has {0} channels; give one of them alone, or their mean")]
    Channels(u16),
}

/// What a `fmt ` chunk says.
struct Coding {
    format: u16,
    channels: u16,
    rate: u32,
    bits: u16,
}

impl Sound {
    /// Decodes a WAV file (RIFF) of one channel.
    pub fn decode(bytes: &[u8]) -> Result<Sound, SoundError> {
        let body = bytes.strip_prefix(b"RIFF").and_then(|rest| rest.get(4..)).and_then(|rest| rest.strip_prefix(b"WAVE"));
        let mut rest = body.ok_or(SoundError::Format("it does not begin as a WAV file"))?;
        let mut coding = None;
        while let Some((head, after)) = rest.split_at_checked(8) {
            let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
            match &head[..4] {
                b"fmt " => coding = Some(Coding::read(after.get(..size).ok_or(SoundError::Format("it ends too early"))?)?),
                b"data" => {
                    let coding = coding.ok_or(SoundError::Format("its samples come before their format"))?;
                    // Who writes while recording does not know the size; the file ends where the samples do.
                    return coding.sound(after.get(..size).unwrap_or(after));
                }
                _ => {}
            }
            // Chunks begin at even places.
            rest = after.get(size.saturating_add(size % 2)..).unwrap_or(&[]);
        }
        Err(SoundError::Format("it has no samples"))
    }
}

impl Coding {
    fn read(chunk: &[u8]) -> Result<Coding, SoundError> {
        let short = |at: usize| chunk.get(at..at + 2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
        let part = |at: usize| short(at).ok_or(SoundError::Format("its format is too short"));
        let rate = u32::from(part(4)?) | u32::from(part(6)?) << 16;
        let format = match part(0)? {
            // The extensible format says the real one first in its identifier.
            0xfffe => part(24)?,
            format => format,
        };
        Ok(Coding { format, channels: part(2)?, rate, bits: part(14)? })
    }

    fn sound(&self, data: &[u8]) -> Result<Sound, SoundError> {
        if self.channels != 1 {
            return Err(SoundError::Channels(self.channels));
        }
        let samples: Vec<f32> = match (self.format, self.bits) {
            (1, 8) => data.iter().map(|&byte| (f32::from(byte) - 128.0) / 128.0).collect(),
            (1, 16) => data.chunks_exact(2).map(|bytes| f32::from(i16::from_le_bytes([bytes[0], bytes[1]])) / 32768.0).collect(),
            (1, 24) => {
                let number = |bytes: &[u8]| i32::from_le_bytes([0, bytes[0], bytes[1], bytes[2]]) >> 8;
                data.chunks_exact(3).map(|bytes| number(bytes) as f32 / 8_388_608.0).collect()
            }
            (1, 32) => data
                .chunks_exact(4)
                .map(|bytes| (f64::from(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])) / 2_147_483_648.0) as f32)
                .collect(),
            (3, 32) => data.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])).collect(),
            (3, 64) => data.chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap_or_default()) as f32).collect(),
            (format, bits) => return Err(SoundError::Coding { format, bits }),
        };
        Ok(Sound { rate: self.rate, samples })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav(format: u16, channels: u16, bits: u16, data: &[u8]) -> Vec<u8> {
        let mut file = b"RIFF\0\0\0\0WAVE".to_vec();
        // A chunk that no one knows, of odd length.
        file.extend(b"LIST\x03\0\0\0abc\0fmt \x10\0\0\0");
        file.extend([format.to_le_bytes(), channels.to_le_bytes()].concat());
        file.extend([16_000u32.to_le_bytes(), 0u32.to_le_bytes()].concat());
        file.extend([0u16.to_le_bytes(), bits.to_le_bytes()].concat());
        file.extend(b"data");
        file.extend((data.len() as u32).to_le_bytes());
        file.extend(data);
        file
    }

    fn samples(format: u16, bits: u16, data: &[u8]) -> Vec<f32> {
        let sound = Sound::decode(&wav(format, 1, bits, data)).unwrap();
        assert_eq!(sound.rate, 16_000);
        sound.samples
    }

    #[test]
    fn every_coding_is_read() {
        assert_eq!(samples(1, 8, &[0, 128, 192]), [-1.0, 0.0, 0.5]);
        assert_eq!(samples(1, 16, &[0, 128, 0, 64, 9]), [-1.0, 0.5]);
        assert_eq!(samples(1, 24, &[0, 0, 128, 0, 0, 64]), [-1.0, 0.5]);
        assert_eq!(samples(1, 32, &[0, 0, 0, 128, 0, 0, 0, 64]), [-1.0, 0.5]);
        assert_eq!(samples(3, 32, &0.25f32.to_le_bytes()), [0.25]);
        assert_eq!(samples(3, 64, &(-0.75f64).to_le_bytes()), [-0.75]);
    }

    #[test]
    fn what_is_no_sound_is_refused() {
        assert_eq!(Sound::decode(&wav(1, 2, 16, &[0; 4])), Err(SoundError::Channels(2)));
        assert_eq!(Sound::decode(&wav(2, 1, 4, &[0; 4])), Err(SoundError::Coding { format: 2, bits: 4 }));
        assert!(Sound::decode(b"OggS").is_err());
        let file = wav(1, 1, 16, &[1, 2, 3, 4]);
        for length in 0..file.len() {
            let read = Sound::decode(&file[..length]);
            assert!(read.is_err() || length >= file.len() - 4, "{length} bytes of a WAV file were taken for a sound");
        }
    }
}
