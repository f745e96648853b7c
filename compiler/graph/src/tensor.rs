//! A dense constant or value: element type, sizes and little-endian bytes.

use half::{bf16, f16};
use mlp_bundle::contents::Bytes;
use mlp_bundle::{DType, Scalar};
use std::hash::{Hash, Hasher};

/// A dense row-major tensor. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<u64>,
    bytes: Bytes,
}

impl Hash for Tensor {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.dtype, &self.shape).hash(state);
        hash_sample(&self.bytes, state);
    }
}

/// Bytes at either end of a tensor that its hash is made of.
const SAMPLE: usize = 1 << 10;

/// Hashes the length, the start and the end of bytes. Weights are megabytes, and those that differ do so early, so that comparing them takes less time than hashing.
pub fn hash_sample(bytes: &[u8], state: &mut impl Hasher) {
    state.write_usize(bytes.len());
    let start = bytes.len().min(SAMPLE);
    state.write(&bytes[..start]);
    state.write(&bytes[start.max(bytes.len().saturating_sub(SAMPLE))..]);
}

/// Why bytes are no tensor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{shape:?} of {dtype} takes {expected:?} bytes, but there are {actual}")]
pub struct TensorSizeError {
    /// The element type.
    pub dtype: DType,
    /// The sizes.
    pub shape: Vec<u64>,
    /// The bytes it takes; none if that overflows.
    pub expected: Option<u64>,
    /// The bytes given.
    pub actual: u64,
}

/// A Rust type that is the element of a tensor.
pub trait Element: Copy {
    /// The element type it stands for.
    const DTYPE: DType;
    /// From little-endian bytes, exactly as many as the element has.
    fn read(bytes: &[u8]) -> Self;
    /// Puts the little-endian bytes where there is room for exactly one element.
    fn put(self, bytes: &mut [u8]);
}

macro_rules! element {
    ($($rust:ty => $dtype:ident),*) => {$(
        impl Element for $rust {
            const DTYPE: DType = DType::$dtype;
            fn read(bytes: &[u8]) -> Self {
                let mut buffer = [0; size_of::<$rust>()];
                buffer.copy_from_slice(bytes);
                <$rust>::from_le_bytes(buffer)
            }
            fn put(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

element!(u8 => U8, i8 => I8, u16 => U16, i16 => I16, u32 => U32, i32 => I32, u64 => U64, i64 => I64, f16 => F16, bf16 => BF16, f32 => F32, f64 => F64);

impl Element for bool {
    const DTYPE: DType = DType::Bool;
    fn read(bytes: &[u8]) -> bool {
        bytes[0] != 0
    }
    fn put(self, bytes: &mut [u8]) {
        bytes[0] = self as u8;
    }
}

/// Runs `$body` with `$t` being the Rust type of the element type `$dtype`.
macro_rules! for_element {
    ($dtype:expr, $t:ident => $body:expr) => {{
        use ::half::{bf16, f16};
        use ::mlp_bundle::DType;
        match $dtype {
            DType::Bool => {
                type $t = bool;
                $body
            }
            DType::U8 => {
                type $t = u8;
                $body
            }
            DType::I8 => {
                type $t = i8;
                $body
            }
            DType::U16 => {
                type $t = u16;
                $body
            }
            DType::I16 => {
                type $t = i16;
                $body
            }
            DType::U32 => {
                type $t = u32;
                $body
            }
            DType::I32 => {
                type $t = i32;
                $body
            }
            DType::U64 => {
                type $t = u64;
                $body
            }
            DType::I64 => {
                type $t = i64;
                $body
            }
            DType::F16 => {
                type $t = f16;
                $body
            }
            DType::BF16 => {
                type $t = bf16;
                $body
            }
            DType::F32 => {
                type $t = f32;
                $body
            }
            DType::F64 => {
                type $t = f64;
                $body
            }
        }
    }};
}

pub(crate) use for_element;

impl Tensor {
    /// A tensor of these little-endian bytes.
    pub fn new(dtype: DType, shape: Vec<u64>, bytes: Vec<u8>) -> Result<Tensor, TensorSizeError> {
        Tensor::of_shared(dtype, shape, bytes.into())
    }

    /// A tensor of little-endian bytes that it shares with others.
    pub fn of_shared(dtype: DType, shape: Vec<u64>, bytes: Bytes) -> Result<Tensor, TensorSizeError> {
        let expected = shape.iter().try_fold(dtype.size() as u64, |product, &dim| product.checked_mul(dim));
        if expected != Some(bytes.len() as u64) {
            let actual = bytes.len() as u64;
            return Err(TensorSizeError { dtype, shape, expected, actual });
        }
        Ok(Tensor { dtype, shape, bytes })
    }

    /// A tensor of these elements.
    pub fn from_values<T: Element>(shape: &[u64], values: &[T]) -> Result<Tensor, TensorSizeError> {
        let mut bytes = vec![0; std::mem::size_of_val(values)];
        bytes.chunks_exact_mut(size_of::<T>()).zip(values).for_each(|(bytes, value)| value.put(bytes));
        Tensor::new(T::DTYPE, shape.to_vec(), bytes)
    }

    /// An `F32` tensor.
    pub fn from_f32(shape: &[u64], values: &[f32]) -> Result<Tensor, TensorSizeError> {
        Tensor::from_values(shape, values)
    }

    /// An `I32` tensor.
    pub fn from_i32(shape: &[u64], values: &[i32]) -> Result<Tensor, TensorSizeError> {
        Tensor::from_values(shape, values)
    }

    /// An `I64` tensor.
    pub fn from_i64(shape: &[u64], values: &[i64]) -> Result<Tensor, TensorSizeError> {
        Tensor::from_values(shape, values)
    }

    /// A tensor of these values converted to `dtype`, as [`Tensor::scalar_of`] converts.
    pub fn from_f64_as(dtype: DType, shape: &[u64], values: &[f64]) -> Result<Tensor, TensorSizeError> {
        Tensor::new(dtype, shape.to_vec(), values.iter().flat_map(|&value| element_bytes(dtype, value)).collect())
    }

    /// A rank 0 tensor of one Rust value.
    pub fn scalar<T: Element>(value: T) -> Tensor {
        let mut bytes = vec![0; size_of::<T>()];
        value.put(&mut bytes);
        Tensor { dtype: T::DTYPE, shape: Vec::new(), bytes: bytes.into() }
    }

    /// A rank 0 tensor of `value` converted to `dtype` (rounded to the nearest; integers saturate).
    pub fn scalar_of(dtype: DType, value: f64) -> Tensor {
        Tensor { dtype, shape: Vec::new(), bytes: element_bytes(dtype, value).into() }
    }

    /// A tensor whose elements are all `value`, converted as [`Tensor::scalar_of`] does.
    pub fn splat(dtype: DType, shape: &[u64], value: f64) -> Result<Tensor, TensorSizeError> {
        let Some(count) = shape.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim)) else {
            return Err(TensorSizeError { dtype, shape: shape.to_vec(), expected: None, actual: 0 });
        };
        Tensor::new(dtype, shape.to_vec(), element_bytes(dtype, value).repeat(count as usize))
    }

    /// Numbers that look random, the same for the same seed, for tests: multiples of 1/16 in -2..=2 for floats, -32..=32 for signed, 0..=64 for
    /// unsigned integers.
    pub fn noise(dtype: DType, shape: &[u64], seed: u64) -> Result<Tensor, TensorSizeError> {
        let mut state = seed ^ 0x9e3779b97f4a7c15;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 33) % 65) as f64
        };
        let Some(count) = shape.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim)) else {
            return Err(TensorSizeError { dtype, shape: shape.to_vec(), expected: None, actual: 0 });
        };
        let bytes = (0..count).flat_map(|_| {
            let value = match dtype {
                DType::Bool => f64::from(next() > 32.0),
                dtype if dtype.is_float() => (next() - 32.0) / 16.0,
                dtype if dtype.is_signed_int() => next() - 32.0,
                _ => next(),
            };
            element_bytes(dtype, value)
        });
        Tensor::new(dtype, shape.to_vec(), bytes.collect())
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The sizes.
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// True where a dimension is 0.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The little-endian bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The little-endian bytes, to be shared.
    pub fn shared_bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The same elements under another shape with as many.
    pub fn reshaped(&self, shape: &[u64]) -> Result<Tensor, TensorSizeError> {
        let expected = shape.iter().try_fold(self.dtype.size() as u64, |product, &dim| product.checked_mul(dim));
        if expected != Some(self.bytes.len() as u64) {
            return Err(TensorSizeError { dtype: self.dtype, shape: shape.to_vec(), expected, actual: self.bytes.len() as u64 });
        }
        Ok(Tensor { dtype: self.dtype, shape: shape.to_vec(), bytes: self.bytes.clone() })
    }

    /// The elements, if `T` stands for the element type.
    pub fn values<T: Element>(&self) -> Option<Vec<T>> {
        (T::DTYPE == self.dtype).then(|| self.bytes.chunks_exact(self.dtype.size()).map(T::read).collect())
    }

    /// The elements of an `F32` tensor.
    pub fn as_f32(&self) -> Option<Vec<f32>> {
        self.values()
    }

    /// The elements of an `I32` tensor.
    pub fn as_i32(&self) -> Option<Vec<i32>> {
        self.values()
    }

    /// The elements of an `I64` tensor.
    pub fn as_i64(&self) -> Option<Vec<i64>> {
        self.values()
    }

    /// The elements of any tensor as `f64`: exact but for 64-bit integers beyond 2^53.
    pub fn to_f64(&self) -> Vec<f64> {
        for_element!(self.dtype, T => self.bytes.chunks_exact(size_of::<T>()).map(|bytes| T::read(bytes).to_f64()).collect())
    }

    /// The elements of an integer or `Bool` tensor as `i64` (`U64` beyond 2^63 wraps).
    pub fn to_i64(&self) -> Option<Vec<i64>> {
        macro_rules! widen {
            ($($t:ty),*) => { match self.dtype {
                $(<$t as Element>::DTYPE => Some(self.values::<$t>()?.into_iter().map(|value| value as i64).collect()),)*
                _ => None,
            }};
        }
        widen!(bool, u8, i8, u16, i16, u32, i32, u64, i64)
    }

    /// The element at a row-major position, widened to its compute type.
    pub fn get(&self, index: usize) -> Option<Scalar> {
        let size = self.dtype.size();
        let bytes = self.bytes.get(index * size..(index + 1) * size)?;
        Some(match self.dtype {
            DType::Bool => Scalar::Bool(bool::read(bytes)),
            DType::U8 => Scalar::I32(u8::read(bytes).into()),
            DType::I8 => Scalar::I32(i8::read(bytes).into()),
            DType::U16 => Scalar::I32(u16::read(bytes).into()),
            DType::I16 => Scalar::I32(i16::read(bytes).into()),
            DType::U32 => Scalar::U32(u32::read(bytes)),
            DType::I32 => Scalar::I32(i32::read(bytes)),
            DType::U64 => Scalar::U64(u64::read(bytes)),
            DType::I64 => Scalar::I64(i64::read(bytes)),
            DType::F16 => Scalar::f32(f16::read(bytes).into()),
            DType::BF16 => Scalar::f32(bf16::read(bytes).into()),
            DType::F32 => Scalar::f32(f32::read(bytes)),
            DType::F64 => Scalar::f64(f64::read(bytes)),
        })
    }

    /// The value of a tensor with one element, whatever its rank.
    pub fn as_scalar(&self) -> Option<Scalar> {
        if self.len() == 1 { self.get(0) } else { None }
    }

    /// The one value that all elements have, bit for bit. None of an empty tensor.
    pub fn uniform(&self) -> Option<Scalar> {
        let mut elements = self.bytes.chunks_exact(self.dtype.size());
        let first = elements.next()?;
        if elements.all(|element| element == first) { self.get(0) } else { None }
    }
}

/// `value` as one element, rounded to the nearest and saturated.
fn element_bytes(dtype: DType, value: f64) -> Vec<u8> {
    let mut bytes = vec![0; dtype.size()];
    for_element!(dtype, T => T::from_f64_nearest(value).put(&mut bytes));
    bytes
}

/// Conversions between elements and `f64`, for the constructors above.
trait Convert: Element {
    fn to_f64(self) -> f64;
    fn from_f64_nearest(value: f64) -> Self;
}

macro_rules! convert_int {
    ($($t:ty),*) => {$(impl Convert for $t {
        fn to_f64(self) -> f64 {
            self as f64
        }
        fn from_f64_nearest(value: f64) -> Self {
            value.round_ties_even() as $t
        }
    })*};
}
convert_int!(u8, i8, u16, i16, u32, i32, u64, i64);

macro_rules! convert_float {
    ($($t:ty, $from:expr);*) => {$(impl Convert for $t {
        fn to_f64(self) -> f64 {
            f64::from(self)
        }
        fn from_f64_nearest(value: f64) -> Self {
            $from(value)
        }
    })*};
}
convert_float!(f16, f16::from_f64; bf16, bf16::from_f64; f32, |value| value as f32; f64, |value| value);

impl Convert for bool {
    fn to_f64(self) -> f64 {
        f64::from(u8::from(self))
    }
    fn from_f64_nearest(value: f64) -> bool {
        value != 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_survive_the_bytes() {
        let tensor = Tensor::from_f32(&[2, 2], &[1.0, -0.0, f32::INFINITY, 3.5]).unwrap();
        assert_eq!(tensor.as_f32().unwrap(), [1.0, -0.0, f32::INFINITY, 3.5]);
        assert_eq!(tensor.as_i32(), None);
        assert_eq!(tensor.get(3), Some(Scalar::f32(3.5)));
        assert_eq!(tensor.uniform(), None);
        assert_eq!(Tensor::from_values(&[3], &[-1i8, 2, -128]).unwrap().to_i64().unwrap(), [-1, 2, -128]);
        assert_eq!(Tensor::from_values(&[2], &[f16::from_f32(0.5), f16::ONE]).unwrap().to_f64(), [0.5, 1.0]);
    }

    #[test]
    fn a_wrong_number_of_elements_is_refused() {
        assert!(Tensor::from_i32(&[2, 2], &[1, 2, 3]).is_err());
        assert!(Tensor::new(DType::F32, vec![u64::MAX, 2], Vec::new()).is_err());
        assert!(Tensor::splat(DType::F32, &[u64::MAX, 2], 0.0).is_err());
        assert!(Tensor::scalar(1i64).reshaped(&[2]).is_err());
    }

    #[test]
    fn splats_saturate_and_are_uniform() {
        for dtype in DType::ALL {
            let tensor = Tensor::splat(dtype, &[3], 1.0).unwrap();
            assert_eq!(tensor.to_f64(), [1.0; 3], "{dtype}");
            assert_eq!(tensor.uniform(), tensor.get(0), "{dtype}");
        }
        assert_eq!(Tensor::scalar_of(DType::U8, 300.0).as_scalar(), Some(Scalar::I32(255)));
        assert_eq!(Tensor::scalar_of(DType::I8, -2.5).as_scalar(), Some(Scalar::I32(-2)));
    }
}
