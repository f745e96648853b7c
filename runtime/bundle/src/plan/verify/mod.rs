//! What makes a plan safe to run: a plan comes from a bundle, and a bundle is untrusted.
//!
//! Invariants, by family:
//! - *Form*: the version is [`PLAN_VERSION`]; kernel and port names are unique; counts stay under the limits below.
//! - *Buffers*: each is aligned and ends, with [`SLACK`] bytes after it, inside the arena or the weights.
//! - *Symbols*: `min <= max`, both below 2^24; a formula is of a few symbols before its own, and its divisor is not 0.
//! - *Ports*: each lies in an arena buffer that holds its shape at the symbols' greatest values.
//! - *States*: each lies in an arena buffer of its own, which shares no byte with any other and is no port's; no kernel stores to it; what becomes it is an arena
//!   buffer of its type and length.
//! - *Expressions*: operands come first, types agree ([`crate::loops::types`]); `Acc` stands only below an accumulator's next value and `Total`
//!   only below stores; a dynamic count depends on no reduction axis.
//! - *Accesses*: `offset + sum((extent - 1) * stride)` is inside the buffer; with [`Bounds::Inside`] no index is dynamic and each affine index stays in its
//!   extent over all loops. Stores are `Inside`, go to the arena, and no two parallel points store to one element.
//! - *Overlap*: a buffer that a kernel stores to shares no byte with another that it loads; one that it also loads, it loads with the same access.
//! - *Contractions*: the window's sizes are not 0, the input and the packed weights are as large as it says, and of its element types. Packed weights lie in
//!   the weights file, or, those of an `F32` `Contract`, in the arena, where the kernel does not store over them. Weights that are narrower than `F32`, and their
//!   scales, are those of products. Where each image has weights of its own it is a matrix of floats, and no epilogue reads the number of a pixel.
//! - *Attention*: sizes are not 0, the scale is finite, every element of every operand lies inside its `F32` buffer, no two results at one place.
//! - *Rows*: reductions are `F32` and read the totals of earlier ones alone.
//! - *Work*: the iterations of all kernels stay under [`MAX_WORK`].

mod attention;
mod rows;
mod states;

pub use rows::MAX_REDUCTIONS;

use super::{ALIGN, Buffer, PLAN_VERSION, Place, Plan, Port, SLACK, Size};
use crate::dtype::DType;
use crate::loops::types::{Scope, infer};
use crate::loops::{
    Access, Arithmetic, Body, Bounds, BufferId, Contract, Epilogue, Expr, ExprId, Exprs, Kernel, Nest, PANEL, Store, Window,
};
use cranelift_entity::EntityRef;
use std::collections::HashSet;

/// The greatest arena or weights file, in bytes: what 32-bit memory can hold, less a page.
pub const MAX_BYTES: u64 = (1 << 32) - (1 << 16);

/// The greatest number of loop iterations of one run.
pub const MAX_WORK: u64 = 1 << 46;

/// The greatest number of loops of a nest.
pub const MAX_AXES: usize = 16;

/// The greatest number of terms of a symbol's formula, and of factors of one.
pub const MAX_TERMS: usize = 16;

/// Why a plan is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plan `{plan}`{}: {reason}", place.as_ref().map(|place| format!(", {place}")).unwrap_or_default())]
pub struct PlanError {
    /// The plan's name.
    pub plan: String,
    /// The kernel, buffer or port at fault.
    pub place: Option<String>,
    /// What is wrong.
    pub reason: String,
}

type Check = Result<(), String>;

fn ensure(condition: bool, reason: impl FnOnce() -> String) -> Check {
    if condition { Ok(()) } else { Err(reason()) }
}

/// Checks every invariant in the module's documentation.
pub fn verify(plan: &Plan) -> Result<(), PlanError> {
    let error = |place: Option<String>| {
        let plan = plan.name.clone();
        move |reason| PlanError { plan, place, reason }
    };
    form(plan).map_err(error(None))?;
    for (id, buffer) in plan.buffers.iter() {
        check_buffer(plan, buffer).map_err(error(Some(format!("buffer {id} `{}`", buffer.name))))?;
    }
    let mut names = HashSet::new();
    for port in plan.inputs.iter().chain(&plan.outputs) {
        check_port(plan, port, &mut names).map_err(error(Some(format!("port `{}`", port.name))))?;
    }
    states::check_all(plan).map_err(error(None))?;
    let (mut names, mut work) = (HashSet::new(), 0u64);
    for kernel in &plan.kernels {
        let done = check_kernel(plan, kernel, &mut names).map_err(error(Some(format!("kernel `{}`", kernel.name))))?;
        work = work.saturating_add(done);
    }
    ensure(work <= MAX_WORK, || format!("one run takes {work} iterations, more than {MAX_WORK}")).map_err(error(None))
}

fn form(plan: &Plan) -> Check {
    ensure(plan.version == PLAN_VERSION, || format!("its version is {}, this runtime reads {PLAN_VERSION}", plan.version))?;
    ensure(plan.arena_bytes <= MAX_BYTES && plan.weights_bytes <= MAX_BYTES, || {
        format!("it asks for {} bytes of arena and {} of weights, more than {MAX_BYTES}", plan.arena_bytes, plan.weights_bytes)
    })?;
    for (id, symbol) in plan.symbols.iter() {
        ensure(symbol.min <= symbol.max && symbol.max < 1 << 24, || {
            format!("symbol `{}` has the bounds {}..={}", symbol.name, symbol.min, symbol.max)
        })?;
        let Some(formula) = &symbol.formula else { continue };
        let small = formula.terms.len() <= MAX_TERMS && formula.terms.iter().all(|term| term.factors.len() <= MAX_TERMS);
        let earlier = formula.terms.iter().all(|term| term.factors.iter().all(|&factor| factor < id));
        ensure(small && earlier && formula.divisor > 0, || format!("symbol `{}` has a formula that cannot be worked out", symbol.name))?;
    }
    Ok(())
}

fn check_buffer(plan: &Plan, buffer: &Buffer) -> Check {
    let (offset, room) = match buffer.place {
        Place::Arena { offset } => (offset, plan.arena_bytes),
        Place::Weights { offset } => (offset, plan.weights_bytes),
    };
    ensure(offset % ALIGN == 0, || format!("its offset {offset} is not a multiple of {ALIGN}"))?;
    let end = buffer.len.checked_mul(buffer.dtype.size() as u64).and_then(|bytes| offset.checked_add(bytes)?.checked_add(SLACK));
    ensure(end.is_some_and(|end| end <= room), || format!("{} elements at {offset} do not fit in {room} bytes", buffer.len))
}

fn check_port<'p>(plan: &'p Plan, port: &'p Port, names: &mut HashSet<&'p str>) -> Check {
    ensure(names.insert(&port.name), || "another port has the same name".into())?;
    let buffer = plan.buffers.get(port.buffer).ok_or("it has no buffer")?;
    ensure(matches!(buffer.place, Place::Arena { .. }), || "it does not lie in the arena".into())?;
    let mut elements = 1u64;
    for size in &port.shape {
        let greatest = match size {
            Size::Const(n) => *n,
            Size::Symbol(symbol) => u64::from(plan.symbols.get(*symbol).ok_or("its shape has an unknown symbol")?.max),
        };
        elements = elements.checked_mul(greatest).ok_or("its shape overflows")?;
    }
    ensure(elements <= buffer.len, || format!("its shape takes {elements} elements, its buffer has {}", buffer.len))
}

/// Checks a kernel and counts its iterations.
fn check_kernel<'p>(plan: &'p Plan, kernel: &'p Kernel, names: &mut HashSet<&'p str>) -> Result<u64, String> {
    ensure(names.insert(&kernel.name), || "another kernel has the same name".into())?;
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    ensure(!kernel.name.is_empty() && kernel.name.chars().all(fits), || "a kernel's name is made of a-z, 0-9 and _".into())?;
    match &kernel.body {
        Body::Nest(nest) => check_nest(plan, nest),
        Body::Attention(attention) => attention::check(plan, attention),
        Body::Rows(rows) => rows::check(plan, rows),
        Body::Contract(contract) => {
            let window = contract.window;
            let depth = match contract.arithmetic {
                Arithmetic::F32 => u64::from(window.in_c),
                Arithmetic::Int8 { .. } => u64::from(window.in_c.next_multiple_of(4)),
            };
            let panels = u64::from(window.out_c.div_ceil(PANEL))
                * u64::from(contract.scales.map_or(PANEL, |scales| PANEL * u32::from(scales.bits) / 8));
            let matrices = if contract.per_image { u64::from(window.batch) } else { 1 };
            let weights = [matrices, panels, u64::from(window.kernel[0]), u64::from(window.kernel[1]), depth];
            check_weights(plan, contract)?;
            check_images(plan, contract)?;
            let work =
                check_contraction(plan, &window, contract.arithmetic, contract.input, contract.weights, &weights, &contract.epilogue)?;
            ensure(contract.epilogue.stores.iter().all(|store| !plan.overlap(store.access.buffer, contract.weights)), || {
                "it stores over its weights".into()
            })?;
            Ok(work.saturating_mul(u64::from(window.in_c)))
        }
        Body::Depthwise(depthwise) => {
            let window = depthwise.window;
            ensure(window.in_c == window.out_c, || "its input and output channels differ".into())?;
            let fixed = |buffer: &Buffer| matches!(buffer.place, Place::Weights { .. });
            ensure(plan.buffers.get(depthwise.weights).is_none_or(fixed), || "its weights do not lie in the weights".into())?;
            let typed = |buffer: &Buffer| buffer.dtype == weight_type(depthwise.arithmetic);
            ensure(plan.buffers.get(depthwise.weights).is_none_or(typed), || "its weights are of another type than its arithmetic".into())?;
            let weights = [u64::from(window.out_c.next_multiple_of(PANEL)), u64::from(window.kernel[0]), u64::from(window.kernel[1])];
            check_contraction(plan, &window, depthwise.arithmetic, depthwise.input, depthwise.weights, &weights, &depthwise.epilogue)
        }
    }
}

fn check_nest(plan: &Plan, nest: &Nest) -> Result<u64, String> {
    let extents: Vec<u32> = nest.parallel.iter().copied().chain(nest.reduce.iter().map(|extent| extent.max())).collect();
    ensure(extents.len() <= MAX_AXES, || format!("it has {} loops, more than {MAX_AXES}", extents.len()))?;
    ensure(extents.iter().all(|&extent| extent > 0 && extent < 1 << 31), || "a loop is empty or has over 2^31 iterations".into())?;
    let inits: Vec<_> = nest.accs.iter().map(|acc| acc.init).collect();
    let totals: Vec<_> = inits.iter().map(|init| init.dtype()).collect();
    let body = Checker { plan, exprs: &nest.exprs, extents: &extents, parallel: nest.parallel.len() };
    let types = body.types(&inits, &totals)?;
    let defined = |id: ExprId| types.get(id).copied().flatten().filter(|_| id.index() < nest.exprs.len());
    for acc in &nest.accs {
        ensure(defined(acc.next) == Some(acc.init.dtype()), || format!("an accumulator's next value {} is not of its type", acc.next))?;
    }
    let inside = body.below(nest.accs.iter().map(|acc| acc.next));
    ensure(!inside.iter().any(|expr| matches!(expr, Expr::Total(_))), || "a total is read inside the reduction".into())?;
    for count in nest.reduce.iter().filter_map(|extent| extent.count()) {
        ensure(defined(count) == Some(DType::I32), || format!("the count {count} is not an i32 expression"))?;
        let below = body.below([count].into_iter());
        let varies = |expr: &Expr| matches!(expr, Expr::Acc(_) | Expr::Total(_)) || body.reads_axis_from(expr, nest.parallel.len());
        ensure(!below.into_iter().any(varies), || format!("the count {count} depends on the reduction"))?;
    }
    body.stores(&nest.stores, &defined)?;
    for store in &nest.stores {
        let below = body.below([store.value].into_iter());
        let varies = |expr: &Expr| matches!(expr, Expr::Acc(_)) || body.reads_axis_from(expr, nest.parallel.len());
        ensure(!below.into_iter().any(varies), || "a stored value reads the inside of the reduction".into())?;
    }
    Ok(extents.iter().fold(1u64, |product, &extent| product.saturating_mul(u64::from(extent))))
}

/// What only the weights of dense contractions may be: computed, or narrower than what they are multiplied with.
fn check_weights(plan: &Plan, contract: &Contract) -> Check {
    let weights = plan.buffers.get(contract.weights).ok_or("it has no weights")?;
    let fixed = |buffer: &Buffer| matches!(buffer.place, Place::Weights { .. });
    let kept = weight_type(contract.arithmetic);
    ensure(fixed(weights) || (kept == DType::F32 && weights.dtype == kept), || "its weights do not lie in the weights".into())?;
    if weights.dtype == kept && contract.scales.is_none() {
        return Ok(());
    }
    ensure(kept == DType::F32 && contract.window.is_product(), || {
        format!("its weights are {}, and it is no product of f32", weights.dtype)
    })?;
    let Some(scales) = contract.scales else {
        return ensure(matches!(weights.dtype, DType::F16 | DType::BF16), || format!("its weights are {} without scales", weights.dtype));
    };
    let counted = match scales.bits {
        8 => DType::I8,
        4 => DType::U8,
        bits => return Err(format!("its scales are of numbers of {bits} bits")),
    };
    ensure(weights.dtype == counted, || format!("its scales are of numbers of {} bits, its weights are {}", scales.bits, weights.dtype))?;
    let steps = contract.window.in_c;
    ensure(scales.per > 0 && steps.is_multiple_of(scales.per), || format!("its scales are of {} of {steps} channels", scales.per))?;
    let buffer = plan.buffers.get(scales.buffer).ok_or("its scales have no buffer")?;
    ensure(fixed(buffer) && buffer.dtype == DType::F32, || "its scales are no f32 in the weights".into())?;
    let needed = u64::from(contract.window.out_c.div_ceil(PANEL)) * u64::from(steps / scales.per) * u64::from(PANEL);
    ensure(buffer.len == needed, || format!("its scales have {} elements, the window takes {needed}", buffer.len))
}

/// That an image is a matrix, where each has weights of its own: kernels step from image to image as they do from row to row, and their epilogues do not tell pixels apart.
fn check_images(plan: &Plan, contract: &Contract) -> Check {
    let matrices = contract.window.is_product() && contract.window.out_h == 1;
    let floats = contract.arithmetic == Arithmetic::F32 && plan.buffers[contract.weights].dtype == DType::F32;
    ensure(!contract.per_image || (matrices && floats), || "it has weights for each image, which are no matrices of f32".into())?;
    let numbered = contract.per_image && contract.epilogue.exprs.values().any(|expr| matches!(expr, Expr::Axis(0)));
    ensure(!numbered, || "it has weights for each image, and reads the number of a pixel".into())
}

/// The element type of weights that are as wide as what they are multiplied with.
fn weight_type(arithmetic: Arithmetic) -> DType {
    match arithmetic {
        Arithmetic::F32 => DType::F32,
        Arithmetic::Int8 { .. } => DType::I8,
    }
}

fn check_contraction(
    plan: &Plan,
    window: &Window,
    arithmetic: Arithmetic,
    input: BufferId,
    weights: BufferId,
    weight_sizes: &[u64],
    epilogue: &Epilogue,
) -> Result<u64, String> {
    let product = |factors: &[u64]| factors.iter().try_fold(1u64, |product, &factor| product.checked_mul(factor));
    let w = window;
    let sizes = [w.batch, w.in_h, w.in_w, w.in_c, w.in_pixel, w.out_h, w.out_w, w.out_c];
    let steps = [w.kernel, w.stride, w.dilation].concat();
    ensure(sizes.iter().chain(&steps).all(|&size| size > 0 && size < 1 << 24), || "a size of its window is 0 or over 2^24".into())?;
    ensure(w.pad.iter().all(|&pad| pad < 1 << 24), || "its padding is over 2^24".into())?;
    ensure(u64::from(w.in_offset) + u64::from(w.in_c) <= u64::from(w.in_pixel), || "its channels exceed a pixel".into())?;
    let pixels = product(&[w.batch.into(), w.out_h.into(), w.out_w.into()]).filter(|&n| n < 1 << 31).ok_or("it has too many pixels")?;
    let (x, y) = (plan.buffers.get(input).ok_or("it has no input")?, plan.buffers.get(weights).ok_or("it has no weights")?);
    let fits = match arithmetic {
        Arithmetic::F32 => x.dtype == DType::F32,
        Arithmetic::Int8 { .. } => matches!(x.dtype, DType::U8 | DType::I8),
    };
    ensure(fits, || format!("its input is {}, its weights are {}", x.dtype, y.dtype))?;
    if let Arithmetic::Int8 { pad_value } = arithmetic {
        let range = if x.dtype == DType::U8 { 0..=255 } else { -128..=127 };
        ensure(range.contains(&pad_value), || format!("its padding {pad_value} is no {}", x.dtype))?;
    }
    let needed = product(&[w.batch.into(), w.in_h.into(), w.in_w.into(), w.in_pixel.into()]).ok_or("its input overflows")?;
    ensure(needed <= x.len, || format!("its input has {} elements, the window takes {needed}", x.len))?;
    let needed = product(weight_sizes).ok_or("its weights overflow")?;
    ensure(needed == y.len, || format!("its weights have {} elements, the window takes {needed}", y.len))?;
    let extents = [pixels as u32, w.out_c];
    let body = Checker { plan, exprs: &epilogue.exprs, extents: &extents, parallel: 2 };
    let types = body.types(&[], &[arithmetic.total()])?;
    let defined = |id: ExprId| types.get(id).copied().flatten().filter(|_| id.index() < epilogue.exprs.len());
    body.stores(&epilogue.stores, &defined)?;
    for store in &epilogue.stores {
        ensure(!plan.overlap(store.access.buffer, input), || "it stores over its input".into())?;
    }
    Ok(product(&[pixels, w.out_c.into(), w.kernel[0].into(), w.kernel[1].into()]).unwrap_or(u64::MAX))
}

/// The checks of one kernel's expressions.
struct Checker<'p> {
    plan: &'p Plan,
    exprs: &'p Exprs,
    extents: &'p [u32],
    parallel: usize,
}

impl<'p> Checker<'p> {
    fn types(&self, accs: &[crate::Scalar], totals: &[DType]) -> Result<cranelift_entity::SecondaryMap<ExprId, Option<DType>>, String> {
        let buffer = |id: BufferId| self.plan.buffers.get(id).map(|buffer| buffer.dtype);
        let scope = Scope { buffer: &buffer, symbols: self.plan.symbols.len(), axes: self.extents.len(), accs, totals };
        let types = infer(self.exprs, &scope)?;
        for (id, expr) in self.exprs.iter() {
            if let Expr::Load(access) = expr {
                self.access(access, types[id]).map_err(|reason| format!("{id}: {reason}"))?;
            }
        }
        Ok(types)
    }

    /// The expressions below `roots`, the roots included. Roots must exist.
    fn below(&self, roots: impl Iterator<Item = ExprId>) -> Vec<&'p Expr> {
        let mut wanted = vec![false; self.exprs.len()];
        roots.for_each(|root| wanted[root.index()] = true);
        for (id, expr) in self.exprs.iter().rev() {
            if wanted[id.index()] {
                expr.for_each_operand(|operand| wanted[operand.index()] = true);
            }
        }
        self.exprs.iter().filter(|(id, _)| wanted[id.index()]).map(|(_, expr)| expr).collect()
    }

    fn reads_axis_from(&self, expr: &Expr, first: usize) -> bool {
        match expr {
            Expr::Axis(axis) => usize::from(*axis) >= first,
            Expr::Load(access) => access.dims.iter().any(|dim| dim.index.terms.iter().any(|term| usize::from(term.0) >= first)),
            _ => false,
        }
    }

    fn access(&self, access: &Access, value: Option<DType>) -> Check {
        let buffer = self.plan.buffers.get(access.buffer).ok_or_else(|| format!("there is no buffer {}", access.buffer))?;
        let mut last = Some(access.offset);
        for dim in &access.dims {
            ensure(dim.extent > 0, || "an extent is 0".into())?;
            last = last.and_then(|last| last.checked_add(u64::from(dim.extent - 1).checked_mul(dim.stride)?));
            ensure(dim.index.terms.windows(2).all(|pair| pair[0].0 < pair[1].0), || "an index's axes do not rise".into())?;
            let interval = dim.index.interval(self.extents).ok_or("an index overflows or has an unknown axis")?;
            // Backends compute indices in 32 bits.
            let bound = i64::from(i32::MAX / 2);
            ensure(interval.0 >= -bound && interval.1 <= bound, || "an index exceeds 30 bits".into())?;
            if access.bounds == Bounds::Inside {
                let inside = dim.index.dynamic.is_none() && interval.0 >= 0 && interval.1 < i64::from(dim.extent);
                ensure(inside, || format!("an index runs over {}..={}, its extent is {}", interval.0, interval.1, dim.extent))?;
            }
        }
        if let Bounds::Else(otherwise) = access.bounds {
            ensure(value.is_none_or(|value| value == otherwise.dtype()), || "what it yields outside is of another type".into())?;
        }
        ensure(last.is_some_and(|last| last < buffer.len), || format!("it reaches past the {} elements of {}", buffer.len, access.buffer))
    }

    fn stores(&self, stores: &[Store], defined: &dyn Fn(ExprId) -> Option<DType>) -> Check {
        ensure(!stores.is_empty(), || "it stores nothing".into())?;
        for store in stores {
            let access = &store.access;
            ensure(access.bounds == Bounds::Inside, || "a store may leave its buffer".into())?;
            self.access(access, None)?;
            let buffer = &self.plan.buffers[access.buffer];
            ensure(matches!(buffer.place, Place::Arena { .. }), || "it stores to the weights".into())?;
            ensure(defined(store.value) == Some(buffer.dtype.compute()), || {
                format!("{} stored to {} is not {}", store.value, access.buffer, buffer.dtype.compute())
            })?;
            self.injective(access)?;
            for expr in self.exprs.values() {
                if let Expr::Load(load) = expr {
                    let same = load == access;
                    let apart = !self.plan.overlap(load.buffer, access.buffer);
                    ensure(same || apart, || format!("it stores to {} over what it loads from {}", access.buffer, load.buffer))?;
                }
            }
        }
        Ok(())
    }

    /// That no two parallel points store to one element: sorted by stride, each axis steps over all that the smaller ones reach.
    fn injective(&self, access: &Access) -> Check {
        let stride = |axis: usize| -> i128 {
            access.dims.iter().map(|dim| i128::from(dim.index.coefficient(axis as u8)) * i128::from(dim.stride)).sum()
        };
        steps_over(self.extents[..self.parallel].iter().enumerate().map(|(axis, &extent)| (stride(axis), extent)))?;
        let outside = |dim: &crate::loops::AccessDim| dim.index.terms.iter().any(|term| usize::from(term.0) >= self.parallel);
        ensure(!access.dims.iter().any(outside), || "a store depends on a reduction axis".into())
    }
}

/// That steps of these strides, so many positions each, never meet in one element.
fn steps_over(axes: impl IntoIterator<Item = (i128, u32)>) -> Check {
    let mut axes: Vec<(i128, i128)> =
        axes.into_iter().filter(|axis| axis.1 > 1).map(|(stride, extent)| (stride.abs(), i128::from(extent - 1))).collect();
    axes.sort_unstable();
    let mut reach = 0i128;
    for (stride, last) in axes {
        ensure(stride > reach, || "two points store to one element".into())?;
        reach += stride * last;
    }
    Ok(())
}

impl Plan {
    /// Whether two buffers share a byte.
    pub fn overlap(&self, x: BufferId, y: BufferId) -> bool {
        let range = |id: BufferId| self.buffers.get(id).map(|buffer| (buffer.place, buffer.bytes()));
        match (range(x), range(y)) {
            (Some((Place::Arena { offset: a }, n)), Some((Place::Arena { offset: b }, m)))
            | (Some((Place::Weights { offset: a }, n)), Some((Place::Weights { offset: b }, m))) => a < b + m && b < a + n,
            _ => false,
        }
    }
}
