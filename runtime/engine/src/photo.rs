//! Photos: files of PNG, JPEG or WebP decoded, turned upright, and shrunk to a pipeline's bounds.

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};
use std::io::Cursor;

/// Rows of RGBA bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photo {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `height * width * 4` bytes.
    pub rgba: Vec<u8>,
}

/// Why bytes are no photo.
#[derive(Debug, thiserror::Error)]
pub enum PhotoError {
    /// The bytes do not decode.
    #[error("the image cannot be read: {0}; PNG, JPEG and WebP files are understood")]
    Decode(#[from] image::ImageError),
    /// The bytes are no file of a known format.
    #[error("the image cannot be read: {0}")]
    Io(#[from] std::io::Error),
}

/// The greatest side of an image file, in pixels.
const MAX_SIDE: u32 = 32_768;

/// The greatest memory a decoder may take, in bytes.
const MAX_DECODED: u64 = 1 << 30;

impl Photo {
    /// Decodes an image file and turns it upright as its EXIF orientation says.
    pub fn decode(bytes: &[u8]) -> Result<Photo, PhotoError> {
        let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_SIDE);
        limits.max_image_height = Some(MAX_SIDE);
        limits.max_alloc = Some(MAX_DECODED);
        reader.limits(limits);
        let mut decoder = reader.into_decoder()?;
        let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
        let mut image = DynamicImage::from_decoder(decoder)?;
        image.apply_orientation(orientation);
        let rgba = image.into_rgba8();
        Ok(Photo { width: rgba.width(), height: rgba.height(), rgba: rgba.into_raw() })
    }

    /// The photo within bounds, as `mlp_bundle::manifest::ValueType::Image` defines it: shrunk by the least whole factor for which both sides fit,
    /// each pixel the mean of a block, rounded half up, partial blocks at the right and lower edges dropped.
    pub fn within(self, max_width: u32, max_height: u32) -> Photo {
        let factor = self.width.div_ceil(max_width).max(self.height.div_ceil(max_height)).max(1);
        // A side shorter than the factor keeps one pixel, made of what there is.
        let fits = |factor: u32| (self.width / factor).max(1) <= max_width && (self.height / factor).max(1) <= max_height;
        let factor = (1..=factor).find(|&factor| fits(factor)).unwrap_or(factor);
        if factor == 1 {
            return self;
        }
        let (width, height) = ((self.width / factor).max(1), (self.height / factor).max(1));
        let (block_w, block_h) = (factor.min(self.width), factor.min(self.height));
        let mut rgba = Vec::with_capacity(width as usize * height as usize * 4);
        for y in 0..height {
            for x in 0..width {
                let mut sums = [0u64; 4];
                for row in y * factor..y * factor + block_h {
                    let start = (row as usize * self.width as usize + (x * factor) as usize) * 4;
                    for pixel in self.rgba[start..start + block_w as usize * 4].chunks_exact(4) {
                        sums.iter_mut().zip(pixel).for_each(|(sum, &byte)| *sum += u64::from(byte));
                    }
                }
                let count = u64::from(block_w) * u64::from(block_h);
                rgba.extend(sums.map(|sum| ((2 * sum + count) / (2 * count)) as u8));
            }
        }
        Photo { width, height, rgba }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_photo_within_bounds_stays_and_a_larger_one_is_averaged() {
        let rgba: Vec<u8> = (0..5u8).flat_map(|x| [x * 10, 255, 0, 255]).collect();
        let photo = Photo { width: 5, height: 1, rgba };
        assert_eq!(photo.clone().within(5, 1), photo);
        let half = photo.within(2, 4);
        assert_eq!((half.width, half.height), (2, 1));
        assert_eq!(half.rgba, [5, 255, 0, 255, 25, 255, 0, 255]);
    }

    #[test]
    fn bytes_that_are_no_image_are_refused() {
        let error = Photo::decode(b"not an image").unwrap_err().to_string();
        assert!(error.contains("PNG, JPEG and WebP"), "{error}");
        let mut png = Vec::new();
        let image = image::RgbaImage::from_pixel(3, 2, image::Rgba([1, 2, 3, 255]));
        image.write_to(&mut Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
        assert_eq!(Photo::decode(&png).unwrap().rgba[..4], [1, 2, 3, 255]);
        for length in 0..png.len() - 12 {
            assert!(Photo::decode(&png[..length]).is_err(), "{length} bytes of a PNG were taken for a photo");
        }
    }
}
