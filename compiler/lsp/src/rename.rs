//! Renames a definition and all that names it.

use crate::names::{Definition, Kind, Role};
use crate::navigation::{STD_SCHEME, location, named};
use crate::session::{Session, Snapshot};
use ls_types::{Position, PrepareRenameResponse, TextEdit, Uri, WorkspaceEdit};
use std::collections::HashMap;

impl Session {
    /// The name that would be renamed, or why it cannot be.
    pub fn prepare_rename(&self, uri: &Uri, position: Position) -> Result<PrepareRenameResponse, String> {
        let snapshot = self.snapshot(uri).ok_or_else(not_open)?;
        let (occurrence, definition) = named(&snapshot, position).ok_or_else(nothing)?;
        own(&snapshot, definition)?;
        let range = snapshot.text(0).ok_or_else(not_open)?.range(occurrence.span);
        Ok(PrepareRenameResponse::RangeWithPlaceholder { range, placeholder: definition.name.clone() })
    }

    /// The edits that give what is named at a position another name, or why that cannot be.
    pub fn rename(&self, uri: &Uri, position: Position, name: &str) -> Result<WorkspaceEdit, String> {
        let snapshot = self.snapshot(uri).ok_or_else(not_open)?;
        let (_, definition) = named(&snapshot, position).ok_or_else(nothing)?;
        own(&snapshot, definition)?;
        let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !matches!(name, "return" | "expect");
        if !is_word {
            return Err(format!("`{name}` is no name: write letters, digits and `_`, no digit first"));
        }
        let home = location(&snapshot, definition.file, definition.span).ok_or_else(nothing)?;
        let places = self.occurrences(&home);
        for snapshot in self.everything() {
            if let Some(other) = clash(&snapshot, definition, name) {
                return Err(format!("`{name}` is the name of something else on line {}", other));
            }
        }
        let mut changes: HashMap<Uri, Vec<TextEdit>> = HashMap::new();
        for (location, occurrence, definition) in places {
            let new_text = match (occurrence.role, definition.kind) {
                (Role::Shorthand, Kind::Field) => format!("{name} = {}", definition.name),
                (Role::Shorthand, _) => format!("{} = {name}", definition.name),
                _ => name.to_owned(),
            };
            changes.entry(location.uri).or_default().push(TextEdit { range: location.range, new_text });
        }
        Ok(WorkspaceEdit { changes: Some(changes), ..WorkspaceEdit::default() })
    }
}

/// Refuses what is not the user's to rename.
fn own(snapshot: &Snapshot, definition: &Definition) -> Result<(), String> {
    let place = location(snapshot, definition.file, definition.span).ok_or_else(nothing)?;
    if place.uri.as_str().starts_with(STD_SCHEME) {
        return Err(format!("`{}` is part of the standard library", definition.name));
    }
    match definition.kind {
        Kind::Port => Err("a model's file decides what its inputs and outputs are called".to_owned()),
        _ => Ok(()),
    }
}

/// The line of a definition that has the new name where the old one has its.
fn clash(snapshot: &Snapshot, definition: &Definition, name: &str) -> Option<usize> {
    let home = snapshot.package.program().files.get(definition.file)?.path.clone();
    let index = snapshot.index();
    let same_file = |other: &&Definition| snapshot.package.program().files.get(other.file).is_some_and(|file| file.path == home);
    let meets = |other: &&Definition| match (definition.kind, other.kind) {
        (Kind::Field, Kind::Field) => other.item == definition.item,
        (Kind::Field, _) | (_, Kind::Field) => false,
        _ if definition.is_item() => other.is_item() || matches!(other.kind, Kind::Local | Kind::Parameter),
        _ => {
            other.is_item()
                || other.item == definition.item
                || other.owner.is_some() && other.owner == definition.owner
                || inside(definition, other)
        }
    };
    let other = index.definitions.iter().filter(|other| other.name == name).filter(same_file).find(meets)?;
    Some(snapshot.text(other.file)?.position(other.span.start as usize).line as usize + 1)
}

/// Whether a parameter and a local belong to one pipeline: the parameter stands inside the local's item, or the other way round.
fn inside(one: &Definition, other: &Definition) -> bool {
    let holds = |outer: &Definition, inner: &Definition| outer.item.start <= inner.span.start && inner.span.end <= outer.item.end;
    holds(one, other) || holds(other, one)
}

fn not_open() -> String {
    "this document is not open".to_owned()
}

fn nothing() -> String {
    "there is no name here that can be changed".to_owned()
}
