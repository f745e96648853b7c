//! Control flow: arms that are chosen between, and bodies that are repeated. Everything is unrolled.

mod branch;
mod repeat;
mod scan;

use super::Row;
use crate::onnx::node::{NodeImport, One, Problem};
use mlp_graph::ir::Type;
use mlp_graph::{Op, Shape, Tensor, ValueId};

pub(super) const TABLE: &[Row] = &[("", "If", branch::branch), ("", "Loop", repeat::repeat), ("", "Scan", scan::scan)];

/// One of two values, by a condition that is known only when the model runs; both must be of one type.
fn choose(node: &mut NodeImport<'_>, condition: ValueId, yes: ValueId, no: ValueId, problem: impl Fn(&Type, &Type) -> String) -> One {
    if yes == no {
        return Ok(yes);
    }
    let (yes_type, no_type) = (node.builder.graph.ty(yes).clone(), node.builder.graph.ty(no).clone());
    if yes_type != no_type {
        let what = problem(&yes_type, &no_type);
        return Err(node.unknown(condition, what, "make the condition a constant, or the shapes equal"));
    }
    node.select(condition, yes, no)
}

/// `count` elements of an axis from `start`, the axis itself left out where it is to go.
fn part(node: &mut NodeImport<'_>, x: ValueId, axis: usize, start: u64, count: u64, keep: bool) -> One {
    let mut dims = node.dims(x);
    let mut starts = vec![0; dims.len()];
    starts[axis] = start as i64;
    dims[axis] = count;
    let part = node.slice(x, starts, vec![1; dims.len()], &dims)?;
    if keep {
        return Ok(part);
    }
    dims.remove(axis);
    node.reshape(part, &dims)
}

/// The values of one output in all steps, side by side along a new axis.
fn stacked(node: &mut NodeImport<'_>, values: &[ValueId], axis: usize, what: &str) -> One {
    let first = node.builder.graph.ty(values[0]).clone();
    if let Some(other) = values.iter().map(|&value| node.builder.graph.ty(value)).find(|&other| *other != first) {
        let detail = format!("{what} is {first} in the first step and {other} in a later one, which cannot be stacked");
        return Err(Problem::Invalid(detail));
    }
    let mut dims = node.dims(values[0]);
    dims.insert(axis, 1);
    let rows = values.iter().map(|&value| node.reshape(value, &dims)).collect::<Result<Vec<_>, _>>()?;
    match rows.as_slice() {
        &[one] => Ok(one),
        _ => node.emit(Op::Concat { axis: axis as u32 }, &rows),
    }
}

/// What no step gives: no element along `axis` of values of this type.
fn none_of(node: &mut NodeImport<'_>, ty: &Type, axis: usize) -> One {
    let Some(mut dims) = ty.shape.constants() else { return Err(Problem::Invalid("a size is not known".into())) };
    dims.insert(axis, 0);
    let empty = Type::new(ty.dtype, Shape::fixed(&dims));
    let tensor = Tensor::new(empty.dtype, dims, Vec::new()).map_err(|error| error.to_string())?;
    Ok(node.constant(tensor))
}
