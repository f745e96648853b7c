//! Reads the root file and, one after another, all that it uses.

use crate::checker::{Checker, at};
use crate::kept::{Kept, Successor};
use crate::program::{Program, SourceFile};
use crate::scope::Scope;
use crate::{EDITION, stdlib, world};
use mlp_syntax::ast::{Edition, File, Header, Item, Use, UseSource};
use mlp_syntax::{Code, Diagnostic, FileId, LineIndex, Location, MAX_SOURCE_BYTES, Parsed, Span, closest};
use std::collections::HashMap;
use std::sync::Arc;

/// The most files of one package.
const MAX_FILES: usize = 256;

/// Fills `files`, `trees` and `scopes` (whose imports name files, not yet what is in them).
/// Files that were parsed before are parsed where they changed alone.
pub(crate) fn load(checker: &mut Checker<'_>, root: &str, before: Option<&mut (Program, Kept)>) {
    let mut loader = Loader { checker, by_path: HashMap::new(), before };
    match loader.checker.world.read(root) {
        Ok(text) => {
            loader.add(root.to_owned(), text);
        }
        Err(reason) => {
            loader.put(root.to_owned(), String::new());
            let diagnostic = Diagnostic::new(Code::E0103, format!("`{root}` cannot be read: {reason}")).help("check the path");
            loader.checker.report(diagnostic);
            return;
        }
    }
    let mut next = 0;
    while let Some(tree) = loader.checker.trees.get(next).cloned() {
        loader.uses(FileId(next as u32), &tree);
        next += 1;
    }
    // The methods of values live there.
    if !loader.by_path.contains_key(stdlib::TENSOR)
        && let Some(module) = stdlib::find(stdlib::TENSOR)
    {
        loader.add(module.name.to_owned(), module.source.to_owned());
    }
}

struct Loader<'c, 'w> {
    checker: &'c mut Checker<'w>,
    by_path: HashMap<String, FileId>,
    before: Option<&'c mut (Program, Kept)>,
}

impl Loader<'_, '_> {
    fn add(&mut self, path: String, text: String) -> FileId {
        let file = self.put(path, text);
        let tree = Arc::clone(&self.checker.trees[file.0 as usize]);
        self.edition(file, &tree);
        file
    }

    /// Takes a file in without asking for its edition.
    fn put(&mut self, path: String, text: String) -> FileId {
        let file = FileId(self.checker.files.len() as u32);
        let tree = if stdlib::find(&path).is_some_and(|module| module.source == text) {
            let (tree, diagnostics) = stdlib::parsed(&path, &text);
            diagnostics.into_iter().for_each(|diagnostic| self.checker.report(diagnostic.in_file(file)));
            self.checker.parsed.push(None);
            self.checker.successors.push(Some(Successor::same(tree.items.len())));
            tree
        } else {
            let (parsed, successor) = self.parse(&path, &text);
            parsed.diagnostics().for_each(|diagnostic| self.checker.report(diagnostic.clone().in_file(file)));
            let tree = Arc::clone(parsed.file());
            self.checker.parsed.push(Some(parsed));
            self.checker.successors.push(successor);
            tree
        };
        self.by_path.insert(path.clone(), file);
        let lines = LineIndex::new(&text);
        self.checker.files.push(SourceFile { path, text, lines });
        self.checker.trees.push(tree);
        self.checker.scopes.push(Scope::default());
        file
    }

    /// The tree of a text, of which what stood there before is taken over.
    fn parse(&mut self, path: &str, text: &str) -> (Parsed, Option<Successor>) {
        let found = self.before.as_mut().and_then(|(program, kept)| {
            let index = program.files.iter().position(|file| file.path == path)?;
            Some((kept.parsed.get_mut(index)?.take()?, &program.files[index].text))
        });
        let Some((parsed, before)) = found else { return (Parsed::new(text), None) };
        let items = parsed.file().items.len();
        let (parsed, same) = parsed.update(before, text);
        (parsed, Some(Successor { same, items }))
    }

    fn edition(&mut self, file: FileId, tree: &File) {
        let mut editions = tree.items.iter().enumerate().filter_map(|(index, item)| match item {
            Item::Edition(edition) => Some((index, edition)),
            _ => None,
        });
        // One that lost its keyword is a year.
        let is_edition = |header: &Header| header.keyword.text == "edition" || header.keyword.text.parse::<u32>().is_ok();
        let broken = tree.items.iter().position(|item| matches!(item, Item::Broken(header) if is_edition(header)));
        let before = |index: usize| broken.is_some_and(|broken| broken < index);
        match editions.next() {
            Some((index, again)) if before(index) => self.second_edition(file, again),
            Some((index, edition)) => self.first_edition(file, index, edition),
            None if broken.is_some() || self.checker.files[file.0 as usize].text.len() > MAX_SOURCE_BYTES => {}
            None => {
                let start = at(file, Span::new(0, 0));
                self.checker.report(
                    Diagnostic::new(Code::E0105, "this file names no edition")
                        .label(start, "expected an edition before everything else")
                        .help(format!("write `edition {EDITION}` on the first line"))
                        .fix(start, format!("edition {EDITION}\n\n")),
                );
            }
        }
        for (_, again) in editions {
            self.second_edition(file, again);
        }
    }

    fn second_edition(&mut self, file: FileId, again: &Edition) {
        self.checker.report(
            Diagnostic::new(Code::E0105, "this file names its edition twice")
                .label(at(file, again.span), "the second one")
                .help("remove it")
                .fix(at(file, again.span), ""),
        );
    }

    fn first_edition(&mut self, file: FileId, index: usize, edition: &Edition) {
        let place = at(file, edition.span);
        if edition.year != u64::from(EDITION) {
            let what = if edition.year > u64::from(EDITION) { "is newer than this compiler" } else { "does not exist" };
            let help = if edition.year > u64::from(EDITION) { "use a newer compiler, or write" } else { "write" };
            self.checker.report(
                Diagnostic::new(Code::E0105, format!("edition {} {what}", edition.year))
                    .label(place, format!("this compiler knows edition {EDITION}"))
                    .help(format!("{help} `edition {EDITION}`"))
                    .fix(place, format!("edition {EDITION}")),
            );
        } else if index > 0 {
            self.checker.report(
                Diagnostic::new(Code::E0105, "the edition stands after other items")
                    .label(place, "an edition comes before everything else")
                    .help("move it to the first line"),
            );
        }
    }

    fn uses(&mut self, file: FileId, tree: &File) {
        for item in &tree.items {
            let Item::Use(import) = item else { continue };
            let from = self.target(file, import);
            for name in &import.names {
                self.checker.scopes[file.0 as usize].import(name.clone(), from);
            }
        }
    }

    /// The file that an import names, read if it is new; none where it cannot be read, which is reported.
    fn target(&mut self, file: FileId, import: &Use) -> Option<FileId> {
        match &import.source {
            UseSource::Module(path) => {
                let name = path.text();
                let place = at(file, path.span);
                if let Some(known) = self.by_path.get(&name) {
                    return Some(*known);
                }
                match stdlib::find(&name) {
                    Some(module) => Some(self.add(name, module.source.to_owned())),
                    None => {
                        self.unknown_module(&name, place);
                        None
                    }
                }
            }
            UseSource::File(text) => self.file(file, &text.value, at(file, text.span)),
        }
    }

    fn file(&mut self, from: FileId, reference: &str, place: Location) -> Option<FileId> {
        let path = world::join(&self.checker.files[from.0 as usize].path, reference);
        if let Some(known) = self.by_path.get(&path) {
            return Some(*known);
        }
        let refusal = if self.checker.files.len() >= MAX_FILES {
            format!("a package has at most {MAX_FILES} files")
        } else {
            match self.checker.world.read(&path) {
                Ok(text) => return Some(self.add(path, text)),
                Err(reason) => reason,
            }
        };
        self.checker.report(
            Diagnostic::new(Code::E0103, format!("`{reference}` cannot be read: {refusal}"))
                .label(place, format!("this is `{path}`"))
                .help("the path is relative to this file"),
        );
        None
    }

    fn unknown_module(&mut self, name: &str, place: Location) {
        let known = stdlib::STD_MODULES.iter().map(|module| module.name);
        let diagnostic = Diagnostic::new(Code::E0103, format!("there is no module `{name}`"));
        self.checker.report(match closest(name, known.clone()) {
            Some(close) => diagnostic.label(place, format!("did you mean `{close}`?")).fix(place, close),
            None => {
                let names: Vec<String> = known.map(|name| format!("`{name}`")).collect();
                diagnostic
                    .label(place, "unknown module")
                    .help(format!("modules are {}; a file is named by a string: `use \"./file.mlp\".{{ Name }}`", names.join(", ")))
            }
        });
    }
}
