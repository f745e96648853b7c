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
use mlp_syntax::FileId;
use mlp_syntax::ast::{Declaration, DeclarationKind, Item};

/// Every declaration of the package, in the order that [`Symbol::Block`](crate::scope::Symbol) counts them.
pub(crate) fn check_all(checker: &mut Checker<'_>) -> Declarations {
    let mut found = Declarations::default();
    for file in 0..checker.trees.len() {
        let tree = checker.trees[file].clone();
        for item in &tree.items {
            if let Item::Declaration(node) = item {
                check(checker, FileId(file as u32), node, &mut found);
            }
        }
    }
    found
}

fn check(checker: &mut Checker<'_>, file: FileId, node: &Declaration, found: &mut Declarations) {
    let declared = Declared { name: node.name.text.clone(), doc: node.doc.clone(), at: at(file, node.name.span) };
    let noun = noun(node.kind);
    let mut reader = Reader { checker, file, noun, name: node.name.span, span: node.span };
    match node.kind {
        DeclarationKind::Budget => found.budgets.push(budget::check(&mut reader, node, declared)),
        DeclarationKind::Outlet => found.outlets.push(outlet::check(&mut reader, node, declared)),
        DeclarationKind::Monitor => found.monitors.push(monitor::check(&mut reader, node, declared)),
        DeclarationKind::Explain => found.explains.push(explain::check(&mut reader, node, declared)),
        DeclarationKind::Experiment => found.experiments.push(experiment::check(&mut reader, node, declared)),
        DeclarationKind::Device => found.devices.push(device::check(&mut reader, node, declared)),
    }
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
