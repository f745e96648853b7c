//! Kernels over rows: a team of invocations takes a row, and several short rows make a workgroup.
//!
//! Each invocation of a team folds every so manieth element of its row, in quads where the rows allow it; what they found meets in workgroup memory, with one
//! barrier for a small team and two for a large one. A variant for devices with subgroups gives short rows a subgroup each, which meets without memory or barrier,
//! and lets the subgroups of a workgroup share a long one. All reductions of which none reads another share a walk and its barriers. A team of one needs neither.

use super::binding::{Bindings, shift};
use super::collapse::collapse;
use super::expr::{Emitter, Facts, note_accesses, reachable};
use super::helpers::Helpers;
use super::module::{self, Emitted, Module, SUBGROUP_ID, SUBGROUPS};
use super::nest::decode;
use super::place::{Axes, Spread, is_long};
use mlp_bundle::dtype::{DType, Scalar};
use mlp_bundle::loops::{Accumulator, Expr, ExprId, Extent, Fold, Nest, Rows};
use mlp_bundle::plan::Plan;
use std::fmt::Write;
use std::ops::Range;

/// Invocations in a workgroup of short rows.
const GROUP: u32 = 64;

/// The most invocations that share a row.
const MAX_TEAM: u32 = 128;

/// Loads and the like that an invocation does before sharing its row pays.
const STEPS: u32 = 4;

/// The largest team whose partial results every member folds for itself, after one barrier.
const FLAT: u32 = 16;

/// Values that one member of a larger team folds for all.
const BRANCH: u32 = 8;

/// The longest rows, by the team they would have, that a subgroup takes alone; invocations and rows of a workgroup of such subgroups. Where subgroups are small
/// each takes one row, where they are large several in turn.
const SUBGROUP_TEAM: u32 = 32;
const SUBGROUP_GROUP: u32 = 128;
const SUBGROUP_ROWS: u32 = 8;

/// Emits a kernel over rows: what every device runs, then the variant for subgroups where rows are shared.
pub(super) fn emit(plan: &Plan, rows: &Rows) -> Result<Vec<Emitted>, String> {
    let plain = emit_as(plan, rows, false)?;
    let other = emit_as(plan, rows, true)?;
    Ok(plain.into_iter().chain(other).collect())
}

/// Emits one form of the kernel, where there is one.
fn emit_as(plan: &Plan, rows: &Rows, subgroups: bool) -> Result<Option<Emitted>, String> {
    let nest = collapse(&as_nest(rows));
    let live = reachable(&nest.exprs, roots(&nest));
    let along = nest.parallel.len() as u8;
    let lane = suits_lanes(plan, &nest, &live, along).then_some(along);
    let axes = axes(&nest, lane);
    let facts = facts(plan, &nest, lane);
    let mut bindings = Bindings::default();
    note_accesses(plan, &nest.exprs, &nest.stores, &live, &axes, &facts, &mut bindings)?;
    let steps = if lane.is_some() { rows.length / 4 } else { rows.length };
    let shape = Shape::of(rows.rows(), steps, team(steps, lane.is_some()), subgroups);
    if subgroups && (shape.team == 1 || rows.reductions.is_empty()) {
        return Ok(None);
    }
    let groups = module::fold(shape.rows.div_ceil(u64::from(shape.per_group)))?;

    let mut module = Module::default();
    let emitter = Emitter::new(&nest.exprs, &facts, axes, &bindings, &mut module.helpers, &mut module.symbols);
    let mut writer = Writer { rows, nest: &nest, live: &live, varies: varies(&nest, along), along, lane: lane.is_some(), shape, emitter };
    writer.main(groups)?;
    let body = writer.memory() + &writer.emitter.out;
    let emitted = module.finish(plan, &bindings, &body, groups);
    Ok(Some(if subgroups { emitted.variant("subgroup", &[SUBGROUPS, SUBGROUP_ID]) } else { emitted }))
}

/// Where what the members of a team have found meets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meeting {
    /// In workgroup memory.
    Memory,
    /// In the subgroup that the team is.
    Subgroup,
    /// In its subgroups, then in workgroup memory.
    Subgroups,
}

/// How rows are shared out.
struct Shape {
    rows: u64,
    /// Elements or quads of a row.
    steps: u32,
    /// Invocations to a row, a power of two.
    team: u32,
    /// Invocations to a workgroup.
    group: u32,
    /// Rows to a workgroup.
    per_group: u32,
    meeting: Meeting,
}

impl Shape {
    fn of(rows: u64, steps: u32, team: u32, subgroups: bool) -> Shape {
        let (meeting, group, per_group) = match subgroups {
            false => (Meeting::Memory, team.max(GROUP), team.max(GROUP) / team),
            true if team <= SUBGROUP_TEAM => (Meeting::Subgroup, SUBGROUP_GROUP, SUBGROUP_ROWS),
            true => (Meeting::Subgroups, team, 1),
        };
        Shape { rows, steps, team, group, per_group, meeting }
    }
}

/// Invocations to a row of so many elements or quads.
fn team(steps: u32, quads: bool) -> u32 {
    let least = if quads { STEPS } else { 2 * STEPS };
    let most = (steps / least).clamp(1, MAX_TEAM);
    1 << most.ilog2()
}

/// The rows as a nest that reduces along them, whose accumulators stand for the reductions' values: what is known about nests then holds for rows.
fn as_nest(rows: &Rows) -> Nest {
    let acc = |next: ExprId| Accumulator { init: Scalar::f32(0.0), next };
    Nest {
        parallel: rows.parallel.clone(),
        reduce: vec![Extent::Const(rows.length)],
        exprs: rows.exprs.clone(),
        accs: rows.reductions.iter().map(|reduction| acc(reduction.value)).collect(),
        stores: rows.stores.clone(),
    }
}

fn roots(nest: &Nest) -> Vec<ExprId> {
    let indices = nest.stores.iter().flat_map(|store| store.access.dims.iter().filter_map(|dim| dim.index.dynamic));
    nest.accs.iter().map(|acc| acc.next).chain(nest.stores.iter().map(|store| store.value)).chain(indices).collect()
}

fn axes(nest: &Nest, lane: Option<u8>) -> Axes {
    Axes { extents: nest.parallel.iter().copied().chain(nest.reduce.iter().map(Extent::max)).collect(), lane, ragged: false }
}

fn facts(plan: &Plan, nest: &Nest, lane: Option<u8>) -> Facts {
    Facts::with_narrow_totals(plan, &nest.exprs, &vec![DType::F32; nest.accs.len()], lane)
}

/// True if rows are walked in quads: they are made of whole ones, and every store is one.
fn suits_lanes(plan: &Plan, nest: &Nest, live: &[bool], along: u8) -> bool {
    let whole = nest.reduce.iter().all(|extent| extent.max().is_multiple_of(4));
    let (axes, facts) = (axes(nest, Some(along)), facts(plan, nest, Some(along)));
    let wide = |id: ExprId| facts.is_wide(id);
    let quads = nest.stores.iter().all(|store| {
        !is_long(plan.buffers[store.access.buffer].dtype)
            && axes.spread(&store.access, shift(plan, store.access.buffer), &wide) == Spread::Quad
    });
    let long = nest.exprs.keys().any(|id| live[id.as_u32() as usize] && facts.is_wide(id) && is_long(facts.ty(id)));
    whole && quads && !long
}

/// Which expressions differ from element to element of a row.
fn varies(nest: &Nest, along: u8) -> Vec<bool> {
    let mut varies: Vec<bool> = Vec::new();
    for expr in nest.exprs.values() {
        let mut any = match expr {
            Expr::Axis(axis) => *axis == along,
            Expr::Load(access) => access.dims.iter().any(|dim| dim.index.coefficient(along) != 0),
            _ => false,
        };
        expr.for_each_operand(|id| any |= varies[id.as_u32() as usize]);
        varies.push(any);
    }
    varies
}

struct Writer<'a> {
    rows: &'a Rows,
    nest: &'a Nest,
    live: &'a [bool],
    varies: Vec<bool>,
    along: u8,
    lane: bool,
    shape: Shape,
    emitter: Emitter<'a>,
}

impl Writer<'_> {
    /// The workgroup memory: `x` for the members' results, `y` for those of the members that fold several.
    fn memory(&self) -> String {
        let Shape { team, group, meeting, .. } = self.shape;
        let mut out = String::new();
        for n in 0..if team > 1 && meeting != Meeting::Subgroup { self.nest.accs.len() } else { 0 } {
            let _ = writeln!(out, "var<workgroup> x{n}:array<f32,{group}>;");
            if team > FLAT && meeting == Meeting::Memory {
                let _ = writeln!(out, "var<workgroup> y{n}:array<f32,{}>;", group / BRANCH);
            }
        }
        out
    }

    fn main(&mut self, groups: [u32; 3]) -> Result<(), String> {
        let Shape { rows, steps, per_group, meeting, .. } = self.shape;
        self.head(groups);
        let out = &mut self.emitter.out;
        // A team beyond the last row walks over nothing, but meets the others at the barriers.
        let exact = u64::from(groups[0]) * u64::from(groups[1]) * u64::from(per_group) == rows;
        let _ = match exact {
            true => writeln!(out, "let i=r;let e={steps};"),
            false => writeln!(out, "let i=min(r,{}u);let e=select(0,{steps},r<{rows}u);", rows - 1),
        };
        let points: Vec<(u8, u32)> = (0..).zip(self.nest.parallel.iter().copied()).collect();
        decode(out, &points, None);
        for walk in walks(self.nest) {
            self.walk(walk)?;
        }
        self.stores()?;
        self.emitter.out.push_str(if meeting == Meeting::Subgroup { "}}\n" } else { "}\n" });
        Ok(())
    }

    /// The head of the entry point up to the row `r`, and where an invocation begins in it, `s`.
    fn head(&mut self, groups: [u32; 3]) {
        let Shape { team, group, per_group, meeting, .. } = self.shape;
        let linear = if groups[1] == 1 { "w.x".to_owned() } else { format!("(w.x+w.y*{}u)", groups[0]) };
        let (out, subgroups) = (&mut self.emitter.out, "@builtin(subgroup_id) d:u32,@builtin(num_subgroups) h:u32");
        let _ = write!(out, "@compute @workgroup_size({group})\nfn m(@builtin(workgroup_id) w:vec3u,");
        let _ = match (meeting, per_group, team) {
            // Invocations count themselves, so that nothing depends on the size of subgroups or on whether they are whole.
            (Meeting::Subgroup, ..) => writeln!(
                out,
                "{subgroups}){{\nlet s=subgroupExclusiveAdd(1);let n=subgroupAdd(1);\nfor(var b=d;b<{per_group}u;b+=h){{\n\
                 let r={linear}*{per_group}u+b;"
            ),
            (Meeting::Subgroups, ..) => writeln!(
                out,
                "@builtin(local_invocation_id) l:vec3u,{subgroups}){{\nlet r={linear};let s=i32(l.x);let o=subgroupExclusiveAdd(1);"
            ),
            (_, 1, _) => writeln!(out, "@builtin(local_invocation_id) l:vec3u){{\nlet r={linear};"),
            (_, _, 1) => writeln!(out, "@builtin(local_invocation_id) l:vec3u){{\nlet r={linear}*{group}u+l.x;"),
            _ => writeln!(out, "@builtin(local_invocation_id) l:vec3u){{\nlet r={linear}*{per_group}u+l.x/{team}u;"),
        };
        if team > 1 && meeting == Meeting::Memory {
            let _ = writeln!(out, "let s=i32(l.x%{team}u);let o=i32(l.x)-s;");
        }
    }

    /// Computes what `roots` need and a whole row shares.
    fn hoist(&mut self, roots: &[ExprId]) -> Result<(), String> {
        let needed = reachable(&self.nest.exprs, roots.iter().copied());
        for (id, expr) in self.nest.exprs.iter() {
            let n = id.as_u32() as usize;
            let free = matches!(expr, Expr::Const(_) | Expr::Axis(_) | Expr::Total(_));
            if needed[n] && self.live[n] && !self.varies[n] && !free {
                self.emitter.value(id)?;
            }
        }
        Ok(())
    }

    /// The head of a loop over this invocation's elements or quads, and what names them.
    fn open(&mut self) -> super::expr::Block {
        let along = self.along;
        let start = if self.shape.team > 1 { "s" } else { "0" };
        let unit = if self.lane { "q" } else { "a" };
        let step = if self.shape.meeting == Meeting::Subgroup { "n".to_owned() } else { self.shape.team.to_string() };
        let block = self.emitter.open(&format!("for(var {unit}{along}={start};{unit}{along}<e;{unit}{along}+={step})"));
        if self.lane {
            let _ = writeln!(self.emitter.out, "let a{along}=q{along}*4;");
        }
        block
    }

    /// One walk over the row for some reductions, up to their totals `c0`, `c1`, ...
    fn walk(&mut self, walk: Range<usize>) -> Result<(), String> {
        let values: Vec<ExprId> = self.nest.accs[walk.clone()].iter().map(|acc| acc.next).collect();
        self.hoist(&values)?;
        for n in walk.clone() {
            let start = self.emitter.constant(Scalar::f32(self.rows.reductions[n].fold.start()));
            let _ = writeln!(self.emitter.out, "var r{n}={};", start.lanes(self.lane));
        }
        let block = self.open();
        let values = values.into_iter().map(|id| self.emitter.value(id)).collect::<Result<Vec<_>, _>>()?;
        for (n, value) in walk.clone().zip(values) {
            let value = value.lanes(self.lane);
            let _ = writeln!(self.emitter.out, "r{n}={};", fold(self.rows.reductions[n].fold, &format!("r{n}"), &value));
        }
        self.emitter.close(block);
        for n in walk.clone() {
            let op = self.rows.reductions[n].fold;
            let own = if self.lane {
                let _ = writeln!(
                    self.emitter.out,
                    "let f{n}={};let g{n}={};",
                    fold(op, &format!("r{n}.x"), &format!("r{n}.y")),
                    fold(op, &format!("r{n}.z"), &format!("r{n}.w"))
                );
                fold(op, &format!("f{n}"), &format!("g{n}"))
            } else {
                format!("r{n}")
            };
            let _ = match (self.shape.meeting, self.shape.team) {
                (Meeting::Memory, 1) => writeln!(self.emitter.out, "let c{n}={own};"),
                (Meeting::Memory, _) => writeln!(self.emitter.out, "x{n}[l.x]={own};"),
                (Meeting::Subgroup, _) => {
                    let total = subgroup_fold(self.emitter.helpers, op, &own);
                    writeln!(self.emitter.out, "let c{n}={total};")
                }
                (Meeting::Subgroups, _) => {
                    let part = subgroup_fold(self.emitter.helpers, op, &own);
                    writeln!(self.emitter.out, "let v{n}={part};if(o==0){{x{n}[d]=v{n};}}")
                }
            };
        }
        match self.shape.meeting {
            Meeting::Memory if self.shape.team > 1 => self.meet(walk),
            Meeting::Subgroups => self.join(walk),
            Meeting::Memory | Meeting::Subgroup => {}
        }
        Ok(())
    }

    /// What the subgroups have found becomes one total that everybody folds.
    fn join(&mut self, walk: Range<usize>) {
        self.emitter.out.push_str("workgroupBarrier();\n");
        for n in walk {
            let next = fold(self.rows.reductions[n].fold, &format!("c{n}"), &format!("x{n}[k]"));
            let _ = writeln!(self.emitter.out, "var c{n}=x{n}[0];for(var k=1u;k<h;k++){{c{n}={next};}}");
        }
    }

    /// What the members of a team have found becomes one total that all of them know. Each reduction has its own memory, so that nobody overwrites
    /// what another still reads.
    fn meet(&mut self, walk: Range<usize>) {
        let team = self.shape.team;
        let out = &mut self.emitter.out;
        out.push_str("workgroupBarrier();\n");
        let (from, first, count) = if team <= FLAT {
            ("x", "o".to_owned(), team)
        } else {
            let heads = team / BRANCH;
            let _ = writeln!(out, "if(s<{heads}){{");
            for n in walk.clone() {
                let next = fold(self.rows.reductions[n].fold, "v", &format!("x{n}[o+s+k*{heads}]"));
                let _ = writeln!(out, "{{var v=x{n}[o+s];for(var k=1;k<{BRANCH};k++){{v={next};}}y{n}[o/{BRANCH}+s]=v;}}");
            }
            out.push_str("}\nworkgroupBarrier();\n");
            ("y", format!("o/{BRANCH}"), heads)
        };
        for n in walk {
            let next = fold(self.rows.reductions[n].fold, &format!("c{n}"), &format!("{from}{n}[{first}+k]"));
            let _ = writeln!(out, "var c{n}={from}{n}[{first}];for(var k=1;k<{count};k++){{c{n}={next};}}");
        }
    }

    fn stores(&mut self) -> Result<(), String> {
        if self.rows.stores.is_empty() {
            return Ok(());
        }
        let values: Vec<ExprId> = self.nest.stores.iter().map(|store| store.value).collect();
        self.hoist(&values)?;
        let block = self.open();
        self.emitter.stores(&self.nest.stores)?;
        self.emitter.close(block);
        Ok(())
    }
}

/// Reductions in runs that one walk over the row serves: none reads a total of its own run.
fn walks(nest: &Nest) -> Vec<Range<usize>> {
    let mut walks: Vec<Range<usize>> = Vec::new();
    for (n, acc) in nest.accs.iter().enumerate() {
        let below = reachable(&nest.exprs, [acc.next]);
        let reads = |run: &Range<usize>| {
            let inside = |expr: &Expr| matches!(expr, Expr::Total(total) if run.contains(&usize::from(*total)));
            nest.exprs.iter().any(|(id, expr)| below[id.as_u32() as usize] && inside(expr))
        };
        match walks.last_mut() {
            Some(run) if !reads(run) => run.end = n + 1,
            _ => walks.push(n..n + 1),
        }
    }
    walks
}

/// How two values become one. Comparisons rather than `max` and `min`, whose treatment of infinities a compiler may choose.
fn fold(fold: Fold, a: &str, b: &str) -> String {
    match fold {
        Fold::Sum => format!("{a}+{b}"),
        Fold::Max => format!("select({a},{b},{a}<{b})"),
        Fold::Min => format!("select({a},{b},{b}<{a})"),
    }
}

/// How the values of a subgroup become one. Floats are compared by integers that are ordered as they are: infinities count, and no value is not a number, since
/// a walk takes none in.
fn subgroup_fold(helpers: &mut Helpers, fold: Fold, value: &str) -> String {
    let mut compare = |function: &str| format!("{}({function}({}({value})))", helpers.need("kf"), helpers.need("fk"));
    match fold {
        Fold::Sum => format!("subgroupAdd({value})"),
        Fold::Max => compare("subgroupMax"),
        Fold::Min => compare("subgroupMin"),
    }
}
