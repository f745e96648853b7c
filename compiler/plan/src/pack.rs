//! Weights in the order that contractions read them ([`mlp_bundle::loops::Contract`]).

use mlp_bundle::DType;
use mlp_bundle::loops::PANEL;
use mlp_graph::Tensor;

/// How the weights of one group lie in their tensor: element `(output, input, tap)` is at `first + output * strides[0] + input * strides[1] + tap * strides[2]`.
pub(crate) struct Weights {
    pub(crate) outputs: u64,
    pub(crate) inputs: u64,
    pub(crate) taps: u64,
    pub(crate) first: u64,
    pub(crate) strides: [u64; 3],
}

/// `[ceil(outputs/16)][taps][inputs][16]` for floats, `[ceil(outputs/16)][taps][ceil(inputs/4)][16][4]` for bytes.
pub(crate) fn panels(tensor: &Tensor, weights: &Weights) -> Vec<u8> {
    let size = tensor.dtype().size();
    let depth = if tensor.dtype() == DType::F32 { 1 } else { 4 };
    let panel = u64::from(PANEL);
    let quads = weights.inputs.div_ceil(depth);
    let mut packed = vec![0u8; (weights.outputs.div_ceil(panel) * weights.taps * quads * panel * depth) as usize * size];
    for output in 0..weights.outputs {
        for input in 0..weights.inputs {
            for tap in 0..weights.taps {
                let [by_output, by_input, by_tap] = weights.strides;
                let from = (weights.first + output * by_output + input * by_input + tap * by_tap) as usize * size;
                let quad = (output / panel * weights.taps + tap) * quads + input / depth;
                let to = ((quad * panel + output % panel) * depth + input % depth) as usize * size;
                packed[to..to + size].copy_from_slice(&tensor.bytes()[from..from + size]);
            }
        }
    }
    packed
}

/// `[taps][ceil(channels/16)*16]` from `[channels, 1, taps...]`.
pub(crate) fn depthwise(tensor: &Tensor) -> Vec<u8> {
    let size = tensor.dtype().size();
    let channels = tensor.shape()[0] as usize;
    let taps = tensor.shape()[1..].iter().product::<u64>() as usize;
    let padded = channels.next_multiple_of(PANEL as usize);
    let mut packed = vec![0u8; taps * padded * size];
    for channel in 0..channels {
        for tap in 0..taps {
            let from = (channel * taps + tap) * size;
            let to = (tap * padded + channel) * size;
            packed[to..to + size].copy_from_slice(&tensor.bytes()[from..from + size]);
        }
    }
    packed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn float_panels_put_sixteen_outputs_side_by_side() {
        // 18 outputs, 2 inputs, 3 taps; each weight says where it came from.
        let values: Vec<f32> = (0..18 * 2 * 3).map(|i| i as f32).collect();
        let tensor = Tensor::from_f32(&[18, 2, 3], &values).unwrap();
        let weights = Weights { outputs: 18, inputs: 2, taps: 3, first: 0, strides: [6, 3, 1] };
        let packed = panels(&tensor, &weights);
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
        let packed = panels(&tensor, &Weights { outputs: 3, inputs: 5, taps: 1, first: 0, strides: [1, 3, 0] });
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
        let packed = depthwise(&tensor);
        assert_eq!(packed.len(), 2 * 32);
        assert_eq!((packed[16], packed[32 + 16], packed[17]), (32, 33, 0));
    }
}
