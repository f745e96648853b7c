//! Printing.

use super::attributes::attributes;
use crate::ir::{Counted, Graph, Type, ValueId};
use crate::op::Op;
use crate::tensor::Tensor;
use cranelift_entity::SecondaryMap;
use mlp_bundle::{DType, Scalar};
use std::fmt::{self, Write};

/// Constants with more elements than this are printed by their bytes, or their digest.
const INLINE: usize = 16;

/// The text of a graph, which [`parse`](super::parse()) reads back.
pub fn print(graph: &Graph) -> String {
    text(graph, false)
}

/// The text of a graph for people: long constants are shown by a digest of their bytes.
pub fn brief(graph: &Graph) -> String {
    text(graph, true)
}

fn text(graph: &Graph, brief: bool) -> String {
    let mut out = String::new();
    write(graph, brief, &mut out).expect("a string takes all that is written");
    out
}

fn write(graph: &Graph, brief: bool, out: &mut String) -> fmt::Result {
    let mut numbers: SecondaryMap<ValueId, u32> = SecondaryMap::new();
    let mut next = 0..;
    let mut number = |value: ValueId, numbers: &mut SecondaryMap<ValueId, u32>| {
        numbers[value] = next.next().expect("there are fewer values than numbers");
        format!("%{}", numbers[value])
    };
    writeln!(out, "graph {} {{", quoted(&graph.name))?;
    for (id, symbol) in graph.symbols.iter() {
        let max = symbol.max.map(|max| format!(" max {max}")).unwrap_or_default();
        let formula = symbol.formula.as_ref().map(|formula| format!(" is {formula}")).unwrap_or_default();
        writeln!(out, "  symbol {id} {}{max}{formula}", quoted(&symbol.name))?;
    }
    for port in &graph.inputs {
        writeln!(out, "  input {} {}: {}", number(port.value, &mut numbers), quoted(&port.name), graph.ty(port.value))?;
    }
    for &id in &graph.order {
        let node = &graph.ops[id];
        let operands: Vec<String> = node.operands.iter().map(|&operand| format!("%{}", numbers[operand])).collect();
        let results: Vec<String> = node.results.iter().map(|&result| number(result, &mut numbers)).collect();
        let types: Vec<String> = node.results.iter().map(|&result| graph.ty(result).to_string()).collect();
        write!(out, "  {} = {}", results.join(", "), node.op.name())?;
        match node.op {
            Op::Constant(tensor) => write!(out, " {}", data(&graph.tensors[tensor], brief))?,
            _ if operands.is_empty() => {}
            _ => write!(out, " {}", operands.join(", "))?,
        }
        let attributes: Vec<String> = attributes(&node.op).iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !attributes.is_empty() {
            write!(out, " {{{}}}", attributes.join(", "))?;
        }
        write!(out, ": {}", types.join(", "))?;
        match &graph.origins[id].name {
            name if name.is_empty() => writeln!(out)?,
            name => writeln!(out, " @ {}", quoted(name))?,
        }
    }
    for port in &graph.outputs {
        writeln!(out, "  output {} %{}", quoted(&port.name), numbers[port.value])?;
    }
    for name in &graph.states {
        writeln!(out, "  state {}", quoted(name))?;
    }
    for Counted { output, rows } in &graph.counted {
        writeln!(out, "  rows {} {} {}", quoted(output), rows.axis, quoted(&rows.port))?;
    }
    writeln!(out, "}}")
}

/// A string in quotes; quotes, backslashes and control characters are escaped.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn data(tensor: &Tensor, brief: bool) -> String {
    if let Some(value) = tensor.uniform().filter(|value| reads_back(*value)) {
        return format!("splat({})", element(tensor.dtype(), value));
    }
    let elements = || (0..tensor.len()).filter_map(|index| tensor.get(index));
    if tensor.len() <= INLINE && elements().all(reads_back) {
        let elements: Vec<String> = elements().map(|value| element(tensor.dtype(), value)).collect();
        return format!("data({})", elements.join(", "));
    }
    if brief {
        return format!("opaque({:016x})", digest(tensor));
    }
    let mut out = String::with_capacity(tensor.bytes().len() * 2 + 5);
    out.push_str("hex(");
    tensor.bytes().iter().for_each(|byte| write!(out, "{byte:02x}").expect("a string takes all that is written"));
    out.push(')');
    out
}

/// Whether the decimal text of a number stands for exactly its bits: not so for a NaN with a payload.
fn reads_back(value: Scalar) -> bool {
    match value {
        Scalar::F32(bits) => !f32::from_bits(bits).is_nan(),
        Scalar::F64(bits) => !f64::from_bits(bits).is_nan(),
        _ => true,
    }
}

fn element(dtype: DType, value: Scalar) -> String {
    match value {
        Scalar::Bool(value) => value.to_string(),
        Scalar::I32(value) => value.to_string(),
        Scalar::U32(value) => value.to_string(),
        Scalar::I64(value) => value.to_string(),
        Scalar::U64(value) => value.to_string(),
        Scalar::F32(bits) if dtype == DType::F32 => format!("{:?}", f32::from_bits(bits)),
        Scalar::F32(bits) => f32::from_bits(bits).to_string(),
        Scalar::F64(bits) => format!("{:?}", f64::from_bits(bits)),
    }
}

/// FNV-1a over type and bytes: short, and the same everywhere.
fn digest(tensor: &Tensor) -> u64 {
    let ty = Type::of(tensor).to_string();
    ty.bytes()
        .chain(tensor.bytes().iter().copied())
        .fold(0xcbf29ce484222325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100000001b3))
}
