//! Transposed convolution, as a convolution that makes all phases of the strides at once.
//!
//! Along one axis `y[o] = sum over i, k with i * s + k = o + pad of x[i] * w[k]`. With `o + pad = s * q + r`, only `k = r + s * t` take part, where `t = q - i`: so
//! phase `r` is a convolution of `x` with every `s`-th weight, turned around. All phases are channels of one convolution of stride 1; they are then laid side by
//! side, and what padding cuts is cut. Nothing is multiplied by inserted zeros but where the stride does not divide the taps.

use super::Row;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid};
use mlp_graph::op::{BinaryOp, Layout, Spatial};
use mlp_graph::{Op, ValueId};

pub(super) const TABLE: &[Row] = &[("", "ConvTranspose", conv_transpose)];

/// No size, stride, dilation or padding may be greater, so that sums and products of a few stay far from overflow.
const LIMIT: i64 = 1 << 24;

/// One spatial axis.
struct Axis {
    size: u64,
    /// Taps once dilation has put zeros between them.
    taps: u64,
    stride: u64,
    dilation: u64,
    /// Elements cut off the front.
    cut: u64,
    output: u64,
}

impl Axis {
    /// Positions that the phases together lack of the result.
    fn missing(&self) -> u64 {
        (self.cut + self.output).saturating_sub(self.stride * (self.size + self.phase() - 1))
    }

    /// Taps of a phase.
    fn phase(&self) -> u64 {
        self.taps.div_ceil(self.stride)
    }
}

fn conv_transpose(node: &mut NodeImport<'_>) -> Imported {
    let (x, weights, bias) = (node.input(0)?, node.input(1)?, node.optional(2));
    let (sizes, dims) = (node.dims(x), node.dims(weights));
    if sizes.len() < 3 || dims.len() != sizes.len() || sizes[1] != dims[0] {
        return invalid(format!("input of shape {sizes:?} and weights of shape {dims:?} do not fit"));
    }
    let groups = node.attributes.int("group")?.unwrap_or(1);
    let groups = u64::try_from(groups).ok().filter(|&groups| groups > 0 && dims[0] % groups == 0);
    let Some(groups) = groups else { return invalid("attribute `group` does not divide the channels") };
    if sizes.iter().chain(&dims).any(|&size| size == 0 || size as i64 > LIMIT) {
        return invalid(format!("input of shape {sizes:?} and weights of shape {dims:?} are out of range"));
    }
    let axes = axes(node, &sizes[2..], &dims[2..])?;
    let phases = phase_weights(node, weights, &dims, groups, &axes)?;
    let reach: Vec<u64> = axes.iter().map(|axis| axis.phase() - 1).collect();
    let spatial = Spatial {
        kernel: axes.iter().map(Axis::phase).collect(),
        strides: vec![1; axes.len()],
        dilations: vec![1; axes.len()],
        pads_begin: reach.clone(),
        pads_end: reach,
    };
    let outputs = dims[1] * groups;
    // A bias goes into the sums, unless some results have none.
    let (early, late) = if axes.iter().all(|axis| axis.missing() == 0) { (bias, None) } else { (None, bias) };
    let mut operands = vec![x, phases];
    if let Some(bias) = early {
        let steps: u64 = axes.iter().map(|axis| axis.stride).product();
        let column = node.reshape(bias, &[outputs, 1])?;
        let repeated = node.broadcast(column, &[outputs, steps])?;
        operands.push(node.reshape(repeated, &[outputs * steps])?);
    }
    let sums = node.emit(Op::Conv { spatial, groups, layout: Layout::ChannelsFirst }, &operands)?;
    let mut y = interleaved(node, sums, sizes[0], outputs, &axes)?;
    if let Some(bias) = late {
        let mut shape = vec![outputs];
        shape.resize(axes.len() + 1, 1);
        let bias = node.reshape(bias, &shape)?;
        y = node.binary(BinaryOp::Add, y, bias)?;
    }
    Ok(vec![y])
}

/// Reads the window attributes.
fn axes(node: &NodeImport<'_>, sizes: &[u64], kernel: &[u64]) -> Result<Vec<Axis>, Problem> {
    let rank = sizes.len();
    let list = |name: &str, count: usize, default: i64, least: i64| -> Result<Vec<i64>, Problem> {
        let values = node.attributes.ints(name)?.map_or_else(|| vec![default; count], <[i64]>::to_vec);
        if values.len() != count || values.iter().any(|value| !(least..=LIMIT).contains(value)) {
            return invalid(format!("attribute `{name}` is {values:?}"));
        }
        Ok(values)
    };
    if let Some(declared) = node.attributes.ints("kernel_shape")?
        && !declared.iter().map(|&size| u64::try_from(size).ok()).eq(kernel.iter().map(|&size| Some(size)))
    {
        return invalid(format!("kernel_shape is {declared:?}, but the weights have {kernel:?} taps"));
    }
    let (strides, dilations) = (list("strides", rank, 1, 1)?, list("dilations", rank, 1, 1)?);
    let (pads, extra) = (list("pads", 2 * rank, 0, 0)?, list("output_padding", rank, 0, 0)?);
    let auto = node.attributes.string("auto_pad")?.unwrap_or("NOTSET");
    let wanted = match node.attributes.ints("output_shape")? {
        // Some files give batch and channels too.
        Some(shape) if shape.len() >= rank => Some(shape[shape.len() - rank..].to_vec()),
        Some(shape) => return invalid(format!("output_shape is {shape:?}")),
        None if auto.starts_with("SAME") => Some(sizes.iter().zip(&strides).map(|(&size, stride)| size as i64 * stride).collect()),
        None => None,
    };
    let axis = |index: usize| {
        let (size, stride) = (sizes[index] as i64, strides[index]);
        let taps = (kernel[index] as i64 - 1) * dilations[index] + 1;
        let whole = stride * (size - 1) + extra[index] + taps;
        let (before, after) = match &wanted {
            Some(wanted) => {
                let total = (whole - wanted[index]).max(0);
                if auto == "SAME_UPPER" { (total / 2, total - total / 2) } else { (total - total / 2, total / 2) }
            }
            None if auto == "VALID" => (0, 0),
            None => (pads[index], pads[rank + index]),
        };
        let output = wanted.as_ref().map_or(whole - before - after, |wanted| wanted[index]);
        if !(1..=LIMIT).contains(&output) || before > whole {
            return invalid(format!("spatial axis {index} would have {output} elements"));
        }
        let [size, taps, stride, dilation, cut, output] = [size, taps, stride, dilations[index], before, output].map(|value| value as u64);
        Ok(Axis { size, taps, stride, dilation, cut, output })
    };
    (0..rank).map(axis).collect()
}

/// Weights `[C, O / groups, taps...]` as those of the convolution that makes all phases: `[groups * O / groups * phases..., C / groups, taps of a phase...]`.
fn phase_weights(node: &mut NodeImport<'_>, weights: ValueId, dims: &[u64], groups: u64, axes: &[Axis]) -> One {
    let mut shape = vec![groups, dims[0] / groups, dims[1]];
    let mut weights = weights;
    let zero = node.scalar(node.dtype(weights), 0.0);
    let padded = |node: &mut NodeImport<'_>, value: ValueId, after: Vec<u64>| -> One {
        if after.iter().all(|&count| count == 0) {
            return Ok(value);
        }
        node.emit(Op::Pad { before: vec![0; after.len()], after }, &[value, zero])
    };
    for (index, axis) in axes.iter().enumerate() {
        if axis.dilation > 1 {
            // Each tap is followed by zeros, those after the last cut off.
            let (kept, at) = (node.dims(weights), index + 2);
            let mut split = kept.clone();
            split.insert(at + 1, 1);
            let mut after = vec![0; split.len()];
            after[at + 1] = axis.dilation - 1;
            let spread = node.reshape(weights, &split)?;
            let spread = padded(node, spread, after)?;
            let mut joined = kept.clone();
            joined[at] *= axis.dilation;
            let joined = node.reshape(spread, &joined)?;
            let mut counts = kept;
            counts[at] = axis.taps;
            weights = node.slice(joined, vec![0; counts.len()], vec![1; counts.len()], &counts)?;
        }
    }
    let after = axes.iter().map(|axis| axis.phase() * axis.stride - axis.taps);
    let after = [0, 0].into_iter().chain(after).collect();
    weights = padded(node, weights, after)?;
    // Tap `k = r + s * t` at `[t, r]`; the convolution walks `t` downwards.
    axes.iter().for_each(|axis| shape.extend([axis.phase(), axis.stride]));
    weights = node.reshape(weights, &shape)?;
    let is_tap = |position: usize| position >= 3 && position % 2 == 1;
    let starts = shape.iter().enumerate().map(|(position, &size)| if is_tap(position) { size as i64 - 1 } else { 0 }).collect();
    let steps = (0..shape.len()).map(|position| if is_tap(position) && shape[position] > 1 { -1 } else { 1 }).collect();
    weights = node.slice(weights, starts, steps, &shape)?;
    let phases = (0..axes.len()).map(|axis| 4 + 2 * axis);
    let taps = (0..axes.len()).map(|axis| 3 + 2 * axis);
    let perm: Vec<usize> = [0, 2].into_iter().chain(phases).chain([1]).chain(taps).collect();
    weights = node.transpose(&perm, weights)?;
    let steps: u64 = axes.iter().map(|axis| axis.stride).product();
    let mut flat = vec![groups * dims[1] * steps, dims[0] / groups];
    flat.extend(axes.iter().map(Axis::phase));
    node.reshape(weights, &flat)
}

/// Phases, which are channels, laid side by side: `[N, O * phases..., positions...]` as `[N, O, outputs...]`.
fn interleaved(node: &mut NodeImport<'_>, sums: ValueId, batch: u64, outputs: u64, axes: &[Axis]) -> One {
    let positions: Vec<u64> = axes.iter().map(|axis| axis.size + axis.phase() - 1).collect();
    let mut split = vec![batch, outputs];
    split.extend(axes.iter().map(|axis| axis.stride));
    split.extend(&positions);
    let split = node.reshape(sums, &split)?;
    let perm: Vec<usize> = [0, 1].into_iter().chain((0..axes.len()).flat_map(|axis| [2 + axes.len() + axis, 2 + axis])).collect();
    let turned = node.transpose(&perm, split)?;
    let mut whole = vec![batch, outputs];
    whole.extend(axes.iter().zip(&positions).map(|(axis, positions)| axis.stride * positions));
    let mut y = node.reshape(turned, &whole)?;
    // Output padding may reach past the last phase, where nothing adds up to anything.
    let missing: Vec<u64> = axes.iter().map(Axis::missing).collect();
    if missing.iter().any(|&count| count > 0) {
        let after: Vec<u64> = [0, 0].into_iter().chain(missing).collect();
        let zero = node.scalar(node.dtype(y), 0.0);
        y = node.emit(Op::Pad { before: vec![0; after.len()], after }, &[y, zero])?;
    }
    let starts: Vec<i64> = [0, 0].into_iter().chain(axes.iter().map(|axis| axis.cut as i64)).collect();
    let counts: Vec<u64> = [batch, outputs].into_iter().chain(axes.iter().map(|axis| axis.output)).collect();
    node.slice(y, starts, vec![1; counts.len()], &counts)
}
