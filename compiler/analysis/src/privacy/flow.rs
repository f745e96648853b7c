//! What of a pipeline's answer depends on private inputs, and how far that can move.

use super::bound::Bound;
use super::operators::intrinsic_flow;
use crate::program::{Body, Callee, Expr, ExprKind, Model, Pipeline, PipelineId, Value};
use crate::types::{Dim, Type};
use mlp_syntax::Location;
use mlp_syntax::ast::Operator;
use std::collections::HashMap;

/// The most expressions that are followed for one outlet; what lies beyond is taken as unbounded.
const MAX_STEPS: usize = 20_000;
/// The most calls inside one another.
const MAX_DEPTH: usize = 64;

/// A value in the analysis.
#[derive(Clone, Debug)]
pub(crate) enum Flow {
    Tensor(Bound),
    /// A label, or anything else that is one of finitely many or has no distance.
    Opaque {
        private: bool,
    },
    Ranking {
        private: bool,
        scores: Bound,
    },
    Record(Vec<(String, Flow)>),
    Constant(Value),
}

impl Flow {
    pub(crate) fn private(&self) -> bool {
        match self {
            Flow::Tensor(bound) => bound.private,
            Flow::Opaque { private } | Flow::Ranking { private, .. } => *private,
            Flow::Record(fields) => fields.iter().any(|(_, flow)| flow.private()),
            Flow::Constant(_) => false,
        }
    }

    /// What made parts of it unbounded.
    fn causes<'f>(&'f self, found: &mut Vec<&'f (Location, String)>) {
        match self {
            Flow::Tensor(bound) | Flow::Ranking { scores: bound, .. } => found.extend(&bound.cause),
            Flow::Record(fields) => fields.iter().for_each(|(_, flow)| flow.causes(found)),
            Flow::Opaque { .. } | Flow::Constant(_) => {}
        }
    }

    /// True where nothing that made one of `args` unbounded made this so.
    fn has_own_causes(&self, args: &[Flow]) -> bool {
        let (mut own, mut given) = (Vec::new(), Vec::new());
        self.causes(&mut own);
        args.iter().for_each(|arg| arg.causes(&mut given));
        own.iter().all(|cause| !given.contains(cause))
    }

    /// True where all is the same but what made it unbounded.
    fn moves_like(&self, other: &Flow) -> bool {
        match (self, other) {
            (Flow::Tensor(a), Flow::Tensor(b)) => a.moves_like(b),
            (Flow::Opaque { private: a }, Flow::Opaque { private: b }) => a == b,
            (Flow::Ranking { private: x, scores: a }, Flow::Ranking { private: y, scores: b }) => x == y && a.moves_like(b),
            (Flow::Record(a), Flow::Record(b)) => a.len() == b.len() && a.iter().zip(b).all(|((x, a), (y, b))| x == y && a.moves_like(b)),
            (Flow::Constant(a), Flow::Constant(b)) => a == b,
            _ => false,
        }
    }

    /// The field of that name.
    pub(crate) fn field(self, name: &str) -> Flow {
        let private = self.private();
        match self {
            Flow::Record(fields) => fields.into_iter().find(|(field, _)| field == name).map_or(Flow::Opaque { private }, |(_, flow)| flow),
            Flow::Ranking { scores, .. } if name == "scores" => Flow::Tensor(scores),
            _ => Flow::Opaque { private },
        }
    }
}

/// Follows values through pipelines.
pub(crate) struct Follower<'p> {
    pipelines: &'p [Pipeline],
    models: &'p [Model],
    /// How many expressions were followed for the answer that is asked for.
    steps: usize,
    /// What calls gave, where no argument's cause is in it: it is the same then wherever the arguments come from.
    known: HashMap<PipelineId, (Vec<Flow>, Flow)>,
}

struct Frame {
    args: Vec<Flow>,
    locals: Vec<Flow>,
    depth: usize,
}

impl<'p> Follower<'p> {
    pub(crate) fn new(pipelines: &'p [Pipeline], models: &'p [Model]) -> Follower<'p> {
        Follower { pipelines, models, steps: 0, known: HashMap::new() }
    }

    /// The answer of a pipeline to inputs that are private unless they are marked `public`.
    pub(crate) fn answer(&mut self, id: PipelineId) -> Option<Flow> {
        let pipeline = self.pipelines.get(id.0 as usize)?;
        self.steps = 0;
        let args = pipeline.params.iter().map(|param| {
            let what = format!("the input `{}` can be any number", param.name);
            of_type(&param.ty, !param.public, pipeline.at, &what)
        });
        Some(self.called(id, pipeline, args.collect(), 0))
    }

    /// What a pipeline makes of arguments, followed once for the same ones.
    fn called(&mut self, id: PipelineId, pipeline: &'p Pipeline, args: Vec<Flow>, depth: usize) -> Flow {
        if let Some((known, answer)) = self.known.get(&id)
            && known.len() == args.len()
            && known.iter().zip(&args).all(|(known, arg)| known.moves_like(arg))
        {
            return answer.clone();
        }
        let answer = self.body(pipeline, args.clone(), depth);
        if self.steps <= MAX_STEPS && answer.has_own_causes(&args) {
            self.known.insert(id, (args, answer.clone()));
        }
        answer
    }

    fn body(&mut self, pipeline: &'p Pipeline, args: Vec<Flow>, depth: usize) -> Flow {
        let Body::Steps { locals, result, .. } = &pipeline.body else {
            let private = args.iter().any(Flow::private);
            return of_type(&pipeline.result, private, pipeline.at, "nothing is known of this");
        };
        let mut frame = Frame { args, locals: Vec::with_capacity(locals.len()), depth };
        for local in locals {
            let value = self.expr(&local.value, &mut frame);
            frame.locals.push(value);
        }
        self.expr(result, &mut frame)
    }

    fn expr(&mut self, expr: &'p Expr, frame: &mut Frame) -> Flow {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return of_type(&expr.ty, true, expr.at, "this is too much to follow");
        }
        match &expr.kind {
            ExprKind::Param(index) => frame.args.get(*index).cloned().unwrap_or(Flow::Opaque { private: true }),
            ExprKind::Local(index) => frame.locals.get(*index).cloned().unwrap_or(Flow::Opaque { private: true }),
            ExprKind::Value(Value::Tensor(elements)) => {
                let low = elements.iter().copied().fold(f64::INFINITY, f64::min);
                let high = elements.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                Flow::Tensor(Bound::public(low, high, elements.len() as f64))
            }
            ExprKind::Value(value) => Flow::Constant(value.clone()),
            ExprKind::Call { callee, args, at } => {
                let args: Vec<Flow> = args.iter().map(|arg| self.expr(arg, frame)).collect();
                self.call(*callee, args, expr, *at, frame.depth)
            }
            ExprKind::Record(fields) => Flow::Record(fields.iter().map(|(name, value)| (name.clone(), self.expr(value, frame))).collect()),
            ExprKind::Field(value, name) => {
                let flow = self.expr(value, frame).field(name);
                match (&flow, &expr.ty) {
                    (Flow::Opaque { private }, Type::Tensor(_)) => of_type(&expr.ty, *private, expr.at, "nothing is known of this"),
                    _ => flow,
                }
            }
            ExprKind::Index(value, _) => match self.expr(value, frame) {
                Flow::Tensor(bound) => {
                    let count = count_of(&expr.ty).min(bound.count);
                    Flow::Tensor(bound.part(count))
                }
                other => Flow::Opaque { private: other.private() },
            },
            ExprKind::Arithmetic { op, left, right } => {
                let (a, b) = (self.expr(left, frame), self.expr(right, frame));
                arithmetic(*op, a, b, expr)
            }
            ExprKind::Negate(value) => match self.expr(value, frame) {
                Flow::Tensor(bound) => Flow::Tensor(bound.scale(-1.0)),
                Flow::Constant(Value::Number(number, unit)) => Flow::Constant(Value::Number(-number, unit)),
                other => other,
            },
            ExprKind::Compare { left, right, .. } => {
                let private = self.expr(left, frame).private() | self.expr(right, frame).private();
                Flow::Tensor(Bound::within(private, 0.0, 1.0, 1.0))
            }
            ExprKind::Block(block) => {
                let base = frame.locals.len();
                for local in &block.locals {
                    let value = self.expr(&local.value, frame);
                    frame.locals.push(value);
                }
                let result = self.expr(&block.result, frame);
                frame.locals.truncate(base);
                result
            }
            ExprKind::When { arms, otherwise } => {
                let mut answer = self.expr(otherwise, frame);
                for (condition, value) in arms.iter().rev() {
                    let private = self.expr(condition, frame).private();
                    let value = self.expr(value, frame);
                    answer = either(value, answer, private);
                }
                answer
            }
            ExprKind::Loop(node) => {
                let start = self.expr(&node.start, frame);
                let until = node.until.is_some();
                let private = start.private() || until;
                let base = frame.locals.len();
                // Whatever the rounds before made of it: what bounds the value stands in the block itself.
                frame.locals.push(self.anything(&node.start.ty, private, node.start.at));
                if node.counts {
                    frame.locals.push(Flow::Tensor(Bound::public(0.0, node.at_most as f64, 1.0)));
                }
                let next = self.expr(&node.body, frame);
                // A private block makes the value private from the second round on.
                if next.private() && !private {
                    frame.locals[base] = self.anything(&node.start.ty, true, node.start.at);
                }
                let next = self.expr(&node.body, frame);
                frame.locals.truncate(base);
                // Which round was the last may tell something.
                if until { either(next.clone(), next, true) } else { next }
            }
            ExprKind::ForEach { list, body } => {
                let list = self.expr(list, frame);
                frame.locals.push(Flow::Opaque { private: list.private() });
                let item = self.expr(body, frame);
                frame.locals.pop();
                Flow::Opaque { private: list.private() || item.private() }
            }
            ExprKind::List(items) => {
                Flow::Opaque { private: items.iter().fold(false, |private, item| self.expr(item, frame).private() | private) }
            }
            ExprKind::None => Flow::Opaque { private: false },
            // What is wrong with it is said already; that it may be private would be said of others.
            ExprKind::Broken => of_type(&expr.ty, false, expr.at, "nothing is known of this"),
        }
    }

    fn anything(&self, ty: &Type, private: bool, place: Location) -> Flow {
        of_type(ty, private, place, "rounds of a loop can make this any number")
    }

    fn call(&mut self, callee: Callee, args: Vec<Flow>, expr: &Expr, at: Location, depth: usize) -> Flow {
        let private = args.iter().any(Flow::private);
        match callee {
            Callee::Model(id) => {
                let name = self.models.get(id.0 as usize).map_or("?", |model| model.name.as_str());
                of_type(&expr.ty, private, at, &format!("the model `{name}` can give any number"))
            }
            Callee::Pipeline(id) => match self.pipelines.get(id.0 as usize) {
                Some(Pipeline { body: Body::Intrinsic(intrinsic), name, .. }) => intrinsic_flow(*intrinsic, args, expr, at, name),
                Some(pipeline) if depth < MAX_DEPTH => self.called(id, pipeline, args, depth + 1),
                _ => of_type(&expr.ty, private, at, "this is too much to follow"),
            },
        }
    }
}

fn arithmetic(op: Operator, left: Flow, right: Flow, expr: &Expr) -> Flow {
    let private = left.private() || right.private();
    match (op, left, right) {
        (Operator::Add, Flow::Tensor(a), Flow::Tensor(b)) => Flow::Tensor(a.add(b)),
        (Operator::Sub, Flow::Tensor(a), Flow::Tensor(b)) => Flow::Tensor(a.add(b.scale(-1.0))),
        (Operator::Mul, Flow::Tensor(a), Flow::Tensor(b)) => Flow::Tensor(a.multiply(b)),
        (Operator::Div, Flow::Tensor(a), Flow::Tensor(b)) => Flow::Tensor(a.multiply(b.reciprocal(expr.at))),
        (Operator::Add, Flow::Tensor(a), Flow::Constant(Value::Number(b, _)))
        | (Operator::Add, Flow::Constant(Value::Number(b, _)), Flow::Tensor(a)) => Flow::Tensor(a.shift(b)),
        (Operator::Sub, Flow::Tensor(a), Flow::Constant(Value::Number(b, _))) => Flow::Tensor(a.shift(-b)),
        (Operator::Sub, Flow::Constant(Value::Number(a, _)), Flow::Tensor(b)) => Flow::Tensor(b.scale(-1.0).shift(a)),
        (Operator::Mul, Flow::Tensor(a), Flow::Constant(Value::Number(b, _)))
        | (Operator::Mul, Flow::Constant(Value::Number(b, _)), Flow::Tensor(a)) => Flow::Tensor(a.scale(b)),
        (Operator::Div, Flow::Tensor(a), Flow::Constant(Value::Number(b, _))) if b != 0.0 => Flow::Tensor(a.scale(1.0 / b)),
        (Operator::Div, Flow::Constant(Value::Number(a, _)), Flow::Tensor(b)) => Flow::Tensor(b.reciprocal(expr.at).scale(a)),
        (op, Flow::Constant(Value::Number(a, x)), Flow::Constant(Value::Number(b, y))) => {
            let value = match op {
                Operator::Add => a + b,
                Operator::Sub => a - b,
                Operator::Mul => a * b,
                _ => a / b,
            };
            Flow::Constant(Value::Number(value, x.or(y)))
        }
        _ => of_type(&expr.ty, private, expr.at, "this can be any number"),
    }
}

/// One of two values, part by part.
fn either(a: Flow, b: Flow, private: bool) -> Flow {
    match (a, b) {
        (Flow::Tensor(a), Flow::Tensor(b)) => Flow::Tensor(a.either(b, private)),
        (Flow::Ranking { private: x, scores: a }, Flow::Ranking { private: y, scores: b }) => {
            Flow::Ranking { private: private || x || y, scores: a.either(b, private) }
        }
        (Flow::Record(a), Flow::Record(mut b)) => Flow::Record(
            a.into_iter()
                .map(|(name, value)| match b.iter().position(|(other, _)| *other == name) {
                    Some(index) => {
                        let other = b.swap_remove(index).1;
                        (name, either(value, other, private))
                    }
                    None => (name, value),
                })
                .collect(),
        ),
        (a, b) => Flow::Opaque { private: private || a.private() || b.private() },
    }
}

/// A value of which its type alone is known.
pub(super) fn of_type(ty: &Type, private: bool, place: Location, what: &str) -> Flow {
    match ty {
        Type::Tensor(_) if private => Flow::Tensor(Bound::unbounded(count_of(ty), place, what)),
        Type::Tensor(_) => Flow::Tensor(Bound::public(f64::NEG_INFINITY, f64::INFINITY, count_of(ty))),
        Type::Record(fields) => Flow::Record(fields.iter().map(|(name, ty)| (name.clone(), of_type(ty, private, place, what))).collect()),
        Type::Ranking { count, .. } => {
            let count = size(count);
            let scores =
                if private { Bound::unbounded(count, place, what) } else { Bound::public(f64::NEG_INFINITY, f64::INFINITY, count) };
            Flow::Ranking { private, scores }
        }
        _ => Flow::Opaque { private },
    }
}

/// How many elements a tensor has; infinite where that is not known.
pub(super) fn count_of(ty: &Type) -> f64 {
    match ty {
        Type::Tensor(tensor) => tensor.dims.iter().map(size).product(),
        _ => f64::INFINITY,
    }
}

/// How many rows along the last dimension a tensor has.
pub(super) fn rows_of(ty: &Type) -> f64 {
    match ty {
        Type::Tensor(tensor) => tensor.dims.iter().rev().skip(1).map(size).product(),
        _ => f64::INFINITY,
    }
}

pub(super) fn size(dim: &Dim) -> f64 {
    match dim {
        Dim::Const(size) => *size as f64,
        _ => f64::INFINITY,
    }
}
