//! The command line, as `--help` teaches it.

use clap::{Args, Parser, Subcommand, ValueEnum};
use mlp_syntax::Code;
use std::path::PathBuf;

/// Compiles declarative machine learning to code that runs where the user is.
#[derive(Debug, Parser)]
#[command(
    name = "mlpc",
    version,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    after_help = "Start with: mlpc run examples/objects/objects.mlp --input photo=examples/objects/espresso.png"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// Say what a diagnostic means, with an example and its remedy
    #[arg(long, value_name = "CODE", value_parser = crate::explain::code)]
    pub(crate) explain: Option<Code>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a project: a pipeline and a page that runs it
    New(New),
    /// Check a .mlp file: names, types, shapes, units
    Check(Check),
    /// Write .mlp files in the language's one style
    Fmt(Fmt),
    /// Say what a diagnostic means, with an example and its remedy
    Explain(Explain),
    /// Write the pages of a package: its models, pipelines and types with their comments
    Doc(Doc),
    /// Serve an editor: diagnostics, completion, hover and more, over the standard streams
    Lsp(Lsp),
    /// Run a pipeline on this machine and print its answer
    Run(Run),
    /// Run the tests in a .mlp file
    Test(Test),
    /// Compile a .mlp file or an .onnx model to a bundle
    Build(Build),
    /// Show what is in a bundle and what it needs
    Inspect(Inspect),
    /// Ask whether a model comes out right on every backend
    Verify(Verify),
    /// List ONNX's operators: which compile, on which backend, over which element types, and why the others do not
    Coverage(Coverage),
    /// Measure a model or pipeline: latency, load time, memory, size
    Bench(Bench),
    /// Show where the time of a run goes, kernel by kernel
    Profile(Profile),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mlpc check objects.mlp\n  mlpc check objects.mlp --format json     one diagnostic a line, for editors and bundlers\n  mlpc check objects.mlp --format github   annotations in a workflow\n  mlpc check objects.mlp --format sarif    a report for code scanning\n\nFields of json: code, severity (error or warning), message, labels (the first is where it points), help and fix (null where there is none). A label has\nfile, start, end (bytes from 0), line, column, end_line, end_column (from 1, columns in characters) and text; a fix has the same with replacement."
)]
pub(crate) struct Check {
    /// The source file
    pub(crate) file: PathBuf,
    /// How diagnostics are printed
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub(crate) format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// With the source, for people
    Human,
    /// One JSON object a line
    Json,
    /// Annotations of GitHub's workflows
    Github,
    /// SARIF 2.1.0, the format of static analysis results
    Sarif,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mlpc new tiles && cd tiles && npm install && npm run dev")]
pub(crate) struct New {
    /// The project's folder, which is empty or does not exist; its name is the project's
    #[arg(value_name = "NAME")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mlpc fmt                     every .mlp file below this folder\n  mlpc fmt objects.mlp src\n  mlpc fmt --check             write nothing, list what is not in the style, and fail where anything is\n  mlpc fmt --stdin < a.mlp     for editors"
)]
pub(crate) struct Fmt {
    /// Files and folders; this folder where none is named
    pub(crate) paths: Vec<PathBuf>,
    /// Write nothing; list the files that are not in the style, and exit with 1 where there are any
    #[arg(long)]
    pub(crate) check: bool,
    /// Read a text and print it in the style
    #[arg(long, conflicts_with = "paths")]
    pub(crate) stdin: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mlpc explain E0203")]
pub(crate) struct Explain {
    /// A diagnostic's code
    #[arg(value_parser = crate::explain::code)]
    pub(crate) code: Code,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mlpc doc objects.mlp -o docs")]
pub(crate) struct Doc {
    /// The package's root: a .mlp file
    #[arg(value_name = "PACKAGE")]
    pub(crate) file: PathBuf,
    /// The folder to write the pages to; other files in it stay
    #[arg(short, long)]
    pub(crate) output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Lsp {
    /// What editors say of the streams they use; there are no others
    #[arg(long, hide = true)]
    pub(crate) stdio: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    /// Machine code made for this processor
    Native,
    /// WGSL on this machine's GPU (Vulkan, Metal or Direct3D 12)
    Gpu,
    /// The WebAssembly module for fixed-width SIMD
    Wasm,
    /// The WebAssembly module for relaxed SIMD
    WasmRelaxed,
    /// The WebAssembly module for relaxed SIMD and several threads, where those pay
    WasmThreads,
}

impl From<Runtime> for mlp_engine::BackendKind {
    fn from(runtime: Runtime) -> Self {
        match runtime {
            Runtime::Native => Self::Native,
            Runtime::Gpu => Self::Gpu,
            Runtime::Wasm => Self::Wasm,
            Runtime::WasmRelaxed => Self::WasmRelaxed,
            Runtime::WasmThreads => Self::WasmThreads,
        }
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mlpc run objects.mlp --input photo=coffee.png\n  mlpc run objects.mlp --input photo=coffee.png --backend gpu --json\n  mlpc run dist/objects.mlpb --input photo=coffee.png"
)]
pub(crate) struct Run {
    /// A .mlp file, or a bundle (its folder or .mlpb archive)
    pub(crate) file: PathBuf,
    /// An input and its file: images (PNG, JPEG, WebP) for photos, WAV for sounds, .npy for tensors; a text is given itself. Repeat it for each input
    #[arg(short, long = "input", value_name = "NAME=FILE|TEXT")]
    pub(crate) inputs: Vec<String>,
    /// The pipeline; needed where the file has several that take inputs of these names
    #[arg(short, long)]
    pub(crate) pipeline: Option<String>,
    /// What runs it
    #[arg(short, long, value_enum, default_value_t = Runtime::Native)]
    pub(crate) backend: Runtime,
    /// Threads of the native backend
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  mlpc test objects.mlp --backend wasm")]
pub(crate) struct Test {
    /// The source file
    pub(crate) file: PathBuf,
    /// What runs the pipelines
    #[arg(short, long, value_enum, default_value_t = Runtime::Native)]
    pub(crate) backend: Runtime,
    /// One JSON object a test
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mlpc build objects.mlp -o dist\n  mlpc build objects.mlp -o objects.mlpb        the same in one file\n  mlpc build mobilenet.onnx -o dist --dim N=1   a bare model\n  mlpc build minilm.onnx -o dist --dim batch=1..4 --dim sequence=1..128   sizes that vary from run to run\n  mlpc build decoder.onnx -o dist --dim past=1..512 --dim steps=1 --dim total=past+steps   a size that follows from others\n  mlpc build vad.onnx -o dist --state h=hn --state c=cn   what a run leaves for the next one"
)]
pub(crate) struct Build {
    /// A .mlp file or an .onnx model
    pub(crate) file: PathBuf,
    /// The bundle to write: a folder, or an archive where the name ends in .mlpb
    #[arg(short, long)]
    pub(crate) output: PathBuf,
    /// The size of a symbolic dim of an .onnx model, or STEP..MOST where it varies from run to run, in multiples of a step, or OTHER+OTHER where it follows from others; one that leads a shape is 1 unless said here
    #[arg(long = "dim", value_name = "NAME=SIZE")]
    pub(crate) dims: Vec<String>,
    /// An input of an .onnx model that takes what an output gave in the run before, and zeros in the first, instead of being given; repeat it for each
    #[arg(long = "state", value_name = "INPUT=OUTPUT")]
    pub(crate) states: Vec<String>,
    /// Take those sizes from recorded inputs, arrays named in:INPUT
    #[arg(long, value_name = "FILE.npz", conflicts_with = "dims")]
    pub(crate) data: Option<PathBuf>,
    /// Add compressed weights for browsers, where they are a tenth smaller: they pay on connections of less than about 100 Mbit/s
    #[arg(long)]
    pub(crate) compress_weights: bool,
    /// Say how long each phase took
    #[arg(long)]
    pub(crate) timings: bool,
    /// Where prepared models are kept for the next build, 1 GiB of them at most; else the variable MLP_CACHE_DIR says, or it is `mlp` in the user's cache folder
    #[arg(long, value_name = "DIR", conflicts_with = "no_cache")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Keep nothing for the next build, and use nothing of the last
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Print what was written as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mlpc inspect dist\n  mlpc inspect dist --plan Classify   every kernel of a pipeline, in the loop IR's text form"
)]
pub(crate) struct Inspect {
    /// A bundle: its folder, its manifest.json or its .mlpb archive
    pub(crate) bundle: PathBuf,
    /// Print the plan of this pipeline
    #[arg(long, value_name = "PIPELINE")]
    pub(crate) plan: Option<String>,
    /// Print the manifest as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerifyBackend {
    /// The reference interpreter of the tensor graph
    Reference,
    /// Machine code made for this processor
    Native,
    /// WGSL on this machine's GPU
    Gpu,
    /// The WebAssembly module for fixed-width SIMD
    Wasm,
    /// The WebAssembly module for relaxed SIMD
    WasmRelaxed,
    /// The WebAssembly module for relaxed SIMD and several threads, which share every kernel here
    WasmThreads,
    /// All of these
    All,
}

#[derive(Debug, Args)]
#[command(
    long_about = "Ask whether a model comes out right on every backend.\n\nPATH is a folder with model.onnx and test_data_set_*/input_*.pb and output_*.pb, a folder of such folders, or an .onnx file with --data FILE.npz, whose arrays are named in:INPUT and out:OUTPUT.",
    after_help = "Examples:\n  mlpc verify model.onnx --data recorded.npz --backend all\n  mlpc verify cases/ --backend native --backend wasm --json\n\nPrints a line a case and backend (pass, fail, unsupported) and a closing count. Exit code 1 where anything failed or was unsupported.\n\nFloats pass within atol + rtol * |expected|, integers exactly. Models with quantized operators pass within one quantization step of the recorded output, or\nwith equal top-5 (scores one step apart are tied), and their outputs must be bit-equal on every backend."
)]
pub(crate) struct Verify {
    /// A case, a folder of cases, or an .onnx file
    pub(crate) path: PathBuf,
    /// Recorded inputs and outputs of an .onnx file
    #[arg(long, value_name = "FILE.npz")]
    pub(crate) data: Option<PathBuf>,
    /// A backend; repeat it for several
    #[arg(short, long = "backend", value_enum, value_delimiter = ',', default_values_t = [VerifyBackend::All])]
    pub(crate) backends: Vec<VerifyBackend>,
    /// Relative tolerance of floats
    #[arg(long, default_value_t = 1e-3)]
    pub(crate) rtol: f64,
    /// Absolute tolerance of floats
    #[arg(long, default_value_t = 1e-4)]
    pub(crate) atol: f64,
    /// One JSON object a line: name, backend, status, max_abs, max_rel, detail
    #[arg(long)]
    pub(crate) json: bool,
    /// Cases that may fail: `CASE [BACKEND,...] REASON` a line. One of them that passes is a failure
    #[arg(long, value_name = "FILE")]
    pub(crate) known: Option<PathBuf>,
    /// Write bundles, inputs and expected outputs of all cases, with an index.json, for a check elsewhere (a browser), and run nothing
    #[arg(long, value_name = "DIR")]
    pub(crate) emit: Option<PathBuf>,
    /// Compile for all sizes of a symbolic dim up to a bound, in multiples of a step, and run the recorded one
    #[arg(long = "dim", value_name = "NAME=STEP..MOST")]
    pub(crate) dims: Vec<String>,
    /// Run this variant of every GPU kernel that has it
    #[arg(long, value_name = "NAME", hide = true)]
    pub(crate) gpu_variant: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  mlpc coverage > docs/operators.md\n  mlpc coverage --json | grep Conv")]
pub(crate) struct Coverage {
    /// One JSON object a line: domain, operator, since, deprecated, imported, reason, types (by backend), not
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is measured, and on what.
#[derive(Debug, Args)]
pub(crate) struct Choice {
    /// An .onnx model, a .mlp file or a bundle
    pub(crate) path: PathBuf,
    /// Threads of the native backend
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,
    /// The pipeline, where there are several
    #[arg(short, long)]
    pub(crate) pipeline: Option<String>,
    /// The size of a symbolic dim of an .onnx model, or STEP..MOST where it varies from run to run, in multiples of a step, or OTHER+OTHER where it follows from others; one that leads a shape is 1 unless said here
    #[arg(long = "dim", value_name = "NAME=SIZE")]
    pub(crate) dims: Vec<String>,
    /// An input of an .onnx model that takes what an output gave in the run before, and zeros in the first, instead of being given; repeat it for each
    #[arg(long = "state", value_name = "INPUT=OUTPUT")]
    pub(crate) states: Vec<String>,
    /// Inputs, arrays named in:INPUT; random ones where it is not given
    #[arg(long, value_name = "FILE.npz")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mlpc bench mobilenet.onnx --backend native --backend wasm\n  mlpc bench objects.mlp --threads 2 --json\n  mlpc bench dist --data recorded.npz           a bundle: what loading takes is then in load_ms"
)]
pub(crate) struct Bench {
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// A backend; repeat it for several
    #[arg(short, long = "backend", value_enum, value_delimiter = ',', default_values_t = [Runtime::Native])]
    pub(crate) backends: Vec<Runtime>,
    /// Seconds to measure for
    #[arg(long, default_value_t = 2.0)]
    pub(crate) seconds: f64,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  mlpc profile mobilenet.onnx\n  mlpc profile objects.mlp --backend wasm-relaxed --html profile.html\n\nTimes are of kernels run one by one; peak is the part of a kernel's time that its multiply-accumulates, or its bytes, would take at the rate\nthat this processor was measured to reach."
)]
pub(crate) struct Profile {
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// The backend
    #[arg(short, long, value_enum, default_value_t = Runtime::Native)]
    pub(crate) backend: Runtime,
    /// Runs, of which each kernel's median counts
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) runs: u16,
    /// Print the profile as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the profile as a page with a timeline, too
    #[arg(long, value_name = "FILE.html")]
    pub(crate) html: Option<PathBuf>,
    /// Choose each GPU kernel's variant by a timed probe first
    #[arg(long)]
    pub(crate) tune: bool,
    /// Run this variant of every GPU kernel that has it
    #[arg(long, value_name = "NAME", hide = true)]
    pub(crate) gpu_variant: Option<String>,
}

/// Reads `NAME=VALUE`; a value may be empty, as a text may.
pub(crate) fn assignment(text: &str) -> Result<(&str, &str), crate::Failure> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name, value)),
        _ => Err(crate::Failure(format!("`{text}` is not NAME=VALUE"))),
    }
}
