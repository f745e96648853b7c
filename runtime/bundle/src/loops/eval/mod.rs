//! The evaluator of plans: slow, exact, and the oracle that every backend is compared with.

mod attention;
mod rows;

use super::{
    Access, Arithmetic, Body, Bounds, Contract, Depthwise, Epilogue, Expr, ExprId, Exprs, Extent, Kernel, Nest, PANEL, Scales, Store,
    Window,
};
use super::{BufferId, scalar};
use crate::dtype::{DType, Scalar};
use crate::plan::{Place, Plan};
use cranelift_entity::{EntityRef, SecondaryMap};

/// Why a plan could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The plan breaks a rule that [`crate::plan::verify`] checks.
    #[error("{0}")]
    Plan(#[from] crate::plan::verify::PlanError),
    /// The caller's inputs, symbols or weights are not those of the plan.
    #[error("{0}")]
    Arguments(String),
}

/// Runs a plan once: inputs are the ports' dense little-endian bytes at the symbols' values, and so are the outputs.
pub fn run(plan: &Plan, weights: &[u8], inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<Vec<u8>>, EvalError> {
    Evaluator::new(plan, weights)?.run(inputs, symbols)
}

/// Runs a plan again and again, with its states between the runs.
pub struct Evaluator<'a> {
    plan: &'a Plan,
    weights: &'a [u8],
    states: Vec<Vec<u8>>,
}

impl<'a> Evaluator<'a> {
    /// Verifies a plan; its states are zeros.
    pub fn new(plan: &'a Plan, weights: &'a [u8]) -> Result<Evaluator<'a>, EvalError> {
        crate::plan::verify::verify(plan)?;
        let states = plan.moves().into_iter().map(|state| vec![0; state.bytes]).collect();
        Ok(Evaluator { plan, weights, states })
    }

    /// Sets the states back to zeros.
    pub fn reset(&mut self) {
        self.states.iter_mut().for_each(|state| state.fill(0));
    }

    /// Runs once, as [`run`] does, and keeps the states for the next run.
    pub fn run(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<Vec<u8>>, EvalError> {
        let (plan, moves) = (self.plan, self.plan.moves());
        let sizes = plan.check_arguments(self.weights.len(), inputs, symbols).map_err(EvalError::Arguments)?;
        let mut machine = Machine { plan, weights: self.weights, arena: vec![0; plan.arena_bytes as usize], symbols };
        for (port, bytes) in plan.inputs.iter().zip(inputs) {
            let start = machine.arena_offset(port.buffer);
            machine.arena[start..start + bytes.len()].copy_from_slice(bytes);
        }
        for (state, bytes) in moves.iter().zip(&self.states) {
            machine.arena[state.to..state.to + state.bytes].copy_from_slice(bytes);
        }
        for kernel in &plan.kernels {
            machine.kernel(kernel);
        }
        for (state, bytes) in moves.iter().zip(&mut self.states) {
            bytes.copy_from_slice(&machine.arena[state.from..state.from + state.bytes]);
        }
        let read = |(port, bytes): (&crate::plan::Port, usize)| {
            let start = machine.arena_offset(port.buffer);
            machine.arena[start..start + bytes].to_vec()
        };
        Ok(plan.outputs.iter().zip(sizes).map(read).collect())
    }
}

struct Machine<'a> {
    plan: &'a Plan,
    weights: &'a [u8],
    arena: Vec<u8>,
    symbols: &'a [u32],
}

/// What expressions see at one point of a loop.
struct Point<'a> {
    axes: &'a [i64],
    accs: &'a [Scalar],
    totals: &'a [Scalar],
}

type Values = SecondaryMap<ExprId, Scalar>;

/// The expressions below `roots`, in order.
fn below(exprs: &Exprs, roots: impl Iterator<Item = ExprId>) -> Vec<ExprId> {
    let mut wanted = vec![false; exprs.len()];
    roots.for_each(|root| wanted[root.index()] = true);
    for (id, expr) in exprs.iter().rev() {
        if wanted[id.index()] {
            expr.for_each_operand(|operand| wanted[operand.index()] = true);
        }
    }
    exprs.keys().filter(|id| wanted[id.index()]).collect()
}

fn store_roots(stores: &[Store]) -> impl Iterator<Item = ExprId> + '_ {
    stores.iter().flat_map(|store| store.access.dims.iter().filter_map(|dim| dim.index.dynamic).chain([store.value]))
}

impl Machine<'_> {
    fn arena_offset(&self, buffer: BufferId) -> usize {
        match self.plan.buffers[buffer].place {
            Place::Arena { offset } | Place::Weights { offset } => offset as usize,
        }
    }

    fn bytes(&self, buffer: BufferId) -> &[u8] {
        let data = &self.plan.buffers[buffer];
        match data.place {
            Place::Arena { offset } => &self.arena[offset as usize..(offset + data.bytes()) as usize],
            Place::Weights { offset } => &self.weights[offset as usize..(offset + data.bytes()) as usize],
        }
    }

    fn element(&self, buffer: BufferId, index: usize) -> Scalar {
        let dtype = self.plan.buffers[buffer].dtype;
        scalar::load(dtype, &self.bytes(buffer)[index * dtype.size()..])
    }

    /// The element an access addresses; none where an index leaves its extent.
    fn place(access: &Access, point: &Point<'_>, values: &Values) -> Option<usize> {
        let mut element = access.offset as i64;
        for dim in &access.dims {
            let mut index = dim.index.constant;
            for &(axis, coefficient) in &dim.index.terms {
                index += coefficient * point.axes[usize::from(axis)];
            }
            if let Some(dynamic) = dim.index.dynamic
                && let Scalar::I32(value) = values[dynamic]
            {
                index += i64::from(value);
            }
            let last = i64::from(dim.extent) - 1;
            if index < 0 || index > last {
                match access.bounds {
                    Bounds::Else(_) => return None,
                    Bounds::Clamp | Bounds::Inside => index = index.clamp(0, last),
                }
            }
            element += index * dim.stride as i64;
        }
        Some(element as usize)
    }

    fn value(&self, expr: &Expr, point: &Point<'_>, values: &Values) -> Scalar {
        let result = match expr {
            Expr::Const(value) => Ok(*value),
            Expr::Axis(axis) => Ok(Scalar::I32(point.axes[usize::from(*axis)] as i32)),
            Expr::Symbol(symbol) => Ok(Scalar::I32(self.symbols[symbol.index()] as i32)),
            Expr::Acc(index) => Ok(point.accs[usize::from(*index)]),
            Expr::Total(index) => Ok(point.totals[usize::from(*index)]),
            Expr::Load(access) => Ok(match (Self::place(access, point, values), access.bounds) {
                (None, Bounds::Else(value)) => value,
                (place, _) => self.element(access.buffer, place.unwrap_or(0)),
            }),
            Expr::Unary(op, x) => scalar::unary(*op, values[*x]),
            Expr::Binary(op, x, y) => scalar::binary(*op, values[*x], values[*y]),
            Expr::Compare(op, x, y) => scalar::compare(*op, values[*x], values[*y]).map(Scalar::Bool),
            Expr::Select(condition, x, y) => Ok(if values[*condition] == Scalar::Bool(true) { values[*x] } else { values[*y] }),
            Expr::Cast(to, x) => scalar::cast(*to, values[*x]),
            Expr::Bitcast(to, x) => scalar::bitcast(*to, values[*x]),
            Expr::Requantize { value, multiplier, shift } => match (values[*value], values[*multiplier]) {
                (Scalar::I32(value), Scalar::I32(multiplier)) => Ok(Scalar::I32(scalar::requantize(value, multiplier, *shift))),
                _ => Err(scalar::TypeMismatch),
            },
        };
        result.expect("the verifier has typed every expression")
    }

    fn evaluate(&self, exprs: &Exprs, list: &[ExprId], point: &Point<'_>, values: &mut Values) {
        for &id in list {
            values[id] = self.value(&exprs[id], point, values);
        }
    }

    fn store_all(&mut self, stores: &[Store], point: &Point<'_>, values: &Values) {
        for store in stores {
            let buffer = store.access.buffer;
            let dtype = self.plan.buffers[buffer].dtype;
            let place = Self::place(&store.access, point, values).expect("stores stay inside");
            let start = self.arena_offset(buffer) + place * dtype.size();
            scalar::store(dtype, values[store.value], &mut self.arena[start..start + dtype.size()])
                .expect("the verifier has typed every store");
        }
    }

    fn kernel(&mut self, kernel: &Kernel) {
        match &kernel.body {
            Body::Nest(nest) => self.nest(nest),
            Body::Contract(contract) => self.contract(contract),
            Body::Depthwise(depthwise) => self.depthwise(depthwise),
            Body::Attention(attention) => self.attention(attention),
            Body::Rows(rows) => self.rows(rows),
        }
    }

    fn nest(&mut self, nest: &Nest) {
        let counts: Vec<ExprId> = nest.reduce.iter().filter_map(|extent| extent.count()).collect();
        let before = below(&nest.exprs, counts.into_iter());
        let inside = below(&nest.exprs, nest.accs.iter().map(|acc| acc.next));
        let after = below(&nest.exprs, store_roots(&nest.stores));
        let mut values = Values::with_default(Scalar::Bool(false));
        let parallel = nest.parallel.len();
        let mut axes = vec![0i64; parallel + nest.reduce.len()];
        let points: u64 = nest.parallel.iter().map(|&n| u64::from(n)).product();
        for flat in 0..points {
            let mut rest = flat;
            for (axis, &extent) in nest.parallel.iter().enumerate().rev() {
                axes[axis] = (rest % u64::from(extent)) as i64;
                rest /= u64::from(extent);
            }
            self.evaluate(&nest.exprs, &before, &Point { axes: &axes, accs: &[], totals: &[] }, &mut values);
            let extents: Vec<i64> = nest.reduce.iter().map(|extent| count(extent, &values)).collect();
            let mut accs: Vec<Scalar> = nest.accs.iter().map(|acc| acc.init).collect();
            for flat in 0..extents.iter().product::<i64>() {
                let mut rest = flat;
                for (axis, &extent) in extents.iter().enumerate().rev() {
                    axes[parallel + axis] = rest % extent;
                    rest /= extent;
                }
                self.evaluate(&nest.exprs, &inside, &Point { axes: &axes, accs: &accs, totals: &[] }, &mut values);
                accs = nest.accs.iter().map(|acc| values[acc.next]).collect();
            }
            let point = Point { axes: &axes, accs: &[], totals: &accs };
            self.evaluate(&nest.exprs, &after, &point, &mut values);
            self.store_all(&nest.stores, &point, &values);
        }
    }

    fn epilogue(&mut self, epilogue: &Epilogue, list: &[ExprId], values: &mut Values, pixel: u32, channel: u32, total: Scalar) {
        let axes = [i64::from(pixel), i64::from(channel)];
        let point = Point { axes: &axes, accs: &[], totals: &[total] };
        self.evaluate(&epilogue.exprs, list, &point, values);
        self.store_all(&epilogue.stores, &point, values);
    }

    fn contract(&mut self, contract: &Contract) {
        let window = contract.window;
        let list = below(&contract.epilogue.exprs, store_roots(&contract.epilogue.stores));
        let mut values = Values::with_default(Scalar::Bool(false));
        let taps = u64::from(window.kernel[0] * window.kernel[1]);
        for pixel in 0..window.pixels() {
            for channel in 0..window.out_c {
                let mut panel = u64::from(channel / PANEL);
                if contract.per_image {
                    panel += u64::from(pixel / window.out_w) * u64::from(window.out_c.div_ceil(PANEL));
                }
                let mut sum = Sum::new(contract.arithmetic);
                for tap in 0..taps {
                    let source = window.source(pixel, tap as u32);
                    for k in 0..window.in_c {
                        let lane = u64::from(channel % PANEL);
                        let weight = match contract.arithmetic {
                            Arithmetic::F32 => ((panel * taps + tap) * u64::from(window.in_c) + u64::from(k)) * u64::from(PANEL) + lane,
                            Arithmetic::Int8 { .. } => {
                                let quad = (panel * taps + tap) * u64::from(window.in_c.div_ceil(4)) + u64::from(k / 4);
                                (quad * u64::from(PANEL) + lane) * 4 + u64::from(k % 4)
                            }
                        };
                        let x = source.map(|start| self.element(contract.input, (start + u64::from(k)) as usize));
                        sum.add(x, self.weight(contract, weight));
                    }
                }
                self.epilogue(&contract.epilogue, &list, &mut values, pixel, channel, sum.total());
            }
        }
    }

    /// The packed weight with a number, as what it stands for.
    fn weight(&self, contract: &Contract, index: u64) -> Scalar {
        let Some(Scales { buffer, per, bits }) = contract.scales else { return self.element(contract.weights, index as usize) };
        let (step, lane) = (index / u64::from(PANEL), index % u64::from(PANEL));
        let number = match bits {
            4 => {
                let Scalar::I32(pair) = self.element(contract.weights, (step * 8 + lane % 8) as usize) else {
                    unreachable!("the verifier has typed the weights")
                };
                Scalar::I32(pair << (if lane < 8 { 28 } else { 24 }) >> 28)
            }
            _ => self.element(contract.weights, index as usize),
        };
        let scale = self.element(buffer, (step / u64::from(per) * u64::from(PANEL) + lane) as usize);
        match (number, scale) {
            (Scalar::I32(number), Scalar::F32(scale)) => Scalar::f32(number as f32 * f32::from_bits(scale)),
            _ => unreachable!("the verifier has typed the weights and the scales"),
        }
    }

    fn depthwise(&mut self, depthwise: &Depthwise) {
        let window = depthwise.window;
        let list = below(&depthwise.epilogue.exprs, store_roots(&depthwise.epilogue.stores));
        let mut values = Values::with_default(Scalar::Bool(false));
        let padded = window.out_c.next_multiple_of(PANEL);
        for pixel in 0..window.pixels() {
            for channel in 0..window.out_c {
                let mut sum = Sum::new(depthwise.arithmetic);
                for tap in 0..window.kernel[0] * window.kernel[1] {
                    let source = window.source(pixel, tap);
                    let x = source.map(|start| self.element(depthwise.input, (start + u64::from(channel)) as usize));
                    sum.add(x, self.element(depthwise.weights, (u64::from(tap) * u64::from(padded) + u64::from(channel)) as usize));
                }
                self.epilogue(&depthwise.epilogue, &list, &mut values, pixel, channel, sum.total());
            }
        }
    }
}

/// The sum of a contraction: binary64 inside for floats, so that the oracle is more exact than what it judges.
enum Sum {
    F32(f64),
    Int8 { sum: i32, pad_value: i32 },
}

impl Sum {
    fn new(arithmetic: Arithmetic) -> Sum {
        match arithmetic {
            Arithmetic::F32 => Sum::F32(0.0),
            Arithmetic::Int8 { pad_value } => Sum::Int8 { sum: 0, pad_value },
        }
    }

    fn add(&mut self, x: Option<Scalar>, weight: Scalar) {
        match (self, weight) {
            (Sum::F32(sum), Scalar::F32(w)) => {
                if let Some(Scalar::F32(x)) = x {
                    *sum += f64::from(f32::from_bits(x)) * f64::from(f32::from_bits(w));
                }
            }
            (Sum::Int8 { sum, pad_value }, Scalar::I32(w)) => {
                let x = if let Some(Scalar::I32(x)) = x { x } else { *pad_value };
                *sum = sum.wrapping_add(x.wrapping_mul(w));
            }
            _ => unreachable!("the verifier has typed the weights"),
        }
    }

    fn total(&self) -> Scalar {
        match self {
            Sum::F32(sum) => Scalar::f32(*sum as f32),
            Sum::Int8 { sum, .. } => Scalar::I32(*sum),
        }
    }
}

impl Window {
    /// Output pixels, all images together.
    pub fn pixels(&self) -> u32 {
        self.batch * self.out_h * self.out_w
    }

    /// Whether every output pixel is one input pixel, in the same order: rows, columns and images are one run of pixels.
    pub fn is_product(&self) -> bool {
        self.kernel == [1, 1] && self.stride == [1, 1] && self.pad == [0, 0] && self.in_h == self.out_h && self.in_w == self.out_w
    }

    /// The element of the input where output pixel `pixel` reads the first channel through tap `tap` (row-major); none where that is padding.
    pub fn source(&self, pixel: u32, tap: u32) -> Option<u64> {
        let (column, row) = (pixel % self.out_w, pixel / self.out_w % self.out_h);
        let image = pixel / self.out_w / self.out_h;
        let along = |position: u32, axis: usize, tap: u32, size: u32| {
            let at = i64::from(position) * i64::from(self.stride[axis]) + i64::from(tap) * i64::from(self.dilation[axis])
                - i64::from(self.pad[axis]);
            (0..i64::from(size)).contains(&at).then_some(at as u64)
        };
        let y = along(row, 0, tap / self.kernel[1], self.in_h)?;
        let x = along(column, 1, tap % self.kernel[1], self.in_w)?;
        let pixel = (u64::from(image) * u64::from(self.in_h) + y) * u64::from(self.in_w) + x;
        Some(pixel * u64::from(self.in_pixel) + u64::from(self.in_offset))
    }
}

fn count(extent: &Extent, values: &Values) -> i64 {
    match extent {
        Extent::Const(n) => i64::from(*n),
        Extent::Dynamic { count, max } => match values[*count] {
            Scalar::I32(n) => i64::from(n).clamp(0, i64::from(*max)),
            _ => 0,
        },
    }
}

/// The element type of the sum that an arithmetic makes.
impl Arithmetic {
    /// The compute type of the sum.
    pub fn total(&self) -> DType {
        match self {
            Arithmetic::F32 => DType::F32,
            Arithmetic::Int8 { .. } => DType::I32,
        }
    }
}
