//! The names of a file: what it declares and what it imports.

use crate::blocks;
use crate::checker::{Checker, at, unknown_name};
use crate::kept::Names;
use crate::network::{Layer, LayerBody, LayerId};
use crate::program::{AliasId, Body, Const, ConstId, LabelSet, Model, ModelId, Pipeline, PipelineId, TypeAlias};
use crate::signature;
use crate::stdlib;
use crate::types::{LabelsId, Type};
use mlp_syntax::ast::{DeclarationKind, Header, Item, Name, PipelineKind};
use mlp_syntax::{Code, Diagnostic, FileId, Location, Span};
use std::cell::{Cell, RefCell};
use std::collections::{HashSet, hash_map};
use std::rc::Rc;

/// The keyword of an import: what it names may be anything.
const IMPORT: &str = "use";

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Symbol {
    Model(ModelId),
    Pipeline(PipelineId),
    Layer(LayerId),
    Const(ConstId),
    Alias(AliasId),
    Labels(LabelsId),
    /// A declaration: which kind, and its position among those of its kind.
    Block(DeclarationKind, u32),
    /// Something that an error hides; using it is not an error again.
    Broken,
}

impl Symbol {
    /// What it is, in the words of a message.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Symbol::Model(_) => "a model",
            Symbol::Pipeline(_) => "a pipeline",
            Symbol::Layer(_) => "a layer",
            Symbol::Const(_) => "a constant",
            Symbol::Alias(_) => "a type",
            Symbol::Labels(_) => "a set of labels",
            Symbol::Block(kind, _) => blocks::noun(kind),
            Symbol::Broken => "broken",
        }
    }
}

/// The names of a file.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    names: Names,
    /// What `use` asks for: the name, and the file if that could be read.
    imports: Vec<(Name, Option<FileId>)>,
    /// Words in items that are broken: what they name may be used there.
    mentioned: HashSet<String>,
    /// The keywords of broken items that have lost their names, so that a name that nothing has may be theirs.
    nameless: Vec<String>,
    /// Since recording began something was found that more than names and texts of this package decide, or that is guessed.
    unsure: Cell<bool>,
    /// The names that were looked up since recording began, and whether that made imports used; none while nothing is recorded.
    looked_up: RefCell<Option<Vec<(String, bool)>>>,
}

/// A name of a file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) symbol: Symbol,
    at: Location,
    imported: bool,
    used: bool,
}

impl Scope {
    pub(crate) fn import(&mut self, name: Name, from: Option<FileId>) {
        self.imports.push((name, from));
    }

    /// What a name stands for; it counts as used from now on. Where nothing has it, it may be that of a broken item that starts with one of `keywords`.
    pub(crate) fn find(&mut self, name: &str, keywords: &[&str]) -> Option<Symbol> {
        self.use_of(name).or_else(|| self.guess(keywords))
    }

    fn use_of(&mut self, name: &str) -> Option<Symbol> {
        let entry = self.names.get_mut(name);
        // What the file declares itself counts as used anyway.
        note(&self.looked_up, name, entry.as_ref().is_some_and(|entry| entry.imported));
        entry.map(|entry| {
            entry.used = true;
            entry.symbol
        })
    }

    /// Counts what a text names as used.
    pub(crate) fn mention(&mut self, text: &str) {
        for word in words(text) {
            self.use_of(word);
        }
    }

    /// What a name that nothing has may stand for.
    fn guess(&self, keywords: &[&str]) -> Option<Symbol> {
        let mut nameless = self.nameless.iter().map(String::as_str);
        let fits = nameless.any(|keyword| keyword == IMPORT || keywords.contains(&keyword));
        fits.then(|| {
            self.unsure.set(true);
            Symbol::Broken
        })
    }

    /// Whether an error hides what a name stands for.
    pub(crate) fn is_broken(&self, name: &str, keywords: &[&str]) -> bool {
        self.peek(name).or_else(|| self.guess(keywords)) == Some(Symbol::Broken)
    }

    /// What a name stands for, without using it.
    pub(crate) fn peek(&self, name: &str) -> Option<Symbol> {
        note(&self.looked_up, name, false);
        self.names.get(name).map(|entry| entry.symbol)
    }

    /// Remembers the names that are looked up from now on.
    pub(crate) fn record(&self) {
        self.unsure.set(false);
        self.looked_up.replace(Some(Vec::new()));
    }

    /// What is found may be another next time, though nothing in the package has changed: a file outside of it was asked for.
    pub(crate) fn outside(&self) {
        self.unsure.set(true);
    }

    /// The names that were looked up since [`record`](Scope::record), which ends here; none where more than they decided what was found.
    pub(crate) fn recorded(&self) -> Option<Vec<(String, bool)>> {
        self.looked_up.take().filter(|_| !self.unsure.get())
    }

    /// The names that stand for something else than in an earlier check, where `same` compares what they stood for with what they stand for.
    pub(crate) fn changed(&self, before: &Names, same: impl Fn(Symbol, Symbol) -> bool) -> HashSet<String> {
        // What an item made used depends on whether that was imported.
        let is_same = |name: &String, entry: &Entry| {
            before.get(name).is_some_and(|old| same(old.symbol, entry.symbol) && old.imported == entry.imported)
        };
        let mut changed: HashSet<String> =
            self.names.iter().filter(|(name, entry)| !is_same(name, entry)).map(|(name, _)| name.clone()).collect();
        if !changed.is_empty() || before.len() != self.names.len() {
            changed.extend(before.keys().filter(|name| !self.names.contains_key(*name)).cloned());
        }
        changed
    }

    /// The names, with what they stand for.
    pub(crate) fn into_names(self) -> Names {
        self.names
    }

    /// All names that stand for something that `fits`.
    pub(crate) fn names_of(&self, fits: impl Fn(Symbol) -> bool) -> Vec<String> {
        let mut names: Vec<String> = self.names.iter().filter(|(_, entry)| fits(entry.symbol)).map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// All names that stand for something, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let known = self.names.iter().filter(|(_, entry)| entry.symbol != Symbol::Broken);
        let mut names: Vec<&str> = known.map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.into_iter()
    }
}

fn note(looked_up: &RefCell<Option<Vec<(String, bool)>>>, name: &str, used: bool) {
    if let Some(names) = looked_up.borrow_mut().as_mut() {
        names.push((name.to_owned(), used));
    }
}

/// Gives every declared model and pipeline its place in the program, then resolves imports. What they are made of is filled in later.
pub(crate) fn declare(checker: &mut Checker<'_>) {
    for file in 0..checker.trees.len() {
        let tree = checker.trees[file].clone();
        checker.scopes[file].names.reserve(tree.items.len());
        let declared = tree.items.iter().map(|item| declare_item(checker, FileId(file as u32), item)).collect();
        checker.declared.push(declared);
    }
    for file in 0..checker.scopes.len() {
        let imports = std::mem::take(&mut checker.scopes[file].imports);
        for (name, from) in imports {
            resolve_import(checker, FileId(file as u32), &name, from);
        }
    }
}

/// Makes what an item declares known by its name.
fn declare_item(checker: &mut Checker<'_>, file: FileId, item: &Item) -> Option<Symbol> {
    let (name, symbol) = match item {
        Item::Model(node) => {
            let id = ModelId(checker.models.len() as u32);
            checker.models.push(Model {
                name: node.name.text.clone(),
                doc: node.doc.clone(),
                at: at(file, node.name.span),
                source: String::new(),
                sha256: String::new(),
                licence: None,
                inputs: Vec::new(),
                outputs: Vec::new(),
                states: Vec::new(),
                sizes: Vec::new(),
                bounds: Vec::new(),
                network: None,
                quantize: node.blocks.iter().map(|block| at(file, block.keyword.span)).collect(),
            });
            (&node.name, Symbol::Model(id))
        }
        Item::Pipeline(node) if node.kind == PipelineKind::Layer => {
            let id = LayerId(checker.layers.len() as u32);
            checker.layers.push(Layer {
                name: node.name.text.clone(),
                doc: node.doc.clone(),
                at: at(file, node.name.span),
                params: Vec::new(),
                result: Type::Unknown,
                bounds: Vec::new(),
                body: LayerBody::Broken,
            });
            (&node.name, Symbol::Layer(id))
        }
        Item::Const(node) => {
            let id = ConstId(checker.consts.len() as u32);
            let (name, doc) = (node.name.text.clone(), node.doc.clone());
            checker.consts.push(Const { name, doc, at: at(file, node.name.span), ty: Type::Unknown, value: None });
            (&node.name, Symbol::Const(id))
        }
        Item::Type(node) => {
            let id = AliasId(checker.aliases.len() as u32);
            let (name, doc) = (node.name.text.clone(), node.doc.clone());
            checker.aliases.push(TypeAlias { name, doc, at: at(file, node.name.span), ty: Type::Unknown });
            checker.alias_nodes.push((file, Rc::new(node.ty.clone())));
            (&node.name, Symbol::Alias(id))
        }
        Item::Labels(node) => {
            let name = node.name.text.clone();
            let id = signature::add_labels(checker, LabelSet { path: name.clone(), name, lines: Vec::new() });
            (&node.name, Symbol::Labels(id))
        }
        Item::Declaration(node) => {
            let id = checker.block_counts.entry(node.kind).or_insert(0);
            let symbol = Symbol::Block(node.kind, *id);
            *id += 1;
            (&node.name, symbol)
        }
        Item::Pipeline(node) => {
            let id = PipelineId(checker.pipelines.len() as u32);
            checker.pipelines.push(Pipeline {
                name: node.name.text.clone(),
                doc: node.doc.clone(),
                at: at(file, node.name.span),
                params: Vec::new(),
                result: Type::Unknown,
                bounds: Vec::new(),
                body: Body::Broken,
            });
            (&node.name, Symbol::Pipeline(id))
        }
        Item::Broken(header) => {
            declare_broken(checker, file, header);
            return None;
        }
        Item::Edition(_) | Item::Use(_) | Item::Test(_) | Item::Hook(_) => return None,
    };
    insert(checker, file, name, symbol, false);
    Some(symbol)
}

/// What a broken item declares is not known, but its name is, mostly; using it is not an error again, and what it uses is used.
fn declare_broken(checker: &mut Checker<'_>, file: FileId, header: &Header) {
    let place = at(file, header.span);
    let words: Vec<String> = words(checker.text(place)).map(str::to_owned).collect();
    let imports = checker.text(place).contains(".{");
    let gap = has_gap(checker.text(place));
    // A name that is missing between the braces is one of those.
    let others: Vec<String> = if gap { stdlib::mentioned(checker.text(place)).collect() } else { Vec::new() };
    let scope = &mut checker.scopes[file.0 as usize];
    let mut insert_broken = |name: &str, place: Location| {
        let entry = Entry { symbol: Symbol::Broken, at: place, imported: false, used: true };
        scope.names.entry(name.to_owned()).or_insert(entry);
    };
    let of_another = |name: &Name| matches!(name.text.as_str(), "from" | "for");
    let keyword = header.keyword.text.as_str();
    let known = mlp_syntax::KEYWORDS.contains(&keyword);
    match header.name.as_ref().filter(|name| !of_another(name)) {
        _ if matches!(keyword, "edition" | "test") => {}
        // What is imported stands in braces, whether the keyword is there or not.
        _ if keyword == IMPORT || !known && imports => {
            words.iter().chain(&others).for_each(|word| insert_broken(word, place));
            scope.nameless.extend((gap && others.is_empty()).then(|| IMPORT.to_owned()));
        }
        name if !known => {
            insert_broken(keyword, place);
            name.iter().for_each(|name| insert_broken(&name.text, at(file, name.span)));
        }
        Some(name) => insert_broken(&name.text, at(file, name.span)),
        None => scope.nameless.push(keyword.to_owned()),
    }
    scope.mentioned.extend(words);
}

/// True where a name is missing in the list of an import.
fn has_gap(import: &str) -> bool {
    let list = import.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    list.is_some_and(|(list, _)| list.trim().trim_end_matches(',').split(',').any(|name| name.trim().is_empty()))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn insert(checker: &mut Checker<'_>, file: FileId, name: &Name, symbol: Symbol, imported: bool) {
    let place = at(file, name.span);
    let now = Entry { symbol, at: place, imported, used: false };
    match checker.scopes[file.0 as usize].names.entry(name.text.clone()) {
        hash_map::Entry::Occupied(first) if first.get().symbol != Symbol::Broken => {
            let first = first.get().at;
            checker.report(
                Diagnostic::new(Code::E0102, format!("`{}` is defined twice", name.text))
                    .label(place, "defined again here")
                    .label(first, "first defined here")
                    .help("give one of them another name"),
            );
        }
        hash_map::Entry::Occupied(mut broken) => {
            broken.insert(now);
        }
        hash_map::Entry::Vacant(free) => {
            free.insert(now);
        }
    }
}

fn resolve_import(checker: &mut Checker<'_>, file: FileId, name: &Name, from: Option<FileId>) {
    let symbol = match from {
        None => Some(Symbol::Broken),
        // Only what the other file declares itself; it does not pass on what it imports.
        Some(from) => {
            let scope = &mut checker.scopes[from.0 as usize];
            let entry = scope.names.get_mut(&name.text).filter(|entry| !entry.imported);
            let symbol = entry.map(|entry| {
                entry.used = true;
                entry.symbol
            });
            symbol.or((!scope.nameless.is_empty()).then_some(Symbol::Broken))
        }
    };
    match (symbol, from) {
        (Some(symbol), _) => insert(checker, file, name, symbol, true),
        (None, Some(from)) => {
            let module = checker.files[from.0 as usize].path.clone();
            let declared = checker.scopes[from.0 as usize].names.iter().filter(|(_, entry)| !entry.imported);
            let mut known: Vec<&str> = declared.map(|(name, _)| name.as_str()).collect();
            known.sort_unstable();
            let message = format!("`{module}` has no `{}`", name.text);
            let diagnostic = unknown_name(Code::E0104, message, &name.text, at(file, name.span), known);
            checker.report(diagnostic);
            insert(checker, file, name, Symbol::Broken, true);
        }
        (None, None) => {}
    }
}

/// Warns of imports that nothing uses. Declarations are what other files and applications use, so they are never unused.
pub(crate) fn report_unused(checker: &mut Checker<'_>) {
    let mut unused: Vec<(String, Location)> = Vec::new();
    for scope in &checker.scopes {
        let entries = scope.names.iter().filter(|(_, entry)| entry.imported && !entry.used && entry.symbol != Symbol::Broken);
        let entries = entries.filter(|(name, _)| !scope.mentioned.contains(*name));
        unused.extend(entries.map(|(name, entry)| (name.clone(), entry.at)));
    }
    for (name, place) in unused {
        let removed = with_comma(checker, place);
        checker.report(
            Diagnostic::new(Code::E0109, format!("`{name}` is imported but never used"))
                .label(place, "not used in this file")
                .help("remove it")
                .fix(removed, ""),
        );
    }
}

/// The place of a name in a list, together with the comma after it.
fn with_comma(checker: &Checker<'_>, place: Location) -> Location {
    let source = checker.files.get(place.file.0 as usize).map_or("", |file| file.text.as_str());
    let rest = source.get(place.span.end as usize..).unwrap_or("");
    let comma = rest.len() - rest.trim_start().strip_prefix(',').map_or(rest, str::trim_start).len();
    Location { span: Span { end: place.span.end + comma as u32, ..place.span }, ..place }
}
