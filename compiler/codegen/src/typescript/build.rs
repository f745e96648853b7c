//! Manifest -> model of the module.

use super::names::{Names, capitalized};
use super::nodes::{Declared, Hook, Labels, Module, Pipeline, Property, Shape, Type};
use mlp_bundle::DType;
use mlp_bundle::manifest::{self, Dim, Encoding, Field, FileEntry, Manifest, ValueType, WasmModules};
use mlp_bundle::plan::Symbol;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The model of a bundle's module.
pub(super) fn module(manifest: &Manifest, hooks: &[super::Hook], labels: &BTreeMap<String, String>) -> Module {
    let mut names = Names::default();
    let constants: Vec<String> = manifest.pipelines.iter().map(|pipeline| names.unique(&pipeline.name)).collect();
    let hooks = hooks
        .iter()
        .filter_map(|hook| {
            let pipeline = manifest.pipelines.iter().position(|pipeline| pipeline.name == hook.pipeline)?;
            let name = names.unique(&hook.name);
            // An answer that depends on the runs before is no function of what is rendered.
            let stateless = manifest.pipelines[pipeline].wasm.states.is_empty();
            let suspense = stateless.then(|| names.unique(&format!("{name}Suspense")));
            Some(Hook { name, suspense, pipeline, prefer: hook.prefer.clone() })
        })
        .collect();
    let mut types = Types { names: Names::default(), texts: labels, unions: Vec::new(), known: HashMap::new() };
    let pipelines =
        manifest.pipelines.iter().zip(constants).map(|(pipeline, name)| self::pipeline(manifest, pipeline, name, &mut types)).collect();
    Module { compiler: manifest.compiler.to_string(), package: manifest.name.clone(), pipelines, hooks, labels: types.unions }
}

fn pipeline(manifest: &Manifest, pipeline: &manifest::Pipeline, name: String, types: &mut Types<'_>) -> Pipeline {
    let stem = capitalized(&name);
    let property = |field: &Field, input: bool, types: &mut Types<'_>| Property {
        name: field.name.clone(),
        doc: describe(&field.ty),
        ty: types.of(&field.ty, input, &stem, &field.name),
    };
    let inputs = pipeline.inputs.iter().map(|field| property(field, true, types)).collect();
    let mut outputs: Vec<Property> = pipeline.outputs.iter().map(|field| property(field, false, types)).collect();
    let input = Declared { name: types.names.unique(&format!("{stem}Input")), shape: Shape::Record(inputs) };
    let shape = if pipeline.record || outputs.len() != 1 { Shape::Record(outputs) } else { Shape::Alias(outputs.remove(0)) };
    let output = Declared { name: types.names.unique(&format!("{stem}Output")), shape };
    let urls = files(manifest, pipeline);
    // Browsers compute SHA-256 alone.
    let entry = |file: &str| manifest.files.get(file).map(|entry| FileEntry { blake3: None, ..entry.clone() });
    let entries: BTreeMap<&str, FileEntry> = urls.iter().filter_map(|file| Some((file.as_str(), entry(file)?))).collect();
    Pipeline {
        name,
        doc: documented(pipeline),
        input,
        output,
        format: manifest.format,
        manifest: json(&WebPipeline::from(pipeline)),
        files: json(&entries),
        urls,
    }
}

/// The doc comment of a pipeline; one with state says so.
fn documented(pipeline: &manifest::Pipeline) -> String {
    let remark = "An answer depends on the runs before it; `reset` begins anew.";
    match (pipeline.wasm.states.is_empty(), pipeline.doc.is_empty()) {
        (true, _) => pipeline.doc.clone(),
        (false, true) => remark.to_owned(),
        (false, false) => format!("{}\n\n{remark}", pipeline.doc),
    }
}

/// The files of a pipeline that a browser may load, each once.
fn files(manifest: &Manifest, pipeline: &manifest::Pipeline) -> Vec<String> {
    let mut files = vec![pipeline.wasm.simd128.clone(), pipeline.wasm.relaxed.clone()];
    files.extend(pipeline.wasm.threads.iter().flat_map(|threads| [threads.simd128.clone(), threads.relaxed.clone()]));
    files.extend(pipeline.gpu.clone());
    files.push(pipeline.weights.clone());
    let compressed = manifest.files.get(&pipeline.weights).and_then(|entry| entry.compressed.as_ref());
    files.extend(compressed.map(|compressed| compressed.file.clone()));
    files.extend(pipeline.encodings.iter().map(|encoding| encoding.tokenizer.clone()));
    for field in &pipeline.outputs {
        if let ValueType::Label { labels, .. } | ValueType::Ranking { labels, .. } = &field.ty {
            files.push(labels.clone());
        }
    }
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    files
}

/// What of a pipeline a browser needs: no doc comment, no portable plan, no report.
#[derive(Serialize)]
struct WebPipeline<'a> {
    name: &'a str,
    inputs: &'a [Field],
    outputs: &'a [Field],
    record: bool,
    #[serde(skip_serializing_if = "<[Encoding]>::is_empty")]
    encodings: &'a [Encoding],
    #[serde(skip_serializing_if = "<[Symbol]>::is_empty")]
    symbols: &'a [Symbol],
    input_ports: &'a [String],
    output_ports: &'a [String],
    weights: &'a str,
    wasm: &'a WasmModules,
    #[serde(skip_serializing_if = "Option::is_none")]
    gpu: Option<&'a str>,
}

impl<'a> From<&'a manifest::Pipeline> for WebPipeline<'a> {
    fn from(pipeline: &'a manifest::Pipeline) -> WebPipeline<'a> {
        WebPipeline {
            name: &pipeline.name,
            inputs: &pipeline.inputs,
            outputs: &pipeline.outputs,
            record: pipeline.record,
            encodings: &pipeline.encodings,
            symbols: &pipeline.symbols,
            input_ports: &pipeline.input_ports,
            output_ports: &pipeline.output_ports,
            weights: &pipeline.weights,
            wasm: &pipeline.wasm,
            gpu: pipeline.gpu.as_deref(),
        }
    }
}

/// Strings, numbers, lists and maps with string keys: serializing them cannot fail. A script end in a name is defused, for pages that inline modules.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).map(|text| text.replace('<', "\\u003c")).unwrap_or_default()
}

/// Finds types, and collects the unions of labels on the way.
struct Types<'a> {
    names: Names,
    texts: &'a BTreeMap<String, String>,
    unions: Vec<Labels>,
    known: HashMap<String, Option<String>>,
}

impl Types<'_> {
    fn of(&mut self, ty: &ValueType, input: bool, stem: &str, field: &str) -> Type {
        match ty {
            ValueType::Image { .. } => Type::Image,
            ValueType::Sound { .. } => Type::Sound,
            ValueType::Text => Type::Text,
            ValueType::Tensor { dtype, shape, rows, .. } => {
                let (array, number) = array(*dtype);
                let varies = rows.is_some() || shape.iter().any(|size| matches!(size, Dim::Symbol(_)));
                match (input, varies) {
                    (true, false) => Type::TensorInput { array, number },
                    (true, true) => Type::ShapedInput { array, number },
                    (false, false) => Type::Tensor(array),
                    (false, true) => Type::Shaped(array),
                }
            }
            ValueType::Label { labels, .. } => Type::Label(self.labels(labels, stem, field)),
            ValueType::Ranking { labels, .. } => Type::Ranking(self.labels(labels, stem, field)),
        }
    }

    /// The union of a label file, named after the first field that uses it.
    fn labels(&mut self, file: &str, stem: &str, field: &str) -> Option<String> {
        if let Some(known) = self.known.get(file) {
            return known.clone();
        }
        let mut seen = HashSet::new();
        let labels: Option<Vec<String>> =
            self.texts.get(file).map(|text| text.lines().filter(|line| seen.insert(*line)).map(str::to_owned).collect());
        let name = labels.filter(|labels| !labels.is_empty() && labels.len() <= super::MAX_LABEL_UNION).map(|labels| {
            let field = if field == "value" { String::new() } else { capitalized(field) };
            let name = self.names.unique(&format!("{stem}{field}Label"));
            self.unions.push(Labels { name: name.clone(), labels });
            name
        });
        self.known.insert(file.to_owned(), name.clone());
        name
    }
}

/// The typed array that carries an element type, and the type of its numbers. 16-bit floats travel as their bits.
fn array(dtype: DType) -> (&'static str, &'static str) {
    match dtype {
        DType::Bool | DType::U8 => ("Uint8Array", "number"),
        DType::I8 => ("Int8Array", "number"),
        DType::U16 | DType::F16 | DType::BF16 => ("Uint16Array", "number"),
        DType::I16 => ("Int16Array", "number"),
        DType::U32 => ("Uint32Array", "number"),
        DType::I32 => ("Int32Array", "number"),
        DType::U64 => ("BigUint64Array", "bigint"),
        DType::I64 => ("BigInt64Array", "bigint"),
        DType::F32 => ("Float32Array", "number"),
        DType::F64 => ("Float64Array", "number"),
    }
}

/// A value's type in words, for the doc comment of its property.
fn describe(ty: &ValueType) -> String {
    match ty {
        ValueType::Tensor { dtype, shape, rows, .. } => {
            let axis = rows.as_ref().map(|rows| rows.axis as usize);
            let most = |axis_of: usize, size: &Dim| if axis == Some(axis_of) { format!("at most {size}") } else { size.to_string() };
            let shape: Vec<String> = shape.iter().enumerate().map(|(axis_of, size)| most(axis_of, size)).collect();
            let bits = if matches!(dtype, DType::F16 | DType::BF16) { ", as the bits of each number" } else { "" };
            if shape.is_empty() { format!("One `{dtype}`{bits}.") } else { format!("`{dtype}[{}]`, row by row{bits}.", shape.join(", ")) }
        }
        ValueType::Image { max_height, max_width, .. } => {
            format!("An image; one of more than {max_width}x{max_height} pixels is shrunk by a whole factor first.")
        }
        ValueType::Sound { rate, samples, .. } => {
            format!("A sound of {rate} samples a second; {samples} of them are read, with silence after a shorter sound.")
        }
        ValueType::Text => "A text.".to_owned(),
        ValueType::Label { .. } => "The label.".to_owned(),
        ValueType::Ranking { count, .. } => format!("The {count} best labels, best first."),
    }
}
