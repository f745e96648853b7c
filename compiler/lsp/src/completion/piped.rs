//! What is piped into the stage that is being written: its type, and what takes it.

use super::context::{self, Token};
use crate::typed;
use mlp_analysis::{Pipeline, STD_MODULES, Type};
use mlp_driver::host::Memory;
use mlp_driver::package::Package;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::LazyLock;

/// A value that is piped, in the program that it was found in.
pub(super) struct Piped {
    package: Package,
    ty: Type,
}

impl Piped {
    /// What stands before the pipe of a stage that starts at `start`, of which a part is written up to `offset`; none where its type is not known. `check` checks the
    /// document with another text.
    pub(super) fn find(source: &str, item: usize, start: usize, offset: usize, check: impl Fn(&str) -> Package) -> Option<Piped> {
        let end = source[..start].trim_end().strip_suffix("|>")?.trim_end().len();
        let value = source.get(item..end)?;
        let alone = ended(value).map(|ending| format!("{}{ending}{}", &source[..end], &source[next_item(source, offset)..]));
        let without = format!("{}{}", &source[..end], &source[offset..]);
        alone.into_iter().chain([without]).find_map(|text| {
            let package = check(&text);
            let ty = typed::ending_at(package.program(), end).filter(|ty| **ty != Type::Unknown)?.clone();
            Some(Piped { package, ty })
        })
    }

    /// What can be called by a name, and whether it takes the value.
    pub(super) fn taking(&self) -> HashMap<&str, bool> {
        let program = self.package.program();
        let mut found = HashMap::new();
        let mut note = |name, accepts| {
            found.entry(name).or_insert(accepts);
        };
        // What the file declares comes before what others do, and both before what could be imported.
        let (own, others): (Vec<&Pipeline>, Vec<&Pipeline>) = program.pipelines.iter().partition(|one| one.at.file.0 == 0);
        own.iter().for_each(|one| note(one.name.as_str(), one.accepts(&self.ty)));
        program.models.iter().for_each(|one| note(one.name.as_str(), one.accepts(&self.ty)));
        others.into_iter().chain(&LIBRARY.program().pipelines).for_each(|one| note(one.name.as_str(), one.accepts(&self.ty)));
        found
    }
}

/// All of the standard library.
static LIBRARY: LazyLock<Package> = LazyLock::new(|| {
    let mut text = "edition 2026\n".to_owned();
    for module in STD_MODULES {
        // What it asks for does not matter; that it asks makes the module a part of the package.
        let _ = writeln!(text, "use {}.{{ all }}", module.name);
    }
    let path = PathBuf::from("library.mlp");
    Package::check(&Memory([(path.clone(), text.into_bytes())].into()), &path)
});

/// What ends a pipeline right after a value in it; none where that is in no pipeline.
fn ended(value: &str) -> Option<String> {
    let tokens = context::tokens(value);
    if tokens.first()?.text != "pipeline" {
        return None;
    }
    let mut open: Vec<&str> = Vec::new();
    let mut statement: Vec<Token<'_>> = Vec::new();
    for token in tokens {
        if open.len() == 1 && token.newline && !context::goes_on(statement.last().map(|last| &last.text), token.text) {
            statement.clear();
        }
        match token.text {
            "(" => open.push(")"),
            "[" => open.push("]"),
            "{" => open.push("}"),
            ")" | "]" | "}" => {
                open.pop();
            }
            _ => {}
        }
        statement.push(token);
        if open.len() == 1 && token.text == "{" {
            statement.clear();
        }
    }
    let inner: String = open.get(1..)?.iter().rev().copied().collect();
    let back = match statement.as_slice() {
        [name, equals, ..] if equals.text == "=" => format!("\n  return {}", name.text),
        _ => String::new(),
    };
    Some(format!("{inner}{back}\n}}\n"))
}

/// Where the next item starts, or the comment above it.
fn next_item(source: &str, offset: usize) -> usize {
    let lines = source[offset..].match_indices('\n').map(|(at, _)| offset + at + 1);
    lines.into_iter().find(|at| source[*at..].starts_with(|c: char| c.is_ascii_lowercase() || c == '/')).unwrap_or(source.len())
}
