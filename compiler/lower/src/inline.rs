//! Copies the operations of an imported model into a pipeline's graph.

use mlp_graph::ir::Type;
use mlp_graph::{Dim, Graph, Op, Shape, ValueId};
use std::collections::HashMap;

/// Appends the operations of `model`, whose inputs are `args` by port name, to `graph`. Gives the model's outputs by port name.
pub(crate) fn inline(graph: &mut Graph, model: &Graph, args: &[(String, ValueId)]) -> Result<HashMap<String, ValueId>, String> {
    let mut values: HashMap<ValueId, ValueId> = HashMap::new();
    for port in &model.inputs {
        let found = args.iter().find(|(name, _)| *name == port.name);
        let Some(&(_, arg)) = found else { return Err(format!("nothing is given for its input `{}`", port.name)) };
        let (wanted, given) = (retyped(graph, model, model.ty(port.value)), graph.ty(arg));
        if wanted != *given {
            return Err(format!("its input `{}` is {}, but is given {}", port.name, show(graph, &wanted), show(graph, given)));
        }
        values.insert(port.value, arg);
    }
    for &id in &model.order {
        let node = &model.ops[id];
        let operands: Option<Vec<ValueId>> = node.operands.iter().map(|operand| values.get(operand).copied()).collect();
        let Some(operands) = operands else { return Err(format!("`{}` uses a value that nothing defines", model.origin_name(id))) };
        let op = match node.op {
            Op::Constant(tensor) => Op::Constant(graph.tensors.push(model.tensors[tensor].clone())),
            ref other => other.clone(),
        };
        let types: Vec<Type> = node.results.iter().map(|&result| retyped(graph, model, model.ty(result))).collect();
        let results = graph.push(op, operands, types, model.origins[id].clone());
        values.extend(node.results.iter().copied().zip(results));
    }
    let outputs = model.outputs.iter().map(|port| match values.get(&port.value) {
        Some(&value) => Ok((port.name.clone(), value)),
        None => Err(format!("its output `{}` is computed by nothing", port.name)),
    });
    outputs.collect()
}

/// A type of the model with the symbols of the pipeline's graph.
fn retyped(graph: &mut Graph, model: &Graph, ty: &Type) -> Type {
    let dims = ty.shape.0.iter().map(|dim| match *dim {
        Dim::Const(size) => Dim::Const(size),
        Dim::Symbol(symbol) => {
            let symbol = &model.symbols[symbol];
            Dim::Symbol(graph.symbol(&symbol.name, symbol.max))
        }
    });
    Type::new(ty.dtype, Shape(dims.collect()))
}

fn show(graph: &Graph, ty: &Type) -> String {
    let dims = ty.shape.0.iter().map(|dim| match *dim {
        Dim::Const(size) => size.to_string(),
        Dim::Symbol(symbol) => graph.symbols[symbol].name.clone(),
    });
    format!("{}[{}]", ty.dtype, dims.collect::<Vec<_>>().join(", "))
}
