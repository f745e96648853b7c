//! The syntax tree: one type a node, each with the bytes it covers. Names are not resolved and types are not checked here.

mod block;
mod expr;
mod shift;
mod ty;

pub use block::*;
pub use expr::*;
pub(crate) use shift::Shift;
pub use ty::*;

use crate::span::Span;

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
    /// `const classes = 1000`
    Const(Const),
    /// `type Finding = { ... }`
    Type(TypeAlias),
    /// `labels Colours = ["red", "green"]`
    Labels(LabelsItem),
    /// `model Name { ... }`
    Model(Model),
    /// `pipeline Name(...) -> Type { ... }` or `layer Name(...) -> Type { ... }`, or an `intrinsic` one without a body.
    Pipeline(Pipeline),
    /// `test "what holds" { ... }`
    Test(Test),
    /// `hook useName for Pipeline { ... }`
    Hook(Hook),
    /// `budget`, `outlet`, `monitor`, `explain`, `experiment` and `device`.
    Declaration(Declaration),
    /// An item with a syntax error, which is reported already.
    Broken(Header),
}

impl Item {
    /// The bytes of the item.
    pub fn span(&self) -> Span {
        match self {
            Item::Edition(node) => node.span,
            Item::Use(node) => node.span,
            Item::Const(node) => node.span,
            Item::Type(node) => node.span,
            Item::Labels(node) => node.span,
            Item::Model(node) => node.span,
            Item::Pipeline(node) => node.span,
            Item::Test(node) => node.span,
            Item::Hook(node) => node.span,
            Item::Declaration(node) => node.span,
            Item::Broken(node) => node.span,
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

/// A value with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Const {
    /// Its doc comment.
    pub doc: String,
    /// Its name.
    pub name: Name,
    /// Its type, where one is written.
    pub ty: Option<Type>,
    /// Its value.
    pub value: Expr,
    /// The item.
    pub span: Span,
}

/// A type with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct TypeAlias {
    /// Its doc comment.
    pub doc: String,
    /// Its name.
    pub name: Name,
    /// What it stands for.
    pub ty: Type,
    /// The item.
    pub span: Span,
}

/// A set of labels with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelsItem {
    /// Its doc comment.
    pub doc: String,
    /// Its name.
    pub name: Name,
    /// A list of strings, or the path of a file with one label a line.
    pub value: Expr,
    /// The item.
    pub span: Span,
}
