//! What of an earlier check means the same as now.
//!
//! Names and signatures are found again each time: they are little, and whatever depends on them is right by construction. The typed body of a pipeline, a budget,
//! an outlet, a monitor or a hook is taken over where its text is the same and every name that it looked up still stands for the same thing, with the same types.

use crate::checker::Checker;
use crate::declared::{Budget, Declarations, Monitor, Outlet};
use crate::kept::{Kept, Names, Trace};
use crate::moved::Move;
use crate::program::{Body, Const, ConstId, Hook, Model, ModelId, ModelPort, Pipeline, PipelineId, Program};
use crate::scope::Symbol;
use mlp_syntax::ast::{Declaration, DeclarationKind};
use mlp_syntax::{FileId, Location};
use std::collections::{HashMap, HashSet};

/// The program of the check before, and what of it means the same as now.
pub(crate) struct Reuse {
    program: Program,
    names: Vec<Names>,
    traces: Vec<Vec<Option<Trace>>>,
    calls: Vec<Vec<(PipelineId, Location)>>,
    budgets: Vec<Option<Budget>>,
    outlets: Vec<Option<Outlet>>,
    monitors: Vec<Option<Monitor>>,
    hooks: Vec<Option<Hook>>,
    /// What each pipeline and model before is now; none where it takes or gives something else.
    pipelines: Vec<Option<PipelineId>>,
    models: Vec<Option<ModelId>>,
    /// The names of each file that stand for something else by now.
    changed: Vec<HashSet<String>>,
    /// Every pipeline and model is where it was, so that what calls them need not be told.
    settled: bool,
    /// Whether the body of each pipeline now was taken over.
    taken: Vec<bool>,
}

/// An item whose text is that of before, while it is found out whether it means the same.
#[derive(Clone, Copy)]
struct Candidate {
    file: usize,
    item: usize,
    before: usize,
    /// Where it starts.
    start: u32,
    /// By how many bytes it has moved.
    by: i64,
    /// Its place in the program before, among those of its kind.
    index: usize,
}

impl Reuse {
    /// What can be taken over, once everything but bodies and blocks is checked; none where the package consists of other files or other labels.
    pub(crate) fn new(checker: &Checker<'_>, mut program: Program, kept: Kept) -> Option<Reuse> {
        let files = program.files.iter().map(|file| &file.path);
        if !files.eq(checker.files.iter().map(|file| &file.path)) || program.labels != checker.labels {
            return None;
        }
        let Declarations { budgets, outlets, monitors, .. } = std::mem::take(&mut program.declarations);
        let hooks = std::mem::take(&mut program.hooks);
        let Successors { pipelines, models, consts } = Successors::new(checker, &program, &kept);
        let same = |old: Symbol, new: Symbol| match (old, new) {
            (Symbol::Pipeline(old), Symbol::Pipeline(new)) => pipelines[old.0 as usize] == Some(new),
            (Symbol::Model(old), Symbol::Model(new)) => models[old.0 as usize] == Some(new),
            (Symbol::Const(old), Symbol::Const(new)) => consts[old.0 as usize] == Some(new),
            (Symbol::Alias(_), Symbol::Alias(_)) => true,
            (Symbol::Block(old, _), Symbol::Block(new, _)) => old == new,
            (old, new) => old == new,
        };
        let changed = kept.names.iter().zip(&checker.scopes).map(|(names, scope)| scope.changed(names, same)).collect();
        let settled = is_settled(&pipelines, |id| id.0) && is_settled(&models, |id| id.0);
        Some(Reuse {
            names: kept.names,
            traces: kept.traces,
            calls: kept.calls,
            budgets: budgets.into_iter().map(Some).collect(),
            outlets: outlets.into_iter().map(Some).collect(),
            monitors: monitors.into_iter().map(Some).collect(),
            hooks: hooks.into_iter().map(Some).collect(),
            pipelines,
            models,
            changed,
            settled,
            program,
            taken: vec![false; checker.pipelines.len()],
        })
    }

    /// The body of a pipeline and what it calls, where they are what checking it again would give; its names count as used and its remarks are reported.
    pub(crate) fn body(
        &mut self,
        checker: &mut Checker<'_>,
        index: usize,
        file: FileId,
        item: usize,
        start: u32,
    ) -> Option<(Body, Vec<(PipelineId, Location)>)> {
        let candidate = self.candidate(checker, file, item, start)?;
        let old = candidate.index;
        // A circle of calls may have emptied it, and may be gone.
        let is_empty = matches!(self.program.pipelines.get(old)?.body, Body::Broken);
        if is_empty || self.pipelines.get(old) != Some(&Some(PipelineId(index as u32))) {
            return None;
        }
        let mut body = std::mem::replace(&mut self.program.pipelines.get_mut(old)?.body, Body::Broken);
        let mut calls = std::mem::take(self.calls.get_mut(old)?);
        let mover = self.mover(candidate, &[]);
        if mover.is_needed() && !(mover.body(&mut body) && mover.calls(&mut calls)) {
            return None;
        }
        self.accept(checker, candidate, index);
        *self.taken.get_mut(index)? = true;
        Some((body, calls))
    }

    /// Puts a declaration where it belongs, if it is what checking it again would give.
    pub(crate) fn declaration(
        &mut self,
        checker: &mut Checker<'_>,
        file: FileId,
        item: usize,
        node: &Declaration,
        found: &mut Declarations,
    ) -> bool {
        let Some(candidate) = self.candidate(checker, file, item, node.span.start) else { return false };
        let old = candidate.index;
        let blocks = self.blocks(checker, candidate);
        let index = match node.kind {
            DeclarationKind::Budget => {
                let taken = self.budgets.get_mut(old).and_then(Option::take);
                self.mover(candidate, &blocks).put(taken, Move::budget, &mut found.budgets)
            }
            DeclarationKind::Outlet => {
                let taken = self.outlets.get_mut(old).and_then(Option::take);
                self.mover(candidate, &blocks).put(taken, Move::outlet, &mut found.outlets)
            }
            DeclarationKind::Monitor => {
                let taken = self.monitors.get_mut(old).and_then(Option::take);
                self.mover(candidate, &blocks).put(taken, Move::monitor, &mut found.monitors)
            }
            // Packages have few of them.
            DeclarationKind::Explain | DeclarationKind::Experiment | DeclarationKind::Device => None,
        };
        index.is_some_and(|index| self.accept(checker, candidate, index).is_some())
    }

    /// Puts a hook at the end of the others, if it is what checking it again would give.
    pub(crate) fn hook(
        &mut self,
        checker: &mut Checker<'_>,
        item: usize,
        start: u32,
        declarations: &Declarations,
        found: &mut Vec<Hook>,
    ) -> bool {
        let Some(candidate) = self.candidate(checker, FileId(0), item, start) else { return false };
        let blocks = self.blocks(checker, candidate);
        let taken = self.hooks.get_mut(candidate.index).and_then(Option::take);
        let Some(index) = self.mover(candidate, &blocks).put(taken, Move::hook, found) else { return false };
        // What it names may be of another pipeline by now.
        if !found[index].fits(declarations) {
            found.pop();
            return false;
        }
        self.accept(checker, candidate, index).is_some()
    }

    /// An item whose text is the same, and whose names stand for what they stood for.
    fn candidate(&self, checker: &Checker<'_>, file: FileId, item: usize, start: u32) -> Option<Candidate> {
        let file = file.0 as usize;
        let before = (*checker.successors.get(file)?)?.before(item, checker.trees.get(file)?.items.len())?;
        let trace = self.traces.get(file)?.get(before)?.as_ref()?;
        let changed = self.changed.get(file)?;
        let by = i64::from(start) - i64::from(trace.start);
        let same = changed.is_empty() || trace.names.iter().all(|(name, _)| !changed.contains(name));
        same.then_some(Candidate { file, item, before, start, by, index: trace.index })
    }

    /// What the blocks that an item names are now.
    fn blocks(&self, checker: &Checker<'_>, candidate: Candidate) -> Vec<(Symbol, Symbol)> {
        let (names, scope) = (&self.names[candidate.file], &checker.scopes[candidate.file]);
        let trace = self.traces[candidate.file][candidate.before].as_ref();
        let pairs = trace.into_iter().flat_map(|trace| &trace.names).filter_map(|(name, _)| {
            let old = names.get(name)?.symbol;
            matches!(old, Symbol::Block(..)).then_some((old, scope.peek(name)?))
        });
        pairs.collect()
    }

    fn mover<'m>(&'m self, candidate: Candidate, blocks: &'m [(Symbol, Symbol)]) -> Move<'m> {
        Move { by: candidate.by, pipelines: &self.pipelines, models: &self.models, blocks, settled: self.settled }
    }

    /// Keeps the trace of an item that was taken over, and does again what checking it did beside.
    fn accept(&mut self, checker: &mut Checker<'_>, candidate: Candidate, index: usize) -> Option<()> {
        let Candidate { file, item, before, start, by, .. } = candidate;
        let mut trace = self.traces.get_mut(file)?.get_mut(before)?.take()?;
        (trace.index, trace.start) = (index, start);
        for (name, _) in trace.names.iter().filter(|(_, used)| *used) {
            checker.scopes[file].find(name, &[]);
        }
        for remark in &mut trace.remarks {
            remark.shift(by);
            checker.report(remark.clone());
        }
        checker.keep(FileId(file as u32), item, Some(trace));
        Some(())
    }

    /// Whether a pipeline, and all that it calls, does what it did.
    pub(crate) fn is_unchanged(&self, checker: &Checker<'_>, id: PipelineId, known: &mut HashMap<PipelineId, bool>) -> bool {
        // Explicit, because packages may be deep; what calls itself counts as changed.
        let mut path = vec![(id, 0)];
        while let Some((pipeline, followed)) = path.last_mut() {
            let (pipeline, next) = (*pipeline, *followed);
            *followed += 1;
            let calls = checker.calls.get(pipeline.0 as usize).map_or(&[][..], Vec::as_slice);
            if next == 0 {
                let own = self.taken.get(pipeline.0 as usize) == Some(&true) || checker.is_of_library(pipeline);
                if *known.entry(pipeline).or_insert(false) || !own {
                    path.pop();
                    continue;
                }
            }
            match calls.get(next) {
                Some((callee, _)) if !known.contains_key(callee) => path.push((*callee, 0)),
                Some(_) => {}
                None => {
                    let all = calls.iter().all(|(callee, _)| known.get(callee) == Some(&true));
                    known.insert(pipeline, all);
                    path.pop();
                }
            }
        }
        known.get(&id) == Some(&true)
    }
}

fn is_settled<T: Copy>(now: &[Option<T>], number: impl Fn(T) -> u32) -> bool {
    now.iter().enumerate().all(|(before, now)| now.is_some_and(|now| number(now) as usize == before))
}

/// What pipelines, models and constants before are now.
struct Successors {
    pipelines: Vec<Option<PipelineId>>,
    models: Vec<Option<ModelId>>,
    consts: Vec<Option<ConstId>>,
}

impl Successors {
    /// Items whose text is the same are followed by their places, others by their names where nothing else has them.
    fn new(checker: &Checker<'_>, program: &Program, kept: &Kept) -> Successors {
        let mut found = Successors {
            pipelines: vec![None; program.pipelines.len()],
            models: vec![None; program.models.len()],
            consts: vec![None; program.consts.len()],
        };
        for (file, tree) in checker.trees.iter().enumerate() {
            let (Some(Some(successor)), Some(old)) = (checker.successors.get(file), kept.declared.get(file)) else { continue };
            let new = &checker.declared[file];
            for (item, now) in new.iter().enumerate() {
                let before = successor.before(item, tree.items.len()).and_then(|before| *old.get(before)?);
                found.follow(checker, program, before, *now);
            }
            let edited = |items: &[Option<Symbol>]| successor.same.front..items.len() - successor.same.back;
            let now = by_name(&new[edited(new)], |symbol| name(symbol, &checker.pipelines, &checker.models, &checker.consts));
            let before = by_name(&old[edited(old)], |symbol| name(symbol, &program.pipelines, &program.models, &program.consts));
            for (name, before) in before {
                found.follow(checker, program, before, now.get(name).copied().flatten());
            }
        }
        found
    }

    /// Notes that one symbol is what another was, where it takes and gives the same.
    fn follow(&mut self, checker: &Checker<'_>, program: &Program, before: Option<Symbol>, now: Option<Symbol>) {
        match (before, now) {
            (Some(Symbol::Pipeline(old)), Some(Symbol::Pipeline(new))) => {
                let (before, now) = (&program.pipelines[old.0 as usize], &checker.pipelines[new.0 as usize]);
                self.pipelines[old.0 as usize] = same_pipeline(before, now).then_some(new);
            }
            (Some(Symbol::Model(old)), Some(Symbol::Model(new))) => {
                let (before, now) = (&program.models[old.0 as usize], &checker.models[new.0 as usize]);
                self.models[old.0 as usize] = same_model(before, now).then_some(new);
            }
            (Some(Symbol::Const(old)), Some(Symbol::Const(new))) => {
                let (before, now) = (&program.consts[old.0 as usize], &checker.consts[new.0 as usize]);
                self.consts[old.0 as usize] = (before.ty == now.ty && before.value == now.value).then_some(new);
            }
            _ => {}
        }
    }
}

/// The name of a pipeline, a model or a constant.
fn name<'n>(symbol: Symbol, pipelines: &'n [Pipeline], models: &'n [Model], consts: &'n [Const]) -> Option<&'n str> {
    match symbol {
        Symbol::Pipeline(id) => pipelines.get(id.0 as usize).map(|pipeline| pipeline.name.as_str()),
        Symbol::Model(id) => models.get(id.0 as usize).map(|model| model.name.as_str()),
        Symbol::Const(id) => consts.get(id.0 as usize).map(|value| value.name.as_str()),
        _ => None,
    }
}

/// Symbols by their names; none where two have the same.
fn by_name<'n>(symbols: &[Option<Symbol>], name: impl Fn(Symbol) -> Option<&'n str>) -> HashMap<&'n str, Option<Symbol>> {
    let mut found = HashMap::new();
    for symbol in symbols.iter().flatten() {
        if let Some(name) = name(*symbol) {
            found.entry(name).and_modify(|known| *known = None).or_insert(Some(*symbol));
        }
    }
    found
}

fn same_pipeline(old: &Pipeline, new: &Pipeline) -> bool {
    old.params == new.params && old.result == new.result && old.bounds == new.bounds
}

fn same_model(old: &Model, new: &Model) -> bool {
    let same = |old: &[ModelPort], new: &[ModelPort]| {
        old.len() == new.len() && old.iter().zip(new).all(|(old, new)| old.name == new.name && old.ty == new.ty)
    };
    same(&old.inputs, &new.inputs) && same(&old.outputs, &new.outputs) && old.bounds == new.bounds
}
