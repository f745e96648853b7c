//! Loop nests: one invocation computes one point of the parallel loops, or four along the axis in which the results are contiguous.

use super::binding::{Bindings, Need, shift};
use super::expr::{Emitter, Facts, note_accesses, reachable};
use super::literal::type_name;
use super::module::{self, Emitted, Module};
use super::place::{Axes, Spread, is_long};
use super::team;
use mlp_bundle::loops::{Access, Expr, ExprId, Exprs, Extent, Nest};
use mlp_bundle::plan::Plan;
use std::fmt::Write;

/// Invocations in a workgroup.
const GROUP: u32 = 64;

/// A nest with what is decided before its code is written, which all its variants share.
pub(super) struct Prepared {
    pub(super) nest: Nest,
    pub(super) live: Vec<bool>,
    /// The axis whose points an invocation takes four of.
    pub(super) lane: Option<u8>,
    pub(super) facts: Facts,
    pub(super) bindings: Bindings,
    /// An invocation computes a whole word's points one after another.
    packed: bool,
}

impl Prepared {
    fn new(plan: &Plan, nest: &Nest) -> Result<Prepared, String> {
        let nest = super::collapse::collapse(nest);
        let live = reachable(&nest.exprs, roots(&nest));
        let lane = lane(plan, &nest, &live);
        let sums: Vec<_> = nest.accs.iter().map(|acc| acc.init.dtype()).collect();
        let facts = Facts::of(plan, &nest.exprs, &sums, lane);
        let mut bindings = Bindings::default();
        let packed = lane.is_none() && is_packed(plan, &nest);
        let axes = axes(&nest, lane);
        let stores = if packed { &[][..] } else { &nest.stores };
        note_accesses(plan, &nest.exprs, stores, &live, &axes, &facts, &mut bindings)?;
        if packed {
            bindings.note(plan, nest.stores[0].access.buffer, Need::Quad, true)?;
        }
        Ok(Prepared { nest, live, lane, facts, bindings, packed })
    }

    /// The parallel axes and how many points, or quads of points, there are along each.
    pub(super) fn points(&self) -> Vec<(u8, u32)> {
        let count = |(axis, &extent): (usize, &u32)| (axis as u8, if self.lane == Some(axis as u8) { extent.div_ceil(4) } else { extent });
        self.nest.parallel.iter().enumerate().map(count).collect()
    }

    /// What writes its expressions.
    pub(super) fn emitter<'a>(&'a self, module: &'a mut Module) -> Emitter<'a> {
        let axes = axes(&self.nest, self.lane);
        Emitter::new(&self.nest.exprs, &self.facts, axes, &self.bindings, &mut module.helpers, &mut module.symbols)
    }
}

/// Emits a nest: the kernel that every device runs, and where it reduces much to few points, one that shares the work out.
pub(super) fn emit(plan: &Plan, nest: &Nest) -> Result<Vec<Emitted>, String> {
    let prepared = Prepared::new(plan, nest)?;
    let mut kernels = vec![alone(plan, &prepared)?];
    if !prepared.packed {
        kernels.extend(team::emit(plan, &prepared, false)?);
        kernels.extend(team::emit(plan, &prepared, true)?);
    }
    Ok(kernels)
}

/// Every invocation computes its points alone.
fn alone(plan: &Plan, prepared: &Prepared) -> Result<Emitted, String> {
    let Prepared { nest, live, lane, bindings, packed, .. } = prepared;
    let mut module = Module::default();
    let points = prepared.points();
    let total: u64 = points.iter().map(|&(_, count)| u64::from(count)).product();
    let invocations = if *packed { total.div_ceil(4) } else { total };
    let groups = module::fold(invocations.div_ceil(u64::from(GROUP)))?;
    let mut emitter = prepared.emitter(&mut module);
    let linear = if groups[1] == 1 { "g.x".to_owned() } else { format!("(g.x+g.y*{}u)", u64::from(groups[0]) * u64::from(GROUP)) };
    let main = format!(
        "@compute @workgroup_size({GROUP})\nfn m(@builtin(global_invocation_id) g:vec3u){{\nlet i={linear};\nif(i>={invocations}u){{return;}}\n"
    );
    if *packed {
        let stored = plan.buffers[nest.stores[0].access.buffer].dtype;
        let block = emitter.open(&format!("fn P(i:u32)->{}", type_name(stored, false)));
        decode(&mut emitter.out, &points, *lane);
        reduction(&mut emitter, nest, live)?;
        let value = emitter.value(nest.stores[0].value)?;
        let _ = writeln!(emitter.out, "return {};", value.text);
        emitter.close(block);
        let mut body = emitter.out;
        let _ = writeln!(body, "{main}let j=i*4u;let v={}(P(j),P(j+1u),P(j+2u),P(j+3u));", type_name(stored, true));
        let quad = match nest.stores[0].access.offset / 4 {
            0 => "i".to_owned(),
            first => format!("(i+{first}u)"),
        };
        body.push_str(&bindings.write_quad(&mut module.helpers, nest.stores[0].access.buffer, &quad, "v"));
        body.push_str("}\n");
        return Ok(module.finish(plan, bindings, &body, groups));
    }
    emitter.out.push_str(&main);
    decode(&mut emitter.out, &points, *lane);
    reduction(&mut emitter, nest, live)?;
    emitter.stores(&nest.stores)?;
    emitter.out.push_str("}\n");
    let body = emitter.out;
    Ok(module.finish(plan, bindings, &body, groups))
}

/// True if all points together store the elements of a run in order, which are narrower than a word: an invocation then computes a whole word's points one
/// after another, whatever each of them loads.
fn is_packed(plan: &Plan, nest: &Nest) -> bool {
    let [store] = nest.stores.as_slice() else { return false };
    let buffer = &plan.buffers[store.access.buffer];
    if buffer.dtype.size() > 2 || store.access.offset % 4 != 0 {
        return false;
    }
    let loads_it = nest.exprs.values().any(|expr| matches!(expr, Expr::Load(access) if access.buffer == store.access.buffer));
    let mut below = 1;
    let dense = (0..nest.parallel.len()).rev().all(|axis| {
        let stride: i64 = store.access.dims.iter().map(|dim| dim.index.coefficient(axis as u8) * dim.stride as i64).sum();
        let fits = stride == below || nest.parallel[axis] == 1;
        below *= i64::from(nest.parallel[axis]);
        fits
    });
    let constant: i64 = store.access.dims.iter().map(|dim| dim.index.constant * dim.stride as i64).sum();
    dense && !loads_it && constant == 0 && (below % 4 == 0 || store.access.offset + below as u64 == buffer.len)
}

fn roots(nest: &Nest) -> Vec<ExprId> {
    let counts = nest.reduce.iter().filter_map(Extent::count);
    let indices = nest.stores.iter().flat_map(|store| store.access.dims.iter().filter_map(|dim| dim.index.dynamic));
    nest.accs.iter().map(|acc| acc.next).chain(nest.stores.iter().map(|store| store.value)).chain(counts).chain(indices).collect()
}

fn axes(nest: &Nest, lane: Option<u8>) -> Axes {
    Axes { extents: nest.parallel.iter().copied().chain(nest.reduce.iter().map(Extent::max)).collect(), lane, ragged: false }
}

/// The parallel axis whose points an invocation takes four of: one along which every store is made of whole quads.
fn lane(plan: &Plan, nest: &Nest, live: &[bool]) -> Option<u8> {
    (0..nest.parallel.len() as u8).rev().find(|&axis| lane_suits(plan, nest, live, axis))
}

fn lane_suits(plan: &Plan, nest: &Nest, live: &[bool], axis: u8) -> bool {
    let extent = nest.parallel[usize::from(axis)];
    if extent < 2 || nest.stores.is_empty() {
        return false;
    }
    let axes = axes(nest, Some(axis));
    let sums: Vec<_> = nest.accs.iter().map(|acc| acc.init.dtype()).collect();
    let facts = Facts::of(plan, &nest.exprs, &sums, Some(axis));
    let wide = |id: ExprId| facts.is_wide(id);
    let long = nest.exprs.keys().any(|id| live[id.as_u32() as usize] && facts.is_wide(id) && is_long(facts.ty(id)));
    // A reduction whose length differs from lane to lane needs a loop a lane.
    let ragged = nest.reduce.iter().any(|extent| extent.count().is_some_and(wide));
    let quads = nest.stores.iter().all(|store| {
        !is_long(plan.buffers[store.access.buffer].dtype)
            && axes.spread(&store.access, shift(plan, store.access.buffer), &wide) == Spread::Quad
            && (extent.is_multiple_of(4) || ends_buffer(plan, nest, &store.access, extent))
    });
    quads && !long && !ragged
}

/// True if the quads of a one-dimensional store that is not a multiple of four long run over nothing but the end of the buffer.
fn ends_buffer(plan: &Plan, nest: &Nest, access: &Access, extent: u32) -> bool {
    let constant: u64 = access.dims.iter().map(|dim| (dim.index.constant.max(0) as u64) * dim.stride).sum();
    nest.parallel.len() == 1 && access.offset + constant + u64::from(extent) == plan.buffers[access.buffer].len
}

/// Names the parallel axes `a0`, `a1`, ... and the quad of the lane axis `q..`.
pub(super) fn decode(out: &mut String, points: &[(u8, u32)], lane: Option<u8>) {
    let mut below: u64 = 1;
    for (n, &(axis, count)) in points.iter().enumerate().rev() {
        let divided = if below == 1 { "i".to_owned() } else { format!("i/{below}u") };
        let text = match (count, n) {
            (1, _) => "0".to_owned(),
            (_, 0) => format!("i32({divided})"),
            _ => format!("i32({divided}%{count}u)"),
        };
        let _ = match lane == Some(axis) {
            true => writeln!(out, "let q{axis}={text};let a{axis}=q{axis}*4;"),
            false => writeln!(out, "let a{axis}={text};"),
        };
        below *= u64::from(count);
    }
}

/// The depth at which each expression can be computed: 0 before the loops, `d` inside the `d`-th reduction loop, one more after them all.
fn depths(nest: &Nest) -> Vec<usize> {
    let loops = nest.reduce.len();
    let mut depths: Vec<usize> = Vec::new();
    let of_axis = |axis: u8| (usize::from(axis) + 1).saturating_sub(nest.parallel.len());
    for expr in nest.exprs.values() {
        let own = match expr {
            Expr::Axis(axis) => of_axis(*axis),
            Expr::Acc(_) => loops,
            Expr::Total(_) => loops + 1,
            Expr::Load(access) => access.dims.iter().flat_map(|dim| &dim.index.terms).map(|&(axis, _)| of_axis(axis)).max().unwrap_or(0),
            _ => 0,
        };
        let mut depth = own;
        expr.for_each_operand(|id| depth = depth.max(depths[id.as_u32() as usize]));
        depths.push(depth);
    }
    depths
}

/// Declares the accumulators, each with its first value.
pub(super) fn begin(emitter: &mut Emitter<'_>, nest: &Nest) {
    let wide = emitter.axes.lane.is_some();
    for (n, acc) in nest.accs.iter().enumerate() {
        let init = emitter.constant(acc.init);
        let _ = writeln!(emitter.out, "var c{n}={};", init.lanes(wide));
    }
}

/// Computes what of the reductions can be computed at some depths of the loops.
pub(super) fn at_depths(
    emitter: &mut Emitter<'_>,
    nest: &Nest,
    live: &[bool],
    range: std::ops::RangeInclusive<usize>,
) -> Result<(), String> {
    let inside = reachable(&nest.exprs, nest.accs.iter().map(|acc| acc.next));
    let depths = depths(nest);
    for id in nest.exprs.keys() {
        let n = id.as_u32() as usize;
        if inside[n] && live[n] && range.contains(&depths[n]) && !is_free(&nest.exprs, id) {
            emitter.value(id)?;
        }
    }
    Ok(())
}

/// Takes one point of the reductions into the accumulators.
pub(super) fn update(emitter: &mut Emitter<'_>, nest: &Nest) -> Result<(), String> {
    let wide = emitter.axes.lane.is_some();
    let mut updates = String::new();
    for (n, acc) in nest.accs.iter().enumerate() {
        let next = emitter.value(acc.next)?;
        let _ = writeln!(emitter.out, "let n{n}={};", next.lanes(wide));
        let _ = writeln!(updates, "c{n}=n{n};");
    }
    emitter.out.push_str(&updates);
    Ok(())
}

fn reduction(emitter: &mut Emitter<'_>, nest: &Nest, live: &[bool]) -> Result<(), String> {
    if nest.accs.is_empty() {
        return Ok(());
    }
    begin(emitter, nest);
    let mut ends = Vec::new();
    for extent in &nest.reduce {
        ends.push(match extent {
            Extent::Const(n) => n.to_string(),
            Extent::Dynamic { count, max } => {
                let count = emitter.value(*count)?;
                emitter.bind(&format!("clamp({},0,{max})", count.text))
            }
        });
    }
    at_depths(emitter, nest, live, 0..=0)?;
    let mut blocks = Vec::new();
    for (depth, end) in ends.iter().enumerate() {
        let axis = nest.parallel.len() + depth;
        blocks.push(emitter.open(&format!("for(var a{axis}=0;a{axis}<{end};a{axis}++)")));
        at_depths(emitter, nest, live, depth + 1..=depth + 1)?;
    }
    update(emitter, nest)?;
    while let Some(block) = blocks.pop() {
        emitter.close(block);
    }
    Ok(())
}

/// True for what costs nothing to name again, and so needs no place before a loop.
fn is_free(exprs: &Exprs, id: ExprId) -> bool {
    matches!(exprs[id], Expr::Const(_) | Expr::Axis(_) | Expr::Acc(_) | Expr::Total(_))
}
