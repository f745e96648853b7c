//! Weights of a few bits, packed into bytes, with a scale for every block of them.

use super::DOMAIN;
use crate::onnx::narrow::Narrow;
use crate::onnx::node::{Imported, NodeImport, One, Problem, invalid, unsupported};
use crate::onnx::ops::Row;
use crate::onnx::ops::gather::resolved;
use mlp_graph::op::{BinaryOp, CompareOp};
use mlp_graph::{DType, Op, Tensor, ValueId};

pub(super) const TABLE: &[Row] = &[(DOMAIN, "GatherBlockQuantized", gather_blocks), (DOMAIN, "MatMulNBits", matmul_bits)];

/// What `bits` bits stand for: numbers from 0 up.
const fn narrow(bits: u32) -> Narrow {
    Narrow::Integer { bits, signed: false }
}

/// The attribute `bits`.
fn bits(node: &NodeImport<'_>) -> Result<u32, Problem> {
    match node.attributes.int("bits")?.unwrap_or(4) {
        bits @ (2 | 4 | 8) => Ok(bits as u32),
        other => unsupported(format!("weights of {other} bits; 2, 4 and 8 are supported")),
    }
}

/// The attribute `block_size`: a power of two from 16 up.
fn block_size(node: &NodeImport<'_>, default: i64) -> Result<u64, Problem> {
    match node.attributes.int("block_size")?.unwrap_or(default) {
        block @ 16.. if block.count_ones() == 1 && block <= 1 << 20 => Ok(block as u64),
        other => invalid(format!("block_size is {other}, but must be a power of two, 16 or more")),
    }
}

/// The bytes of an input that must be known while compiling.
fn packed_bytes(node: &NodeImport<'_>, value: ValueId, what: &str) -> Result<Tensor, Problem> {
    // That it is missing is said as it is for other values.
    let Some(tensor) = node.builder.known(value) else { return node.known_integers(value, what).and_then(|_| invalid(what)) };
    match tensor.dtype() {
        DType::U8 | DType::I8 => Ok(tensor.clone()),
        other => invalid(format!("{what} have the element type {other}, but must be bytes")),
    }
}

/// `A x B^T` with `B [N, K]` of a few bits: inputs `A, B [N, blocks, bytes], scales [N, blocks], zero_points, g_idx, bias`.
fn matmul_bits(node: &mut NodeImport<'_>) -> Imported {
    if node.optional(4).is_some() {
        return unsupported("g_idx: blocks in another order; quantize the model without it");
    }
    if node.attributes.int("weight_prepacked")?.unwrap_or(0) != 0 {
        return unsupported(
            "weights in the layout of one graphics processor (weight_prepacked); quantize the model with weight_prepacked = 0",
        );
    }
    // It bounds how the input may be rounded, which it is not here.
    node.attributes.int("accuracy_level")?;
    let weights = block_weights(node)?;
    let a = node.input(0)?;
    let dtype = node.dtype(a);
    let a = node.cast(DType::F32, a)?;
    let turned = node.transpose(&[1, 0], weights)?;
    let mut y = node.emit(Op::MatMul, &[a, turned])?;
    if let Some(bias) = node.optional(5) {
        let bias = node.cast(DType::F32, bias)?;
        y = node.binary(BinaryOp::Add, y, bias)?;
    }
    Ok(vec![node.cast(dtype, y)?])
}

/// The weights of `MatMulNBits` in `F32`, `[N, K]`.
fn block_weights(node: &mut NodeImport<'_>) -> One {
    let size = |name: &str| match node.attributes.int(name)? {
        Some(size @ 1..) => Ok(size as u64),
        other => invalid(format!("attribute `{name}` must be a positive number, not {other:?}")),
    };
    let (k, n) = (size("K")?, size("N")?);
    let (bits, block) = (bits(node)?, block_size(node, 0)?);
    let blocks = k.div_ceil(block);
    let numbers = n.checked_mul(blocks).and_then(|count| count.checked_mul(block));
    let packed = packed_bytes(node, node.input(1)?, "the weights")?;
    if numbers != Some(packed.bytes().len() as u64 * u64::from(8 / bits)) {
        return invalid(format!(
            "weights of shape {:?} are no {n} rows of {blocks} blocks of {block} numbers of {bits} bits",
            packed.shape()
        ));
    }
    let shape = [n, blocks * block];
    let data =
        Tensor::new(DType::U8, shape.to_vec(), narrow(bits).unpack(packed.bytes(), usize::MAX)).map_err(|error| error.to_string())?;
    let data = node.constant(data);
    let scales = node.input(2)?;
    let scales = node.reshape(scales, &[n, blocks])?;
    let scales = node.cast(DType::F32, scales)?;
    let half = f64::from(1u32 << (bits - 1));
    let weights = match node.optional(3) {
        Some(zeros) if node.dtype(zeros).is_float() => {
            let zeros = node.reshape(zeros, &[n, blocks, 1])?;
            let zeros = node.cast(DType::F32, zeros)?;
            let data = node.cast(DType::F32, data)?;
            let data = node.reshape(data, &[n, blocks, block])?;
            let centred = node.binary(BinaryOp::Sub, data, zeros)?;
            let scales = node.reshape(scales, &[n, blocks, 1])?;
            let scaled = node.binary(BinaryOp::Mul, centred, scales)?;
            node.reshape(scaled, &shape)?
        }
        zeros => {
            let zeros = match zeros {
                Some(zeros) => packed_zeros(node, zeros, [n, blocks], bits)?,
                None => {
                    let half = node.scalar(DType::U8, half);
                    node.broadcast(half, &[n, blocks])?
                }
            };
            node.emit(Op::Dequantize { axis: 1 }, &[data, scales, zeros])?
        }
    };
    node.slice(weights, vec![0, 0], vec![1, 1], &[n, k])
}

/// Zero points of a few bits, each row starting with a byte of its own.
fn packed_zeros(node: &mut NodeImport<'_>, zeros: ValueId, [n, blocks]: [u64; 2], bits: u32) -> One {
    let packed = packed_bytes(node, zeros, "the zero points")?;
    let row = (blocks * u64::from(bits)).div_ceil(8);
    if n.checked_mul(row) != Some(packed.bytes().len() as u64) {
        return invalid(format!("zero points of shape {:?} are no {n} rows of {blocks} numbers of {bits} bits", packed.shape()));
    }
    let rows = packed.bytes().chunks_exact(row as usize);
    let numbers = rows.flat_map(|row| narrow(bits).unpack(row, blocks as usize)).collect();
    let tensor = Tensor::new(DType::U8, vec![n, blocks], numbers).map_err(|error| error.to_string())?;
    Ok(node.constant(tensor))
}

/// Rows of a table of a few bits, dequantized after they are gathered, so that the table stays as small as it is: inputs `data, indices, scales, zero_points`.
fn gather_blocks(node: &mut NodeImport<'_>) -> Imported {
    let (data, indices, scales) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let rank = node.rank(data);
    let gather_axis = node.axis(node.attributes.int("gather_axis")?.unwrap_or(0), rank)?;
    let block_axis = node.axis(node.attributes.int("quantize_axis")?.unwrap_or(1), rank)?;
    let (bits, block) = (bits(node)?, block_size(node, 128)?);
    if gather_axis == block_axis {
        return unsupported("blocks along the axis that is gathered from");
    }
    let Table { data, zeros } = table(node, data, scales, bits)?;
    let dtype = node.dtype(scales);
    let (dims, counts) = (node.dims(data), node.dims(scales));
    let blocks = dims[block_axis].div_ceil(block);
    let fits = (0..rank).all(|axis| counts.get(axis) == Some(if axis == block_axis { &blocks } else { &dims[axis] }));
    if counts.len() != rank || !fits || node.dims(zeros) != counts {
        return invalid(format!("scales of shape {counts:?} do not fit data of shape {dims:?} in blocks of {block}"));
    }
    let places = resolved(node, indices, dims[gather_axis])?;
    let mut rows = |table: ValueId| node.emit(Op::Gather { axis: gather_axis as u32 }, &[table, places]);
    let (data, scales, zeros) = (rows(data)?, rows(scales)?, rows(zeros)?);
    let scales = node.cast(DType::F32, scales)?;
    // The axis of blocks moves if the gathered one is before it.
    let axis = if gather_axis < block_axis { block_axis + node.rank(indices) - 1 } else { block_axis };
    let y = dequantized(node, [data, scales, zeros], axis, block)?;
    let y = node.cast(dtype, y)?;
    Ok(vec![zero_outside(node, y, places, dims[gather_axis], gather_axis)?])
}

/// Packed data with its zero points, a byte a number.
struct Table {
    data: ValueId,
    zeros: ValueId,
}

fn table(node: &mut NodeImport<'_>, data: ValueId, scales: ValueId, bits: u32) -> Result<Table, Problem> {
    // Numbers of fewer bits that the model stores as such are a byte each already.
    let narrow = node.builder.narrow(data).is_some();
    let whole = narrow || bits == 8;
    let data = if whole { data } else { packed_rows(node, data, bits)? };
    let counts = node.dims(scales);
    let zeros = match node.optional(3) {
        Some(zeros) if whole => zeros,
        Some(zeros) => {
            let Some((&last, outer)) = counts.split_last() else { return invalid("the scales are one number") };
            let zeros = packed_zeros(node, zeros, [outer.iter().product(), last], bits)?;
            node.reshape(zeros, &counts)?
        }
        None => {
            let middle = if narrow { 0.0 } else { f64::from(1u32 << (bits - 1)) };
            let middle = node.scalar(node.dtype(data), middle);
            node.broadcast(middle, &counts)?
        }
    };
    Ok(Table { data, zeros })
}

/// Numbers packed along the last axis, a byte each.
fn packed_rows(node: &mut NodeImport<'_>, data: ValueId, bits: u32) -> One {
    let packed = packed_bytes(node, data, "the data")?;
    let mut dims = packed.shape().to_vec();
    let Some(width) = dims.last_mut() else { return invalid("the data are one number") };
    *width *= u64::from(8 / bits);
    let tensor = Tensor::new(DType::U8, dims, narrow(bits).unpack(packed.bytes(), usize::MAX)).map_err(|error| error.to_string())?;
    Ok(node.constant(tensor))
}

/// `(data - zeros) * scales` with a block of `block` along an axis, the last block possibly shorter.
fn dequantized(node: &mut NodeImport<'_>, [data, scales, zeros]: [ValueId; 3], axis: usize, block: u64) -> One {
    let (dims, counts) = (node.dims(data), node.dims(scales));
    if dims[axis].div_ceil(counts[axis].max(1)) == block || counts[axis] == 1 {
        return node.emit(Op::Dequantize { axis: axis as u32 }, &[data, scales, zeros]);
    }
    // A scale for each element: blocks that do not tile the axis evenly.
    let places: Vec<i64> = (0..dims[axis] as i64).map(|place| place / block as i64).collect();
    let places = node.integers(&places)?;
    let mut stretch = |value: ValueId| node.emit(Op::Gather { axis: axis as u32 }, &[value, places]);
    let (scales, zeros) = (stretch(scales)?, stretch(zeros)?);
    let (data, zeros) = (node.cast(DType::F32, data)?, node.cast(DType::F32, zeros)?);
    let centred = node.binary(BinaryOp::Sub, data, zeros)?;
    node.binary(BinaryOp::Mul, centred, scales)
}

/// `y` with zeros where the place that it was gathered from is outside `0..size`.
fn zero_outside(node: &mut NodeImport<'_>, y: ValueId, places: ValueId, size: u64, axis: usize) -> One {
    if let Some(known) = node.builder.known(places).and_then(Tensor::to_i64)
        && known.iter().all(|&place| (0..size as i64).contains(&place))
    {
        return Ok(y);
    }
    let zero = node.scalar(DType::I64, 0.0);
    let size = node.scalar(DType::I64, size as f64);
    let (below, inside) = (node.compare(CompareOp::Lt, places, zero)?, node.compare(CompareOp::Lt, places, size)?);
    let no = node.constant(Tensor::scalar(false));
    let inside = node.select(below, no, inside)?;
    let mut shape = vec![1; axis];
    shape.extend(node.dims(places));
    shape.resize(node.rank(y), 1);
    let inside = node.reshape(inside, &shape)?;
    let nothing = node.scalar(node.dtype(y), 0.0);
    node.select(inside, y, nothing)
}
