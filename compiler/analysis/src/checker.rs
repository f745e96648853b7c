//! The order of the checks, and what they share.

use crate::declared::Declarations;
use crate::kept::{Kept, Successor, Trace};
use crate::network::Layer;
use crate::program::{Const, LabelSet, Model, Pipeline, PipelineId, Program, SourceFile, TypeAlias};
use crate::reuse::Reuse;
use crate::scope::{Scope, Symbol};
use crate::types::Type;
use crate::world::World;
use crate::{
    aliases, blocks, constants, cycles, expectations, hooks, labels, layers, load, models, pipelines, privacy, scope, states, stdlib,
};
use mlp_syntax::ast::{self, DeclarationKind, File};
use mlp_syntax::{Code, Diagnostic, FileId, Location, Parsed, Span, closest};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

/// What checking gave.
#[derive(Clone, Debug)]
pub struct Analysis {
    program: Checked<Program>,
    diagnostics: Vec<Diagnostic>,
    kept: Kept,
}

impl Analysis {
    /// The program, as far as it could be understood.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// What was found, by file and place.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The tree of a file of the package, by its place among them.
    pub fn tree(&self, file: usize) -> Option<Arc<File>> {
        match self.kept.parsed.get(file)? {
            Some(parsed) => Some(Arc::clone(parsed.file())),
            None => self.program.files.get(file).map(|file| stdlib::parsed(&file.path, &file.text).0),
        }
    }

    /// The tree that the root file would have with another text, of which most was there before.
    pub fn tree_with(&self, text: &str) -> Arc<File> {
        let known = self.kept.parsed.first().cloned().flatten().zip(self.program.files.first());
        match known {
            Some((parsed, root)) => Arc::clone(parsed.update(&root.text, text).0.file()),
            None => Arc::clone(Parsed::new(text).file()),
        }
    }

    /// True where an error was found.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(Diagnostic::is_error)
    }

    /// The proof that there is no error; otherwise the analysis as it was.
    pub fn into_checked(self) -> Result<Checked<Program>, Box<Analysis>> {
        if self.has_errors() { Err(Box::new(self)) } else { Ok(self.program) }
    }

    /// The program as one without errors; none where there is one.
    pub fn checked(&self) -> Option<&Checked<Program>> {
        (!self.has_errors()).then_some(&self.program)
    }
}

/// A value that was checked and found without error; only an [`Analysis`] without errors gives one.
#[derive(Clone, Debug)]
pub struct Checked<T>(T);

impl<T> std::ops::Deref for Checked<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Checks the file `root` with all that it uses.
pub fn check(world: &dyn World, root: &str) -> Analysis {
    run(world, root, None)
}

/// What [`check`] gives, found with what an earlier check of the package still knows.
pub fn recheck(world: &dyn World, root: &str, before: Analysis) -> Analysis {
    run(world, root, Some(before))
}

fn run(world: &dyn World, root: &str, before: Option<Analysis>) -> Analysis {
    let mut checker = Checker::new(world);
    let mut before = before.map(|before| (before.program.0, before.kept));
    load::load(&mut checker, root, before.as_mut());
    scope::declare(&mut checker);
    constants::check_all(&mut checker);
    labels::check_all(&mut checker);
    models::check_all(&mut checker);
    aliases::check_all(&mut checker);
    pipelines::declare_all(&mut checker);
    let mut reuse = before.and_then(|(program, kept)| Reuse::new(&checker, program, kept));
    pipelines::check_bodies(&mut checker, &mut reuse);
    cycles::check(&mut checker);
    states::check_uses(&mut checker);
    layers::check_all(&mut checker);
    blocks::check_quantize(&mut checker);
    let mut declarations = blocks::check_all(&mut checker, &mut reuse);
    privacy::check_all(&mut checker, &mut declarations, reuse.as_ref());
    let hooks = hooks::check_all(&mut checker, &declarations, &mut reuse);
    let tests = expectations::check_all(&mut checker);
    scope::report_unused(&mut checker);
    checker.finish(declarations, hooks, tests)
}

/// The state of a check.
pub(crate) struct Checker<'w> {
    pub(crate) world: &'w dyn World,
    pub(crate) edition: u32,
    pub(crate) files: Vec<SourceFile>,
    /// The syntax of each file.
    pub(crate) trees: Vec<Arc<File>>,
    /// How each file was parsed; none for modules of the standard library.
    pub(crate) parsed: Vec<Option<Parsed>>,
    /// How each file relates to the one that was checked before.
    pub(crate) successors: Vec<Option<Successor>>,
    /// What each item of each file declares.
    pub(crate) declared: Vec<Vec<Option<Symbol>>>,
    /// How what was found of each item of each file came about; none where it has to be found again.
    traces: Vec<Vec<Option<Trace>>>,
    /// The pipelines that each pipeline calls, and where.
    pub(crate) calls: Vec<Vec<(PipelineId, Location)>>,
    /// The names of each file.
    pub(crate) scopes: Vec<Scope>,
    pub(crate) models: Vec<Model>,
    pub(crate) pipelines: Vec<Pipeline>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) consts: Vec<Const>,
    pub(crate) aliases: Vec<TypeAlias>,
    /// The syntax of each alias, with its file.
    pub(crate) alias_nodes: Vec<(FileId, Rc<ast::Type>)>,
    /// How many declarations there are of each kind.
    pub(crate) block_counts: HashMap<DeclarationKind, u32>,
    /// How many aliases may still be replaced by what they stand for.
    pub(crate) expansions_left: usize,
    pub(crate) labels: Vec<LabelSet>,
    /// The names of `labels`, for messages.
    pub(crate) label_names: Vec<String>,
    /// The files of weights that models name, by the model's position.
    pub(crate) weight_files: HashMap<usize, models::WeightFile>,
    diagnostics: Vec<Diagnostic>,
}

impl<'w> Checker<'w> {
    fn new(world: &'w dyn World) -> Checker<'w> {
        Checker {
            world,
            edition: crate::EDITION,
            files: Vec::new(),
            trees: Vec::new(),
            parsed: Vec::new(),
            successors: Vec::new(),
            declared: Vec::new(),
            traces: Vec::new(),
            calls: Vec::new(),
            scopes: Vec::new(),
            models: Vec::new(),
            pipelines: Vec::new(),
            layers: Vec::new(),
            consts: Vec::new(),
            aliases: Vec::new(),
            alias_nodes: Vec::new(),
            block_counts: HashMap::new(),
            expansions_left: aliases::MAX_EXPANSIONS,
            labels: Vec::new(),
            label_names: Vec::new(),
            weight_files: HashMap::new(),
            diagnostics: Vec::new(),
        }
    }

    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    /// Checks an item of a file so that the next check can take over what is found of it. `check` gives that with its place among those of its kind.
    pub(crate) fn traced<T>(&mut self, file: FileId, item: usize, start: u32, check: impl FnOnce(&mut Self) -> (T, Option<usize>)) -> T {
        let found = self.diagnostics.len();
        self.scopes[file.0 as usize].record();
        let (checked, index) = check(self);
        let names = self.scopes[file.0 as usize].recorded();
        let trace = names.zip(index).and_then(|(names, index)| Trace::new(file, start, index, names, &self.diagnostics[found..]));
        self.keep(file, item, trace);
        checked
    }

    /// Notes how what was found of an item of a file came about.
    pub(crate) fn keep(&mut self, file: FileId, item: usize, trace: Option<Trace>) {
        let file = file.0 as usize;
        self.traces.resize(self.traces.len().max(file + 1), Vec::new());
        let traces = &mut self.traces[file];
        traces.resize(traces.len().max(self.trees[file].items.len()), None);
        traces[item] = trace;
    }

    /// How many errors were found so far.
    pub(crate) fn error_count(&self) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count()
    }

    /// The type as messages write it.
    pub(crate) fn show(&self, ty: &Type) -> String {
        ty.quoted(&self.label_names)
    }

    /// The source text of a place.
    pub(crate) fn text(&self, at: Location) -> &str {
        self.files.get(at.file.0 as usize).map_or("", |file| at.span.text(&file.text))
    }

    /// True for a pipeline of the standard library.
    pub(crate) fn is_of_library(&self, id: PipelineId) -> bool {
        let file = self.pipelines.get(id.0 as usize).and_then(|pipeline| self.files.get(pipeline.at.file.0 as usize));
        file.is_some_and(|file| stdlib::find(&file.path).is_some())
    }

    /// Counts the names of a text that is not checked as used.
    pub(crate) fn mention(&mut self, at: Location) {
        if let Some(file) = self.files.get(at.file.0 as usize) {
            self.scopes[at.file.0 as usize].mention(at.span.text(&file.text));
        }
    }

    fn finish(mut self, declarations: Declarations, hooks: Vec<crate::Hook>, tests: Vec<crate::Test>) -> Analysis {
        self.diagnostics.sort_by(|a, b| (a.primary(), a.code, &a.message).cmp(&(b.primary(), b.code, &b.message)));
        self.diagnostics.dedup();
        let program = Program {
            edition: self.edition,
            files: self.files,
            models: self.models,
            labels: self.labels,
            pipelines: self.pipelines,
            layers: self.layers,
            consts: self.consts,
            aliases: self.aliases,
            declarations,
            hooks,
            tests,
            left_out: OnceLock::new(),
        };
        let names = self.scopes.into_iter().map(Scope::into_names).collect();
        let kept = Kept { parsed: self.parsed, names, declared: self.declared, traces: self.traces, calls: self.calls };
        Analysis { program: Checked(program), diagnostics: self.diagnostics, kept }
    }
}

/// A place in a file.
pub(crate) fn at(file: FileId, span: Span) -> Location {
    Location { file, span }
}

/// "There is no such name", with the closest one that exists as label and fix, or else a list of what there is.
pub(crate) fn unknown_name<'a>(
    code: Code,
    message: String,
    found: &str,
    place: Location,
    known: impl IntoIterator<Item = &'a str>,
) -> Diagnostic {
    let known: Vec<&str> = known.into_iter().collect();
    let diagnostic = Diagnostic::new(code, message);
    if let Some(close) = closest(found, known.iter().copied()) {
        return diagnostic.label(place, format!("did you mean `{close}`?")).fix(place, close);
    }
    let diagnostic = diagnostic.label(place, "unknown name");
    match known.len() {
        0 => diagnostic,
        1..=12 => {
            let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
            diagnostic.help(format!("what there is: {}", names.join(", ")))
        }
        _ => diagnostic,
    }
}
