//! Where a value lies: a buffer, or a strided part of one.

use mlp_bundle::DType;
use mlp_bundle::loops::BufferId;

/// One dimension of a [`Location`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dim {
    /// Positions.
    pub(crate) extent: u64,
    /// Elements from one to the next.
    pub(crate) stride: u64,
}

/// The elements of a value: element `i` is at `offset + sum(i_d * stride_d)` of the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// The buffer.
    pub(crate) buffer: BufferId,
    /// Its element type.
    pub(crate) dtype: DType,
    /// The first element.
    pub(crate) offset: u64,
    /// The value's dimensions.
    pub(crate) dims: Vec<Dim>,
}

/// Row-major strides of a shape.
pub(crate) fn strides(shape: &[u64]) -> Vec<u64> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}

impl Location {
    /// All of a buffer, row-major.
    pub(crate) fn dense(buffer: BufferId, dtype: DType, shape: &[u64]) -> Location {
        let dims = shape.iter().zip(strides(shape)).map(|(&extent, stride)| Dim { extent, stride }).collect();
        Location { buffer, dtype, offset: 0, dims }
    }

    /// The sizes.
    pub(crate) fn shape(&self) -> Vec<u64> {
        self.dims.iter().map(|dim| dim.extent).collect()
    }

    /// Whether the elements lie one after another in row-major order.
    pub(crate) fn is_dense(&self) -> bool {
        self.pixel_stride(self.dims.len()).is_none_or(|stride| stride == 1)
    }

    /// The one stride over which the first `count` dimensions are dense: none where all have size 1, or `Some(0)` where there is no such stride.
    pub(crate) fn pixel_stride(&self, count: usize) -> Option<u64> {
        let mut step = None;
        let mut next = 0;
        for dim in self.dims[..count].iter().rev().filter(|dim| dim.extent != 1) {
            match step {
                None => step = Some(dim.stride),
                Some(_) if dim.stride != next => return Some(0),
                Some(_) => {}
            }
            next = dim.stride * dim.extent;
        }
        step
    }

    /// The same elements under another shape, where strides can say so.
    pub(crate) fn reshaped(&self, shape: &[u64]) -> Option<Location> {
        if shape.iter().chain(&self.shape()).any(|&size| size == 0) {
            return None;
        }
        // Dimensions that are dense over the next one are joined; each result dimension is then split off one joined dimension.
        let mut joined: Vec<Dim> = Vec::new();
        for dim in self.dims.iter().filter(|dim| dim.extent != 1) {
            match joined.last_mut() {
                Some(last) if last.stride == dim.stride * dim.extent => {
                    *last = Dim { extent: last.extent * dim.extent, stride: dim.stride }
                }
                _ => joined.push(*dim),
            }
        }
        let mut dims = vec![Dim { extent: 1, stride: 0 }; shape.len()];
        for (axis, &size) in shape.iter().enumerate().rev() {
            if size == 1 {
                dims[axis] = Dim { extent: 1, stride: joined.last().map_or(1, |last| last.stride) };
                continue;
            }
            let last = joined.last_mut()?;
            if last.extent % size != 0 {
                return None;
            }
            dims[axis] = Dim { extent: size, stride: last.stride };
            *last = Dim { extent: last.extent / size, stride: last.stride * size };
            if last.extent == 1 {
                joined.pop();
            }
        }
        Some(Location { dims, ..self.clone() })
    }

    /// The axes in another order.
    pub(crate) fn transposed(&self, perm: &[u32]) -> Location {
        Location { dims: perm.iter().map(|&axis| self.dims[axis as usize]).collect(), ..self.clone() }
    }

    /// A part along every axis; none where a step is negative.
    pub(crate) fn sliced(&self, starts: &[i64], steps: &[i64], shape: &[u64]) -> Option<Location> {
        let mut result = self.clone();
        for (axis, dim) in result.dims.iter_mut().enumerate() {
            result.offset += dim.stride * u64::try_from(starts[axis]).ok()?;
            *dim = Dim { extent: shape[axis], stride: dim.stride * u64::try_from(steps[axis]).ok()? };
        }
        Some(result)
    }

    /// The part of `size` positions from `start` along an axis.
    pub(crate) fn part(&self, axis: usize, start: u64, size: u64) -> Location {
        let mut result = self.clone();
        result.offset += start * result.dims[axis].stride;
        result.dims[axis].extent = size;
        result
    }
}
