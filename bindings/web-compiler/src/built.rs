//! A bundle in memory, and what is to say of it.

use crate::json;
use mlp_bundle::gpu::ShaderModule;
use mlp_bundle::manifest::{Field, Pipeline};
use mlp_bundle::{Bundle, BundleError};
use mlp_driver::compile::costs;
use mlp_driver::package;
use serde::Serialize;
use std::time::Duration;
use wasm_bindgen::prelude::*;

/// What a build made.
#[wasm_bindgen]
pub struct Built {
    bundle: Bundle,
    javascript: String,
    types: String,
    wgsl: String,
    kernels: String,
    report: String,
}

#[derive(Serialize)]
struct Report<'r> {
    pipelines: Vec<PipelineReport<'r>>,
    files: Vec<FileReport<'r>>,
    remarks: &'r [String],
    phases: Vec<Phase>,
}

#[derive(Serialize)]
struct PipelineReport<'r> {
    name: &'r str,
    doc: &'r str,
    inputs: &'r [Field],
    outputs: &'r [Field],
    kernels: u32,
    macs: u64,
    weights_bytes: u64,
    arena_bytes: u64,
    arena_least: u64,
    memory_bytes: u64,
    wasm: &'r str,
    relaxed: &'r str,
    /// None where no GPU can run it.
    dispatches: Option<usize>,
    costs: Vec<Cost>,
}

#[derive(Serialize)]
struct Cost {
    name: String,
    macs: u64,
    int8: bool,
    read: u64,
    written: u64,
    origin: Vec<String>,
}

#[derive(Serialize)]
struct FileReport<'r> {
    name: &'r str,
    bytes: u64,
}

#[derive(Serialize)]
struct Phase {
    phase: &'static str,
    ms: f64,
}

impl Built {
    pub(crate) fn new(built: package::Built, left_out: Vec<String>, times: Vec<(&'static str, Duration)>) -> Result<Built, BundleError> {
        let package::Built { bundle, typescript, remarks } = built;
        let (mut wgsl, mut kernels, mut pipelines) = (String::new(), String::new(), Vec::new());
        for pipeline in &bundle.manifest.pipelines {
            let plan = bundle.plan(pipeline)?;
            let program = bundle.gpu(pipeline, &plan)?;
            program.iter().flat_map(|program| &program.modules).for_each(|module| wgsl += &shader(&pipeline.name, module));
            kernels += &format!("{plan}\n");
            let costs = costs(&plan).into_iter().map(|cost| Cost {
                macs: cost.macs,
                int8: cost.int8,
                read: cost.read,
                written: cost.written,
                name: cost.name,
                origin: cost.origin,
            });
            pipelines.push(report(pipeline, program.map(|program| program.dispatches.len()), costs.collect()));
        }
        let files = bundle.manifest.files.iter().map(|(name, file)| FileReport { name, bytes: file.bytes }).collect();
        let remarks = [left_out, remarks].concat();
        let phases = times.into_iter().map(|(phase, time)| Phase { phase, ms: time.as_secs_f64() * 1e3 }).collect();
        let report = json(&Report { pipelines, files, remarks: &remarks, phases });
        Ok(Built { javascript: typescript.js, types: typescript.dts, wgsl, kernels, report, bundle })
    }
}

fn report<'r>(pipeline: &'r Pipeline, dispatches: Option<usize>, costs: Vec<Cost>) -> PipelineReport<'r> {
    PipelineReport {
        name: &pipeline.name,
        doc: &pipeline.doc,
        inputs: &pipeline.inputs,
        outputs: &pipeline.outputs,
        kernels: pipeline.report.kernels,
        macs: pipeline.report.macs,
        weights_bytes: pipeline.report.weights_bytes,
        arena_bytes: pipeline.report.arena_bytes,
        arena_least: pipeline.report.arena_least,
        memory_bytes: u64::from(pipeline.wasm.memory_pages) << 16,
        wasm: &pipeline.wasm.simd128,
        relaxed: &pipeline.wasm.relaxed,
        dispatches,
        costs,
    }
}

/// A module under a line that says what it is.
fn shader(pipeline: &str, module: &ShaderModule) -> String {
    let variant = if module.variant.is_empty() { String::new() } else { format!(", variant `{}`", module.variant) };
    format!("// {pipeline}: {}{variant}\n{}\n", module.label, module.wgsl)
}

#[wasm_bindgen]
impl Built {
    /// The bundle's manifest, JSON.
    pub fn manifest(&self) -> String {
        json(&self.bundle.manifest)
    }

    /// The names of the bundle's files, the manifest not counted.
    pub fn names(&self) -> Vec<String> {
        self.bundle.manifest.files.keys().cloned().collect()
    }

    /// One of them.
    pub fn file(&self, name: &str) -> Result<Vec<u8>, JsError> {
        Ok(self.bundle.file(name).map_err(|error| JsError::new(&error.to_string()))?.to_vec())
    }

    /// The typed module's JavaScript.
    pub fn javascript(&self) -> String {
        self.javascript.clone()
    }

    /// The typed module's types.
    pub fn types(&self) -> String {
        self.types.clone()
    }

    /// The shaders of all pipelines.
    pub fn wgsl(&self) -> String {
        self.wgsl.clone()
    }

    /// The plans of all pipelines, in the text form of the loop IR.
    pub fn kernels(&self) -> String {
        self.kernels.clone()
    }

    /// What was built and what it takes, JSON.
    pub fn report(&self) -> String {
        self.report.clone()
    }
}
