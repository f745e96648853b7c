//! The checked program: every name resolved, every expression typed.

use crate::declared::{Declarations, ExplainId, MonitorId, OutletId};
use crate::intrinsic::Intrinsic;
use crate::left_out;
use crate::network::{Layer, Network};
use crate::types::{Dim, LabelsId, Type};
use mlp_syntax::ast::Operator;
use mlp_syntax::units::Dimension;
use mlp_syntax::{Diagnostic, LineColumn, LineIndex, Location};
use std::sync::OnceLock;

/// A file that was read.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Its path, or `std.vision` for a module of the standard library.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Its lines.
    pub lines: LineIndex,
}

/// A package: a root file with all that it uses.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The edition of the root file.
    pub edition: u32,
    /// The files, by [`FileId`](mlp_syntax::FileId); the root is the first.
    pub files: Vec<SourceFile>,
    /// Models of all files.
    pub models: Vec<Model>,
    /// Sets of labels.
    pub labels: Vec<LabelSet>,
    /// Pipelines of all files, those of the standard library included.
    pub pipelines: Vec<Pipeline>,
    /// Layers of all files, those of the standard library included.
    pub layers: Vec<Layer>,
    /// Values with names, of all files.
    pub consts: Vec<Const>,
    /// Types with names, of all files.
    pub aliases: Vec<TypeAlias>,
    /// Budgets, outlets, monitors and the like, of all files.
    pub declarations: Declarations,
    /// Hooks of the root file.
    pub hooks: Vec<Hook>,
    /// Tests of the root file.
    pub tests: Vec<Test>,
    /// What a build leaves out, once somebody asks.
    pub(crate) left_out: OnceLock<LeftOut>,
}

/// What is checked, but not part of a bundle yet.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    /// Pipelines of the root file that could be called by an application.
    pub pipelines: Vec<PipelineId>,
    /// A warning for each thing that is left out.
    pub diagnostics: Vec<Diagnostic>,
}

impl Program {
    /// The line and column where a place starts.
    pub fn line_column(&self, at: Location) -> Option<LineColumn> {
        let file = self.files.get(at.file.0 as usize)?;
        Some(file.lines.line_column(&file.text, at.span.start))
    }

    /// `objects.mlp:12:3`: the file's own name, line and column.
    pub fn place(&self, at: Location) -> String {
        let path = self.files.get(at.file.0 as usize).map_or("?", |file| file.path.as_str());
        let name = path.rsplit('/').next().unwrap_or(path);
        match self.line_column(at) {
            Some(place) => format!("{name}:{place}"),
            None => name.to_owned(),
        }
    }

    /// The pipelines of the root file that are compiled: all they take is photos, sounds, and tensors of known or bounded shape, and a build leaves them not out.
    pub fn entries(&self) -> impl Iterator<Item = (PipelineId, &Pipeline)> {
        let all = self.pipelines.iter().enumerate().map(|(index, pipeline)| (PipelineId(index as u32), pipeline));
        all.filter(|(id, pipeline)| pipeline.at.file.0 == 0 && pipeline.is_entry() && !self.left_out().pipelines.contains(id))
    }

    /// What a build leaves out, with the reasons.
    pub fn left_out(&self) -> &LeftOut {
        self.left_out.get_or_init(|| left_out::find(self, &self.label_names()))
    }

    /// A type as messages write it.
    pub fn show(&self, ty: &Type) -> String {
        ty.quoted(&self.label_names()).trim_matches('`').to_owned()
    }

    fn label_names(&self) -> Vec<String> {
        self.labels.iter().map(|labels| labels.name.clone()).collect()
    }

    /// A pipeline.
    pub fn pipeline(&self, id: PipelineId) -> Option<&Pipeline> {
        self.pipelines.get(id.0 as usize)
    }

    /// A model.
    pub fn model(&self, id: ModelId) -> Option<&Model> {
        self.models.get(id.0 as usize)
    }

    /// A set of labels.
    pub fn label_set(&self, id: LabelsId) -> Option<&LabelSet> {
        self.labels.get(id.0 as usize)
    }
}

/// Index of a model in [`Program::models`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(pub u32);

/// Index of a value with a name in [`Program::consts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConstId(pub u32);

/// Index of a type with a name in [`Program::aliases`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AliasId(pub u32);

/// Index of a pipeline in [`Program::pipelines`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PipelineId(pub u32);

/// A model.
#[derive(Clone, Debug)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// Its doc comment.
    pub doc: String,
    /// Where its name stands.
    pub at: Location,
    /// The path of its ONNX or safetensors file, as [`World`](crate::World) takes it.
    pub source: String,
    /// Lower-case hexadecimal SHA-256 of that file.
    pub sha256: String,
    /// The SPDX licence expression that the source states.
    pub licence: Option<String>,
    /// What it takes.
    pub inputs: Vec<ModelPort>,
    /// What it gives.
    pub outputs: Vec<ModelPort>,
    /// What it keeps from one run to the next.
    pub states: Vec<ModelState>,
    /// The named sizes of the ONNX file, or of the inputs of layers, that the declared types give a size or another name.
    pub sizes: Vec<(String, Dim)>,
    /// The largest sizes of its symbols.
    pub bounds: Vec<Bound>,
    /// What its layers compute, where its file holds weights alone.
    pub network: Option<Network>,
    /// Where its `quantize` blocks stand.
    pub quantize: Vec<Location>,
}

/// A value with a name.
#[derive(Clone, Debug)]
pub struct Const {
    /// Its name.
    pub name: String,
    /// Its doc comment.
    pub doc: String,
    /// Where its name stands.
    pub at: Location,
    /// Its type.
    pub ty: Type,
    /// Its value; none after an error.
    pub value: Option<Value>,
}

/// A type with a name.
#[derive(Clone, Debug)]
pub struct TypeAlias {
    /// Its name.
    pub name: String,
    /// Its doc comment.
    pub doc: String,
    /// Where its name stands.
    pub at: Location,
    /// What it stands for. Its symbols are those of the signature that uses it.
    pub ty: Type,
}

/// The largest size that a symbol of a signature may have: `N <= 8`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The symbol.
    pub symbol: String,
    /// The largest size.
    pub most: u64,
}

/// An input or output of a model.
#[derive(Clone, Debug)]
pub struct ModelPort {
    /// Its name in the language.
    pub name: String,
    /// Its name in the ONNX file.
    pub onnx: String,
    /// Its doc comment.
    pub doc: String,
    /// Its type, over the symbols of the model's signature.
    pub ty: Type,
}

/// An input of a model's file that takes what an output gave in the run before, and zeros in the first run.
#[derive(Clone, Debug)]
pub struct ModelState {
    /// The input, which calls do not give.
    pub port: ModelPort,
    /// The name of the output in the ONNX file.
    pub next: String,
}

/// A set of labels: those of a model's output, or a `labels` item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelSet {
    /// `Objects.logits`, or the name of the item.
    pub name: String,
    /// The path of the file; where labels are listed, the name of the item.
    pub path: String,
    /// Its lines.
    pub lines: Vec<String>,
}

/// A pipeline.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// Its name.
    pub name: String,
    /// Its doc comment.
    pub doc: String,
    /// Where its name stands.
    pub at: Location,
    /// What it takes.
    pub params: Vec<Param>,
    /// What it gives.
    pub result: Type,
    /// The largest sizes of its symbols.
    pub bounds: Vec<Bound>,
    /// What it does.
    pub body: Body,
}

impl Pipeline {
    /// True where it can be compiled by itself.
    pub fn is_entry(&self) -> bool {
        matches!(self.body, Body::Steps { .. }) && self.params.iter().all(|param| self.takes(&param.ty))
    }

    /// True where an application can give it a value of this type: what any compiled pipeline can take, or a tensor each of whose sizes is known, or follows from sizes that
    /// have a bound.
    pub fn takes(&self, ty: &Type) -> bool {
        let Type::Tensor(tensor) = ty else { return ty.is_input() };
        let bounded = |name: &String| self.bounds.iter().any(|bound| bound.symbol == *name) && self.is_told(name);
        let fits = |dim: &Dim| match dim {
            Dim::Const(_) => true,
            Dim::Symbol(name) => bounded(name),
            Dim::Formula(formula) => {
                let mut symbols = Vec::new();
                formula.symbols(&mut symbols);
                formula.is_of_symbols() && symbols.iter().all(bounded)
            }
            Dim::Rest(_) | Dim::Param(_) | Dim::Width(_) | Dim::Height(_) => false,
        };
        tensor.dims.iter().all(fits) && !matches!(tensor.labels, crate::types::Labels::Variable(_))
    }

    /// Whether a parameter has a dimension of just that size, so that a value tells it.
    fn is_told(&self, name: &str) -> bool {
        let dims = self.params.iter().filter_map(|param| if let Type::Tensor(tensor) = &param.ty { Some(&tensor.dims) } else { None });
        dims.flatten().any(|dim| matches!(dim, Dim::Symbol(symbol) if symbol == name))
    }

    /// The sizes of its inputs that vary from run to run, with the greatest of each.
    pub fn varying(&self) -> impl Iterator<Item = &Bound> {
        self.bounds.iter().filter(|bound| self.is_told(&bound.symbol))
    }
}

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Marked `public`: its value tells nothing about a person.
    pub public: bool,
    /// Its type.
    pub ty: Type,
    /// Its value where a call gives none.
    pub default: Option<Value>,
}

/// What a pipeline does.
#[derive(Clone, Debug)]
pub enum Body {
    /// What the compiler provides.
    Intrinsic(Intrinsic),
    /// Bindings in order, then the answer.
    Steps {
        /// The bindings; [`ExprKind::Local`] counts them.
        locals: Vec<Local>,
        /// The answer.
        result: Expr,
        /// How the answer is found.
        attributes: Vec<Attribute>,
    },
    /// An error left nothing; never in a [`Checked`] program.
    Broken,
}

/// A binding.
#[derive(Clone, Debug)]
pub struct Local {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Expr,
    /// How it is run.
    pub attributes: Vec<Attribute>,
}

/// How a statement is run.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// Which.
    pub kind: AttributeKind,
    /// Where it stands.
    pub at: Location,
}

/// The attributes of statements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AttributeKind {
    /// `@timeout(8ms)`: an error where it takes longer; in seconds.
    Timeout(f64),
    /// `@retry(times = 2)`: again after an error.
    Retry(u64),
    /// `@cache(entries = 64)`: answers are kept by input.
    Cache(u64),
}

/// A typed expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Its type.
    pub ty: Type,
    /// Where it stands.
    pub at: Location,
}

impl Expr {
    /// Calls `visit` with every expression directly inside this one, in the order they are computed.
    pub fn children<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        match &self.kind {
            ExprKind::Call { args, .. } | ExprKind::List(args) => args.iter().for_each(visit),
            ExprKind::Record(fields) => fields.iter().for_each(|(_, value)| visit(value)),
            ExprKind::Field(value, _) | ExprKind::Negate(value) | ExprKind::Index(value, _) => visit(value),
            ExprKind::Arithmetic { left, right, .. } | ExprKind::Compare { left, right, .. } => {
                visit(left);
                visit(right);
            }
            ExprKind::Block(block) => {
                block.locals.iter().for_each(|local| visit(&local.value));
                visit(&block.result);
            }
            ExprKind::When { arms, otherwise } => {
                arms.iter().for_each(|(condition, value)| {
                    visit(condition);
                    visit(value);
                });
                visit(otherwise);
            }
            ExprKind::ForEach { list, body } => {
                visit(list);
                visit(body);
            }
            ExprKind::Loop(node) => {
                visit(&node.start);
                visit(&node.body);
                node.until.iter().for_each(visit);
            }
            ExprKind::Param(_) | ExprKind::Local(_) | ExprKind::Value(_) | ExprKind::None | ExprKind::Broken => {}
        }
    }
}

/// The forms of a typed expression.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// A parameter of the pipeline, by position.
    Param(usize),
    /// A binding, by position: the pipeline's own come first, then those of the blocks around the expression, outermost first.
    Local(usize),
    /// A value known when compiling.
    Value(Value),
    /// A call; one argument a parameter, in the order of the parameters, defaults filled in.
    Call {
        /// What is called.
        callee: Callee,
        /// Where its name stands.
        at: Location,
        /// The arguments.
        args: Vec<Expr>,
    },
    /// A record, in the order of the expression.
    Record(Vec<(String, Expr)>),
    /// A field of a record.
    Field(Box<Expr>, String),
    /// `+`, `-`, `*` or `/`, elementwise where an operand is a tensor.
    Arithmetic {
        /// The operator.
        op: Operator,
        /// The left operand.
        left: Box<Expr>,
        /// The right operand.
        right: Box<Expr>,
    },
    /// `-a`
    Negate(Box<Expr>),
    /// `==`, `!=`, `<`, `<=`, `>` or `>=`: a truth value.
    Compare {
        /// The operator.
        op: Operator,
        /// The left operand.
        left: Box<Expr>,
        /// The right operand, of the left one's type.
        right: Box<Expr>,
    },
    /// An element of a tensor along its first dimension, of a list, or a label of a ranking.
    Index(Box<Expr>, u64),
    /// `[a, b]`: a list of values of one type.
    List(Vec<Expr>),
    /// `none`: no value, where there may be one.
    None,
    /// `{ name = value ... value }`: bindings, then a value that may use them.
    Block(Box<Block>),
    /// The value of the first block whose condition holds.
    When {
        /// Conditions and blocks.
        arms: Vec<(Expr, Expr)>,
        /// The value where no condition holds.
        otherwise: Box<Expr>,
    },
    /// The list of what the block makes of each value of a list. The value is a binding of the block.
    ForEach {
        /// The list.
        list: Box<Expr>,
        /// The block.
        body: Box<Expr>,
    },
    /// The block makes each value of the one before it.
    Loop(Box<Loop>),
    /// What an error left; never in a [`Checked`] program.
    Broken,
}

/// Bindings, then a value that may use them.
#[derive(Clone, Debug)]
pub struct Block {
    /// The bindings.
    pub locals: Vec<Local>,
    /// The value.
    pub result: Expr,
}

/// A bounded loop. Its value is a binding of the block and of the condition, the number of the round the one after it.
#[derive(Clone, Debug)]
pub struct Loop {
    /// The first value.
    pub start: Expr,
    /// The most rounds, at least 1.
    pub at_most: u64,
    /// True where the number of the round has a name.
    pub counts: bool,
    /// A truth value, asked of the new value after each round; true ends the loop.
    pub until: Option<Expr>,
    /// The next value.
    pub body: Expr,
}

/// What a call calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Callee {
    /// A pipeline.
    Pipeline(PipelineId),
    /// A model.
    Model(ModelId),
}

/// A value known when compiling.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number, in base units where it has a dimension.
    Number(f64, Option<Dimension>),
    /// A size.
    Size {
        /// The width.
        width: u32,
        /// The height.
        height: u32,
    },
    /// A word of a choice.
    Choice(String),
    /// A string.
    Text(String),
    /// A tensor: its elements in row-major order. Its type says how they are arranged.
    Tensor(Vec<f64>),
}

/// A hook.
#[derive(Clone, Debug)]
pub struct Hook {
    /// Its name: `useClassify`.
    pub name: String,
    /// Its doc comment.
    pub doc: String,
    /// Where its name stands.
    pub at: Location,
    /// What it runs.
    pub pipeline: PipelineId,
    /// What it runs on, best first.
    pub prefer: Vec<Backend>,
    /// What watches it.
    pub monitor: Option<MonitorId>,
    /// How its answers leave the device.
    pub outlet: Option<OutletId>,
    /// The explanation that it offers.
    pub explain: Option<ExplainId>,
    /// How often a second it runs on a stream.
    pub realtime: Option<f64>,
    /// The entries that a build leaves out, with their places.
    pub later: Vec<(&'static str, Location)>,
}

/// What a hook can run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// WebGPU.
    WebGpu,
    /// WebAssembly.
    Wasm,
}

impl Backend {
    /// Every backend with its word in the language.
    pub const ALL: &[(&str, Backend)] = &[("webgpu", Backend::WebGpu), ("wasm", Backend::Wasm)];
}

/// A test.
#[derive(Clone, Debug)]
pub struct Test {
    /// What it is about.
    pub name: String,
    /// Where it stands.
    pub at: Location,
    /// What must hold.
    pub expectations: Vec<Expectation>,
}

/// What must hold: run `pipeline` on `args`, look at `observed`, compare with `expected`.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Where it stands.
    pub at: Location,
    /// As it is written.
    pub text: String,
    /// What is run.
    pub pipeline: PipelineId,
    /// On what, one a parameter.
    pub args: Vec<TestArgument>,
    /// What is looked at.
    pub observed: Observed,
    /// How it is compared: `Eq`, `Ne`, `Lt`, `Le`, `Gt`, `Ge` or `In`; labels only with `Eq`, `Ne` and `In`.
    pub op: Operator,
    /// With what.
    pub expected: Expected,
}

/// What a test gives a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TestArgument {
    /// A photo, by the path of its file.
    Image {
        /// The path, as [`World`](crate::World) takes it.
        path: String,
    },
    /// A text.
    Text {
        /// The text itself.
        text: String,
    },
    /// A sound, by the path of its WAV file.
    Sound {
        /// The path, as [`World`](crate::World) takes it.
        path: String,
    },
}

/// A part of a pipeline's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The fields that lead to it, outermost first.
    pub fields: Vec<String>,
    /// The part.
    pub part: Part,
}

/// A part of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The label that a `label` is.
    Label,
    /// The label at a rank of a ranking, 0 the best.
    RankedLabel(u64),
    /// The score at a rank of a ranking, 0 the best.
    RankedScore(u64),
    /// An element of a tensor, by its row-major position.
    Element(u64),
}

/// What is expected.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// One of these labels; exactly one for `Eq` and `Ne`.
    Labels(Vec<String>),
    /// A number.
    Number(f64),
}
