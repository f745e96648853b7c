//! Blocks of members: what each may hold, and what that refers to.

mod budget;
mod device;
mod experiment;
mod explain;
mod forms;
mod monitor;
mod outlet;
mod quantize;
mod reader;

pub use forms::*;
pub(crate) use quantize::check_all as check_quantize;
pub(crate) use reader::Reader;

use crate::checker::{Checker, at};
use crate::declared::{Declarations, Declared};
use crate::reuse::Reuse;
use mlp_syntax::FileId;
use mlp_syntax::ast::{Declaration, DeclarationKind, Item};

/// Every declaration of the package, in the order that [`Symbol::Block`](crate::scope::Symbol) counts them; what is as it was before is taken over.
pub(crate) fn check_all(checker: &mut Checker<'_>, reuse: &mut Option<Reuse>) -> Declarations {
    let mut found = Declarations::default();
    for file in 0..checker.trees.len() {
        let tree = checker.trees[file].clone();
        for (item, node) in tree.items.iter().enumerate() {
            let Item::Declaration(node) = node else { continue };
            let file = FileId(file as u32);
            if !reuse.as_mut().is_some_and(|reuse| reuse.declaration(checker, file, item, node, &mut found)) {
                checker.traced(file, item, node.span.start, |checker| ((), Some(check(checker, file, node, &mut found))));
            }
        }
    }
    found
}

/// Puts what a declaration says at the end of those of its kind: its place among them.
fn check(checker: &mut Checker<'_>, file: FileId, node: &Declaration, found: &mut Declarations) -> usize {
    let declared = Declared { name: node.name.text.clone(), doc: node.doc.clone(), at: at(file, node.name.span) };
    let noun = noun(node.kind);
    let mut reader = Reader { checker, file, noun, name: node.name.span, span: node.span };
    match node.kind {
        DeclarationKind::Budget => put(&mut found.budgets, budget::check(&mut reader, node, declared)),
        DeclarationKind::Outlet => put(&mut found.outlets, outlet::check(&mut reader, node, declared)),
        DeclarationKind::Monitor => put(&mut found.monitors, monitor::check(&mut reader, node, declared)),
        DeclarationKind::Explain => put(&mut found.explains, explain::check(&mut reader, node, declared)),
        DeclarationKind::Experiment => put(&mut found.experiments, experiment::check(&mut reader, node, declared)),
        DeclarationKind::Device => put(&mut found.devices, device::check(&mut reader, node, declared)),
    }
}

fn put<T>(found: &mut Vec<T>, one: T) -> usize {
    found.push(one);
    found.len() - 1
}

/// A kind of block in the words of a message.
pub(crate) fn noun(kind: DeclarationKind) -> &'static str {
    match kind {
        DeclarationKind::Budget => "a budget",
        DeclarationKind::Outlet => "an outlet",
        DeclarationKind::Monitor => "a monitor",
        DeclarationKind::Explain => "an explanation",
        DeclarationKind::Experiment => "an experiment",
        DeclarationKind::Device => "a device",
    }
}

/// The keys of a kind of block.
pub fn keys(kind: DeclarationKind) -> &'static [Key] {
    match kind {
        DeclarationKind::Budget => BUDGET_KEYS,
        DeclarationKind::Outlet => OUTLET_KEYS,
        DeclarationKind::Monitor => MONITOR_KEYS,
        DeclarationKind::Explain => EXPLAIN_KEYS,
        DeclarationKind::Experiment => EXPERIMENT_KEYS,
        DeclarationKind::Device => DEVICE_KEYS,
    }
}
