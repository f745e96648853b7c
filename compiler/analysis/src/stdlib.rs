//! The standard library, carried inside the compiler.

use mlp_syntax::ast::Item;
use mlp_syntax::{Diagnostic, File, parse};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// A tree with what was found while it was parsed.
pub(crate) type Parsed = (Arc<File>, Vec<Diagnostic>);

thread_local! {
    /// The trees of modules: their texts never change.
    static TREES: RefCell<HashMap<String, Parsed>> = RefCell::default();
}

/// The tree of a module.
pub(crate) fn parsed(name: &str, text: &str) -> Parsed {
    let found = TREES.with_borrow(|trees| trees.get(name).cloned());
    found.unwrap_or_else(|| {
        let (tree, diagnostics) = parse(text);
        let parsed = (Arc::new(tree), diagnostics);
        TREES.with_borrow_mut(|trees| trees.insert(name.to_owned(), parsed.clone()));
        parsed
    })
}

/// A module of the standard library.
#[derive(Clone, Copy, Debug)]
pub struct StdModule {
    /// Its name: `std.vision`.
    pub name: &'static str,
    /// Its text.
    pub source: &'static str,
}

/// The module whose pipelines are methods too.
pub(crate) const TENSOR: &str = "std.tensor";

/// Every module.
pub const STD_MODULES: &[StdModule] = &[
    StdModule { name: "std.audio", source: include_str!("../../../stdlib/audio.mlp") },
    StdModule { name: "std.nn", source: include_str!("../../../stdlib/nn.mlp") },
    StdModule { name: "std.tabular", source: include_str!("../../../stdlib/tabular.mlp") },
    StdModule { name: "std.tensor", source: include_str!("../../../stdlib/tensor.mlp") },
    StdModule { name: "std.text", source: include_str!("../../../stdlib/text.mlp") },
    StdModule { name: "std.vision", source: include_str!("../../../stdlib/vision.mlp") },
];

/// The module of that name.
pub(crate) fn find(name: &str) -> Option<StdModule> {
    STD_MODULES.iter().copied().find(|module| module.name == name)
}

/// The pipelines and layers of the modules that a text names.
pub(crate) fn mentioned(text: &str) -> impl Iterator<Item = String> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let named = STD_MODULES.iter().filter(move |module| text.contains(&format!("{}.{{", module.name)));
    let trees = named.map(|module| parsed(module.name, module.source).0);
    trees.flat_map(|tree| {
        let names = tree.items.iter().filter_map(|item| match item {
            Item::Pipeline(node) => Some(node.name.text.clone()),
            _ => None,
        });
        names.collect::<Vec<_>>()
    })
}

/// The module that declares a pipeline of that name, for "add `use ...`".
pub(crate) fn module_of(name: &str) -> Option<&'static str> {
    declaring("pipeline", name)
}

/// The module that declares a layer of that name.
pub(crate) fn module_of_layer(name: &str) -> Option<&'static str> {
    declaring("layer", name)
}

fn declaring(keyword: &str, name: &str) -> Option<&'static str> {
    let declares = |module: &&StdModule| module.source.contains(&format!("{keyword} {name}("));
    STD_MODULES.iter().find(declares).map(|module| module.name)
}
