//! Which name stands for what: definitions and where they are named, in all files of a package.
//!
//! It follows the scopes of the language on the syntax tree and never reports anything: what it cannot resolve has no occurrence. Fields are followed
//! through the types that are written: parameters, results, aliases.

mod body;
mod collect;
mod types;

use mlp_analysis::Analysis;
use mlp_syntax::ast::DeclarationKind;
use mlp_syntax::{File, Span, parse};
use std::sync::Arc;

/// Index of a definition in [`Index::definitions`].
pub(crate) type DefinitionId = usize;

/// What a definition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Model,
    Port,
    Pipeline,
    Layer,
    Parameter,
    Local,
    Const,
    Type,
    Labels,
    Hook,
    Declaration(DeclarationKind),
    Field,
    /// A size or a set of labels that a signature leaves open.
    Symbol,
    Test,
}

/// Where a name is introduced.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) file: usize,
    /// The name.
    pub(crate) span: Span,
    /// What it belongs to: the item, the port, the statement.
    pub(crate) item: Span,
    /// What is shown of it.
    pub(crate) shown: Span,
    pub(crate) doc: String,
    /// The model of a port, the pipeline of a parameter.
    pub(crate) owner: Option<DefinitionId>,
}

/// How a name stands for a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It introduces it.
    Definition,
    /// It uses it.
    Use,
    /// `{ scores }`: it names a field and the value in one word.
    Shorthand,
}

/// A place where a definition is named.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occurrence {
    pub(crate) span: Span,
    pub(crate) definition: DefinitionId,
    pub(crate) role: Role,
}

/// What can follow a dot: a name, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) detail: String,
    pub(crate) doc: String,
}

/// The names of a package.
#[derive(Debug, Default)]
pub(crate) struct Index {
    pub(crate) definitions: Vec<Definition>,
    /// By file, in the order of the text.
    occurrences: Vec<Vec<Occurrence>>,
    /// The members of what stands before [`PLACEHOLDER`], where that was found.
    pub(crate) asked: Option<Vec<Member>>,
}

/// The name that completion puts where a member's name is wanted.
pub(crate) const PLACEHOLDER: &str = "mlp_completes_here";

impl Index {
    /// The names of a package; `replaced` stands in for the text of its root.
    pub(crate) fn new(analysis: &Analysis, replaced: Option<&str>) -> Index {
        let files = &analysis.program().files;
        let tree = |file| match replaced {
            Some(text) if file == 0 => Some(analysis.tree_with(text)),
            _ => analysis.tree(file),
        };
        let trees: Vec<Arc<File>> = (0..files.len()).map(|file| tree(file).unwrap_or_default()).collect();
        let paths: Vec<&str> = files.iter().map(|file| file.path.as_str()).collect();
        collect::collect(&paths, &trees)
    }

    /// The names of a file that stands for itself.
    pub(crate) fn of_file(path: &str, text: &str) -> Index {
        collect::collect(&[path], &[Arc::new(parse(text).0)])
    }

    /// What is named at a byte of a file; at the end of a name, too.
    pub(crate) fn at(&self, file: usize, offset: usize) -> Option<&Occurrence> {
        let offset = offset as u32;
        let covers = |occurrence: &&Occurrence| occurrence.span.start <= offset && offset <= occurrence.span.end;
        self.occurrences.get(file)?.iter().filter(covers).min_by_key(|occurrence| (occurrence.span.end, occurrence.role as u8))
    }

    /// Every place that names a definition: the file and the place.
    pub(crate) fn of(&self, definition: DefinitionId) -> impl Iterator<Item = (usize, &Occurrence)> {
        let files = self.occurrences.iter().enumerate();
        let all = files.flat_map(|(file, occurrences)| occurrences.iter().map(move |occurrence| (file, occurrence)));
        all.filter(move |(_, occurrence)| occurrence.definition == definition)
    }

    /// The definitions of a file.
    pub(crate) fn in_file(&self, file: usize) -> impl Iterator<Item = (DefinitionId, &Definition)> {
        self.definitions.iter().enumerate().filter(move |(_, definition)| definition.file == file)
    }
}

impl Definition {
    /// Whether it stands at the top of a file, where other files can import it.
    pub(crate) fn is_item(&self) -> bool {
        !matches!(self.kind, Kind::Port | Kind::Parameter | Kind::Local | Kind::Field | Kind::Symbol | Kind::Test)
    }
}
