//! Pipelines, statement by statement, with everything they call inlined.

use crate::control::MAX_ROUNDS;
use crate::error::LowerError;
use crate::inline::inline;
use crate::intrinsics;
use crate::signature::{Signature, SignatureEncoding, SignatureField, SignatureType};
use crate::texts::Tokens;
use crate::{ModelRequest, Models};
use mlp_analysis::{Body, Callee, Dim, Expr, ExprKind, Labels, LabelsId, Location, ModelId, PipelineId, Program, TensorType, Type, Value};
use mlp_analysis::{Operator, Pipeline};
use mlp_graph::ir::Type as GraphType;
use mlp_graph::op::{BinaryOp, UnaryOp};
use mlp_graph::{DType, Graph, Origin, Shape, Tensor, ValueId, verify};
use std::collections::BTreeMap;

/// The greatest side of a photo; a host shrinks larger ones first.
pub const MAX_PHOTO_SIDE: u32 = 2048;

/// The most calls of pipelines and models in one graph.
const MAX_CALLS: usize = 4096;
/// The most calls inside one another.
const MAX_CALL_DEPTH: usize = 64;

/// A value while lowering.
#[derive(Clone, Debug)]
pub(crate) enum Lowered {
    Tensor(ValueId),
    Image(ValueId),
    /// An input of samples, which grows to the longest part that is asked for.
    Sound(ValueId),
    /// An input that is a text, by its name.
    Text(String),
    Tokens(Tokens),
    Label(ValueId),
    Ranking {
        indices: ValueId,
        scores: ValueId,
    },
    Record(Vec<(String, Lowered)>),
    Constant(Value),
}

/// One pipeline being lowered.
pub(crate) struct Lowering<'a> {
    program: &'a Program,
    models: &'a Models<'a>,
    pub(crate) graph: Graph,
    imported: BTreeMap<ModelRequest, Graph>,
    calls: usize,
    /// The rounds of loops so far.
    rounds: u64,
    root: String,
    pub(crate) encodings: Vec<SignatureEncoding>,
    /// The sizes of the symbols of the root's signature.
    sizes: Option<&'a BTreeMap<String, u64>>,
}

/// What the names of a body stand for, and where the body was called from.
pub(crate) struct Frame<'f> {
    args: &'f [Lowered],
    pub(crate) locals: Vec<Lowered>,
    depth: usize,
    /// The place in the package that called into the standard library; none inside the package itself.
    caller: Option<Location>,
}

impl<'a> Lowering<'a> {
    pub(crate) fn new(program: &'a Program, models: &'a Models<'a>) -> Lowering<'a> {
        Lowering {
            program,
            models,
            graph: Graph::default(),
            imported: BTreeMap::new(),
            calls: 0,
            rounds: 0,
            root: String::new(),
            encodings: Vec::new(),
            sizes: None,
        }
    }

    /// With sizes for the symbols of the pipeline's signature.
    pub(crate) fn with_sizes(self, sizes: &'a BTreeMap<String, u64>) -> Lowering<'a> {
        Lowering { sizes: Some(sizes), ..self }
    }

    pub(crate) fn run(mut self, id: PipelineId) -> Result<crate::Lowered, LowerError> {
        let program = self.program;
        let Some(pipeline) = program.pipeline(id) else {
            let reason = "the program has no such pipeline".to_owned();
            return Err(LowerError::Internal { pipeline: format!("pipeline {}", id.0), place: "its start".to_owned(), reason });
        };
        self.root = pipeline.name.clone();
        self.graph.name = pipeline.name.clone();
        let mut signature = Signature::default();
        let mut args = Vec::new();
        for param in &pipeline.params {
            let (arg, ty) = self.input(pipeline, &param.name, &param.ty)?;
            args.push(arg);
            signature.inputs.push(SignatureField { name: param.name.clone(), ty });
        }
        let answer = self.body(pipeline, &args, 0, None)?;
        for (field, arg) in signature.inputs.iter_mut().zip(&args) {
            if let (SignatureType::Sound { samples, .. }, Lowered::Sound(value)) = (&mut field.ty, arg) {
                *samples = self.graph.dims(*value).map_or(1, |dims| dims[0]);
            }
        }
        self.outputs(pipeline, answer, &mut signature)?;
        signature.encodings = self.finish_encodings();
        verify::verify(&self.graph).map_err(|error| LowerError::Internal {
            pipeline: self.root.clone(),
            place: error.place,
            reason: error.message,
        })?;
        Ok(crate::Lowered { graph: self.graph, signature })
    }

    fn input(&mut self, pipeline: &Pipeline, name: &str, ty: &Type) -> Result<(Lowered, SignatureType), LowerError> {
        let no_entry =
            || LowerError::NoEntry { place: self.program.place(pipeline.at), pipeline: pipeline.name.clone(), param: name.to_owned() };
        match ty {
            Type::Image => {
                let max = MAX_PHOTO_SIDE;
                let (height, width) = (format!("{name}.height"), format!("{name}.width"));
                let sides = [&height, &width].map(|side| mlp_graph::Dim::Symbol(self.graph.symbol(side, Some(u64::from(max)))));
                let shape = Shape(vec![sides[0], sides[1], mlp_graph::Dim::Const(4)]);
                let value = self.graph.add_input(name, GraphType::new(DType::U8, shape));
                let ty = SignatureType::Image { max_height: max, max_width: max, port: name.to_owned(), height, width };
                Ok((Lowered::Image(value), ty))
            }
            Type::Audio { rate: Some(rate), channels: 1 } if ty.is_input() => {
                let value = self.graph.add_input(name, GraphType::fixed(DType::F32, &[1]));
                let ty = SignatureType::Sound { rate: *rate as u32, samples: 1, port: name.to_owned() };
                Ok((Lowered::Sound(value), ty))
            }
            Type::Text => Ok((Lowered::Text(name.to_owned()), SignatureType::Text)),
            Type::Tensor(tensor) => {
                let shape = self.sizes_of(tensor).ok_or_else(no_entry)?;
                let value = self.graph.add_input(name, GraphType::fixed(tensor.dtype, &shape));
                let ty = SignatureType::Tensor { dtype: tensor.dtype, shape, port: name.to_owned(), labels: labels_of(&tensor.labels) };
                Ok((Lowered::Tensor(value), ty))
            }
            _ => Err(no_entry()),
        }
    }

    /// The sizes of a tensor of the root's signature.
    fn sizes_of(&self, tensor: &TensorType) -> Option<Vec<u64>> {
        let size = |name: &str| self.sizes.and_then(|sizes| sizes.get(name)).copied();
        tensor.dims.iter().map(|dim| dim.size(&size)).collect()
    }

    fn outputs(&mut self, pipeline: &Pipeline, answer: Lowered, signature: &mut Signature) -> Result<(), LowerError> {
        let fields = match (&pipeline.result, answer) {
            (Type::Record(types), Lowered::Record(mut values)) => {
                signature.record = true;
                let mut fields = Vec::new();
                for (name, ty) in types {
                    if let Some(index) = values.iter().position(|(known, _)| known == name) {
                        fields.push((name.clone(), ty, values.swap_remove(index).1));
                    }
                }
                fields
            }
            (ty, value) => vec![("value".to_owned(), ty, value)],
        };
        for (name, ty, value) in fields {
            let ty = self.output(pipeline, &name, ty, value)?;
            signature.outputs.push(SignatureField { name, ty });
        }
        Ok(())
    }

    fn output(&mut self, pipeline: &Pipeline, name: &str, ty: &Type, value: Lowered) -> Result<SignatureType, LowerError> {
        let answer =
            |what: &str| LowerError::Answer { place: self.program.place(pipeline.at), field: name.to_owned(), what: what.to_owned() };
        match (ty, value) {
            (Type::Tensor(tensor), Lowered::Tensor(value)) => {
                let shape = self.sizes_of(tensor).ok_or_else(|| answer("a tensor of no fixed size"))?;
                self.graph.add_output(name, value);
                Ok(SignatureType::Tensor { dtype: tensor.dtype, shape, port: name.to_owned(), labels: labels_of(&tensor.labels) })
            }
            (Type::Label(labels), Lowered::Label(value)) => {
                let labels = labels_of(labels).ok_or_else(|| answer("a label of nothing"))?;
                self.graph.add_output(name, value);
                Ok(SignatureType::Label { labels, port: name.to_owned() })
            }
            (Type::Ranking { labels, count: Dim::Const(count) }, Lowered::Ranking { indices, scores }) => {
                let labels = labels_of(labels).ok_or_else(|| answer("a ranking of nothing"))?;
                let ports = [format!("{name}.indices"), format!("{name}.scores")];
                self.graph.add_output(&ports[0], indices);
                self.graph.add_output(&ports[1], scores);
                let [indices, scores] = ports;
                Ok(SignatureType::Ranking { labels, count: *count as u32, indices, scores })
            }
            (_, Lowered::Record(_)) => Err(answer("a record inside a record")),
            (_, Lowered::Image(_)) => Err(answer("a photo")),
            (_, Lowered::Sound(_)) => Err(answer("a sound")),
            (_, Lowered::Text(_) | Lowered::Tokens(_)) => Err(answer("a text")),
            _ => Err(answer("a value that is known when compiling")),
        }
    }

    /// Lowers a call of a pipeline.
    fn body(&mut self, pipeline: &'a Pipeline, args: &[Lowered], depth: usize, caller: Option<Location>) -> Result<Lowered, LowerError> {
        let Body::Steps { locals, result, .. } = &pipeline.body else {
            let reason = "it has no body".to_owned();
            return Err(LowerError::Internal { pipeline: self.root.clone(), place: self.program.place(pipeline.at), reason });
        };
        let mut frame = Frame { args, locals: Vec::with_capacity(locals.len()), depth, caller };
        for local in locals {
            let value = self.expr(&local.value, &mut frame)?;
            frame.locals.push(value);
        }
        self.expr(result, &mut frame)
    }

    pub(crate) fn program(&self) -> &'a Program {
        self.program
    }

    /// Counts a round of a loop; an error where there are too many.
    pub(crate) fn count_round(&mut self, origin: &Origin) -> Result<(), LowerError> {
        self.rounds += 1;
        if self.rounds > MAX_ROUNDS {
            return Err(operation(origin, format!("loops are compiled up to {MAX_ROUNDS} rounds together; write `at_most` with less")));
        }
        Ok(())
    }

    pub(crate) fn expr(&mut self, expr: &'a Expr, frame: &mut Frame<'_>) -> Result<Lowered, LowerError> {
        let found = match &expr.kind {
            ExprKind::Param(index) => frame.args.get(*index).cloned(),
            ExprKind::Local(index) => frame.locals.get(*index).cloned(),
            ExprKind::Value(Value::Tensor(elements)) => return self.tensor(expr, elements, frame),
            ExprKind::Value(value) => Some(Lowered::Constant(value.clone())),
            ExprKind::Call { callee, at, args } => {
                let args = args.iter().map(|arg| self.expr(arg, frame)).collect::<Result<Vec<_>, _>>()?;
                return self.call(*callee, *at, args, frame);
            }
            ExprKind::Record(fields) => {
                let fields = fields.iter().map(|(name, value)| Ok((name.clone(), self.expr(value, frame)?)));
                Some(Lowered::Record(fields.collect::<Result<_, LowerError>>()?))
            }
            ExprKind::Field(value, name) => match self.expr(value, frame)? {
                Lowered::Record(fields) => fields.into_iter().find(|(field, _)| field == name).map(|(_, value)| value),
                Lowered::Ranking { scores, .. } if name == "scores" => Some(Lowered::Tensor(scores)),
                ranking @ Lowered::Ranking { .. } if name == "first" => {
                    let origin = self.origin(expr.at, frame);
                    return self.entry(ranking, 0, &origin);
                }
                _ => None,
            },
            ExprKind::Index(value, index) => {
                let value = self.expr(value, frame)?;
                let origin = self.origin(expr.at, frame);
                return self.entry(value, *index, &origin);
            }
            ExprKind::Compare { op, left, right } => {
                let origin = self.origin(expr.at, frame);
                return self.compare(*op, left, right, &origin, frame);
            }
            ExprKind::Block(block) => {
                let base = frame.locals.len();
                for local in &block.locals {
                    let value = self.expr(&local.value, frame)?;
                    frame.locals.push(value);
                }
                let result = self.expr(&block.result, frame)?;
                frame.locals.truncate(base);
                return Ok(result);
            }
            ExprKind::When { arms, otherwise } => {
                let origin = self.origin(expr.at, frame);
                return self.when(arms, otherwise, &origin, frame);
            }
            ExprKind::Loop(node) => {
                let origin = self.origin(expr.at, frame);
                return self.rounds(node, &origin, frame);
            }
            ExprKind::List(_) | ExprKind::None | ExprKind::ForEach { .. } => {
                let reason = "lists and values that may be missing are not compiled yet".to_owned();
                return Err(operation(&self.origin(expr.at, frame), reason));
            }
            ExprKind::Arithmetic { op, left, right } => {
                let (left, right) = (self.expr(left, frame)?, self.expr(right, frame)?);
                return self.arithmetic(*op, left, right, &self.origin(expr.at, frame));
            }
            ExprKind::Negate(value) => match self.expr(value, frame)? {
                Lowered::Constant(Value::Number(value, unit)) => Some(Lowered::Constant(Value::Number(-value, unit))),
                Lowered::Tensor(value) => {
                    let origin = self.origin(expr.at, frame);
                    let negated = self.graph.unary(UnaryOp::Neg, value, origin.clone());
                    Some(Lowered::Tensor(negated.map_err(|error| operation(&origin, error.to_string()))?))
                }
                _ => None,
            },
            ExprKind::Broken => None,
        };
        let place = self.origin(expr.at, frame).name;
        found.ok_or_else(|| LowerError::Internal { pipeline: self.root.clone(), place, reason: "an expression has no value".to_owned() })
    }

    /// Where an operation is, in the words of the package: a place in the standard library tells its user little.
    fn origin(&self, at: Location, frame: &Frame<'_>) -> Origin {
        Origin::new(self.program.place(frame.caller.unwrap_or(at)))
    }

    fn arithmetic(&mut self, op: Operator, left: Lowered, right: Lowered, origin: &Origin) -> Result<Lowered, LowerError> {
        let map = match op {
            Operator::Add => BinaryOp::Add,
            Operator::Sub => BinaryOp::Sub,
            Operator::Mul => BinaryOp::Mul,
            Operator::Div => BinaryOp::Div,
            _ => return Err(operation(origin, format!("`{}` is no arithmetic", op.symbol()))),
        };
        let number = |value: &Lowered| match value {
            Lowered::Constant(Value::Number(number, _)) => Some(*number),
            _ => None,
        };
        if let (Some(a), Some(b)) = (number(&left), number(&right)) {
            let value = match map {
                BinaryOp::Add => a + b,
                BinaryOp::Sub => a - b,
                BinaryOp::Mul => a * b,
                _ => a / b,
            };
            return Ok(Lowered::Constant(Value::Number(value, None)));
        }
        let (x, y) = match (left, right) {
            (Lowered::Tensor(x), Lowered::Tensor(y)) => (x, y),
            (Lowered::Tensor(x), Lowered::Constant(Value::Number(b, _))) => (x, self.scalar_like(x, b, origin)),
            (Lowered::Constant(Value::Number(a, _)), Lowered::Tensor(y)) => (self.scalar_like(y, a, origin), y),
            _ => return Err(operation(origin, format!("`{}` does not take these operands", op.symbol()))),
        };
        let value = self.graph.binary(map, x, y, origin.clone()).map_err(|error| operation(origin, error.to_string()))?;
        Ok(Lowered::Tensor(value))
    }

    /// A tensor that is written out.
    fn tensor(&mut self, expr: &Expr, elements: &[f64], frame: &Frame<'_>) -> Result<Lowered, LowerError> {
        let origin = self.origin(expr.at, frame);
        let shape = match &expr.ty {
            Type::Tensor(tensor) => constants(tensor).map(|shape| (tensor.dtype, shape)),
            _ => None,
        };
        let (dtype, shape) = shape.ok_or_else(|| operation(&origin, "the size of this tensor is not known".to_owned()))?;
        let wide = Tensor::from_values(&shape, elements).map_err(|error| operation(&origin, error.to_string()))?;
        let value = self.graph.constant(wide, origin.clone());
        if dtype == DType::F64 {
            return Ok(Lowered::Tensor(value));
        }
        self.graph.cast(dtype, value, origin.clone()).map(Lowered::Tensor).map_err(|error| operation(&origin, error.to_string()))
    }

    pub(crate) fn scalar_like(&mut self, tensor: ValueId, value: f64, origin: &Origin) -> ValueId {
        let dtype = self.graph.ty(tensor).dtype;
        self.graph.scalar(dtype, value, origin.clone())
    }

    fn call(&mut self, callee: Callee, at: Location, args: Vec<Lowered>, frame: &Frame<'_>) -> Result<Lowered, LowerError> {
        let origin = self.origin(at, frame);
        self.calls += 1;
        if self.calls > MAX_CALLS || frame.depth >= MAX_CALL_DEPTH {
            let limit = if self.calls > MAX_CALLS { MAX_CALLS } else { MAX_CALL_DEPTH };
            return Err(LowerError::TooLarge { place: origin.name, pipeline: self.root.clone(), limit });
        }
        let program = self.program;
        match callee {
            Callee::Model(id) => self.model(id, args, &origin),
            Callee::Pipeline(id) => {
                let Some(pipeline) = program.pipeline(id) else {
                    return Err(operation(&origin, "this pipeline is not in the program".to_owned()));
                };
                match pipeline.body {
                    Body::Intrinsic(intrinsic) => {
                        let lowered = match self.text_intrinsic(intrinsic, &args, &origin) {
                            Some(lowered) => lowered,
                            None => intrinsics::lower(&mut self.graph, intrinsic, &args, &origin),
                        };
                        lowered.map_err(|reason| operation(&origin, format!("`{}`: {reason}", pipeline.name)))
                    }
                    _ => {
                        let is_std = program.files.get(pipeline.at.file.0 as usize).is_some_and(|file| file.path.starts_with("std."));
                        let caller = if is_std { Some(frame.caller.unwrap_or(at)) } else { None };
                        self.body(pipeline, &args, frame.depth + 1, caller)
                    }
                }
            }
        }
    }

    fn model(&mut self, id: ModelId, args: Vec<Lowered>, origin: &Origin) -> Result<Lowered, LowerError> {
        let program = self.program;
        let Some(model) = program.model(id) else { return Err(operation(origin, "this model is not in the program".to_owned())) };
        let refuse = |reason: String| LowerError::Model { place: origin.name.clone(), model: model.name.clone(), reason };
        let mut named = Vec::new();
        let mut symbols: BTreeMap<&str, u64> = BTreeMap::new();
        for (port, arg) in model.inputs.iter().zip(args) {
            let (Type::Tensor(declared), Lowered::Tensor(value)) = (&port.ty, arg) else {
                return Err(refuse(format!("`{}` is given no tensor", port.name)));
            };
            let Some(sizes) = self.graph.dims(value) else { return Err(refuse(format!("the size of `{}` is not known", port.name))) };
            for (dim, size) in declared.dims.iter().zip(sizes) {
                if let Dim::Symbol(name) = dim {
                    symbols.insert(name, size);
                }
            }
            named.push((port.onnx.clone(), value));
        }
        let sizes = model.sizes.iter().filter_map(|(onnx, dim)| match dim {
            Dim::Const(size) => Some((onnx.clone(), *size)),
            Dim::Symbol(name) => symbols.get(name.as_str()).map(|size| (onnx.clone(), *size)),
            _ => None,
        });
        let mut kept = Vec::new();
        for state in &model.states {
            let Type::Tensor(tensor) = &state.port.ty else { return Err(refuse(format!("the state `{}` is no tensor", state.port.name))) };
            let shape = constants(tensor).ok_or_else(|| refuse(format!("the size of the state `{}` is not known", state.port.name)))?;
            let name = self.state_name(&format!("{}:{}", model.name, state.port.name));
            let value = self.graph.add_input(&name, GraphType::fixed(tensor.dtype, &shape));
            named.push((state.port.onnx.clone(), value));
            kept.push((name, &state.next));
        }
        let request = ModelRequest { model: id, name: model.name.clone(), source: model.source.clone(), sizes: sizes.collect() };
        if !self.imported.contains_key(&request) {
            let graph = (self.models)(&request).map_err(refuse)?;
            self.imported.insert(request.clone(), graph);
        }
        let imported = &self.imported[&request];
        let outputs = inline(&mut self.graph, imported, &named).map_err(refuse)?;
        for (name, next) in kept {
            let Some(&value) = outputs.get(next) else { return Err(refuse(format!("it has no output `{next}`"))) };
            self.graph.add_output(&name, value);
            self.graph.states.push(name);
        }
        let mut results = Vec::new();
        for port in &model.outputs {
            let Some(&value) = outputs.get(&port.onnx) else { return Err(refuse(format!("it has no output `{}`", port.onnx))) };
            self.check_output(&port.ty, value, &symbols).map_err(|reason| refuse(format!("its output `{}` {reason}", port.name)))?;
            results.push((port.name.clone(), Lowered::Tensor(value)));
        }
        match results.len() {
            1 => Ok(results.swap_remove(0).1),
            _ => Ok(Lowered::Record(results)),
        }
    }

    /// A name for a state, which no call before has taken. No port of a pipeline has a colon in its name.
    fn state_name(&self, name: &str) -> String {
        let free = |name: &String| !self.graph.states.contains(name) && self.graph.inputs.iter().all(|port| port.name != *name);
        let later = (2..).map(|number| format!("{name}:{number}"));
        std::iter::once(name.to_owned()).chain(later).find(free).expect("there are more numbers than calls")
    }

    /// What a file says of its outputs may leave sizes open; the imported graph closes them, and they must be what is declared.
    fn check_output(&self, declared: &Type, value: ValueId, symbols: &BTreeMap<&str, u64>) -> Result<(), String> {
        let Type::Tensor(declared) = declared else { return Ok(()) };
        let Some(sizes) = self.graph.dims(value) else { return Err("has no fixed size".to_owned()) };
        let wanted = declared.dims.iter().map(|dim| dim.size(&|name| symbols.get(name).copied()));
        let wanted: Vec<u64> = wanted.collect::<Option<_>>().ok_or("has a size that no input decides")?;
        let dtype = self.graph.ty(value).dtype;
        if wanted == sizes && declared.dtype == dtype {
            return Ok(());
        }
        Err(format!("is {dtype}{sizes:?}, but is declared {}{wanted:?}", declared.dtype))
    }
}

pub(crate) fn operation(origin: &Origin, reason: String) -> LowerError {
    LowerError::Operation { place: origin.name.clone(), reason }
}

fn constants(tensor: &TensorType) -> Option<Vec<u64>> {
    let size = |dim: &Dim| match dim {
        Dim::Const(size) => Some(*size),
        _ => None,
    };
    tensor.dims.iter().map(size).collect()
}

fn labels_of(labels: &Labels) -> Option<LabelsId> {
    match labels {
        Labels::Of(id) => Some(*id),
        _ => None,
    }
}
