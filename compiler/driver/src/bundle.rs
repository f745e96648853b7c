//! Packs compiled pipelines into a bundle.

use crate::compile::{Code, Compiled};
use mlp_bundle::Bundle;
use mlp_bundle::bundle::digest;
use mlp_bundle::contents::Bytes;
use mlp_bundle::manifest::{Capabilities, Dim, Encoding, FORMAT_VERSION, Field, FileEntry, Manifest, Pipeline, Report, Source, ValueType};
use mlp_bundle::plan::{Plan, Port, Size};
use std::collections::BTreeMap;

/// A pipeline, compiled for every target.
pub struct CompiledPipeline {
    /// Its name in the source.
    pub name: String,
    /// Its doc comment.
    pub doc: String,
    /// What it takes; label files are the names that [`Packer::file`] gave.
    pub inputs: Vec<Field>,
    /// What it gives.
    pub outputs: Vec<Field>,
    /// True where the answer is a record of `outputs`.
    pub record: bool,
    /// The plan and its weights.
    pub compiled: Compiled,
    /// The code.
    pub code: Code,
    /// The size and digests of the weights.
    pub weights: FileEntry,
    /// The tokens that its texts become; tokenizers are the names that [`Packer::file`] gave.
    pub encodings: Vec<Encoding>,
}

/// Gathers what goes into a bundle.
pub struct Packer {
    bundle: Bundle,
}

impl Packer {
    /// An empty bundle.
    pub fn new(name: &str, edition: u32) -> Packer {
        let manifest = Manifest {
            format: FORMAT_VERSION,
            name: name.into(),
            compiler: semver::Version::parse(env!("CARGO_PKG_VERSION")).expect("cargo's versions are semantic"),
            edition,
            pipelines: Vec::new(),
            files: BTreeMap::new(),
            capabilities: Capabilities::default(),
            provenance: Vec::new(),
        };
        Packer { bundle: Bundle::new(manifest) }
    }

    /// States that the bundle was made from a file of that digest.
    pub fn source(&mut self, path: &str, sha256: String, licence: Option<String>) {
        self.bundle.manifest.provenance.push(Source { path: path.into(), sha256, licence });
    }

    /// Adds a file that signatures refer to, such as labels, and gives its name in the bundle.
    pub fn file(&mut self, stem: &str, extension: &str, bytes: impl Into<Bytes>) -> String {
        self.bundle.add(stem, extension, bytes)
    }

    /// Adds a pipeline.
    pub fn pipeline(&mut self, pipeline: CompiledPipeline) {
        let CompiledPipeline { name, doc, inputs, outputs, record, compiled, code, weights, encodings } = pipeline;
        let stem = name.to_lowercase();
        let plan = self.bundle.add(&stem, "plan.json", json(&compiled.plan));
        let weights = self.bundle.add_known(&stem, "weights.bin", compiled.weights, weights);
        let mut wasm = code.wasm;
        wasm.simd128 = self.bundle.add(&stem, "wasm", code.simd128);
        wasm.relaxed = self.bundle.add(&format!("{stem}-relaxed"), "wasm", code.relaxed);
        if let (Some(files), Some([simd128, relaxed])) = (&mut wasm.threads, code.threads) {
            files.simd128 = self.bundle.add(&format!("{stem}-threads"), "wasm", simd128);
            files.relaxed = self.bundle.add(&format!("{stem}-relaxed-threads"), "wasm", relaxed);
        }
        let gpu = code.gpu.ok().map(|program| self.bundle.add(&stem, "gpu.json", json(&program)));
        let port_names = |ports: &[Port]| ports.iter().map(|port| port.name.clone()).collect();
        let report = Report {
            arena_bytes: compiled.plan.arena_bytes,
            arena_least: compiled.report.lower_bound,
            weights_bytes: compiled.plan.weights_bytes,
            macs: compiled.report.macs,
            kernels: compiled.plan.kernels.len() as u32,
        };
        self.bundle.manifest.pipelines.push(Pipeline {
            name,
            doc,
            inputs,
            outputs,
            record,
            encodings,
            symbols: compiled.plan.symbols.values().cloned().collect(),
            input_ports: port_names(&compiled.plan.inputs),
            output_ports: port_names(&compiled.plan.outputs),
            plan,
            weights,
            wasm,
            gpu,
            report,
        });
    }

    /// The bundle.
    pub fn finish(self) -> Bundle {
        self.bundle
    }
}

/// A data file's JSON.
fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("plans and programs are plain data")
}

/// The signature of a bare model: a tensor field a port, but for ports that only say how many rows there are in others.
pub fn tensor_fields(compiled: &Compiled, ports: &[Port]) -> Vec<Field> {
    let (plan, counted) = (&compiled.plan, &compiled.counted);
    let field = |port: &Port| {
        let rows = counted.iter().find(|counted| counted.output == port.name).map(|counted| counted.rows.clone());
        let (dtype, shape) = (plan.buffers[port.buffer].dtype, tensor_shape(plan, port));
        Field { name: port.name.clone(), ty: ValueType::Tensor { dtype, shape, port: port.name.clone(), rows } }
    };
    let is_count = |port: &&Port| counted.iter().any(|counted| counted.rows.port == port.name);
    ports.iter().filter(|port| !is_count(port)).map(field).collect()
}

/// A port's shape as the manifest has it.
pub(crate) fn tensor_shape(plan: &Plan, port: &Port) -> Vec<Dim> {
    let size = |size: &Size| match size {
        Size::Const(n) => Dim::Const(*n),
        Size::Symbol(symbol) => Dim::Symbol(plan.symbols[*symbol].name.clone()),
    };
    port.shape.iter().map(size).collect()
}

/// A bundle of one bare model; the pipeline carries the model's name as an identifier.
pub fn of_model(name: &str, source: &[u8], compiled: Compiled, code: Code) -> Bundle {
    let weights = FileEntry::of(&compiled.weights);
    of_digested(name, digest(source), compiled, code, weights)
}

/// [`of_model`] of a model and weights whose digests are known.
pub fn of_digested(name: &str, source_sha256: String, compiled: Compiled, code: Code, weights: FileEntry) -> Bundle {
    let mut packer = Packer::new(name, 2026);
    packer.source(&format!("{name}.onnx"), source_sha256, None);
    let (inputs, outputs) = (tensor_fields(&compiled, &compiled.plan.inputs), tensor_fields(&compiled, &compiled.plan.outputs));
    let record = outputs.len() != 1;
    let (name, doc, encodings) = (identifier(name), String::new(), Vec::new());
    packer.pipeline(CompiledPipeline { name, doc, inputs, outputs, record, compiled, code, weights, encodings });
    packer.finish()
}

/// A name as an identifier in upper camel case: `efficientnet_lite0` becomes `EfficientnetLite0`.
pub fn identifier(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let camel: String = words.map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect();
    if camel.starts_with(|c: char| c.is_ascii_alphabetic()) { camel } else { format!("Model{camel}") }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_become_identifiers() {
        assert_eq!(super::identifier("efficientnet_lite0"), "EfficientnetLite0");
        assert_eq!(super::identifier("2d-conv"), "Model2dConv");
        assert_eq!(super::identifier("été"), "T");
        assert_eq!(super::identifier("é"), "Model");
    }
}
