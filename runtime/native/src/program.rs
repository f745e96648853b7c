//! Expressions as steps of the kernels' vector programs: epilogues without a common form, and kernels over rows.

use crate::finish::{Plane, Reader, linear, steps};
use mlp_bundle::loops::{
    Access, Accumulator, BinaryOp, BufferId, CompareOp, Expr, ExprId, Exprs, Extent, Fold, Nest, Rows, Store, UnaryOp,
};
use mlp_bundle::plan::Plan;
use mlp_bundle::{DType, Scalar};
use mlp_kernels::{Element, Function, Operator, RowFold, Step};
use std::collections::HashMap;

/// Elements of a row from which a program pays.
const LEAST_LANES: usize = 32;

/// Channels from which a program pays: pixels are taken together, each in sixteen lanes at least.
const LEAST_CHANNELS: usize = 8;

/// Steps at most: expressions beyond are no program.
const MAX_STEPS: usize = 96;

/// Steps as they are made of expressions.
struct Writer<'a, L> {
    plan: &'a Plan,
    exprs: &'a Exprs,
    /// The types of totals.
    totals: &'a [DType],
    /// The number of the source that an access reads.
    load: L,
    known: HashMap<ExprId, usize>,
    steps: Vec<Step>,
    /// The type of each step: `F32`, `I32`, or `Bool` of a comparison, which has all bits or none.
    types: Vec<DType>,
}

impl<L: FnMut(&Access) -> Option<usize>> Writer<'_, L> {
    /// The number of the step that computes an expression, where there are steps for it.
    fn step(&mut self, id: ExprId) -> Option<usize> {
        if let Some(&step) = self.known.get(&id) {
            return Some(step);
        }
        let (step, dtype) = match &self.exprs[id] {
            Expr::Total(number) => (Step::Total(usize::from(*number)), *self.totals.get(usize::from(*number))?),
            Expr::Const(Scalar::F32(bits)) => (Step::Const(*bits), DType::F32),
            Expr::Const(Scalar::I32(value)) => (Step::Const(*value as u32), DType::I32),
            Expr::Load(access) => {
                let dtype = self.plan.buffers[access.buffer].dtype;
                element(dtype)?;
                (Step::Load((self.load)(access)?), dtype.compute())
            }
            Expr::Unary(op, x) => {
                let x = self.of_type(*x, DType::F32)?;
                (Step::Function(function(*op)?, x), DType::F32)
            }
            Expr::Binary(op, x, y) => {
                let x = self.step(*x)?;
                let dtype = self.types[x];
                (Step::Operator(operator(*op, dtype)?, x, self.step(*y)?), dtype)
            }
            Expr::Cast(to @ (DType::F32 | DType::I32), x) => {
                let x = self.step(*x)?;
                match (self.types[x], *to) {
                    (DType::I32, DType::F32) => (Step::Function(Function::ToFloat, x), DType::F32),
                    (DType::F32, DType::I32) => (Step::Function(Function::ToInt, x), DType::I32),
                    _ => {
                        self.known.insert(id, x);
                        return Some(x);
                    }
                }
            }
            Expr::Compare(op, x, y) => {
                let x = self.of_type(*x, DType::F32)?;
                let operator = match op {
                    CompareOp::Eq => Operator::Equal,
                    CompareOp::Ne => Operator::Differ,
                    CompareOp::Lt => Operator::Less,
                    CompareOp::Le => Operator::AtMost,
                };
                (Step::Operator(operator, x, self.of_type(*y, DType::F32)?), DType::Bool)
            }
            Expr::Select(condition, x, y) => {
                let condition = self.of_type(*condition, DType::Bool)?;
                let x = self.step(*x)?;
                let dtype = self.types[x];
                (Step::Select(condition, x, self.step(*y)?), dtype)
            }
            Expr::Requantize { value, multiplier, shift } => {
                let value = self.of_type(*value, DType::I32)?;
                (Step::Requantize(value, self.of_type(*multiplier, DType::I32)?, u32::from(*shift)), DType::I32)
            }
            _ => return None,
        };
        if self.steps.len() == MAX_STEPS {
            return None;
        }
        self.steps.push(step);
        self.types.push(dtype);
        self.known.insert(id, self.steps.len() - 1);
        Some(self.steps.len() - 1)
    }

    fn of_type(&mut self, id: ExprId, dtype: DType) -> Option<usize> {
        let step = self.step(id)?;
        (self.types[step] == dtype).then_some(step)
    }
}

/// Whether a step takes so long that wide vectors win back what loading and choosing steps costs; without one, code of four lanes is faster.
fn is_slow(step: &Step) -> bool {
    matches!(step, Step::Function(Function::Exp | Function::Erf | Function::Tanh, _))
}

/// The element type of a buffer that programs read and store.
fn element(dtype: DType) -> Option<Element> {
    match dtype {
        DType::F32 | DType::I32 => Some(Element::Word),
        DType::U8 => Some(Element::U8),
        DType::I8 => Some(Element::I8),
        _ => None,
    }
}

/// The element type to store a step of a type in a buffer with.
fn stored(dtype: DType, buffer: DType) -> Option<Element> {
    element(buffer).filter(|_| buffer.compute() == dtype)
}

/// What an epilogue reads.
pub(crate) enum Source {
    /// One value a channel.
    Channel(Vec<u32>),
    /// By pixel and channel.
    Pixel(Element, Plane),
    /// One element a pixel.
    Each(Element, Plane),
}

/// An epilogue as steps, the last of which is stored.
pub(crate) struct EpilogueSteps {
    pub(crate) steps: Vec<Step>,
    pub(crate) sources: Vec<Source>,
    pub(crate) element: Element,
    pub(crate) out: Plane,
}

impl Reader<'_> {
    /// The steps and the place of the result, where there are steps that compute the epilogue and they pay.
    pub(crate) fn program(&self, total: DType) -> Option<EpilogueSteps> {
        let [store] = &self.epilogue.stores[..] else { return None };
        let out = self.plane(&store.access)?;
        let mut sources: Vec<Source> = Vec::new();
        let load = |access: &Access| {
            sources.push(self.source(access)?);
            Some(sources.len() - 1)
        };
        let (exprs, known) = (&self.epilogue.exprs, HashMap::new());
        let totals = &[total];
        let mut writer = Writer { plan: self.plan, exprs, totals, load, known, steps: Vec::new(), types: Vec::new() };
        let last = writer.step(store.value)?;
        let Writer { mut steps, types, .. } = writer;
        let element = stored(types[last], self.plan.buffers[out.buffer].dtype)?;
        steps.truncate(last + 1);
        let pays = self.channels >= LEAST_CHANNELS && steps.iter().any(is_slow);
        pays.then_some(EpilogueSteps { steps, sources, element, out })
    }

    fn source(&self, access: &Access) -> Option<Source> {
        if let Some(values) = self.channel_values(access) {
            let bits = |scalar| match scalar {
                Scalar::F32(bits) => Some(bits),
                Scalar::I32(value) => Some(value as u32),
                _ => None,
            };
            return Some(Source::Channel(values.into_iter().map(bits).collect::<Option<_>>()?));
        }
        let element = element(self.plan.buffers[access.buffer].dtype)?;
        match linear(access)? {
            (first, pixel, 0) => Some(Source::Each(element, Plane { buffer: access.buffer, element: first, pixel })),
            _ => Some(Source::Pixel(element, self.plane(access)?)),
        }
    }
}

/// Where the elements of rows lie: the first one's number in its buffer, elements from row to row, and whether they follow each other.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) buffer: BufferId,
    pub(crate) element: Element,
    pub(crate) first: usize,
    pub(crate) steps: Vec<isize>,
    pub(crate) along: bool,
}

/// A kernel over rows as steps.
pub(crate) struct RowSteps {
    pub(crate) parallel: Vec<usize>,
    pub(crate) length: usize,
    pub(crate) steps: Vec<Step>,
    pub(crate) sources: Vec<Line>,
    pub(crate) reductions: Vec<(RowFold, usize)>,
    pub(crate) stores: Vec<(Line, usize)>,
}

/// The steps of a kernel over rows, where it has some and they pay.
pub(crate) fn rows(plan: &Plan, rows: &Rows) -> Option<RowSteps> {
    let fold = |fold| match fold {
        Fold::Sum => RowFold::Sum,
        Fold::Max => RowFold::Max,
        Fold::Min => RowFold::Min,
    };
    let folds: Vec<(RowFold, ExprId)> = rows.reductions.iter().map(|reduction| (fold(reduction.fold), reduction.value)).collect();
    let made = of_rows(plan, (&rows.parallel, rows.length), &rows.exprs, &folds, &rows.stores)?;
    made.steps.iter().any(is_slow).then_some(made)
}

/// The steps of a nest: without reductions, where it has functions that take long, its last loop is the row; else its one reduction loop.
pub(crate) fn nest(plan: &Plan, nest: &Nest) -> Option<RowSteps> {
    match nest.reduce[..] {
        [] if nest.accs.is_empty() => {
            let (&length, parallel) = nest.parallel.split_last()?;
            let made = of_rows(plan, (parallel, length), &nest.exprs, &[], &nest.stores)?;
            // Rounding to integers and their range is long code in four lanes too.
            let converts = |step: &Step| matches!(step, Step::Function(Function::ToInt, _));
            made.steps.iter().any(|step| is_slow(step) || converts(step)).then_some(made)
        }
        [Extent::Const(length)] => {
            let folds = nest.accs.iter().enumerate().map(|(number, acc)| fold(&nest.exprs, number, acc)).collect::<Option<Vec<_>>>()?;
            let made = of_rows(plan, (&nest.parallel, length), &nest.exprs, &folds, &nest.stores)?;
            // All of what is stored follows from totals: one element of each row.
            let one = made.stores.iter().all(|(line, _)| !line.along);
            (one && made.sources.iter().any(|line| line.along)).then_some(made)
        }
        _ => None,
    }
}

/// How an accumulator takes values in, and the value of a point, where that is in any order.
fn fold(exprs: &Exprs, number: usize, acc: &Accumulator) -> Option<(RowFold, ExprId)> {
    let of = |id: ExprId| matches!(&exprs[id], Expr::Acc(other) if usize::from(*other) == number);
    // `select(v != v, v, best)`: a NaN wins.
    let (next, first) = match &exprs[acc.next] {
        Expr::Select(condition, value, best) => match &exprs[*condition] {
            Expr::Compare(CompareOp::Ne, x, y) if x == value && y == value => (*best, Some(*value)),
            _ => return None,
        },
        _ => (acc.next, None),
    };
    let Expr::Binary(op, x, y) = &exprs[next] else { return None };
    let value = if of(*x) { *y } else { (*op == BinaryOp::Add && of(*y)).then_some(*x)? };
    let fold = match (op, acc.init) {
        (BinaryOp::Add, Scalar::F32(0)) => RowFold::Sum,
        (BinaryOp::Add, Scalar::I32(0)) => RowFold::SumInt,
        (BinaryOp::Max, Scalar::F32(bits)) if f32::from_bits(bits) == f32::NEG_INFINITY => {
            if first.is_some() {
                RowFold::Greatest
            } else {
                RowFold::Max
            }
        }
        (BinaryOp::Min, Scalar::F32(bits)) if f32::from_bits(bits) == f32::INFINITY => {
            if first.is_some() {
                RowFold::Least
            } else {
                RowFold::Min
            }
        }
        _ => return None,
    };
    (first.is_none_or(|first| first == value) && (first.is_none() || matches!(fold, RowFold::Greatest | RowFold::Least)))
        .then_some((fold, value))
}

fn of_rows(
    plan: &Plan,
    (parallel, length): (&[u32], u32),
    exprs: &Exprs,
    folds: &[(RowFold, ExprId)],
    stores: &[Store],
) -> Option<RowSteps> {
    if (length as usize) < LEAST_LANES {
        return None;
    }
    let mut sources: Vec<Line> = Vec::new();
    let load = |access: &Access| {
        sources.push(line(plan, access, parallel.len())?);
        Some(sources.len() - 1)
    };
    let taken = |fold: RowFold| if fold == RowFold::SumInt { DType::I32 } else { DType::F32 };
    let totals: Vec<DType> = folds.iter().map(|&(fold, _)| taken(fold)).collect();
    let mut writer = Writer { plan, exprs, totals: &totals, load, known: HashMap::new(), steps: Vec::new(), types: Vec::new() };
    let reductions = folds.iter().map(|&(fold, value)| Some((fold, writer.of_type(value, taken(fold))?))).collect::<Option<Vec<_>>>()?;
    let results = stores.iter().map(|store| writer.step(store.value)).collect::<Option<Vec<_>>>()?;
    let Writer { steps, types, .. } = writer;
    let place = |(store, step): (&Store, usize)| {
        stored(types[step], plan.buffers[store.access.buffer].dtype)?;
        Some((line(plan, &store.access, parallel.len())?, step))
    };
    let stores = stores.iter().zip(results).map(place).collect::<Option<Vec<_>>>()?;
    let parallel = parallel.iter().map(|&extent| extent as usize).collect();
    Some(RowSteps { parallel, length: length as usize, steps, sources, reductions, stores })
}

/// Where an access that stays inside lies, the axis after `rows` being the one along a row; none where its elements neither follow each other nor are one.
fn line(plan: &Plan, access: &Access, rows: usize) -> Option<Line> {
    let element = element(plan.buffers[access.buffer].dtype)?;
    let (first, mut steps) = steps(access, rows + 1)?;
    let along = match steps.pop()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let steps = steps.into_iter().map(|step| isize::try_from(step).ok()).collect::<Option<_>>()?;
    Some(Line { buffer: access.buffer, element, first, steps, along })
}

fn function(op: UnaryOp) -> Option<Function> {
    Some(match op {
        UnaryOp::Neg => Function::Neg,
        UnaryOp::Abs => Function::Abs,
        UnaryOp::Sqrt => Function::Sqrt,
        UnaryOp::RoundEven => Function::RoundEven,
        UnaryOp::Floor => Function::Floor,
        UnaryOp::Ceil => Function::Ceil,
        UnaryOp::Trunc => Function::Trunc,
        UnaryOp::Exp => Function::Exp,
        UnaryOp::Erf => Function::Erf,
        UnaryOp::Tanh => Function::Tanh,
        _ => return None,
    })
}

fn operator(op: BinaryOp, dtype: DType) -> Option<Operator> {
    Some(match (op, dtype) {
        (BinaryOp::Add, DType::F32) => Operator::Add,
        (BinaryOp::Sub, DType::F32) => Operator::Sub,
        (BinaryOp::Mul, DType::F32) => Operator::Mul,
        (BinaryOp::Div, DType::F32) => Operator::Div,
        (BinaryOp::Min, DType::F32) => Operator::Min,
        (BinaryOp::Max, DType::F32) => Operator::Max,
        (BinaryOp::Add, DType::I32) => Operator::AddInt,
        (BinaryOp::Sub, DType::I32) => Operator::SubInt,
        (BinaryOp::Mul, DType::I32) => Operator::MulInt,
        (BinaryOp::Min, DType::I32) => Operator::MinInt,
        (BinaryOp::Max, DType::I32) => Operator::MaxInt,
        (BinaryOp::And, DType::I32) => Operator::And,
        (BinaryOp::Or, DType::I32) => Operator::Or,
        _ => return None,
    })
}
