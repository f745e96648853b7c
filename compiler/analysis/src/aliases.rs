//! Types with names. An alias is replaced by what it stands for wherever it is used, so that its symbols are those of the signature that uses it.

use crate::checker::{Checker, at};
use crate::program::AliasId;
use crate::scope::Symbol;
use crate::signature::{self, SignatureNames};
use crate::types::Type;
use mlp_syntax::ast::Name;
use mlp_syntax::{Code, Diagnostic, FileId};

/// The most aliases inside one another.
const MAX_DEPTH: usize = 32;
/// The most replacements in one package.
pub(crate) const MAX_EXPANSIONS: usize = 1 << 16;
/// The most types in one type.
pub(crate) const MAX_WEIGHT: usize = 512;

/// Checks every alias by itself.
pub(crate) fn check_all(checker: &mut Checker<'_>) {
    for index in 0..checker.alias_nodes.len() {
        let (file, node) = checker.alias_nodes[index].clone();
        let mut names = SignatureNames { declaring: true, aliases: vec![AliasId(index as u32)], ..SignatureNames::default() };
        let ty = signature::resolve(checker, file, &node, &mut names);
        checker.aliases[index].ty = ty;
    }
}

/// The type that a name of `file` stands for; none where it stands for no type, which the caller reports.
pub(crate) fn named(checker: &mut Checker<'_>, file: FileId, name: &Name, names: &mut SignatureNames) -> Option<Type> {
    let id = match checker.scopes[file.0 as usize].find(&name.text, &["type"])? {
        Symbol::Alias(id) => id,
        Symbol::Broken => return Some(Type::Unknown),
        other => {
            let diagnostic = Diagnostic::new(Code::E0203, format!("`{}` is {}, no type", name.text, other.noun()))
                .label(at(file, name.span), "expected a type");
            checker.report(diagnostic.help("write a type such as `f32[N, 3]`, or the name of a `type` item"));
            return Some(Type::Unknown);
        }
    };
    let place = at(file, name.span);
    if let Some(start) = names.aliases.iter().position(|open| *open == id) {
        let mut circle: Vec<String> =
            names.aliases[start..].iter().map(|id| format!("`{}`", checker.aliases[id.0 as usize].name)).collect();
        circle.extend(circle.first().cloned());
        // Said once, where the circle's first alias leads into it.
        if start == 0 {
            checker.report(
                Diagnostic::new(Code::E0110, format!("a type stands for itself: {}", circle.join(" is made of ")))
                    .label(place, "this closes the circle")
                    .help("a type is made of types that are known without it"),
            );
        }
        return Some(Type::Unknown);
    }
    if names.aliases.len() >= MAX_DEPTH || checker.expansions_left == 0 {
        let diagnostic =
            Diagnostic::new(Code::E0005, "types are made of too many others").label(place, "replacing names goes too far here");
        checker.report(diagnostic.help("write the type with fewer names"));
        return Some(Type::Unknown);
    }
    checker.expansions_left -= 1;
    let (alias_file, node) = checker.alias_nodes.get(id.0 as usize)?.clone();
    names.aliases.push(id);
    let ty = signature::resolve(checker, alias_file, &node, names);
    names.aliases.pop();
    if ty.weight(MAX_WEIGHT) > MAX_WEIGHT {
        let diagnostic = Diagnostic::new(Code::E0005, "a type is too large").label(place, format!("it has more than {MAX_WEIGHT} parts"));
        checker.report(diagnostic.help("give less in one value"));
        return Some(Type::Unknown);
    }
    Some(ty)
}
