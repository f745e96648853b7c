//! Runs a bundle's WebAssembly module natively.
