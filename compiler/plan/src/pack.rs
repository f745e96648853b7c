//! Weights in the order that contractions read them ([`mlp_bundle::loops::Contract`]).

use mlp_bundle::DType;
use mlp_bundle::loops::PANEL;
use mlp_graph::Tensor;
use std::borrow::Cow;

/// How the weights of one group lie in their tensor: element `(output, input, tap)` is at `first + output * strides[0] + input * strides[1] + tap * strides[2]`.
pub(crate) struct Weights {
    pub(crate) outputs: u64,
    pub(crate) inputs: u64,
    pub(crate) taps: u64,
    pub(crate) first: u64,
    pub(crate) strides: [u64; 3],
}

/// The weights `[outputs, inputs, taps...]` of a convolution of `groups`, `count` of which are made one: an output has weights of zero for the inputs of the others.
pub(crate) fn joined(tensor: &Tensor, groups: u64, count: u64) -> Cow<'_, Tensor> {
    if count == 1 {
        return Cow::Borrowed(tensor);
    }
    let mut shape = tensor.shape().to_vec();
    // The bytes of an output's weights, before and after.
    let [own, all] = [1, count].map(|count| shape[1..].iter().product::<u64>() as usize * count as usize * tensor.dtype().size());
    let per_group = (shape[0] / groups) as usize;
    let mut bytes = vec![0; shape[0] as usize * all];
    for (output, (to, from)) in bytes.chunks_exact_mut(all).zip(tensor.bytes().chunks_exact(own)).enumerate() {
        let place = output / per_group % count as usize * own;
        to[place..place + own].copy_from_slice(from);
    }
    shape[1] *= count;
    Cow::Owned(Tensor::new(tensor.dtype(), shape, bytes).expect("as many bytes as elements"))
}

/// How many outputs each of several kernels makes, a multiple of [`PANEL`] unless one makes all, so that none of them reads more than `most` bytes of [`panels`].
pub(crate) fn outputs_within(most: u64, weights: &Weights, dtype: DType) -> u64 {
    let inputs = if dtype == DType::F32 { weights.inputs } else { weights.inputs.next_multiple_of(4) };
    let panel = weights.taps * inputs * u64::from(PANEL) * dtype.size() as u64;
    let panels = weights.outputs.div_ceil(u64::from(PANEL));
    let parts = panels.div_ceil((most / panel.max(1)).max(1));
    if parts <= 1 { weights.outputs } else { panels.div_ceil(parts) * u64::from(PANEL) }
}

/// Appends `[ceil(outputs/16)][taps][inputs][16]` of floats, `[ceil(outputs/16)][taps][ceil(inputs/4)][16][4]` of bytes: contractions take no other elements.
pub(crate) fn panels(tensor: &Tensor, weights: &Weights, file: &mut Vec<u8>) {
    match tensor.dtype() {
        DType::F32 => panels_of::<4, 1>(tensor.bytes(), weights, file),
        dtype => {
            debug_assert_eq!(dtype.size(), 1);
            panels_of::<1, 4>(tensor.bytes(), weights, file);
        }
    }
}

/// Panels of elements of `SIZE` bytes, `DEPTH` inputs side by side. They are written in order, a block of 16 outputs at a time.
fn panels_of<const SIZE: usize, const DEPTH: usize>(from: &[u8], weights: &Weights, file: &mut Vec<u8>) {
    const LANES: usize = PANEL as usize;
    let (outputs, inputs, taps) = (weights.outputs as usize, weights.inputs as usize, weights.taps as usize);
    let [by_output, by_input, by_tap] = weights.strides.map(|stride| stride as usize);
    let quads = inputs.div_ceil(DEPTH);
    let packed = room(file, outputs.div_ceil(LANES) * taps * quads * LANES * DEPTH * SIZE);
    let mut blocks = packed.chunks_exact_mut(LANES * DEPTH * SIZE);
    for (panel, tap) in (0..outputs.div_ceil(LANES)).flat_map(|panel| (0..taps).map(move |tap| (panel, tap))) {
        let lanes = LANES.min(outputs - panel * LANES);
        let first = weights.first as usize + panel * LANES * by_output + tap * by_tap;
        for (quad, block) in (0..quads).zip(&mut blocks) {
            let deep = DEPTH.min(inputs - quad * DEPTH);
            for (lane, elements) in block.chunks_exact_mut(DEPTH * SIZE).take(lanes).enumerate() {
                for (input, to) in elements.chunks_exact_mut(SIZE).take(deep).enumerate() {
                    let element = (first + lane * by_output + (quad * DEPTH + input) * by_input) * SIZE;
                    to.copy_from_slice(&from[element..element + SIZE]);
                }
            }
        }
    }
}

/// So many more bytes of a file, all zero.
fn room(file: &mut Vec<u8>, bytes: usize) -> &mut [u8] {
    let start = file.len();
    file.resize(start + bytes, 0);
    &mut file[start..]
}

/// Appends `[taps][ceil(channels/16)*16]` of `[channels, 1, taps...]`.
pub(crate) fn depthwise(tensor: &Tensor, file: &mut Vec<u8>) {
    let size = tensor.dtype().size();
    let channels = tensor.shape()[0] as usize;
    let taps = tensor.shape()[1..].iter().product::<u64>() as usize;
    let padded = channels.next_multiple_of(PANEL as usize);
    let packed = room(file, taps * padded * size);
    for channel in 0..channels {
        for tap in 0..taps {
            let from = (channel * taps + tap) * size;
            let to = (tap * padded + channel) * size;
            packed[to..to + size].copy_from_slice(&tensor.bytes()[from..from + size]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a function appends to a file, which is not empty.
    fn appended(pack: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut file = vec![9; 3];
        pack(&mut file);
        assert_eq!(file[..3], [9; 3]);
        file.split_off(3)
    }

    #[test]
    fn float_panels_put_sixteen_outputs_side_by_side() {
        // 18 outputs, 2 inputs, 3 taps; each weight says where it came from.
        let values: Vec<f32> = (0..18 * 2 * 3).map(|i| i as f32).collect();
        let tensor = Tensor::from_f32(&[18, 2, 3], &values).unwrap();
        let weights = Weights { outputs: 18, inputs: 2, taps: 3, first: 0, strides: [6, 3, 1] };
        let packed = appended(|file| panels(&tensor, &weights, file));
        let at = |panel: usize, tap: usize, input: usize, lane: usize| {
            let index = ((panel * 3 + tap) * 2 + input) * 16 + lane;
            f32::from_le_bytes(packed[index * 4..index * 4 + 4].try_into().unwrap())
        };
        assert_eq!(packed.len(), 2 * 3 * 2 * 16 * 4);
        assert_eq!(at(0, 2, 1, 5), (5 * 6 + 3 + 2) as f32);
        assert_eq!(at(1, 0, 1, 1), (17 * 6 + 3) as f32);
        assert_eq!(at(1, 2, 1, 2), 0.0);
    }

    #[test]
    fn byte_panels_put_four_inputs_side_by_side() {
        // A matrix [K = 5, N = 3].
        let values: Vec<i8> = (1..=15).collect();
        let tensor = Tensor::from_values(&[5, 3], &values).unwrap();
        let matrix = Weights { outputs: 3, inputs: 5, taps: 1, first: 0, strides: [1, 3, 0] };
        let packed = appended(|file| panels(&tensor, &matrix, file));
        assert_eq!(packed.len(), 2 * 16 * 4);
        // Input 4, output 2: the second quad, lane 2, first byte.
        assert_eq!(packed[(16 + 2) * 4], 15);
        assert_eq!(&packed[4..8], &[2, 5, 8, 11]);
        assert_eq!(packed[(16 + 2) * 4 + 1], 0);
    }

    #[test]
    fn depthwise_weights_put_channels_side_by_side() {
        let values: Vec<i8> = (0..17 * 2).collect();
        let tensor = Tensor::from_values(&[17, 1, 2], &values).unwrap();
        let packed = appended(|file| depthwise(&tensor, file));
        assert_eq!(packed.len(), 2 * 32);
        assert_eq!((packed[16], packed[32 + 16], packed[17]), (32, 33, 0));
    }

    #[test]
    fn joined_groups_have_zeros_beside_their_own_weights() {
        // Four groups of one output each over two inputs and two taps.
        let values: Vec<i8> = (1..=16).collect();
        let tensor = Tensor::from_values(&[4, 2, 2], &values).unwrap();
        let pairs = joined(&tensor, 4, 2);
        assert_eq!(pairs.shape(), [4, 4, 2]);
        assert_eq!(&pairs.bytes()[..16], &[1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 5, 6, 7, 8]);
        assert_eq!(&pairs.bytes()[16..], &[9, 10, 11, 12, 0, 0, 0, 0, 0, 0, 0, 0, 13, 14, 15, 16]);
        assert!(matches!(joined(&tensor, 4, 1), Cow::Borrowed(_)));
    }

    #[test]
    fn kernels_read_no_more_than_they_may() {
        let matrix = |outputs| Weights { outputs, inputs: 5, taps: 2, first: 0, strides: [1; 3] };
        // A panel of floats has 2 * 5 * 16 * 4 bytes, one of bytes 2 * 8 * 16.
        assert_eq!(outputs_within(3 * 640, &matrix(48), DType::F32), 48);
        assert_eq!(outputs_within(3 * 640 - 1, &matrix(48), DType::F32), 32);
        assert_eq!(outputs_within(2 * 640, &matrix(97), DType::F32), 32);
        assert_eq!(outputs_within(3 * 640, &matrix(97), DType::F32), 48);
        assert_eq!(outputs_within(0, &matrix(20), DType::F32), 16);
        assert_eq!(outputs_within(2 * 256, &matrix(33), DType::I8), 32);
        assert_eq!(outputs_within(3 * 256, &matrix(33), DType::I8), 33);
    }
}
