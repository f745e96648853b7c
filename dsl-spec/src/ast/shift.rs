//! Moves a tree to another place of its file, after an edit before it.

use super::*;

/// What has places in a file.
pub(crate) trait Shift {
    /// Moves every place by so many bytes.
    fn shift(&mut self, by: i64);
}

impl Shift for Span {
    fn shift(&mut self, by: i64) {
        self.start.shift(by);
        self.end.shift(by);
    }
}

impl Shift for u32 {
    fn shift(&mut self, by: i64) {
        *self = (i64::from(*self) + by).max(0) as u32;
    }
}

impl<T: Shift> Shift for Vec<T> {
    fn shift(&mut self, by: i64) {
        self.iter_mut().for_each(|one| one.shift(by));
    }
}

impl<T: Shift> Shift for Option<T> {
    fn shift(&mut self, by: i64) {
        self.iter_mut().for_each(|one| one.shift(by));
    }
}

impl<T: Shift> Shift for Box<T> {
    fn shift(&mut self, by: i64) {
        (**self).shift(by);
    }
}

impl<A: Shift, B: Shift> Shift for (A, B) {
    fn shift(&mut self, by: i64) {
        self.0.shift(by);
        self.1.shift(by);
    }
}

/// The fields of each node that have places. A pattern without `..` makes the compiler name a field that is forgotten here.
macro_rules! nodes {
    ($($node:ident { $($field:ident),* $(; $($plain:ident),*)? })*) => {
        $(impl Shift for $node {
            fn shift(&mut self, by: i64) {
                let $node { $($field,)* $($($plain: _,)*)? } = self;
                $($field.shift(by);)*
            }
        })*
    };
}

nodes! {
    Name { span; text }
    Path { names, span }
    Text { span; value }
    Header { keyword, name, span }
    Edition { span; year }
    Use { source, names, span }
    Const { name, ty, value, span; doc }
    TypeAlias { name, ty, span; doc }
    LabelsItem { name, value, span; doc }
    Model { name, entries, inputs, outputs, states, blocks, layers, span; doc }
    Entry { key, value, span }
    Port { name, ty, span; doc }
    State { port, next }
    Layers { statements, span }
    Pipeline { name, params, params_end, result, body, span; doc, kind }
    Param { name, ty, default, span; public }
    Statement { binds, value, attributes, span }
    Test { name, expectations, span; doc }
    Hook { name, pipeline, entries, span; doc }
    Declaration { name, target, members, span; doc, kind }
    Limit { subject, statistic, op_span, bound, span; op }
    Apply { keyword, callee, arguments, span }
    Block { keyword, subject, members, span; doc }
    Expr { kind, span; height }
    Over { value, window }
    When { arms, otherwise }
    Arm { statements, value, span }
    ForEach { name, list, body }
    Loop { name, start, at_most, counting, until, body }
    RecordEntry { name, value }
    Call { callee, piped, arguments }
    Argument { name, value }
    Binary { left, op_span, right; op }
    Type { kind, attributes, span; optional }
    FieldType { name, ty; doc }
    DimBinary { left, right; op }
    Attribute { name, arguments, span }
}

impl Shift for Item {
    fn shift(&mut self, by: i64) {
        match self {
            Item::Edition(node) => node.shift(by),
            Item::Use(node) => node.shift(by),
            Item::Const(node) => node.shift(by),
            Item::Type(node) => node.shift(by),
            Item::Labels(node) => node.shift(by),
            Item::Model(node) => node.shift(by),
            Item::Pipeline(node) => node.shift(by),
            Item::Test(node) => node.shift(by),
            Item::Hook(node) => node.shift(by),
            Item::Declaration(node) => node.shift(by),
            Item::Broken(node) => node.shift(by),
        }
    }
}

impl Shift for UseSource {
    fn shift(&mut self, by: i64) {
        match self {
            UseSource::Module(path) => path.shift(by),
            UseSource::File(text) => text.shift(by),
        }
    }
}

impl Shift for Member {
    fn shift(&mut self, by: i64) {
        match self {
            Member::Entry(node) => node.shift(by),
            Member::Limit(node) => node.shift(by),
            Member::Apply(node) => node.shift(by),
            Member::Block(node) => node.shift(by),
        }
    }
}

impl Shift for ExprKind {
    fn shift(&mut self, by: i64) {
        match self {
            ExprKind::List(items) => items.shift(by),
            ExprKind::Record(entries) => entries.shift(by),
            ExprKind::Field(value, name) => {
                value.shift(by);
                name.shift(by);
            }
            ExprKind::Index(value, _) | ExprKind::Negate(value) => value.shift(by),
            ExprKind::Call(call) => call.shift(by),
            ExprKind::Binary(binary) => binary.shift(by),
            ExprKind::Over(over) => over.shift(by),
            ExprKind::When(when) => when.shift(by),
            ExprKind::ForEach(each) => each.shift(by),
            ExprKind::Parallel(statements) => statements.shift(by),
            ExprKind::Loop(node) => node.shift(by),
            ExprKind::Name(_) | ExprKind::Number(_) | ExprKind::Size { .. } | ExprKind::Text(_) | ExprKind::Broken => {}
        }
    }
}

impl Shift for TypeKind {
    fn shift(&mut self, by: i64) {
        match self {
            TypeKind::Tensor { dtype, dims } => {
                dtype.shift(by);
                dims.shift(by);
            }
            TypeKind::Record(fields) => fields.shift(by),
            TypeKind::Choice(options) => options.shift(by),
            TypeKind::Named { name, args } => {
                name.shift(by);
                args.shift(by);
            }
        }
    }
}

impl Shift for Dim {
    fn shift(&mut self, by: i64) {
        match self {
            Dim::Const(_, span) => span.shift(by),
            Dim::Symbol(name) | Dim::Rest(name) => name.shift(by),
            Dim::Field(path) => path.shift(by),
            Dim::Binary(binary) => binary.shift(by),
            Dim::AtMost(name, bound) => {
                name.shift(by);
                bound.shift(by);
            }
        }
    }
}

impl Shift for TypeArg {
    fn shift(&mut self, by: i64) {
        match self {
            TypeArg::Number(_, span) => span.shift(by),
            TypeArg::Path(path) => path.shift(by),
            TypeArg::Type(ty) => ty.shift(by),
        }
    }
}
