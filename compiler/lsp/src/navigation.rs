//! From a name to where it is defined, and to everything that uses it.

use crate::names::{Definition, DefinitionId, Occurrence};
use crate::session::{Session, Snapshot};
use ls_types::{self as lsp, DocumentHighlight, Position, Uri};
use mlp_analysis::join;
use mlp_syntax::ast::{Item, UseSource};
use mlp_syntax::{FileId, Location, Span};
use std::str::FromStr;

/// The scheme of the standard library's documents, whose text the compiler carries.
pub(crate) const STD_SCHEME: &str = "mlp-std";

/// What is named at a position of an open document.
pub(crate) fn named(snapshot: &Snapshot, position: Position) -> Option<(&Occurrence, &Definition)> {
    let occurrence = snapshot.index().at(0, snapshot.text(0)?.offset(position))?;
    Some((occurrence, snapshot.index().definitions.get(occurrence.definition)?))
}

/// A place of a package as the protocol has it; one in the standard library is in a document of its own scheme.
pub(crate) fn location(snapshot: &Snapshot, file: usize, span: Span) -> Option<lsp::Location> {
    let at = Location { file: FileId(file as u32), span };
    snapshot.location(at).or_else(|| {
        let path = &snapshot.package.program().files.get(file)?.path;
        let uri = Uri::from_str(&format!("{STD_SCHEME}:/{path}.mlp")).ok()?;
        Some(lsp::Location { uri, range: snapshot.text(file)?.range(span) })
    })
}

impl Session {
    /// Where what is named at a position is defined; at the string of a `use`, the file it names.
    pub fn definition(&self, uri: &Uri, position: Position) -> Option<lsp::Location> {
        let snapshot = self.readable(uri)?;
        if let Some((_, definition)) = named(&snapshot, position) {
            return location(&snapshot, definition.file, definition.span);
        }
        let text = snapshot.text(0)?;
        let offset = text.offset(position) as u32;
        let files = &snapshot.package.program().files;
        snapshot.package.analysis().tree(0)?.items.iter().find_map(|item| {
            let Item::Use(import) = item else { return None };
            let (path, span) = match &import.source {
                UseSource::Module(path) => (path.text(), path.span),
                UseSource::File(text) => (join(&files.first()?.path, &text.value), text.span),
            };
            let file = files.iter().position(|file| file.path == path).filter(|_| span.start <= offset && offset <= span.end)?;
            location(&snapshot, file, Span::default())
        })
    }

    /// Every place that names what is named at a position, in the packages of all open documents.
    pub fn references(&self, uri: &Uri, position: Position, with_definition: bool) -> Option<Vec<lsp::Location>> {
        let snapshot = self.snapshot(uri)?;
        let (_, definition) = named(&snapshot, position)?;
        let home = location(&snapshot, definition.file, definition.span)?;
        let mut found: Vec<lsp::Location> = self.occurrences(&home).into_iter().map(|(location, _, _)| location).collect();
        if !with_definition {
            found.retain(|location| *location != home);
        }
        Some(found)
    }

    /// Every place that names the definition at a place, with the package and the occurrence; each once.
    pub(crate) fn occurrences(&self, home: &lsp::Location) -> Vec<(lsp::Location, Occurrence, Definition)> {
        let mut found: Vec<(lsp::Location, Occurrence, Definition)> = Vec::new();
        let around = self.everything().into_iter().filter_map(|snapshot| {
            let id = defined(&snapshot, home)?;
            Some((snapshot, id))
        });
        for (snapshot, id) in around {
            for (file, occurrence) in snapshot.index().of(id) {
                if let Some(location) = location(&snapshot, file, occurrence.span) {
                    found.push((location, *occurrence, snapshot.index().definitions[id].clone()));
                }
            }
        }
        let key = |location: &lsp::Location| (location.uri.clone(), location.range.start.line, location.range.start.character);
        found.sort_by_key(|(location, ..)| key(location));
        found.dedup_by_key(|(location, ..)| key(location));
        found
    }

    /// What names the same in this document.
    pub fn highlights(&self, uri: &Uri, position: Position) -> Option<Vec<DocumentHighlight>> {
        let snapshot = self.readable(uri)?;
        let (occurrence, _) = named(&snapshot, position)?;
        let here = snapshot.index().of(occurrence.definition).filter(|(file, _)| *file == 0);
        let text = snapshot.text(0)?;
        Some(here.map(|(_, occurrence)| DocumentHighlight { range: text.range(occurrence.span), kind: None }).collect())
    }
}

/// The definition whose name stands at a place.
fn defined(snapshot: &Snapshot, home: &lsp::Location) -> Option<DefinitionId> {
    let here = |definition: &Definition| location(snapshot, definition.file, definition.span).as_ref() == Some(home);
    snapshot.index().definitions.iter().position(here)
}
