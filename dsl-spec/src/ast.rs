//! The syntax tree: one type a node, each with the bytes it covers. Names are not resolved and types are not checked here.

use crate::span::Span;
use crate::units::Unit;

/// A file: its items in source order, broken ones included.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct File {
    /// The items.
    pub items: Vec<Item>,
}

/// A top-level item.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// `edition 2026`
    Edition(Edition),
    /// `use std.vision.{ resize }`
    Use(Use),
    /// `model Name { ... }`
    Model(Model),
    /// `pipeline Name(...) -> Type { ... }`, or an `intrinsic pipeline` without a body.
    Pipeline(Pipeline),
    /// `test "what holds" { ... }`
    Test(Test),
    /// `hook useName for Pipeline { ... }`
    Hook(Hook),
    /// A block of the language that this compiler does not support yet.
    Unsupported(Header),
    /// An item with a syntax error, which is reported already.
    Broken(Header),
}

impl Item {
    /// The bytes of the item.
    pub fn span(&self) -> Span {
        match self {
            Item::Edition(node) => node.span,
            Item::Use(node) => node.span,
            Item::Model(node) => node.span,
            Item::Pipeline(node) => node.span,
            Item::Test(node) => node.span,
            Item::Hook(node) => node.span,
            Item::Unsupported(node) | Item::Broken(node) => node.span,
        }
    }
}

/// A name where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// The name.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// Names joined by dots; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The names.
    pub names: Vec<Name>,
    /// All of them.
    pub span: Span,
}

impl Path {
    /// As it is written, without white space.
    pub fn text(&self) -> String {
        let names: Vec<&str> = self.names.iter().map(|name| name.text.as_str()).collect();
        names.join(".")
    }
}

/// A string literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Its value, escapes resolved.
    pub value: String,
    /// The literal with its quotes.
    pub span: Span,
}

/// What is known of an item whose inside is not: enough to keep its name from being called unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The first word.
    pub keyword: Name,
    /// The name after it, where there is one.
    pub name: Option<Name>,
    /// The item.
    pub span: Span,
}

/// The edition line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edition {
    /// The year.
    pub year: u64,
    /// The item.
    pub span: Span,
}

/// An import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Where from.
    pub source: UseSource,
    /// What.
    pub names: Vec<Name>,
    /// The item.
    pub span: Span,
}

/// Where an import comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UseSource {
    /// A module of the standard library: `std.vision`.
    Module(Path),
    /// A file, relative to the one that names it: `"./clinic.mlp"`.
    File(Text),
}

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
    /// Blocks inside it that this compiler does not support yet.
    pub unsupported: Vec<Header>,
    /// The item.
    pub span: Span,
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

/// A pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Its doc comment.
    pub doc: String,
    /// Its name.
    pub name: Name,
    /// What it takes.
    pub params: Vec<Param>,
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

/// `@name(arguments)`
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// The name.
    pub name: Name,
    /// The arguments.
    pub arguments: Vec<Argument>,
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
    /// What must hold.
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

/// A type as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Type {
    /// What it is.
    pub kind: TypeKind,
    /// `@labels(...)`
    pub attributes: Vec<Attribute>,
    /// The type without its attributes.
    pub span: Span,
}

/// The forms of a type.
#[derive(Clone, Debug, PartialEq)]
pub enum TypeKind {
    /// `f32[N, 3]`
    Tensor {
        /// The element type.
        dtype: Name,
        /// The dimensions.
        dims: Vec<Dim>,
    },
    /// `{ top: label<M.out>, scores: f32[10] }`
    Record(Vec<FieldType>),
    /// `center | none`
    Choice(Vec<Name>),
    /// `number`, `image<rgb>`, `ranking<label<M.out>, 5>`
    Named {
        /// The name.
        name: Name,
        /// What stands between the angles.
        args: Vec<TypeArg>,
    },
}

/// A field of a record type.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldType {
    /// Its doc comment.
    pub doc: String,
    /// Its name.
    pub name: Name,
    /// Its type.
    pub ty: Type,
}

/// The size of a dimension as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// `224`
    Const(u64, Span),
    /// `N`
    Symbol(Name),
    /// `..S`: any number of dimensions.
    Rest(Name),
    /// `size.height`
    Field(Path),
}

impl Dim {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Dim::Const(_, span) => *span,
            Dim::Symbol(name) | Dim::Rest(name) => name.span,
            Dim::Field(path) => path.span,
        }
    }
}

/// An argument of a named type.
#[derive(Clone, Debug, PartialEq)]
pub enum TypeArg {
    /// `5`, `16kHz`
    Number(Number, Span),
    /// `rgb`, `Objects.logits`
    Path(Path),
    /// `label<Objects.logits>`
    Label(Name, Path),
}

impl TypeArg {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            TypeArg::Number(_, span) => *span,
            TypeArg::Path(path) => path.span,
            TypeArg::Label(name, path) => name.span.to(path.span),
        }
    }
}

/// A number with its unit, as written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number {
    /// The digits' value.
    pub value: f64,
    /// The unit.
    pub unit: Option<Unit>,
}

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// The bytes it covers.
    pub span: Span,
    /// The height of the tree below it: bounded, so that recursion over a tree is safe.
    pub(crate) height: u16,
}

/// The forms of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// `photo`
    Name(String),
    /// `127.5`, `16ms`
    Number(Number),
    /// `224x224`: width, then height.
    Size {
        /// The width.
        width: u32,
        /// The height.
        height: u32,
    },
    /// `"espresso"`
    Text(String),
    /// `[1, 2]`
    List(Vec<Expr>),
    /// `{ top = x, scores }`
    Record(Vec<RecordEntry>),
    /// `a.b`
    Field(Box<Expr>, Name),
    /// `a[0]`
    Index(Box<Expr>, u64),
    /// `f(x, k = 1)`; `x |> f(k = 1)` is the same call.
    Call(Box<Call>),
    /// `-a`
    Negate(Box<Expr>),
    /// `a + b`, `a == b`
    Binary(Box<Binary>),
    /// What a syntax error left.
    Broken,
}

/// An entry of a record expression.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordEntry {
    /// The field.
    pub name: Name,
    /// Its value; where none is written, what is called like the field.
    pub value: Option<Expr>,
}

/// A call.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What is called.
    pub callee: Expr,
    /// What stands left of `|>`.
    pub piped: Option<Expr>,
    /// What stands between the parentheses.
    pub arguments: Vec<Argument>,
}

/// An argument of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// The parameter, where it is named.
    pub name: Option<Name>,
    /// The value.
    pub value: Expr,
}

/// An operation of two operands.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The left operand.
    pub left: Expr,
    /// The operator.
    pub op: Operator,
    /// Where the operator stands.
    pub op_span: Span,
    /// The right operand.
    pub right: Expr,
}

/// Operators of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `in`
    In,
}

impl Operator {
    /// How it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Sub => "-",
            Operator::Mul => "*",
            Operator::Div => "/",
            Operator::Eq => "==",
            Operator::Ne => "!=",
            Operator::Lt => "<",
            Operator::Le => "<=",
            Operator::Gt => ">",
            Operator::Ge => ">=",
            Operator::In => "in",
        }
    }

    /// The operator that is written so.
    pub fn from_symbol(symbol: &str) -> Option<Operator> {
        use Operator::*;
        [Add, Sub, Mul, Div, Eq, Ne, Lt, Le, Gt, Ge, In].into_iter().find(|op| op.symbol() == symbol)
    }
}
