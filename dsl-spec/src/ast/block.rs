//! Blocks: models, pipelines, tests, hooks, and the declarations whose entries are `key = value`, limits and blocks.

use super::{Argument, Attribute, Expr, Name, Operator, Path, Text, Type};
use crate::span::Span;

/// A model from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Its doc comment.
    pub doc: String,
    /// Its name.
    pub name: Name,
    /// `key = value` entries.
    pub entries: Vec<Entry>,
    /// `input name: type`
    pub inputs: Vec<Port>,
    /// `output name: type`
    pub outputs: Vec<Port>,
    /// `state name: type = output`
    pub states: Vec<State>,
    /// `quantize int8 { ... }` and the like.
    pub blocks: Vec<Block>,
    /// `layers { ... }`: what the model computes, where its source holds weights alone.
    pub layers: Option<Layers>,
    /// The item.
    pub span: Span,
}

impl Model {
    /// What it takes, gives and keeps.
    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        self.inputs.iter().chain(&self.outputs).chain(self.states.iter().map(|state| &state.port))
    }
}

/// `key = value`
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Name,
    /// The value.
    pub value: Expr,
    /// Both.
    pub span: Span,
}

/// An input or output of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// Its doc comment.
    pub doc: String,
    /// Its name.
    pub name: Name,
    /// Its type.
    pub ty: Type,
    /// All of it.
    pub span: Span,
}

/// An input of a model's file that takes what an output gave in the run before.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The input.
    pub port: Port,
    /// The output.
    pub next: Name,
}

/// The layers of a model, in the language.
#[derive(Clone, Debug, PartialEq)]
pub struct Layers {
    /// The statements.
    pub statements: Vec<Statement>,
    /// The block with its keyword.
    pub span: Span,
}

/// What a signature belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipelineKind {
    /// `pipeline`: runs on values.
    Pipeline,
    /// `layer`: a part of a model, with weights.
    Layer,
}

/// A pipeline or a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Which of both.
    pub kind: PipelineKind,
    /// Its doc comment.
    pub doc: String,
    /// Its name.
    pub name: Name,
    /// What it takes.
    pub params: Vec<Param>,
    /// Where the parenthesis after the parameters stands.
    pub params_end: u32,
    /// What it gives.
    pub result: Type,
    /// Its statements; none for an intrinsic, which the compiler provides.
    pub body: Option<Vec<Statement>>,
    /// The item.
    pub span: Span,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: Name,
    /// Marked `public`: its value tells nothing about a person.
    pub public: bool,
    /// Its type.
    pub ty: Type,
    /// Its value where a call gives none.
    pub default: Option<Expr>,
    /// All of it.
    pub span: Span,
}

/// A statement of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The name it binds; none for `return`.
    pub binds: Option<Name>,
    /// The value.
    pub value: Expr,
    /// `@timeout(8ms)` and the like.
    pub attributes: Vec<Attribute>,
    /// All of it.
    pub span: Span,
}

/// A test.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// Its doc comment.
    pub doc: String,
    /// What it is about.
    pub name: Text,
    /// What must hold: the expression after each `expect`.
    pub expectations: Vec<Expr>,
    /// The item.
    pub span: Span,
}

/// A hook for a user interface.
#[derive(Clone, Debug, PartialEq)]
pub struct Hook {
    /// Its doc comment.
    pub doc: String,
    /// Its name.
    pub name: Name,
    /// The pipeline it runs.
    pub pipeline: Name,
    /// `key = value` entries.
    pub entries: Vec<Entry>,
    /// The item.
    pub span: Span,
}

/// A block of entries at the top level: `budget Clinic { ... }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Declaration {
    /// Its doc comment.
    pub doc: String,
    /// Which block it is.
    pub kind: DeclarationKind,
    /// Its name.
    pub name: Name,
    /// What stands after `for` or `from`; none for a budget and a device.
    pub target: Option<Path>,
    /// What it holds.
    pub members: Vec<Member>,
    /// The item.
    pub span: Span,
}

/// The blocks that are made of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeclarationKind {
    /// What may be learned about one person: `budget Name { ... }`
    Budget,
    /// How a value leaves the device: `outlet Name from Pipeline.field { ... }`
    Outlet,
    /// What is watched while it runs: `monitor Name for Pipeline { ... }`
    Monitor,
    /// How an answer is explained: `explain Name for Pipeline { ... }`
    Explain,
    /// Variants that are compared in the field: `experiment Name for Pipeline { ... }`
    Experiment,
    /// What a kind of device has: `device Name { ... }`
    Device,
}

impl DeclarationKind {
    /// Every kind.
    pub const ALL: [DeclarationKind; 6] = {
        use DeclarationKind::*;
        [Budget, Outlet, Monitor, Explain, Experiment, Device]
    };

    /// Its keyword.
    pub fn keyword(self) -> &'static str {
        match self {
            DeclarationKind::Budget => "budget",
            DeclarationKind::Outlet => "outlet",
            DeclarationKind::Monitor => "monitor",
            DeclarationKind::Explain => "explain",
            DeclarationKind::Experiment => "experiment",
            DeclarationKind::Device => "device",
        }
    }

    /// The word before its target: `for`, `from`, or nothing.
    pub fn link(self) -> Option<&'static str> {
        match self {
            DeclarationKind::Budget | DeclarationKind::Device => None,
            DeclarationKind::Outlet => Some("from"),
            DeclarationKind::Monitor | DeclarationKind::Explain | DeclarationKind::Experiment => Some("for"),
        }
    }
}

/// What a declaration or a block inside one is made of.
#[derive(Clone, Debug, PartialEq)]
pub enum Member {
    /// `spend = Clinic`
    Entry(Entry),
    /// `latency p95 < 16ms`
    Limit(Limit),
    /// `explain grad_cam(layer = "features.18")`
    Apply(Apply),
    /// `drift Classify.scores { ... }`
    Block(Block),
}

impl Member {
    /// All of it.
    pub fn span(&self) -> Span {
        match self {
            Member::Entry(node) => node.span,
            Member::Limit(node) => node.span,
            Member::Apply(node) => node.span,
            Member::Block(node) => node.span,
        }
    }

    /// The word it starts with.
    pub fn keyword(&self) -> &Name {
        match self {
            Member::Entry(node) => &node.key,
            Member::Limit(node) => &node.subject,
            Member::Apply(node) => &node.keyword,
            Member::Block(node) => &node.keyword,
        }
    }
}

/// A bound on what is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// What is measured: `latency`.
    pub subject: Name,
    /// Which statistic of it: `p95`.
    pub statistic: Option<Name>,
    /// How it is compared.
    pub op: Operator,
    /// Where the operator stands.
    pub op_span: Span,
    /// With what.
    pub bound: Expr,
    /// All of it.
    pub span: Span,
}

/// A keyword and what it applies: a name, or a name with arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Apply {
    /// The keyword.
    pub keyword: Name,
    /// What is applied.
    pub callee: Path,
    /// Between the parentheses; none where there are no parentheses.
    pub arguments: Option<Vec<Argument>>,
    /// All of it.
    pub span: Span,
}

/// A block inside another: `quantize int8 { ... }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Its doc comment.
    pub doc: String,
    /// The keyword.
    pub keyword: Name,
    /// What stands between the keyword and the brace.
    pub subject: Option<Path>,
    /// What it holds.
    pub members: Vec<Member>,
    /// All of it.
    pub span: Span,
}
