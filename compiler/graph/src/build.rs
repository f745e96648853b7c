//! Making and editing a graph: every operation goes through shape inference.

use crate::infer::{InferError, result_types};
use crate::ir::{Counted, Definition, Graph, Node, OpId, Origin, Port, Type, Value, ValueId};
use crate::op::{BinaryOp, CompareOp, Op, UnaryOp};
use crate::shape::{Dim, Shape, SymId, Symbol};
use crate::tensor::Tensor;
use cranelift_entity::SecondaryMap;
use mlp_bundle::DType;
use mlp_bundle::manifest::Rows;

impl Type {
    /// A type of this element type and shape.
    pub fn new(dtype: DType, shape: Shape) -> Type {
        Type { dtype, shape }
    }

    /// A type all of whose sizes are constant.
    pub fn fixed(dtype: DType, dims: &[u64]) -> Type {
        Type { dtype, shape: Shape::fixed(dims) }
    }

    /// The type of a tensor.
    pub fn of(tensor: &Tensor) -> Type {
        Type::fixed(tensor.dtype(), tensor.shape())
    }
}

impl Origin {
    /// An origin of that name.
    pub fn new(name: impl Into<String>) -> Origin {
        Origin { name: name.into() }
    }
}

impl Graph {
    /// An empty graph.
    pub fn new(name: impl Into<String>) -> Graph {
        Graph { name: name.into(), ..Graph::default() }
    }

    /// The symbol of that name, made where there is none; a bound given later only narrows.
    pub fn symbol(&mut self, name: &str, max: Option<u64>) -> SymId {
        if let Some((id, symbol)) = self.symbols.iter_mut().find(|(_, symbol)| symbol.name == name) {
            symbol.max = match (symbol.max, max) {
                (Some(old), Some(new)) => Some(old.min(new)),
                (old, new) => old.or(new),
            };
            return id;
        }
        self.symbols.push(Symbol { name: name.to_owned(), max, formula: None })
    }

    /// Adds a graph input.
    pub fn add_input(&mut self, name: impl Into<String>, ty: Type) -> ValueId {
        let value = self.values.push(Value { ty, definition: Definition::Input(self.inputs.len() as u32) });
        self.inputs.push(Port { name: name.into(), value });
        value
    }

    /// Adds a graph output.
    pub fn add_output(&mut self, name: impl Into<String>, value: ValueId) {
        self.outputs.push(Port { name: name.into(), value });
    }

    /// Says that a run decides how many rows an output has along an axis: as many as `count`, an `I32` scalar, says. Outputs with the same count share one port for it,
    /// which no caller is shown.
    pub fn count_rows(&mut self, output: &str, axis: u32, count: ValueId) {
        let is_count = |port: &&Port| port.value == count && self.counted.iter().any(|counted| counted.rows.port == port.name);
        let port = match self.outputs.iter().find(is_count) {
            Some(port) => port.name.clone(),
            None => {
                let mut name = format!("{output}/rows");
                while self.outputs.iter().chain(&self.inputs).any(|port| port.name == name) {
                    name.push('/');
                }
                self.add_output(name.clone(), count);
                name
            }
        };
        self.counted.push(Counted { output: output.to_owned(), rows: Rows { axis, port } });
    }

    /// What callers see of the values of all outputs: those that have rows as a run decides with as many as they have, and without those that say how many they are.
    /// The error says which output does not fit.
    pub fn shown(&self, outputs: Vec<Tensor>) -> Result<Vec<Tensor>, String> {
        let bytes_of = |name: &str| self.outputs.iter().zip(&outputs).find(|(port, _)| port.name == name).map(|(_, tensor)| tensor.bytes());
        let mut shown = Vec::with_capacity(outputs.len());
        for (port, tensor) in self.outputs.iter().zip(&outputs) {
            if self.counted.iter().any(|counted| counted.rows.port == port.name) {
                continue;
            }
            shown.push(match self.counted.iter().find(|counted| counted.output == port.name) {
                Some(Counted { rows, .. }) => {
                    let cut = bytes_of(&rows.port).and_then(|count| rows.cut(tensor.bytes(), tensor.shape(), tensor.dtype().size(), count));
                    let (bytes, shape) = cut.ok_or_else(|| format!("output `{}` has no rows along axis {}", port.name, rows.axis))?;
                    Tensor::new(tensor.dtype(), shape, bytes).map_err(|error| error.to_string())?
                }
                None => tensor.clone(),
            });
        }
        Ok(shown)
    }

    /// The input and the output of a state; none where the graph lacks one.
    pub fn state(&self, name: &str) -> Option<(&Port, &Port)> {
        let of = |ports: &'_ [Port]| ports.iter().position(|port| port.name == name);
        Some((&self.inputs[of(&self.inputs)?], &self.outputs[of(&self.outputs)?]))
    }

    /// Makes an input and an output one state, which has the input's name from then on. The error says what is in the way.
    pub fn make_state(&mut self, input: &str, output: &str) -> Result<(), String> {
        let known = |ports: &[Port]| ports.iter().map(|port| format!("`{}`", port.name)).collect::<Vec<_>>().join(", ");
        let find = |ports: &[Port], kind: &str, name: &str| {
            let found = ports.iter().position(|port| port.name == name && !self.states.contains(&port.name));
            found.ok_or_else(|| format!("there is no {kind} `{name}` that could be a state; there are {}", known(ports)))
        };
        let (to, from) = (find(&self.inputs, "input", input)?, find(&self.outputs, "output", output)?);
        let (taken, given) = (self.ty(self.inputs[to].value), self.ty(self.outputs[from].value));
        if taken != given {
            return Err(format!("`{input}` is {taken} and `{output}` is {given}: what a run leaves must be what the next one reads"));
        }
        if self.counted.iter().any(|counted| counted.output == output || counted.rows.port == output) {
            return Err(format!("a run decides how many rows `{output}` has, and a state has constant sizes"));
        }
        if taken.shape.constants().is_none() {
            return Err(format!("`{input}` is {taken}, and a state has constant sizes: bind them"));
        }
        if output != input && self.outputs.iter().any(|port| port.name == input) {
            return Err(format!("another output is called `{input}`: rename one"));
        }
        self.outputs[from].name = input.to_owned();
        self.states.push(input.to_owned());
        Ok(())
    }

    /// Appends a constant.
    pub fn constant(&mut self, tensor: Tensor, origin: Origin) -> ValueId {
        let ty = Type::of(&tensor);
        let tensor = self.tensors.push(tensor);
        self.push(Op::Constant(tensor), Vec::new(), vec![ty], origin)[0]
    }

    /// Appends a rank 0 constant: `value` converted to `dtype`.
    pub fn scalar(&mut self, dtype: DType, value: f64, origin: Origin) -> ValueId {
        self.constant(Tensor::scalar_of(dtype, value), origin)
    }

    /// Appends an operation with these result types, unchecked: [`crate::verify::verify`] finds what is wrong with them.
    pub fn push(&mut self, op: Op, operands: Vec<ValueId>, results: Vec<Type>, origin: Origin) -> Vec<ValueId> {
        let id = self.ops.next_key();
        let results: Vec<ValueId> = results
            .into_iter()
            .enumerate()
            .map(|(index, ty)| self.values.push(Value { ty, definition: Definition::Result(id, index as u32) }))
            .collect();
        self.ops.push(Node { op, operands, results: results.clone() });
        self.origins[id] = origin;
        self.order.push(id);
        results
    }

    /// Appends an operation whose result types follow from its operands.
    pub fn append(&mut self, op: Op, operands: &[ValueId], origin: Origin) -> Result<Vec<ValueId>, InferError> {
        let types = result_types(&op, &self.operand_types(operands), None)?;
        Ok(self.push(op, operands.to_vec(), types, origin))
    }

    /// Appends an operation with the result types it shall have: they say the shape for `Reshape`, `Broadcast` and `Slice`, and are checked for all others.
    pub fn append_typed(&mut self, op: Op, operands: &[ValueId], results: &[Type], origin: Origin) -> Result<Vec<ValueId>, InferError> {
        let types = result_types(&op, &self.operand_types(operands), Some(results))?;
        Ok(self.push(op, operands.to_vec(), types, origin))
    }

    /// Appends an operation that has one result.
    pub fn append_one(&mut self, op: Op, operands: &[ValueId], origin: Origin) -> Result<ValueId, InferError> {
        Ok(self.append(op, operands, origin)?[0])
    }

    /// Appends a map of one operand.
    pub fn unary(&mut self, op: UnaryOp, x: ValueId, origin: Origin) -> Result<ValueId, InferError> {
        self.append_one(Op::Unary(op), &[x], origin)
    }

    /// Appends a map of two operands.
    pub fn binary(&mut self, op: BinaryOp, x: ValueId, y: ValueId, origin: Origin) -> Result<ValueId, InferError> {
        self.append_one(Op::Binary(op), &[x, y], origin)
    }

    /// Appends a comparison.
    pub fn compare(&mut self, op: CompareOp, x: ValueId, y: ValueId, origin: Origin) -> Result<ValueId, InferError> {
        self.append_one(Op::Compare(op), &[x, y], origin)
    }

    /// Appends a conversion, or nothing where `x` has that element type.
    pub fn cast(&mut self, dtype: DType, x: ValueId, origin: Origin) -> Result<ValueId, InferError> {
        if self.ty(x).dtype == dtype { Ok(x) } else { self.append_one(Op::Cast(dtype), &[x], origin) }
    }

    /// Appends a reshape, or nothing where `x` has that shape.
    pub fn reshape(&mut self, x: ValueId, shape: Shape, origin: Origin) -> Result<ValueId, InferError> {
        self.shaped(Op::Reshape, x, shape, origin)
    }

    /// Appends a broadcast, or nothing where `x` has that shape.
    pub fn broadcast(&mut self, x: ValueId, shape: Shape, origin: Origin) -> Result<ValueId, InferError> {
        self.shaped(Op::Broadcast, x, shape, origin)
    }

    /// Appends a slice: along each axis `counts` elements from `starts` in `steps`.
    pub fn slice(&mut self, x: ValueId, starts: Vec<i64>, steps: Vec<i64>, counts: Shape, origin: Origin) -> Result<ValueId, InferError> {
        let ty = Type::new(self.ty(x).dtype, counts);
        Ok(self.append_typed(Op::Slice { starts, steps }, &[x], &[ty], origin)?[0])
    }

    /// Appends a transpose, or nothing where the permutation is the identity.
    pub fn transpose(&mut self, x: ValueId, perm: &[u32], origin: Origin) -> Result<ValueId, InferError> {
        if perm.len() == self.ty(x).shape.rank() && perm.iter().enumerate().all(|(index, &axis)| index as u32 == axis) {
            return Ok(x);
        }
        self.append_one(Op::Transpose { perm: perm.to_vec() }, &[x], origin)
    }

    fn shaped(&mut self, op: Op, x: ValueId, shape: Shape, origin: Origin) -> Result<ValueId, InferError> {
        let ty = Type::new(self.ty(x).dtype, shape);
        if &ty == self.ty(x) {
            return Ok(x);
        }
        Ok(self.append_typed(op, &[x], &[ty], origin)?[0])
    }

    /// The type of a value.
    pub fn ty(&self, value: ValueId) -> &Type {
        &self.values[value].ty
    }

    /// The constant sizes of a value, if all are.
    pub fn dims(&self, value: ValueId) -> Option<Vec<u64>> {
        self.ty(value).shape.constants()
    }

    /// The types of some values.
    pub fn operand_types(&self, operands: &[ValueId]) -> Vec<Type> {
        operands.iter().map(|&operand| self.ty(operand).clone()).collect()
    }

    /// The operation that defines a value and which result it is; none of a graph input.
    pub fn definition(&self, value: ValueId) -> Option<(OpId, usize)> {
        match self.values[value].definition {
            Definition::Input(_) => None,
            Definition::Result(op, index) => Some((op, index as usize)),
        }
    }

    /// The node that defines a value; none of a graph input.
    pub fn defining(&self, value: ValueId) -> Option<&Node> {
        self.definition(value).map(|(op, _)| &self.ops[op])
    }

    /// The data of a value that a constant defines.
    pub fn constant_of(&self, value: ValueId) -> Option<&Tensor> {
        match self.defining(value)?.op {
            Op::Constant(tensor) => Some(&self.tensors[tensor]),
            _ => None,
        }
    }

    /// Where an operation came from, for messages: its origin's name, or its id where it has none.
    pub fn origin_name(&self, op: OpId) -> String {
        let origin = &self.origins[op];
        if origin.name.is_empty() { op.to_string() } else { origin.name.clone() }
    }

    /// The live operations that read each value, in order, once for each operand.
    pub fn users(&self) -> SecondaryMap<ValueId, Vec<OpId>> {
        let mut users: SecondaryMap<ValueId, Vec<OpId>> = SecondaryMap::new();
        for &op in &self.order {
            for &operand in &self.ops[op].operands {
                users[operand].push(op);
            }
        }
        users
    }

    /// Makes every live operation and output that reads `old` read `new`.
    pub fn replace_uses(&mut self, old: ValueId, new: ValueId) {
        for &op in &self.order {
            self.ops[op].operands.iter_mut().filter(|operand| **operand == old).for_each(|operand| *operand = new);
        }
        self.outputs.iter_mut().filter(|port| port.value == old).for_each(|port| port.value = new);
    }

    /// Renumbers all entities in order and drops those that are dead: operations not in `order`, their values, and data that no live constant names.
    /// The graph stays the same program, inputs and outputs included.
    pub fn compact(&mut self) {
        let old = std::mem::take(self);
        let mut values: SecondaryMap<ValueId, Option<ValueId>> = SecondaryMap::new();
        let mut tensors: SecondaryMap<_, Option<_>> = SecondaryMap::new();
        self.name = old.name;
        self.symbols = old.symbols;
        self.states = old.states;
        self.counted = old.counted;
        for port in old.inputs {
            values[port.value] = Some(self.add_input(port.name, old.values[port.value].ty.clone()));
        }
        for id in old.order {
            let node = &old.ops[id];
            let op = match node.op {
                Op::Constant(data) => Op::Constant(*tensors[data].get_or_insert_with(|| self.tensors.push(old.tensors[data].clone()))),
                ref op => op.clone(),
            };
            let operands = node.operands.iter().map(|&operand| values[operand].expect("an operand is defined before its use")).collect();
            let types = node.results.iter().map(|&result| old.values[result].ty.clone()).collect();
            let results = self.push(op, operands, types, old.origins[id].clone());
            node.results.iter().zip(results).for_each(|(&before, after)| values[before] = Some(after));
        }
        for port in old.outputs {
            self.add_output(port.name, values[port.value].expect("an output is defined"));
        }
    }

    /// A type with every symbol replaced by its value, where that is known.
    pub fn bind_type(ty: &Type, bindings: &SecondaryMap<SymId, Option<u64>>) -> Type {
        let bind = |&dim: &Dim| match dim {
            Dim::Symbol(symbol) => bindings.get(symbol).copied().flatten().map_or(dim, Dim::Const),
            Dim::Const(_) => dim,
        };
        Type { dtype: ty.dtype, shape: Shape(ty.shape.0.iter().map(bind).collect()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::ReduceKind;

    fn origin() -> Origin {
        Origin::new("test")
    }

    #[test]
    fn compact_drops_what_is_dead_and_keeps_the_rest() {
        let mut graph = Graph::new("g");
        let x = graph.add_input("x", Type::fixed(DType::F32, &[2, 3]));
        let dead = graph.scalar(DType::F32, 7.0, origin());
        let two = graph.scalar(DType::F32, 2.0, origin());
        let y = graph.binary(BinaryOp::Mul, x, two, Origin::new("double")).unwrap();
        graph.add_output("y", y);
        let (dead, _) = graph.definition(dead).unwrap();
        graph.order.retain(|&op| op != dead);
        graph.compact();
        assert_eq!((graph.ops.len(), graph.values.len(), graph.tensors.len()), (2, 3, 1));
        let last = graph.defining(graph.outputs[0].value).unwrap();
        assert_eq!(last.op, Op::Binary(BinaryOp::Mul));
        assert_eq!(last.operands[0], graph.inputs[0].value);
        assert_eq!(graph.constant_of(last.operands[1]).unwrap().to_f64(), [2.0]);
        assert_eq!(graph.origin_name(graph.order[1]), "double");
    }

    #[test]
    fn uses_are_counted_an_operand_and_replaced_everywhere() {
        let mut graph = Graph::new("g");
        let x = graph.add_input("x", Type::fixed(DType::F32, &[4]));
        let y = graph.add_input("y", Type::fixed(DType::F32, &[4]));
        let square = graph.binary(BinaryOp::Mul, x, x, origin()).unwrap();
        graph.add_output("x", x);
        graph.add_output("square", square);
        assert_eq!(graph.users()[x].len(), 2);
        graph.replace_uses(x, y);
        assert_eq!(graph.defining(square).unwrap().operands, [y, y]);
        assert_eq!(graph.outputs[0].value, y);
        assert!(graph.users()[x].is_empty());
    }

    #[test]
    fn symbols_are_shared_by_name() {
        let mut graph = Graph::new("g");
        let a = graph.symbol("n", None);
        assert_eq!(graph.symbol("n", Some(8)), a);
        graph.symbol("n", Some(16));
        assert_eq!(graph.symbols[a].max, Some(8));
        assert_ne!(graph.symbol("m", None), a);
    }

    #[test]
    fn messages_name_the_operation_and_the_types() {
        let mut graph = Graph::new("g");
        let x = graph.add_input("x", Type::fixed(DType::F32, &[2, 3]));
        let y = graph.add_input("y", Type::fixed(DType::F32, &[2, 4]));
        let message = graph.binary(BinaryOp::Add, x, y, origin()).unwrap_err().to_string();
        assert_eq!(message, "add: shapes [2, 3] and [2, 4] do not broadcast: 3 meets 4");
        let message = graph.append(Op::Reshape, &[x], origin()).unwrap_err().to_string();
        assert_eq!(message, "reshape: needs an explicit result type");
        let wrong = Op::Reduce { kind: ReduceKind::Sum, axes: vec![1, 1], keep: false };
        assert_eq!(graph.append(wrong, &[x], origin()).unwrap_err().to_string(), "reduce: axes [1, 1] do not rise");
        assert!(graph.reshape(x, Shape::fixed(&[7]), origin()).is_err());
        assert!(graph.slice(x, vec![0, 2], vec![1, 1], Shape::fixed(&[2, 2]), origin()).is_err());
        assert!(graph.append(Op::MatMul, &[x, y], origin()).is_err());
        assert!(graph.order.is_empty(), "a refused operation leaves nothing behind");
    }

    #[test]
    fn shapes_follow_from_operands() {
        let mut graph = Graph::new("g");
        let n = Dim::Symbol(graph.symbol("n", None));
        let x = graph.add_input("x", Type::new(DType::F32, Shape(vec![n, Dim::Const(3), Dim::Const(9), Dim::Const(8)])));
        let w = graph.add_input("w", Type::fixed(DType::F32, &[6, 3, 3, 3]));
        let spatial = crate::op::Spatial {
            kernel: vec![3, 3],
            strides: vec![2, 2],
            dilations: vec![1, 1],
            pads_begin: vec![1, 0],
            pads_end: vec![1, 1],
        };
        let conv = Op::Conv { spatial, groups: 1, layout: crate::op::Layout::ChannelsFirst };
        let y = graph.append_one(conv, &[x, w], origin()).unwrap();
        assert_eq!(graph.ty(y).shape.0, [n, Dim::Const(6), Dim::Const(5), Dim::Const(4)]);
        let flat = graph.reshape(y, Shape(vec![n, Dim::Const(120)]), origin()).unwrap();
        let matrix = graph.add_input("m", Type::fixed(DType::F32, &[120, 10]));
        let product = graph.append_one(Op::MatMul, &[flat, matrix], origin()).unwrap();
        assert_eq!(graph.ty(product).to_string(), "f32[sym0, 10]");
        let best = graph.append(Op::TopK { k: 3, axis: 1, largest: true }, &[product], origin()).unwrap();
        assert_eq!(graph.ty(best[1]).to_string(), "i64[sym0, 3]");
    }
}
