//! The standard library, carried inside the compiler.

/// A module of the standard library.
#[derive(Clone, Copy, Debug)]
pub struct StdModule {
    /// Its name: `std.vision`.
    pub name: &'static str,
    /// Its text.
    pub source: &'static str,
}

/// Every module.
pub const STD_MODULES: &[StdModule] = &[
    StdModule { name: "std.tensor", source: include_str!("../../../stdlib/tensor.mlp") },
    StdModule { name: "std.vision", source: include_str!("../../../stdlib/vision.mlp") },
];

/// The module of that name.
pub(crate) fn find(name: &str) -> Option<StdModule> {
    STD_MODULES.iter().copied().find(|module| module.name == name)
}

/// The module that declares a pipeline of that name, for "add `use ...`".
pub(crate) fn module_of(name: &str) -> Option<&'static str> {
    let declares = |module: &&StdModule| module.source.contains(&format!("pipeline {name}("));
    STD_MODULES.iter().find(declares).map(|module| module.name)
}
