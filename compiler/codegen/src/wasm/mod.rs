//! WebAssembly from a plan.
