//! Emits WebAssembly, WGSL and TypeScript from a plan.
