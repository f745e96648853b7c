//! A dense constant or value: element type, sizes and little-endian bytes.

use mlp_bundle::DType;
use std::sync::Arc;

/// A dense row-major tensor. Cloning shares the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<u64>,
    bytes: Arc<Vec<u8>>,
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

impl Tensor {
    /// A tensor of these little-endian bytes.
    pub fn new(dtype: DType, shape: Vec<u64>, bytes: Vec<u8>) -> Result<Tensor, TensorSizeError> {
        let expected = shape.iter().try_fold(dtype.size() as u64, |product, &dim| product.checked_mul(dim));
        if expected != Some(bytes.len() as u64) {
            let actual = bytes.len() as u64;
            return Err(TensorSizeError { dtype, shape, expected, actual });
        }
        Ok(Tensor { dtype, shape, bytes: Arc::new(bytes) })
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
}
