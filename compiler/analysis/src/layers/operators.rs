//! Arithmetic and comparisons in layers.

use super::elaborate::{Elaborator, Item};
use crate::network::{NetworkOp, Operand};
use crate::program::Value;
use crate::shapes;
use crate::types::{Labels, TensorType, Type};
use mlp_syntax::ast::{self, Expr, Operator};
use mlp_syntax::{Code, Diagnostic, Span};

impl Elaborator<'_, '_> {
    pub(super) fn negate(&mut self, value: &Expr, span: Span) -> Item {
        let item = self.expr(value, None);
        match &item {
            Item::Constant(Value::Number(number, dimension), ty) => Item::Constant(Value::Number(-number, *dimension), ty.clone()),
            Item::Tensor(value, tensor) if tensor.dtype.is_float() => {
                let name = self.named("-");
                let operands = vec![("value".to_owned(), Operand::Value(*value))];
                self.push(NetworkOp::Negate, operands, Vec::new(), tensor.clone(), name, self.place(span))
            }
            Item::Unknown => Item::Unknown,
            other => {
                let diagnostic = Diagnostic::new(Code::E0208, format!("`-` takes no {}", self.show(other)));
                let diagnostic = diagnostic.label(self.place(value.span), "expected a number or a tensor of floats");
                self.report(diagnostic.help("remove the sign"));
                Item::Unknown
            }
        }
    }

    pub(super) fn binary(&mut self, binary: &ast::Binary, span: Span) -> Item {
        // A word is known by the choice that it is compared with.
        let right_first = self.choice(&binary.right);
        let left = self.expr(&binary.left, right_first.as_ref());
        let wanted = match &left {
            Item::Constant(_, ty @ Type::Choice(_)) => Some(ty.clone()),
            _ => None,
        };
        let right = self.expr(&binary.right, wanted.as_ref());
        match (&left, &right) {
            (Item::Unknown, _) | (_, Item::Unknown) => Item::Unknown,
            _ if !matches!(binary.op, Operator::Add | Operator::Sub | Operator::Mul | Operator::Div) => self.compare(binary, &left, &right),
            (Item::Constant(Value::Number(a, None), _), Item::Constant(Value::Number(b, None), _)) => self.fold(binary, *a, *b),
            (Item::Tensor(_, tensor), Item::Constant(Value::Number(_, None), _))
            | (Item::Constant(Value::Number(_, None), _), Item::Tensor(_, tensor))
                if tensor.dtype.is_float() =>
            {
                let ty = tensor.clone();
                self.arithmetic(binary.op, &left, &right, ty, span)
            }
            (Item::Tensor(_, a), Item::Tensor(_, b)) if a.dtype == b.dtype && a.dtype.is_float() && a.dims == b.dims => {
                let ty = TensorType { labels: Labels::None, ..a.clone() };
                self.arithmetic(binary.op, &left, &right, ty, span)
            }
            _ => {
                self.bad_operands(binary, &left, &right);
                Item::Unknown
            }
        }
    }

    /// The choice that a parameter is.
    fn choice(&self, node: &Expr) -> Option<Type> {
        let ast::ExprKind::Name(name) = &node.kind else { return None };
        match self.env.values.iter().rev().find(|(known, _)| known == name)? {
            (_, Item::Constant(_, ty @ Type::Choice(_))) => Some(ty.clone()),
            _ => None,
        }
    }

    fn fold(&mut self, binary: &ast::Binary, a: f64, b: f64) -> Item {
        let value = match binary.op {
            Operator::Add => a + b,
            Operator::Sub => a - b,
            Operator::Mul => a * b,
            _ => a / b,
        };
        if value.is_finite() {
            return Item::Constant(Value::Number(value, None), Type::Number);
        }
        let diagnostic = Diagnostic::new(Code::E0011, format!("`{a} {} {b}` is no number", binary.op.symbol()));
        let diagnostic = diagnostic.label(self.place(binary.op_span), "this is out of range");
        self.report(diagnostic.help("divide by another number than 0"));
        Item::Unknown
    }

    fn arithmetic(&mut self, op: Operator, left: &Item, right: &Item, ty: TensorType, span: Span) -> Item {
        let operands = vec![("left".to_owned(), left.operand()), ("right".to_owned(), right.operand())];
        let name = self.named(op.symbol());
        self.push(NetworkOp::Arithmetic(op), operands, Vec::new(), ty, name, self.place(span))
    }

    fn named(&self, what: &str) -> String {
        if self.env.path.is_empty() { what.to_owned() } else { format!("{} {what}", self.env.path) }
    }

    fn bad_operands(&mut self, binary: &ast::Binary, left: &Item, right: &Item) {
        let (a, b) = (self.show(left), self.show(right));
        let mut diagnostic = Diagnostic::new(Code::E0208, format!("`{}` does not take {a} and {b}", binary.op.symbol()));
        diagnostic = diagnostic.label(self.place(binary.op_span), "expected tensors of floats of one shape, or a tensor and a number");
        let mut help = "nothing is converted or stretched by itself; bring both sides to one shape".to_owned();
        if let (Item::Tensor(_, x), Item::Tensor(_, y)) = (left, right) {
            let (x, y) = (Type::Tensor(x.clone()), Type::Tensor(y.clone()));
            help = format!("{help}\n  {}", shapes::sides(self.checker, &x, &y));
            diagnostic = self.with_maker(diagnostic, left);
            diagnostic = self.with_maker(diagnostic, right);
        }
        self.report(diagnostic.help(help));
    }

    fn compare(&mut self, binary: &ast::Binary, left: &Item, right: &Item) -> Item {
        let (Item::Constant(a, _), Item::Constant(b, _)) = (left, right) else { return self.incomparable(binary, left, right) };
        let truth = match (a, b, binary.op) {
            (Value::Number(a, x), Value::Number(b, y), op) if x == y => match op {
                Operator::Eq => a == b,
                Operator::Ne => a != b,
                Operator::Lt => a < b,
                Operator::Le => a <= b,
                Operator::Gt => a > b,
                Operator::Ge => a >= b,
                _ => return Item::Unknown,
            },
            (Value::Choice(_), Value::Choice(_), Operator::Eq)
            | (Value::Text(_), Value::Text(_), Operator::Eq)
            | (Value::Size { .. }, Value::Size { .. }, Operator::Eq) => a == b,
            (Value::Choice(_), Value::Choice(_), Operator::Ne)
            | (Value::Text(_), Value::Text(_), Operator::Ne)
            | (Value::Size { .. }, Value::Size { .. }, Operator::Ne) => a != b,
            _ => return self.incomparable(binary, left, right),
        };
        Item::Truth(truth)
    }

    fn incomparable(&mut self, binary: &ast::Binary, left: &Item, right: &Item) -> Item {
        if binary.op == Operator::In {
            return Item::Unknown;
        }
        let (a, b) = (self.show(left), self.show(right));
        let diagnostic = Diagnostic::new(Code::E0208, format!("`{}` does not compare {a} with {b} in layers", binary.op.symbol()));
        let diagnostic = diagnostic.label(self.place(binary.op_span), "expected two numbers, sizes or words that are known when compiling");
        self.report(diagnostic.help("compare two values of one type, such as `stride == 1`"));
        Item::Unknown
    }
}
