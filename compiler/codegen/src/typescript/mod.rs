//! The typed module around a bundle: what `import { useClassify } from './objects.mlp'` gives.
//!
//! [`build`] turns the manifest into a small model of the module ([`nodes`]), which [`print`] writes twice: as JavaScript, which names the bundle's
//! files by `new URL('./file', import.meta.url)` so that any bundler ships them, and as the declarations that TypeScript reads.
//! The logic stays in `@mlp/runtime` and `@mlp/react`: what is generated only describes.

mod build;
mod names;
mod nodes;
mod print;
#[cfg(test)]
mod tests;

use mlp_bundle::manifest::Manifest;
use std::collections::BTreeMap;

/// A hook that the source declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its name, such as `useClassify`.
    pub name: String,
    /// The name of the pipeline that it runs.
    pub pipeline: String,
    /// Backends in order of preference; the runtime's own order where it is empty.
    pub prefer: Vec<Backend>,
}

/// Where a browser can run a pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// WebGPU.
    WebGpu,
    /// WebAssembly.
    Wasm,
}

impl Backend {
    /// The name in JavaScript.
    pub const fn name(self) -> &'static str {
        match self {
            Backend::WebGpu => "webgpu",
            Backend::Wasm => "wasm",
        }
    }
}

/// The generated module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeScript {
    /// The module, JavaScript.
    pub js: String,
    /// Its types, a `.d.ts`.
    pub dts: String,
}

/// The most labels that become a union of literals. A longer list is `string`: a compiler checks huge unions slowly, and nobody reads them.
pub const MAX_LABEL_UNION: usize = 1024;

/// Writes the module of a bundle.
///
/// `labels` has the text of the bundle's label files by name; a label whose file is not in it is typed `string`. A hook whose pipeline is
/// not in the manifest is left out: the checker has reported it.
pub fn emit(manifest: &Manifest, hooks: &[Hook], labels: &BTreeMap<String, String>) -> TypeScript {
    let module = build::module(manifest, hooks, labels);
    TypeScript { js: print::javascript(&module), dts: print::declarations(&module) }
}
