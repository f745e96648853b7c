//! Bundles as sessions open them.

use crate::EngineError;
use crate::backend::{self, Artifacts, Backend, BackendKind};
use mlp_bundle::manifest::Pipeline;
use mlp_bundle::plan::Plan;
use mlp_bundle::{Bundle, BundleError, contents};
use std::path::Path;

pub use mlp_native::mapped;

/// Where the contents of a bundle's files come to lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Storage {
    /// Large files are mapped: nothing is copied, and the system keeps their pages once for all processes. For files that no one writes to in place; see
    /// [`mapped`] for what happens where someone does.
    #[default]
    Mapped,
    /// All files are read to memory of the process's own: for storage that others may write to, truncate or take away. What they do later changes nothing.
    Copied,
}

/// Opens a bundle's folder, its `manifest.json`, or a `.mlpb` archive.
pub fn open(path: &Path, storage: Storage) -> Result<Bundle, BundleError> {
    let load = match storage {
        Storage::Mapped => mlp_native::mapped,
        Storage::Copied => contents::copied,
    };
    Bundle::open_with(path, load)
}

/// Loads a pipeline of a bundle on a backend; `threads` is how many the native backend may use. The digest of the weights is compared on a thread of its own while
/// the plan is compiled, and before anything can run.
pub fn load(bundle: &Bundle, pipeline: &Pipeline, kind: BackendKind, threads: usize) -> Result<(Plan, Box<dyn Backend>), EngineError> {
    std::thread::scope(|scope| {
        let digest = scope.spawn(|| bundle.verify(&pipeline.weights));
        let loaded = prepare(bundle, pipeline, kind, threads);
        // A broken file is the reason for whatever its use led to.
        digest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        loaded
    })
}

fn prepare(bundle: &Bundle, pipeline: &Pipeline, kind: BackendKind, threads: usize) -> Result<(Plan, Box<dyn Backend>), EngineError> {
    let plan = bundle.plan(pipeline)?;
    let module = match kind {
        BackendKind::Wasm => Some(bundle.file(&pipeline.wasm.simd128)?),
        BackendKind::WasmRelaxed => Some(bundle.file(&pipeline.wasm.relaxed)?),
        BackendKind::WasmThreads => pipeline.wasm.threads.as_ref().map(|files| bundle.file(&files.relaxed)).transpose()?,
        _ => None,
    };
    let program = if kind == BackendKind::Gpu { bundle.gpu(pipeline, &plan)? } else { None };
    let artifacts = Artifacts {
        plan: &plan,
        weights: bundle.unverified(&pipeline.weights)?,
        wasm: module.as_ref().map(|module| (&module[..], &pipeline.wasm)),
        gpu: program.as_ref().ok_or_else(|| "the bundle has no GPU program for it".to_string()),
    };
    let backend = backend::open(kind, &artifacts, threads)?;
    Ok((plan, backend))
}
