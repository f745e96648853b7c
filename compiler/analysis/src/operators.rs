//! Operators: arithmetic, comparisons, signs and indices.

use crate::expressions::BodyChecker;
use crate::program::{Expr, ExprKind, Value};
use crate::shapes;
use crate::types::{Dim, Labels, TensorType, Type};
use mlp_syntax::ast::{self, Operator};
use mlp_syntax::{Code, Diagnostic, Span};

type Typed = (ExprKind, Type);
const BROKEN: Typed = (ExprKind::Broken, Type::Unknown);

impl BodyChecker<'_, '_> {
    pub(crate) fn negate(&mut self, value: &ast::Expr) -> Typed {
        let value = self.expr(value, None);
        match (&value.kind, &value.ty) {
            (ExprKind::Value(Value::Number(number, dimension)), ty) => (ExprKind::Value(Value::Number(-number, *dimension)), ty.clone()),
            (_, Type::Number | Type::Quantity(_)) => {
                let ty = value.ty.clone();
                (ExprKind::Negate(Box::new(value)), ty)
            }
            (_, Type::Tensor(tensor)) if tensor.dtype.is_float() || tensor.dtype.is_signed_int() => {
                // The order of scores is turned round, but positions mean what they meant.
                let ty = value.ty.clone();
                (ExprKind::Negate(Box::new(value)), ty)
            }
            (_, Type::Unknown) => BROKEN,
            (_, ty) => {
                let shown = self.checker.show(ty);
                let diagnostic = Diagnostic::new(Code::E0208, format!("`-` takes no {shown}"))
                    .label(value.at, "expected a number or a tensor of signed numbers");
                self.checker.report(diagnostic.help("remove the sign"));
                BROKEN
            }
        }
    }

    pub(crate) fn binary(&mut self, binary: &ast::Binary) -> Typed {
        let left = self.expr(&binary.left, None);
        let right = self.expr(&binary.right, None);
        if left.ty == Type::Unknown || right.ty == Type::Unknown {
            return BROKEN;
        }
        if !matches!(binary.op, Operator::Add | Operator::Sub | Operator::Mul | Operator::Div) {
            return self.compare(binary, left, right);
        }
        match arithmetic_type(binary.op, &left.ty, &right.ty) {
            Some(ty) => match fold(binary.op, &left, &right) {
                Some(value) => (ExprKind::Value(value), ty),
                None => (ExprKind::Arithmetic { op: binary.op, left: Box::new(left), right: Box::new(right) }, ty),
            },
            None => {
                self.bad_operands(binary, &left, &right);
                BROKEN
            }
        }
    }

    fn bad_operands(&mut self, binary: &ast::Binary, left: &Expr, right: &Expr) {
        let (a, b) = (self.checker.show(&left.ty), self.checker.show(&right.ty));
        let mut diagnostic = Diagnostic::new(Code::E0208, format!("`{}` does not take {a} and {b}", binary.op.symbol()))
            .label(self.place(binary.op_span), "expected tensors of floats of one shape, or a tensor and a number");
        let mut help = "nothing is converted or stretched by itself; bring both sides to one type".to_owned();
        if let (Type::Tensor(_), Type::Tensor(_)) = (&left.ty, &right.ty) {
            help = format!("{help}\n  {}", shapes::sides(self.checker, &left.ty, &right.ty));
            for side in [left, right] {
                if let Some((maker, place)) = self.maker(side) {
                    diagnostic = diagnostic.label(place, format!("`{maker}` makes {}", self.checker.show(&side.ty)));
                }
            }
        }
        self.checker.report(diagnostic.help(help));
    }

    /// A truth value: single numbers are compared by size, labels and texts by being the same.
    fn compare(&mut self, binary: &ast::Binary, left: Expr, right: Expr) -> Typed {
        let place = self.place(binary.op_span);
        if binary.op == Operator::In {
            let diagnostic = Diagnostic::new(Code::E0208, "`in` stands in tests alone").label(place, "not read here");
            self.checker.report(diagnostic.help("compare with `==`"));
            return BROKEN;
        }
        let is_number = |ty: &Type| match ty {
            Type::Number => true,
            Type::Tensor(tensor) => tensor.dims.is_empty() && tensor.dtype != mlp_bundle::DType::Bool,
            _ => false,
        };
        let same_only = matches!(binary.op, Operator::Eq | Operator::Ne);
        let fits = match (&left.ty, &right.ty) {
            (Type::Tensor(a), Type::Tensor(b)) if is_number(&left.ty) && is_number(&right.ty) => a.dtype == b.dtype,
            (a, b) if is_number(a) && is_number(b) => true,
            (Type::Quantity(a), Type::Quantity(b)) => a == b,
            (Type::Label(labels), Type::String) if same_only => return self.compare_label(binary.op, labels.clone(), left, right),
            (Type::Label(a), Type::Label(b)) => same_only && a == b,
            (Type::Text | Type::String, Type::Text | Type::String) => same_only,
            _ => false,
        };
        if fits {
            return (ExprKind::Compare { op: binary.op, left: Box::new(left), right: Box::new(right) }, Type::truth());
        }
        let (a, b) = (self.checker.show(&left.ty), self.checker.show(&right.ty));
        let whole = [&left.ty, &right.ty].into_iter().any(|ty| matches!(ty, Type::Tensor(tensor) if !tensor.dims.is_empty()));
        let help =
            if whole { "compare a single number: `scores.max() > 0.5`, or `scores[0] > 0.5`" } else { "compare two values of one type" };
        let diagnostic = Diagnostic::new(Code::E0208, format!("`{}` does not compare {a} with {b}", binary.op.symbol()));
        self.checker.report(diagnostic.label(place, "expected single numbers, or two labels or texts").help(help));
        BROKEN
    }

    fn compare_label(&mut self, op: Operator, labels: Labels, left: Expr, right: Expr) -> Typed {
        if let ExprKind::Value(Value::Text(text)) = &right.kind
            && crate::expectations::known_label(self.checker, &labels, text, right.at).is_none()
        {
            return BROKEN;
        }
        (ExprKind::Compare { op, left: Box::new(left), right: Box::new(right) }, Type::truth())
    }

    pub(crate) fn index(&mut self, node: &ast::Expr, index: u64, span: Span) -> Typed {
        let value = self.expr(node, None);
        let ty = match &value.ty {
            Type::Tensor(tensor) if !tensor.dims.is_empty() && !matches!(tensor.dims[0], Dim::Rest(_)) => {
                if let Dim::Const(size) = tensor.dims[0]
                    && index >= size
                {
                    let diagnostic = Diagnostic::new(Code::E0202, format!("there are {size} elements, counted from 0"))
                        .label(self.place(span), format!("there is no element {index}"));
                    self.checker.report(diagnostic.help(format!("write an index from 0 to {}", size.saturating_sub(1))));
                    return BROKEN;
                }
                let labels = if tensor.dims.len() > 1 { tensor.labels.clone() } else { Labels::None };
                Type::Tensor(TensorType { dtype: tensor.dtype, dims: tensor.dims[1..].to_vec(), labels })
            }
            // A list may be shorter than it could be.
            Type::List { item, .. } => match item.as_ref() {
                optional @ Type::Optional(_) => optional.clone(),
                item => Type::Optional(Box::new(item.clone())),
            },
            Type::Ranking { labels, .. } => Type::Label(labels.clone()),
            Type::Unknown => return BROKEN,
            other => {
                let shown = self.checker.show(other);
                let diagnostic = Diagnostic::new(Code::E0208, format!("{shown} has no elements"))
                    .label(self.place(span), "expected a tensor with dimensions, a list or a ranking");
                self.checker.report(diagnostic.help("remove the index"));
                return BROKEN;
            }
        };
        (ExprKind::Index(Box::new(value), index), ty)
    }
}

/// The type of arithmetic on two types, where there is one.
fn arithmetic_type(op: Operator, left: &Type, right: &Type) -> Option<Type> {
    let scales = matches!(op, Operator::Mul | Operator::Div);
    match (left, right) {
        (Type::Number, Type::Number) => Some(Type::Number),
        (Type::Quantity(dimension), Type::Number) if scales => Some(Type::Quantity(*dimension)),
        (Type::Number, Type::Quantity(dimension)) if op == Operator::Mul => Some(Type::Quantity(*dimension)),
        (Type::Quantity(a), Type::Quantity(b)) if a == b && op == Operator::Div => Some(Type::Number),
        (Type::Quantity(a), Type::Quantity(b)) if a == b && !scales => Some(Type::Quantity(*a)),
        (Type::Tensor(tensor), Type::Number) | (Type::Number, Type::Tensor(tensor)) if tensor.dtype.is_float() => {
            Some(Type::Tensor(tensor.clone()))
        }
        (Type::Tensor(a), Type::Tensor(b)) if a.dtype == b.dtype && a.dtype.is_float() && a.dims == b.dims => {
            let labels = if a.labels == b.labels { a.labels.clone() } else { Labels::None };
            Some(Type::Tensor(TensorType { labels, ..a.clone() }))
        }
        _ => None,
    }
}

/// The value of arithmetic on two numbers that are known.
fn fold(op: Operator, left: &Expr, right: &Expr) -> Option<Value> {
    let (ExprKind::Value(Value::Number(a, x)), ExprKind::Value(Value::Number(b, y))) = (&left.kind, &right.kind) else { return None };
    let value = match op {
        Operator::Add => a + b,
        Operator::Sub => a - b,
        Operator::Mul => a * b,
        Operator::Div => a / b,
        _ => return None,
    };
    let dimension = if op == Operator::Div && y.is_some() { None } else { x.or(*y) };
    value.is_finite().then_some(Value::Number(value, dimension))
}
