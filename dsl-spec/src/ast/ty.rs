//! Types, dimensions and attributes.

use super::{Argument, Name, Number, Operator, Path};
use crate::span::Span;

/// A type as it is written.
#[derive(Clone, Debug, PartialEq)]
pub struct Type {
    /// What it is.
    pub kind: TypeKind,
    /// Followed by `?`: there may be no value.
    pub optional: bool,
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
#[derive(Clone, Debug, PartialEq)]
pub enum Dim {
    /// `224`
    Const(u64, Span),
    /// `N`
    Symbol(Name),
    /// `..S`: any number of dimensions.
    Rest(Name),
    /// `size.height`
    Field(Path),
    /// `W + 1`
    Binary(Box<DimBinary>),
    /// `N <= 8`: a symbol with the largest size it may have.
    AtMost(Name, Box<Dim>),
}

/// Arithmetic on sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct DimBinary {
    /// The left operand.
    pub left: Dim,
    /// `+`, `-`, `*` or `/`.
    pub op: Operator,
    /// The right operand.
    pub right: Dim,
}

impl Dim {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            Dim::Const(_, span) => *span,
            Dim::Symbol(name) | Dim::Rest(name) => name.span,
            Dim::Field(path) => path.span,
            Dim::Binary(binary) => binary.left.span().to(binary.right.span()),
            Dim::AtMost(name, bound) => name.span.to(bound.span()),
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
    /// `label<Objects.logits>`, `f32[10]`; a plain name is a [`TypeArg::Path`].
    Type(Type),
}

impl TypeArg {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            TypeArg::Number(_, span) => *span,
            TypeArg::Path(path) => path.span,
            TypeArg::Type(ty) => ty.span,
        }
    }
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
