//! Expressions.

use super::{Name, Statement};
use crate::span::Span;
use crate::units::Unit;

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
    /// `1% over lifetime`: a value for each stretch of time.
    Over(Box<Over>),
    /// `when a { x } else { y }`
    When(Box<When>),
    /// `for each x in xs { y }`
    ForEach(Box<ForEach>),
    /// `parallel { a = x, b = y }`: a record of what its statements bind, which do not see each other.
    Parallel(Vec<Statement>),
    /// `loop x = start at_most 8 { y }`
    Loop(Box<Loop>),
    /// What a syntax error left.
    Broken,
}

/// A value for each stretch of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Over {
    /// The value.
    pub value: Expr,
    /// The stretch of time: a duration, or `lifetime`.
    pub window: Expr,
}

/// A choice among blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct When {
    /// A condition and what is taken where it is the first that holds; at least one.
    pub arms: Vec<(Expr, Arm)>,
    /// What is taken where none holds.
    pub otherwise: Arm,
}

/// `{ name = value ... value }`: statements, then the block's value.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// The statements; each binds a name.
    pub statements: Vec<Statement>,
    /// The value.
    pub value: Expr,
    /// The block with its braces.
    pub span: Span,
}

/// The same for each element of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct ForEach {
    /// The element's name.
    pub name: Name,
    /// The list.
    pub list: Expr,
    /// What is made of an element.
    pub body: Arm,
}

/// A bounded loop: the block makes the next value of the value before it.
#[derive(Clone, Debug, PartialEq)]
pub struct Loop {
    /// The value's name.
    pub name: Name,
    /// Its first value.
    pub start: Expr,
    /// The most rounds.
    pub at_most: Expr,
    /// The name of the round's number, from 0.
    pub counting: Option<Name>,
    /// Asked after each round: true ends the loop.
    pub until: Option<Expr>,
    /// What is made of the value.
    pub body: Arm,
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
