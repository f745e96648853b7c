//! What a check leaves for the next one of the same package, so that a keystroke costs what it changes.
//!
//! Everything but bodies of pipelines is checked again each time: it is little, and whatever depends on it is right by construction. The typed body of a
//! pipeline is taken over where its text is the same and every name that it looked up still stands for the same thing, with the same types.

use crate::checker::Checker;
use crate::declared::Outlet;
use crate::moved::Move;
use crate::privacy::Released;
use crate::program::{Body, Model, ModelId, ModelPort, Pipeline, PipelineId, Program};
use crate::scope::Symbol;
use foldhash::fast::RandomState;
use mlp_syntax::{Code, Diagnostic, FileId, Location, Parsed, Same};
use std::collections::{HashMap, HashSet};

/// What is kept beside the program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// How each file was parsed; none for modules of the standard library.
    pub(crate) parsed: Vec<Option<Parsed>>,
    /// What the names of each file stood for.
    pub(crate) names: Vec<HashMap<String, Symbol, RandomState>>,
    /// What the body of each pipeline was made of; none where it has to be checked again.
    pub(crate) bodies: Vec<Option<KeptBody>>,
}

/// How a body came about.
#[derive(Clone, Debug)]
pub(crate) struct KeptBody {
    file: FileId,
    /// Which item of the file it is, and where that started.
    item: usize,
    start: u32,
    /// The names that were looked up in the file, and whether that made them used.
    names: Vec<(String, bool)>,
    /// The pipelines that it calls.
    calls: Vec<(PipelineId, Location)>,
    /// Warnings of names inside it that nothing reads; a body with other findings is not kept.
    remarks: Vec<Diagnostic>,
}

impl KeptBody {
    /// The body that was just checked, with what was found in it; none where it cannot be kept.
    pub(crate) fn new(
        file: FileId,
        (item, start): (usize, u32),
        mut names: Vec<(String, bool)>,
        calls: Vec<(PipelineId, Location)>,
        found: &[Diagnostic],
    ) -> Option<KeptBody> {
        let harmless = |one: &Diagnostic| one.code == Code::E0109 && one.labels.iter().all(|label| label.at.file == file);
        names.sort_unstable();
        names.dedup();
        found.iter().all(harmless).then(|| KeptBody { file, item, start, names, calls, remarks: found.to_vec() })
    }

    /// The pipelines that it calls, and where.
    pub(crate) fn calls(&self) -> &[(PipelineId, Location)] {
        &self.calls
    }
}

/// How a file of this check relates to the one before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Successor {
    pub(crate) same: Same,
    /// How many items the file had.
    pub(crate) items: usize,
}

/// The program of the check before, and what of it means the same as now.
pub(crate) struct Reuse {
    program: Program,
    names: Vec<HashMap<String, Symbol, RandomState>>,
    bodies: Vec<Option<KeptBody>>,
    /// The pipeline before that each item of a file was.
    by_item: HashMap<(FileId, usize), usize>,
    /// What each pipeline, model and constant before is now; none where it takes or gives something else.
    pipelines: Vec<Option<PipelineId>>,
    models: Vec<Option<ModelId>>,
    consts: Vec<Option<usize>>,
    /// The pipelines now whose bodies were taken over.
    taken: HashSet<PipelineId>,
}

impl Reuse {
    /// What can be taken over, once everything but bodies is checked; none where the package consists of other files or other labels.
    pub(crate) fn new(checker: &Checker<'_>, program: Program, kept: Kept) -> Option<Reuse> {
        let files = program.files.iter().map(|file| &file.path);
        if !files.eq(checker.files.iter().map(|file| &file.path)) || program.labels != checker.labels {
            return None;
        }
        let pipelines = successors(
            program.pipelines.iter().map(|old| (old.at.file, old.name.as_str())),
            checker.pipelines.iter().map(|new| (new.at.file, new.name.as_str())),
            |old, new| same_pipeline(&program.pipelines[old], &checker.pipelines[new]),
        );
        let models = successors(
            program.models.iter().map(|old| (old.at.file, old.name.as_str())),
            checker.models.iter().map(|new| (new.at.file, new.name.as_str())),
            |old, new| same_model(&program.models[old], &checker.models[new]),
        );
        let consts = successors(
            program.consts.iter().map(|old| (old.at.file, old.name.as_str())),
            checker.consts.iter().map(|new| (new.at.file, new.name.as_str())),
            |old, new| program.consts[old].ty == checker.consts[new].ty && program.consts[old].value == checker.consts[new].value,
        );
        let by_item = kept.bodies.iter().enumerate().filter_map(|(index, body)| Some(((body.as_ref()?.file, body.as_ref()?.item), index)));
        Some(Reuse {
            by_item: by_item.collect(),
            names: kept.names,
            bodies: kept.bodies,
            pipelines: pipelines.into_iter().map(|new| new.map(|new| PipelineId(new as u32))).collect(),
            models: models.into_iter().map(|new| new.map(|new| ModelId(new as u32))).collect(),
            consts,
            program,
            taken: HashSet::new(),
        })
    }

    /// The body of a pipeline, where it is what checking it again would give; its names count as used and its remarks are reported.
    pub(crate) fn body(
        &mut self,
        checker: &mut Checker<'_>,
        index: usize,
        file: FileId,
        item: usize,
        start: u32,
    ) -> Option<(Body, KeptBody)> {
        let successor = (*checker.successors.get(file.0 as usize)?)?;
        let items = checker.trees.get(file.0 as usize)?.items.len();
        let before = if item < successor.same.front {
            item
        } else if item >= items - successor.same.back {
            item + successor.items - items
        } else {
            return None;
        };
        let old = *self.by_item.get(&(file, before))?;
        if self.pipelines.get(old) != Some(&Some(PipelineId(index as u32))) {
            return None;
        }
        let kept = self.bodies.get(old)?.as_ref()?;
        let (names, scope) = (self.names.get(file.0 as usize)?, &checker.scopes[file.0 as usize]);
        if !kept.names.iter().all(|(name, _)| self.same_symbol(names.get(name).copied(), scope.peek(name))) {
            return None;
        }
        let mut body = std::mem::replace(&mut self.program.pipelines.get_mut(old)?.body, Body::Broken);
        let mut kept = self.bodies.get_mut(old)?.take()?;
        let by = i64::from(start) - i64::from(kept.start);
        let mover = Move { by, pipelines: &self.pipelines, models: &self.models };
        if !(mover.body(&mut body) && mover.calls(&mut kept.calls)) {
            return None;
        }
        self.taken.insert(PipelineId(index as u32));
        (kept.item, kept.start) = (item, start);
        for (name, used) in &kept.names {
            if *used {
                checker.scopes[file.0 as usize].find(name, &[]);
            }
        }
        for remark in &mut kept.remarks {
            remark.shift(by);
            checker.report(remark.clone());
        }
        Some((body, kept))
    }

    /// What outlets release, by their places among those now, where that is what finding it out again would give: nothing that the value is made of has changed.
    pub(crate) fn released(&self, checker: &Checker<'_>, outlets: &[Outlet]) -> Vec<Option<Released>> {
        let mut before: HashMap<(FileId, &str), Option<&Outlet>> = HashMap::new();
        for outlet in &self.program.declarations.outlets {
            let key = (outlet.declared.at.file, outlet.declared.name.as_str());
            before.entry(key).and_modify(|known| *known = None).or_insert(Some(outlet));
        }
        let mut unchanged = HashMap::new();
        let known = outlets.iter().map(|now| {
            let old = before.get(&(now.declared.at.file, now.declared.name.as_str())).copied().flatten()?;
            let pipeline = now.pipeline?;
            let same = old.pipeline.and_then(|old| *self.pipelines.get(old.0 as usize)?) == Some(pipeline)
                && (&old.fields, &old.ty, old.broken) == (&now.fields, &now.ty, now.broken)
                && old.mechanism.map(|(mechanism, _)| mechanism) == now.mechanism.map(|(mechanism, _)| mechanism)
                && (old.spend.is_some(), old.at_most.is_some()) == (now.spend.is_some(), now.at_most.is_some());
            old.released.filter(|_| same && self.is_unchanged(checker, pipeline, &mut unchanged))
        });
        known.collect()
    }

    /// Whether a pipeline, and all that it calls, does what it did.
    fn is_unchanged(&self, checker: &Checker<'_>, id: PipelineId, known: &mut HashMap<PipelineId, bool>) -> bool {
        // Explicit, because packages may be deep; what calls itself counts as changed.
        let mut path = vec![(id, 0)];
        while let Some((pipeline, followed)) = path.last_mut() {
            let (pipeline, next) = (*pipeline, *followed);
            *followed += 1;
            let calls = checker.calls.get(pipeline.0 as usize).map_or(&[][..], Vec::as_slice);
            if next == 0 {
                let own = self.taken.contains(&pipeline) || checker.is_of_library(pipeline);
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

    fn same_symbol(&self, old: Option<Symbol>, new: Option<Symbol>) -> bool {
        match (old, new) {
            (Some(Symbol::Pipeline(old)), Some(Symbol::Pipeline(new))) => self.pipelines.get(old.0 as usize) == Some(&Some(new)),
            (Some(Symbol::Model(old)), Some(Symbol::Model(new))) => self.models.get(old.0 as usize) == Some(&Some(new)),
            (Some(Symbol::Const(old)), Some(Symbol::Const(new))) => self.consts.get(old.0 as usize) == Some(&Some(new.0 as usize)),
            (Some(Symbol::Alias(_)), Some(Symbol::Alias(_))) => true,
            (Some(Symbol::Block(old, _)), Some(Symbol::Block(new, _))) => old == new,
            (old, new) => old == new,
        }
    }
}

/// For each thing before the one of the same file and name now, where both are the only ones of their name and `fits` says that they are alike.
fn successors<'n>(
    old: impl Iterator<Item = (FileId, &'n str)>,
    new: impl Iterator<Item = (FileId, &'n str)>,
    fits: impl Fn(usize, usize) -> bool,
) -> Vec<Option<usize>> {
    let mut now: HashMap<(FileId, &str), Option<usize>> = HashMap::new();
    for (index, key) in new.enumerate() {
        now.entry(key).and_modify(|known| *known = None).or_insert(Some(index));
    }
    let mut taken: HashMap<(FileId, &str), usize> = HashMap::new();
    let mut found = Vec::new();
    for (index, key) in old.enumerate() {
        let next = now.get(&key).copied().flatten().filter(|next| fits(index, *next));
        match taken.insert(key, index) {
            Some(other) => {
                found[other] = None;
                found.push(None);
            }
            None => found.push(next),
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
