//! `.mlp` files: checked, compiled pipeline by pipeline, packed.

use crate::bundle::{self, CompiledPipeline, Packer};
use crate::compile::{self, CompileError, Compiled};
use crate::external::beside;
use crate::host::{Host, normalize, timed};
use crate::layers;
use crate::onnx::{self, PrepareError};
use crate::sources::{self, ModelError, WeightsError};
use crate::tokenizers::Tokenizers;
use crate::varying::{self, Varying, VaryingError};
use crate::weights;
use mlp_analysis::{
    Analysis, Checked, Dim, Model, ModelId, ModelSignature, Pipeline, PipelineId, Program, SignatureDim, SignaturePort, Type, WeightTensor,
    Weights, World,
};
use mlp_bundle::Bundle;
use mlp_bundle::bundle::digest;
use mlp_bundle::manifest::{Encoding, Field, ValueType};
use mlp_bundle::plan::Plan;
use mlp_codegen::typescript::{self, Hook, TypeScript};
use mlp_graph::Graph;
use mlp_import::onnx::DimSignature;
use mlp_lower::{Lowered, ModelRequest, SignatureField, SignatureType};
use mlp_syntax::Diagnostic;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Why a checked package could not be compiled.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file that was there when the package was checked cannot be read any more.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A model is not the one that was checked.
    #[error("model `{model}` ({path}): the file changed while it was compiled; build again")]
    Changed {
        /// The model's name.
        model: String,
        /// Its file.
        path: String,
    },
    /// A model cannot be imported.
    #[error("model `{model}` ({path}): {source}")]
    Import {
        /// The model's name.
        model: String,
        /// Its file.
        path: String,
        /// What went wrong.
        source: Box<mlp_import::ImportError>,
    },
    /// A model's layers cannot be compiled with its weights, or what it keeps does not fit.
    #[error("model `{model}` ({path}): {reason}")]
    Layers {
        /// The model's name.
        model: String,
        /// Its file.
        path: String,
        /// What went wrong.
        reason: String,
    },
    /// A tokenizer cannot be packed.
    #[error("{place}: the tokenizer `{path}`: {reason}")]
    Tokenizer {
        /// Where it is used.
        place: String,
        /// Its file.
        path: String,
        /// What went wrong.
        reason: String,
    },
    /// The bundle's weights cannot be compressed.
    #[error(transparent)]
    Bundle(#[from] mlp_bundle::BundleError),
    /// A pipeline cannot be lowered.
    #[error("pipeline `{pipeline}`: {source}")]
    Lower {
        /// The pipeline's name.
        pipeline: String,
        /// What went wrong.
        source: Box<mlp_lower::LowerError>,
    },
    /// A pipeline cannot be compiled for all sizes of its inputs.
    #[error("pipeline `{pipeline}`: its sizes cannot vary: {reason}")]
    Varying {
        /// The pipeline's name.
        pipeline: String,
        /// What is computed otherwise at other sizes.
        reason: String,
    },
    /// A pipeline cannot be compiled.
    #[error("pipeline `{pipeline}`: {source}")]
    Compile {
        /// The pipeline's name.
        pipeline: String,
        /// What went wrong.
        source: Box<CompileError>,
    },
}

/// The checker's view of the host.
struct HostWorld<'h> {
    host: &'h dyn Host,
    /// Every path that was asked for, with the digests that are known already.
    read: RefCell<BTreeMap<PathBuf, Option<String>>>,
}

impl HostWorld<'_> {
    /// The path's one name, which is noted.
    fn note(&self, path: &str) -> PathBuf {
        let path = normalize(Path::new(path));
        self.read.borrow_mut().entry(path.clone()).or_default();
        path
    }
}

/// In the words of a diagnostic.
fn unreadable(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_string(),
        _ => error.to_string(),
    }
}

impl World for HostWorld<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        let path = self.note(path);
        let bytes = self.host.read(&path).map_err(|error| unreadable(&error))?;
        self.read.borrow_mut().insert(path, Some(digest(&bytes)));
        String::from_utf8(bytes.into()).map_err(|_| "it is not UTF-8 text".to_string())
    }

    fn exists(&self, path: &str) -> bool {
        self.host.exists(&self.note(path))
    }

    fn signature(&self, path: &str) -> Result<ModelSignature, String> {
        let path = self.note(path);
        let sources::Model { sha256, signature, files } = sources::model(self.host, &path).map_err(|error| match error {
            ModelError::Read(error) => unreadable(&error),
            ModelError::Import(error) => error.to_string(),
        })?;
        for file in &files {
            self.read.borrow_mut().entry(beside(&path, file)).or_default();
        }
        self.read.borrow_mut().insert(path, Some(sha256.clone()));
        let port = |port: &mlp_import::onnx::PortSignature| {
            let dims = port.dims.iter().flatten().map(|dim| match dim {
                DimSignature::Const(n) => SignatureDim::Const(*n),
                DimSignature::Symbol(name) => SignatureDim::Symbol(name.clone()),
                DimSignature::Unknown => SignatureDim::Unknown,
            });
            let dtype = port.dtype.ok_or_else(|| format!("it does not say of which type `{}` is", port.name))?;
            Ok(SignaturePort { name: port.name.clone(), dtype, dims: dims.collect() })
        };
        let ports = |ports: &[mlp_import::onnx::PortSignature]| ports.iter().map(port).collect::<Result<_, String>>();
        Ok(ModelSignature { inputs: ports(&signature.inputs)?, outputs: ports(&signature.outputs)?, sha256 })
    }

    fn weights(&self, path: &str) -> Result<Weights, String> {
        let path = self.note(path);
        let sources::WeightFile { sha256, entries } = sources::weights(self.host, &path).map_err(|error| match error {
            WeightsError::Read(error) => unreadable(&error),
            WeightsError::Safetensors(error) => error.to_string(),
        })?;
        self.read.borrow_mut().insert(path, Some(sha256.clone()));
        let tensor = |entry: mlp_import::safetensors::Entry| WeightTensor { name: entry.name, dtype: entry.dtype, shape: entry.shape };
        Ok(Weights { tensors: entries.into_iter().map(tensor).collect(), sha256 })
    }
}

/// The path of a file as the checker takes it.
fn root(file: &Path) -> String {
    file.to_string_lossy().replace('\\', "/")
}

/// A package that was checked.
#[derive(Clone)]
pub struct Package {
    analysis: Analysis,
    /// Every file that the result depends on, with the digest of what was checked of it, where its contents were looked at.
    dependencies: BTreeMap<PathBuf, Option<String>>,
}

/// A pipeline, planned, with its signature.
pub struct CompiledEntry {
    /// Its name.
    pub name: String,
    /// Its doc comment.
    pub doc: String,
    /// What it takes. The label files in the types are the keys of `labels`.
    pub inputs: Vec<Field>,
    /// What it gives.
    pub outputs: Vec<Field>,
    /// True where the answer is a record of `outputs`.
    pub record: bool,
    /// The plan and its weights.
    pub compiled: Compiled,
    /// The lines of each set of labels.
    pub labels: BTreeMap<String, Vec<String>>,
    /// The tokens that its texts become. The tokenizers in them are the keys of `tokenizers`.
    pub encodings: Vec<Encoding>,
    /// Each tokenizer by the path of its file, as a bundle has it.
    pub tokenizers: BTreeMap<String, Vec<u8>>,
}

/// A built package.
pub struct Built {
    /// The bundle.
    pub bundle: Bundle,
    /// The typed module around it.
    pub typescript: TypeScript,
    /// What could not be made, for people: a pipeline that no GPU can run, say.
    pub remarks: Vec<String>,
}

impl Package {
    /// Checks a file with all that it uses.
    pub fn check(host: &dyn Host, file: &Path) -> Package {
        let world = HostWorld { host, read: RefCell::default() };
        let analysis = timed(host, "check", || mlp_analysis::check(&world, &root(file)));
        Package { analysis, dependencies: world.read.into_inner() }
    }

    /// What [`check`](Package::check) gives, found with what an earlier check of the package still knows.
    pub fn recheck(host: &dyn Host, file: &Path, before: Package) -> Package {
        let world = HostWorld { host, read: RefCell::default() };
        let analysis = timed(host, "check", || mlp_analysis::recheck(&world, &root(file), before.analysis));
        Package { analysis, dependencies: world.read.into_inner() }
    }

    /// What was found out about it.
    pub fn analysis(&self) -> &Analysis {
        &self.analysis
    }

    /// The program, as far as it could be understood.
    pub fn program(&self) -> &Program {
        self.analysis.program()
    }

    /// What was found.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        self.analysis.diagnostics()
    }

    /// What a build leaves out, with the reasons.
    pub fn left_out(&self) -> &[Diagnostic] {
        &self.program().left_out().diagnostics
    }

    /// True where an error was found.
    pub fn has_errors(&self) -> bool {
        self.analysis.has_errors()
    }

    /// Every file that the result depends on.
    pub fn dependencies(&self) -> impl Iterator<Item = &Path> {
        self.dependencies.keys().map(PathBuf::as_path)
    }

    /// Compiles one pipeline of a package without errors to a plan.
    ///
    /// # Panics
    /// Where the package has errors.
    pub fn compile(&self, host: &dyn Host, pipeline: PipelineId) -> Result<CompiledEntry, PackageError> {
        let checked = self.analysis.checked().expect("only a package without errors is compiled");
        let source = &checked.pipelines[pipeline.0 as usize];
        let mut signature = None;
        // The greatest sizes come first, and what is taken and given is the same at all.
        let mut member = |host: &dyn Host, sizes: &[u64]| {
            let lowered = self.lower(host, checked, pipeline, sizes)?;
            signature.get_or_insert(lowered.signature);
            Ok(lowered.graph)
        };
        let compiled = varying::compile(host, &varying_of(source), &mut member).map_err(|error| refused(source, error))?;
        let signature = signature.unwrap_or_default();
        let mut labels = BTreeMap::new();
        let mut fields =
            |fields: Vec<SignatureField>| fields.into_iter().map(|field| self.field(field, &compiled.plan, &mut labels)).collect();
        let (inputs, outputs) = (fields(signature.inputs), fields(signature.outputs));
        let mut tokenizers = Tokenizers::default();
        let encodings = signature.encodings.into_iter().map(|encoding| tokenizers.encoding(host, encoding));
        let encodings = encodings.collect::<Result<_, PackageError>>()?;
        Ok(CompiledEntry {
            name: source.name.clone(),
            doc: source.doc.clone(),
            inputs,
            outputs,
            record: signature.record,
            compiled,
            labels,
            encodings,
            tokenizers: tokenizers.packed(),
        })
    }

    /// The graph of one pipeline of a package without errors, optimized: what its plan is made of.
    ///
    /// # Panics
    /// Where the package has errors.
    pub fn graph(&self, host: &dyn Host, pipeline: PipelineId) -> Result<Graph, PackageError> {
        let checked = self.analysis.checked().expect("only a package without errors is compiled");
        let source = &checked.pipelines[pipeline.0 as usize];
        let mut member = |host: &dyn Host, sizes: &[u64]| Ok(self.lower(host, checked, pipeline, sizes)?.graph);
        varying::optimized(host, &varying_of(source), &mut member).map_err(|error| refused(source, error))
    }

    /// A field as the manifest has it; the lines of its labels are put under their name.
    fn field(&self, field: SignatureField, plan: &Plan, lines: &mut BTreeMap<String, Vec<String>>) -> Field {
        let mut named = |id| {
            let set = self.program().label_set(id);
            let name = set.map_or_else(String::new, |set| set.name.clone());
            lines.insert(name.clone(), set.map_or_else(Vec::new, |set| set.lines.clone()));
            name
        };
        let ty = match field.ty {
            SignatureType::Tensor { dtype, port, .. } => {
                let shape = plan.inputs.iter().chain(&plan.outputs).find(|known| known.name == port);
                ValueType::Tensor { dtype, shape: shape.map_or_else(Vec::new, |port| bundle::tensor_shape(plan, port)), port, rows: None }
            }
            SignatureType::Image { max_height, max_width, port, height, width } => {
                ValueType::Image { max_height, max_width, port, height, width }
            }
            SignatureType::Sound { rate, samples, port } => ValueType::Sound { rate, samples, port },
            SignatureType::Text => ValueType::Text,
            SignatureType::Label { labels, port } => ValueType::Label { labels: named(labels), port },
            SignatureType::Ranking { labels, count, indices, scores } => {
                ValueType::Ranking { labels: named(labels), count, indices, scores }
            }
        };
        Field { name: field.name, ty }
    }

    /// The graph of a pipeline where the sizes that vary, in their order, are these.
    fn lower(&self, host: &dyn Host, checked: &Checked<Program>, pipeline: PipelineId, sizes: &[u64]) -> Result<Lowered, PackageError> {
        let varying = checked.pipeline(pipeline).into_iter().flat_map(Pipeline::varying);
        let sizes = varying.zip(sizes).map(|(bound, &size)| (bound.symbol.clone(), size)).collect();
        let failure = RefCell::new(None);
        let pipeline_name = || checked.pipeline(pipeline).map_or_else(String::new, |pipeline| pipeline.name.clone());
        let import = |request: &ModelRequest| -> Result<Graph, String> {
            self.model_graph(host, checked, request).map_err(|source| {
                let text = source.to_string();
                failure.replace(Some(match source {
                    PrepareError::Compile(source) => PackageError::Compile { pipeline: pipeline_name(), source: Box::new(source) },
                    source => unprepared(request, source),
                }));
                text
            })
        };
        mlp_lower::lower_at(checked, pipeline, &sizes, &import)
            .map_err(|source| failure.take().unwrap_or(PackageError::Lower { pipeline: pipeline_name(), source: Box::new(source) }))
    }

    /// The graph of a model at the sizes that are asked for.
    fn model_graph(&self, host: &dyn Host, checked: &Checked<Program>, request: &ModelRequest) -> Result<Graph, PrepareError> {
        let path = normalize(Path::new(&request.source));
        let sha256 = self.sha256(host, &path)?;
        match checked.model(request.model).and_then(|model| Some((model, model.network.as_ref()?))) {
            Some((model, network)) => layers::prepared(host, &path, &sha256, model, network, &request.sizes),
            None => onnx::prepared(host, &path, &sha256, &request.sizes),
        }
    }

    /// Compiles a model by itself, to know what it costs: what leads its inputs is 1, every other size the largest that it takes. With the sizes that its symbols
    /// have so; none where one of them has no bound.
    ///
    /// # Panics
    /// Where the package has errors.
    pub fn compile_model(&self, host: &dyn Host, model: ModelId) -> Result<Option<CompiledModel>, PackageError> {
        let checked = self.analysis.checked().expect("only a package without errors is compiled");
        let Some((source, symbols)) = checked.model(model).and_then(|model| Some((model, shown_sizes(model)?))) else { return Ok(None) };
        let size = |dim: &Dim| dim.size(&|name| symbols.get(name).copied());
        let sizes = source.sizes.iter().filter_map(|(name, dim)| Some((name.clone(), size(dim)?))).collect();
        let request = ModelRequest { model, name: source.name.clone(), source: source.source.clone(), sizes };
        let graph = self.model_graph(host, checked, &request).map_err(|source| unprepared(&request, source))?;
        let compiled = compile::compile_for(host, graph).map_err(|source| unprepared(&request, PrepareError::Compile(source)))?;
        Ok(Some(CompiledModel { compiled, sizes: symbols }))
    }

    /// The digest of a dependency as it was checked.
    fn sha256(&self, host: &dyn Host, path: &Path) -> std::io::Result<String> {
        match self.dependencies.get(path) {
            Some(Some(sha256)) => Ok(sha256.clone()),
            _ => sources::sha256(host, path),
        }
    }

    /// Builds a bundle of all pipelines of a package without errors, with compressed weights for browsers where `compress` says so. `doing` hears what is being done.
    ///
    /// # Panics
    /// Where the package has errors.
    pub fn build(&self, host: &dyn Host, name: &str, compress: bool, doing: &dyn Fn(&str)) -> Result<Built, PackageError> {
        let mut packer = Packer::new(name, self.program().edition);
        let root = self.program().files.first().map_or(String::new(), |file| file.path.clone());
        let mut remarks = Vec::new();
        for path in self.dependencies.keys() {
            let sha256 = timed(host, "digest sources", || self.sha256(host, path));
            let sha256 = sha256.map_err(|source| PackageError::Read { path: path.clone(), source })?;
            let folder = Path::new(&root).parent().unwrap_or(Path::new(""));
            let shown = path.strip_prefix(normalize(folder)).unwrap_or(path).to_string_lossy().replace('\\', "/");
            let licence = self.program().models.iter().find(|model| normalize(Path::new(&model.source)) == *path);
            packer.source(&shown, sha256, licence.and_then(|model| model.licence.clone()));
        }
        let mut label_texts = BTreeMap::new();
        for (id, pipeline) in self.program().entries() {
            doing(&format!("compiling {}", pipeline.name));
            let mut entry = self.compile(host, id)?;
            doing(&format!("emitting {}", pipeline.name));
            let failed = |source| PackageError::Compile { pipeline: pipeline.name.clone(), source: Box::new(source) };
            let (code, weights) = compile::emit_for(host, &entry.compiled).map_err(failed)?;
            if let Err(error) = &code.gpu {
                remarks.push(format!("`{}` gets no GPU program: {error}", pipeline.name));
            }
            entry.pack_labels(&mut packer, &mut label_texts);
            entry.pack_tokenizers(&mut packer);
            let CompiledEntry { name, doc, inputs, outputs, record, compiled, encodings, .. } = entry;
            let pipeline = CompiledPipeline { name, doc, inputs, outputs, record, compiled, code, weights, encodings };
            timed(host, "pack", || packer.pipeline(pipeline));
        }
        let mut bundle = packer.finish();
        if compress {
            doing("compressing weights");
            weights::compress(host, &mut bundle)?;
        }
        let typescript = timed(host, "emit typescript", || typescript::emit(&bundle.manifest, &self.hooks(), &label_texts));
        Ok(Built { bundle, typescript, remarks })
    }

    fn hooks(&self) -> Vec<Hook> {
        let backend = |backend: &mlp_analysis::Backend| match backend {
            mlp_analysis::Backend::WebGpu => typescript::Backend::WebGpu,
            mlp_analysis::Backend::Wasm => typescript::Backend::Wasm,
        };
        let hook = |hook: &mlp_analysis::Hook| {
            if self.program().left_out().pipelines.contains(&hook.pipeline) {
                return None;
            }
            let pipeline = self.program().pipeline(hook.pipeline)?.name.clone();
            Some(Hook { name: hook.name.clone(), pipeline, prefer: hook.prefer.iter().map(backend).collect() })
        };
        self.program().hooks.iter().filter_map(hook).collect()
    }
}

/// The sizes of a pipeline's inputs that vary.
fn varying_of(pipeline: &Pipeline) -> Vec<Varying> {
    pipeline.varying().map(|bound| Varying::new(bound.symbol.clone(), bound.most)).collect()
}

fn refused(pipeline: &Pipeline, error: VaryingError<PackageError>) -> PackageError {
    let pipeline = pipeline.name.clone();
    match error {
        VaryingError::Member(error) => error,
        VaryingError::Smaller { sizes, error } => PackageError::Varying { pipeline, reason: format!("where {sizes}: {error}") },
        VaryingError::Differs(reason) => PackageError::Varying { pipeline, reason },
        VaryingError::Compile(source) => PackageError::Compile { pipeline, source: Box::new(source) },
    }
}

/// A model that was compiled by itself.
pub struct CompiledModel {
    /// What it became.
    pub compiled: Compiled,
    /// The sizes that its symbols have.
    pub sizes: BTreeMap<String, u64>,
}

/// The sizes at which a model's cost is shown.
fn shown_sizes(model: &Model) -> Option<BTreeMap<String, u64>> {
    let mut sizes = BTreeMap::new();
    for port in &model.inputs {
        let Type::Tensor(tensor) = &port.ty else { return None };
        for (axis, dim) in tensor.dims.iter().enumerate() {
            let Dim::Symbol(name) = dim else { continue };
            let most = model.bounds.iter().find(|bound| bound.symbol == *name).map(|bound| bound.most);
            let size = if axis == 0 { Some(1) } else { sizes.get(name).copied().or(most) };
            sizes.insert(name.clone(), size?);
        }
    }
    Some(sizes)
}

/// Why a model has no graph.
fn unprepared(request: &ModelRequest, source: PrepareError) -> PackageError {
    let (model, path) = (request.name.clone(), request.source.clone());
    match source {
        PrepareError::Read(source) => PackageError::Read { path: normalize(Path::new(&path)), source },
        PrepareError::Changed => PackageError::Changed { model, path },
        PrepareError::Layers(reason) | PrepareError::State(reason) => PackageError::Layers { model, path, reason },
        PrepareError::Import(source) => PackageError::Import { model, path, source: Box::new(source) },
        PrepareError::Compile(source) => PackageError::Compile { pipeline: model, source: Box::new(source) },
    }
}

impl CompiledEntry {
    /// Adds the tokenizers to a bundle and renames them in the encodings to what they are called there.
    fn pack_tokenizers(&mut self, packer: &mut Packer) {
        for (path, bytes) in &self.tokenizers {
            let name = packer.file("tokenizer", "json", bytes.clone());
            self.encodings
                .iter_mut()
                .filter(|encoding| encoding.tokenizer == *path)
                .for_each(|encoding| encoding.tokenizer.clone_from(&name));
        }
    }

    /// Adds the label files to a bundle and renames them in the signature to what they are called there.
    fn pack_labels(&mut self, packer: &mut Packer, texts: &mut BTreeMap<String, String>) {
        for (key, lines) in &self.labels {
            let text = lines.join("\n") + "\n";
            let name = packer.file("labels", "txt", text.clone().into_bytes());
            for field in self.inputs.iter_mut().chain(&mut self.outputs) {
                if let ValueType::Label { labels, .. } | ValueType::Ranking { labels, .. } = &mut field.ty
                    && labels == key
                {
                    labels.clone_from(&name);
                }
            }
            texts.insert(name, text);
        }
    }
}
