//! Loop nests that reduce much to few points: a workgroup shares the reduction of one point, or of a quad of points.
//!
//! Few points leave a GPU idle, and each of them is a long walk for one invocation. Here neighbouring invocations take neighbouring elements, and what they found
//! meets in workgroup memory, or in subgroups first where there are some. Floats are summed in another order than by one invocation; everything else comes out the same.

use super::expr::{Block, Emitter, Facts, Value, reachable};
use super::literal::type_name;
use super::module::{self, Emitted, Module, SUBGROUP_ID, SUBGROUPS};
use super::nest::{Prepared, at_depths, begin, decode, update};
use super::operator;
use super::place::is_long;
use mlp_bundle::dtype::{DType, Scalar};
use mlp_bundle::loops::{Accumulator, BinaryOp, Expr, Extent, Nest};
use mlp_bundle::plan::Plan;
use std::fmt::Write;

/// Invocations in a workgroup.
const GROUP: u32 = 256;

/// The most points, or quads of points, of which each may be worth a workgroup.
const MOST_POINTS: u64 = 1 << 12;

/// The fewest elements of a reduction that is worth one.
const LEAST_ELEMENTS: u64 = 2 * GROUP as u64;

/// Accumulators whose partial values fit into workgroup memory as quads.
const MOST_ACCUMULATORS: usize = 4;

/// Emits the nest as a variant, with `subgroups` or without, where it reduces much to few points.
pub(super) fn emit(plan: &Plan, prepared: &Prepared, subgroups: bool) -> Result<Option<Emitted>, String> {
    let nest = &prepared.nest;
    let points = prepared.points();
    let total: u64 = points.iter().map(|&(_, count)| u64::from(count)).product();
    let Some(elements) = elements(nest) else { return Ok(None) };
    let Some(folds) = folds(nest, &prepared.facts) else { return Ok(None) };
    if total > MOST_POINTS || elements < LEAST_ELEMENTS || elements > i32::MAX as u64 {
        return Ok(None);
    }
    let joins: Option<Vec<&str>> = folds.iter().zip(&nest.accs).map(|(&op, acc)| subgroup_join(op, acc.init.dtype())).collect();
    let joins = if subgroups { joins } else { Some(Vec::new()) };
    let Some(joins) = joins else { return Ok(None) };
    let groups = module::fold(total)?;
    let wide = prepared.lane.is_some();
    let mut module = Module::default();
    let mut emitter = prepared.emitter(&mut module);
    for (n, acc) in nest.accs.iter().enumerate() {
        let _ = writeln!(emitter.out, "var<workgroup> x{n}:array<{},{GROUP}>;", type_name(acc.init.dtype(), wide));
    }
    let linear = if groups[1] == 1 { "w.x".to_owned() } else { format!("(w.x+w.y*{}u)", groups[0]) };
    let _ = writeln!(
        emitter.out,
        "@compute @workgroup_size({GROUP})\nfn m(@builtin(workgroup_id) w:vec3u,@builtin(local_invocation_id) l:vec3u{}){{\n\
         let i={linear};\nif(i>={total}u){{return;}}",
        if subgroups { ",@builtin(subgroup_id) d:u32,@builtin(num_subgroups) h:u32" } else { "" }
    );
    decode(&mut emitter.out, &points, prepared.lane);
    begin(&mut emitter, nest);
    at_depths(&mut emitter, nest, &prepared.live, 0..=0)?;
    let block = emitter.open(&format!("for(var r=i32(l.x);r<{elements};r+={GROUP})"));
    emitter.out.push_str(&reduced_axes(nest));
    at_depths(&mut emitter, nest, &prepared.live, 1..=nest.reduce.len())?;
    update(&mut emitter, nest)?;
    emitter.close(block);
    let block = match subgroups {
        true => meet_in_subgroups(&mut emitter, nest, &folds, &joins)?,
        false => meet(&mut emitter, nest, &folds)?,
    };
    emitter.stores(&nest.stores)?;
    emitter.close(block);
    emitter.out.push_str("}\n");
    let body = emitter.out;
    let emitted = module.finish(plan, &prepared.bindings, &body, groups);
    Ok(Some(if subgroups { emitted.variant("subgroup", &[SUBGROUPS, SUBGROUP_ID]) } else { emitted.variant("team", &[]) }))
}

/// Folds what all invocations have found, half of them after half. The first one, which goes on in the block, knows the totals.
fn meet(emitter: &mut Emitter<'_>, nest: &Nest, folds: &[BinaryOp]) -> Result<Block, String> {
    for n in 0..folds.len() {
        let _ = writeln!(emitter.out, "x{n}[l.x]=c{n};");
    }
    let _ = writeln!(emitter.out, "workgroupBarrier();\nfor(var s={}u;s>0u;s>>=1u){{if(l.x<s){{", GROUP / 2);
    for (n, &op) in folds.iter().enumerate() {
        let folded = folded(emitter, nest, (n, op), [&format!("x{n}[l.x]"), &format!("x{n}[l.x+s]")])?;
        let _ = writeln!(emitter.out, "x{n}[l.x]={folded};");
    }
    emitter.out.push_str("}\nworkgroupBarrier();}\n");
    let block = emitter.open("if(l.x==0u)");
    for n in 0..folds.len() {
        let _ = writeln!(emitter.out, "c{n}=x{n}[0];");
    }
    Ok(block)
}

/// The same by subgroups, whose results the first invocation folds.
fn meet_in_subgroups(emitter: &mut Emitter<'_>, nest: &Nest, folds: &[BinaryOp], joins: &[&str]) -> Result<Block, String> {
    emitter.out.push_str("let f=subgroupExclusiveAdd(1);\n");
    for (n, join) in joins.iter().enumerate() {
        let _ = writeln!(emitter.out, "let v{n}={join}(c{n});if(f==0){{x{n}[d]=v{n};}}");
    }
    emitter.out.push_str("workgroupBarrier();\n");
    let block = emitter.open("if(l.x==0u)");
    for (n, &op) in folds.iter().enumerate() {
        let folded = folded(emitter, nest, (n, op), [&format!("c{n}"), &format!("x{n}[k]")])?;
        let _ = writeln!(emitter.out, "c{n}=x{n}[0];for(var k=1u;k<h;k++){{c{n}={folded};}}");
    }
    Ok(block)
}

/// Two partial values of an accumulator as one.
fn folded(emitter: &mut Emitter<'_>, nest: &Nest, (n, op): (usize, BinaryOp), [a, b]: [&str; 2]) -> Result<String, String> {
    let wide = emitter.axes.lane.is_some();
    let partial = |text: &str| Value { text: text.to_owned(), dtype: nest.accs[n].init.dtype(), wide, literal: false };
    operator::binary(emitter.helpers, op, &partial(a), &partial(b), wide)
}

/// The operation of subgroups that does the same; none where it need not treat infinities alike.
fn subgroup_join(op: BinaryOp, dtype: DType) -> Option<&'static str> {
    match op {
        BinaryOp::Add => Some("subgroupAdd"),
        BinaryOp::Min if dtype != DType::F32 => Some("subgroupMin"),
        BinaryOp::Max if dtype != DType::F32 => Some("subgroupMax"),
        _ => None,
    }
}

/// Elements that each point reduces, where that is known.
fn elements(nest: &Nest) -> Option<u64> {
    nest.reduce.iter().try_fold(1u64, |product, extent| match extent {
        Extent::Const(count) => product.checked_mul(u64::from(*count)),
        Extent::Dynamic { .. } => None,
    })
}

/// Names the axes of the reduction loops at element `r`.
fn reduced_axes(nest: &Nest) -> String {
    let mut out = String::new();
    let mut below = 1u64;
    for (depth, extent) in nest.reduce.iter().enumerate().rev() {
        let divided = if below == 1 { "r".to_owned() } else { format!("r/{below}") };
        let text = if depth == 0 { divided } else { format!("({divided})%{}", extent.max()) };
        let _ = write!(out, "let a{}={text};", nest.parallel.len() + depth);
        below *= u64::from(extent.max());
    }
    out.push('\n');
    out
}

/// The operator that joins two partial values of each accumulator; none where one cannot be taken apart.
fn folds(nest: &Nest, facts: &Facts) -> Option<Vec<BinaryOp>> {
    if nest.accs.is_empty() || nest.accs.len() > MOST_ACCUMULATORS {
        return None;
    }
    nest.accs.iter().enumerate().map(|(n, acc)| fold(nest, facts, n, acc)).collect()
}

fn fold(nest: &Nest, facts: &Facts, n: usize, acc: &Accumulator) -> Option<BinaryOp> {
    let Expr::Binary(op, own, other) = nest.exprs[acc.next] else { return None };
    let is_own = matches!(nest.exprs[own], Expr::Acc(number) if usize::from(number) == n);
    let alone = reachable(&nest.exprs, [other]);
    let reads_sums = nest.exprs.iter().any(|(id, expr)| alone[id.as_u32() as usize] && matches!(expr, Expr::Acc(_) | Expr::Total(_)));
    let dtype = facts.ty(acc.next);
    if !is_own || reads_sums || is_long(dtype) || !matches!(dtype, DType::F32 | DType::I32 | DType::U32) {
        return None;
    }
    // Every partial value begins with the first one, which must not count more than once.
    let neutral = match op {
        BinaryOp::Add => is_number(acc.init, 0.0),
        BinaryOp::Mul => is_number(acc.init, 1.0),
        BinaryOp::Min | BinaryOp::Max => true,
        _ => false,
    };
    neutral.then_some(op)
}

fn is_number(scalar: Scalar, number: f64) -> bool {
    match scalar {
        Scalar::I32(value) => f64::from(value) == number,
        Scalar::U32(value) => f64::from(value) == number,
        Scalar::F32(bits) => f64::from(f32::from_bits(bits)) == number,
        _ => false,
    }
}
