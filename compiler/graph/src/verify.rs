//! What holds of every graph between passes.
//!
//! 1. Symbols have different names; so have the inputs, and so have the outputs.
//! 2. Every input's value says that it is that input. Every result of a live operation says that it is that result of that operation.
//! 3. An operation stands in `order` at most once.
//! 4. Every operand of a live operation is an input or a result of an operation before it; so is every output's value, of any live operation.
//! 5. Every symbol in the type of a live value, and every one that a live operation asks for, is declared; a formula is of symbols before its own.
//! 6. Every live operation has the operands, attributes and result types that [`result_types`] allows.
//! 7. A constant's data has the type of its result.
//! 8. A state is an input and an output of one type, of constant sizes; none is named twice.

use crate::infer::result_types;
use crate::ir::{Counted, Definition, Graph, OpId, Port, Type, ValueId};
use crate::op::Op;
use crate::shape::{Dim, SymId};
use mlp_bundle::DType;
use mlp_bundle::plan::Formula;
use std::collections::HashSet;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct VerifyError {
    /// Where: an operation with its origin, or a port.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

/// Checks all invariants; the first that does not hold is the error.
pub fn verify(graph: &Graph) -> Result<(), VerifyError> {
    let mut names = HashSet::new();
    if let Some(symbol) = graph.symbols.values().find(|symbol| !names.insert(&symbol.name)) {
        return Err(error("symbols", format!("`{}` is declared twice", symbol.name)));
    }
    let later = |id: SymId, formula: &Formula<SymId>| formula.terms.iter().any(|term| term.factors.iter().any(|&factor| factor >= id));
    if let Some((_, symbol)) = graph.symbols.iter().find(|(id, symbol)| symbol.formula.as_ref().is_some_and(|formula| later(*id, formula)))
    {
        return Err(error("symbols", format!("`{}` is worked out of symbols after it", symbol.name)));
    }
    ports(graph, "input", &graph.inputs)?;
    ports(graph, "output", &graph.outputs)?;
    let mut defined = HashSet::new();
    for (index, port) in graph.inputs.iter().enumerate() {
        if graph.values[port.value].definition != Definition::Input(index as u32) {
            return Err(error("inputs", format!("{} of `{}` is defined elsewhere", port.value, port.name)));
        }
        symbols(graph, graph.ty(port.value)).map_err(|message| error(&format!("input `{}`", port.name), message))?;
        defined.insert(port.value);
    }
    let mut seen = HashSet::new();
    for &id in &graph.order {
        if !graph.ops.is_valid(id) || !seen.insert(id) {
            return Err(error("order", format!("{id} does not exist or stands twice")));
        }
        operation(graph, id, &mut defined)
            .map_err(|message| error(&format!("{} ({})", graph.ops[id].op.name(), graph.origin_name(id)), message))?;
    }
    states(graph)?;
    counted(graph)?;
    match graph.outputs.iter().find(|port| !defined.contains(&port.value)) {
        Some(port) => Err(error(&format!("output `{}`", port.name), format!("{} is defined by no live operation", port.value))),
        None => Ok(()),
    }
}

fn error(place: &str, message: String) -> VerifyError {
    VerifyError { place: place.to_owned(), message }
}

fn ports(graph: &Graph, kind: &str, ports: &[Port]) -> Result<(), VerifyError> {
    let mut names = HashSet::new();
    for port in ports {
        if !graph.values.is_valid(port.value) {
            return Err(error(&format!("{kind} `{}`", port.name), format!("{} does not exist", port.value)));
        }
        if !names.insert(&port.name) {
            return Err(error(&format!("{kind}s"), format!("two have the name `{}`", port.name)));
        }
    }
    Ok(())
}

fn states(graph: &Graph) -> Result<(), VerifyError> {
    let mut names = HashSet::new();
    for name in &graph.states {
        let place = format!("state `{name}`");
        let Some((input, output)) = graph.state(name) else { return Err(error(&place, "it is no input or no output".into())) };
        let (taken, given) = (graph.ty(input.value), graph.ty(output.value));
        if taken != given || taken.shape.constants().is_none() {
            return Err(error(&place, format!("it is {taken} as an input and {given} as an output")));
        }
        if !names.insert(name) {
            return Err(error(&place, "it is named twice".into()));
        }
    }
    Ok(())
}

fn counted(graph: &Graph) -> Result<(), VerifyError> {
    let mut names = HashSet::new();
    for Counted { output, rows } in &graph.counted {
        let ty = |name: &str| graph.outputs.iter().find(|port| port.name == name).map(|port| graph.ty(port.value));
        let place = format!("the rows of output `{output}`");
        let (Some(counted), Some(count)) = (ty(output), ty(&rows.port)) else {
            return Err(error(&place, format!("there is no such output, or none called `{}` that counts them", rows.port)));
        };
        if rows.axis as usize >= counted.shape.rank() || *count != Type::fixed(DType::I32, &[]) {
            return Err(error(&place, format!("{count} counts them along axis {} of {counted}", rows.axis)));
        }
        if !names.insert(output) {
            return Err(error(&place, "they are counted twice".into()));
        }
    }
    Ok(())
}

fn symbols(graph: &Graph, ty: &Type) -> Result<(), String> {
    let known = |dim: &Dim| !matches!(dim, Dim::Symbol(symbol) if !graph.symbols.is_valid(*symbol));
    if ty.shape.0.iter().all(known) { Ok(()) } else { Err(format!("{ty} names a symbol that is not declared")) }
}

fn operation(graph: &Graph, id: OpId, defined: &mut HashSet<ValueId>) -> Result<(), String> {
    let node = &graph.ops[id];
    if let Some(operand) = node.operands.iter().find(|operand| !defined.contains(operand)) {
        return Err(format!("{operand} is not defined before it is used"));
    }
    let mut types = Vec::new();
    for (index, &result) in node.results.iter().enumerate() {
        if !graph.values.is_valid(result) || graph.values[result].definition != Definition::Result(id, index as u32) {
            return Err(format!("{result} does not say that it is result {index}"));
        }
        symbols(graph, graph.ty(result))?;
        types.push(graph.ty(result).clone());
        defined.insert(result);
    }
    result_types(&node.op, &graph.operand_types(&node.operands), Some(&types)).map_err(|error| error.message)?;
    if let Op::Symbol(symbol) = node.op
        && !graph.symbols.is_valid(symbol)
    {
        return Err(format!("{symbol} is not declared"));
    }
    if let Op::Constant(data) = node.op {
        let tensor = graph.tensors.get(data).ok_or_else(|| format!("{data} does not exist"))?;
        if Type::of(tensor) != types[0] {
            return Err(format!("the data is {}, but the result {}", Type::of(tensor), types[0]));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::Origin;
    use crate::op::UnaryOp;
    use mlp_bundle::DType;
    use mlp_bundle::manifest::Rows;

    fn valid() -> Graph {
        let mut graph = Graph::new("valid");
        let x = graph.add_input("x", Type::fixed(DType::F32, &[2]));
        let one = graph.scalar(DType::F32, 1.0, Origin::new("one"));
        let y = graph.binary(crate::op::BinaryOp::Add, x, one, Origin::new("plus")).unwrap();
        let z = graph.unary(UnaryOp::Exp, y, Origin::new("power")).unwrap();
        graph.add_output("z", z);
        graph
    }

    fn broken(change: impl FnOnce(&mut Graph)) -> String {
        let mut graph = valid();
        change(&mut graph);
        verify(&graph).unwrap_err().to_string()
    }

    #[test]
    fn each_broken_invariant_is_found() {
        assert_eq!(verify(&valid()), Ok(()));
        assert_eq!(broken(|graph| graph.order.swap(1, 2)), "exp (power): %2 is not defined before it is used");
        assert_eq!(broken(|graph| graph.order.push(graph.order[0])), "order: op0 does not exist or stands twice");
        assert_eq!(broken(|graph| graph.order.truncate(2)), "output `z`: %3 is defined by no live operation");
        assert_eq!(broken(|graph| graph.outputs.push(graph.outputs[0].clone())), "outputs: two have the name `z`");
        let last = |graph: &Graph| graph.outputs[0].value;
        let retyped = broken(|graph| {
            let z = last(graph);
            graph.values[z].ty = Type::fixed(DType::F32, &[3]);
        });
        assert_eq!(retyped, "exp (power): the result is f32[2], but f32[3] is declared");
        let stolen = broken(|graph| {
            let z = last(graph);
            graph.values[z].definition = Definition::Input(0);
        });
        assert_eq!(stolen, "exp (power): %3 does not say that it is result 0");
        let data = broken(|graph| graph.tensors[crate::ir::TensorId::from_u32(0)] = crate::Tensor::scalar(1i32));
        assert_eq!(data, "constant (one): the data is i32[], but the result f32[]");
        let undeclared = broken(|graph| {
            let x = graph.inputs[0].value;
            graph.values[x].ty.shape.0[0] = Dim::Symbol(crate::shape::SymId::from_u32(4));
        });
        assert_eq!(undeclared, "input `x`: f32[sym4] names a symbol that is not declared");
        assert_eq!(broken(|graph| graph.states.push("z".into())), "state `z`: it is no input or no output");
        let unequal = broken(|graph| {
            let w = graph.add_input("w", Type::fixed(DType::F32, &[3]));
            graph.add_output("w", graph.outputs[0].value);
            graph.states.push("w".into());
            assert_eq!(graph.ty(w).shape.constants(), Some(vec![3]));
        });
        assert_eq!(unequal, "state `w`: it is f32[3] as an input and f32[2] as an output");
        let twice = broken(|graph| {
            graph.make_state("x", "z").unwrap();
            graph.states.push("x".into());
        });
        assert_eq!(twice, "state `x`: it is named twice");
        let nothing = broken(|graph| graph.counted.push(Counted { output: "z".into(), rows: Rows { axis: 0, port: "n".into() } }));
        assert_eq!(nothing, "the rows of output `z`: there is no such output, or none called `n` that counts them");
        let no_number = broken(|graph| graph.counted.push(Counted { output: "z".into(), rows: Rows { axis: 0, port: "z".into() } }));
        assert_eq!(no_number, "the rows of output `z`: f32[2] counts them along axis 0 of f32[2]");
    }

    #[test]
    fn counted_rows_live_through_compaction_and_text_and_are_cut() {
        let mut graph = Graph::new("g");
        let x = graph.add_input("x", Type::fixed(DType::F32, &[2, 3]));
        let n = graph.add_input("n", Type::fixed(DType::I32, &[]));
        graph.add_output("y", x);
        graph.add_output("z", x);
        graph.add_output("y/rows", x);
        graph.count_rows("y", 0, n);
        graph.count_rows("z", 1, n);
        graph.compact();
        let read = crate::text::parse(&crate::text::print(&graph)).unwrap();
        assert_eq!((&read.counted, verify(&read)), (&graph.counted, Ok(())));
        let ports: Vec<&str> = graph.counted.iter().map(|counted| counted.rows.port.as_str()).collect();
        assert_eq!((ports, graph.outputs.len()), (vec!["y/rows/", "y/rows/"], 4), "one port, whose name nothing else has");
        let given = [crate::Tensor::from_f32(&[2, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]).unwrap(), crate::Tensor::scalar(1i32)];
        let shown = graph.shown(crate::eval::run(&graph, &given).unwrap()).unwrap();
        let seen: Vec<(&[u64], Vec<f64>)> = shown.iter().map(|tensor| (tensor.shape(), tensor.to_f64())).collect();
        let whole = (0..6).map(f64::from).collect();
        assert_eq!(seen, [(&[1, 3][..], vec![0.0, 1.0, 2.0]), (&[2, 1], vec![0.0, 3.0]), (&[2, 3], whole)]);
        assert!(graph.make_state("x", "y").unwrap_err().contains("a run decides how many rows"));
    }

    #[test]
    fn states_live_through_compaction_and_text() {
        let mut graph = valid();
        graph.make_state("x", "z").unwrap();
        assert_eq!(verify(&graph), Ok(()));
        assert_eq!(graph.state("x").map(|(input, output)| (&*input.name, &*output.name)), Some(("x", "x")));
        graph.compact();
        let read = crate::text::parse(&crate::text::print(&graph)).unwrap();
        assert_eq!((&read.states, verify(&read)), (&vec!["x".to_owned()], Ok(())));
        assert!(graph.make_state("x", "x").is_err(), "it is one already");
    }
}
