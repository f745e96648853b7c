//! Grammar, syntax tree, parser and diagnostics of the mlp language.
