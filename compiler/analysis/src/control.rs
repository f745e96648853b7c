//! Control flow inside expressions: `when`, `for each`, `parallel` and `loop`.

use crate::expressions::BodyChecker;
use crate::program::{Block, Expr, ExprKind, Local, Loop, Value};
use crate::types::Type;
use crate::unify::assignable;
use mlp_bundle::DType;
use mlp_syntax::ast::{self, Arm};
use mlp_syntax::{Code, Diagnostic, Span};

/// The most rounds of a loop, and the most values that a list is known to hold.
const MAX_ROUNDS: f64 = 1e6;

type Typed = (ExprKind, Type);
const BROKEN: Typed = (ExprKind::Broken, Type::Unknown);

impl BodyChecker<'_, '_> {
    pub(crate) fn when(&mut self, node: &ast::When, wanted: Option<&Type>) -> Typed {
        let mut arms: Vec<(Expr, Expr)> = Vec::new();
        let mut broken = false;
        for (condition, arm) in &node.arms {
            let condition = self.condition(condition);
            broken |= condition.is_none();
            let value = self.arm(arm, wanted);
            if let Some(condition) = condition {
                arms.push((condition, value));
            }
        }
        let otherwise = self.arm(&node.otherwise, wanted);
        let values = arms.iter().map(|(_, value)| value).chain([&otherwise]);
        let Some(ty) = self.one_type(values.collect(), node) else { return BROKEN };
        if broken { (ExprKind::Broken, ty) } else { (ExprKind::When { arms, otherwise: Box::new(otherwise) }, ty) }
    }

    /// The type that all arms have.
    fn one_type(&mut self, values: Vec<&Expr>, node: &ast::When) -> Option<Type> {
        let known: Vec<&&Expr> = values.iter().filter(|value| value.ty != Type::Unknown).collect();
        let first = known.first()?;
        // The arm that may give nothing, or the longer list, is what all of them fit.
        let ty = known.iter().map(|value| &value.ty).find(|ty| known.iter().all(|value| assignable(ty, &value.ty).is_ok()));
        if let Some(ty) = ty {
            return Some(ty.clone());
        }
        let other = known.iter().find(|value| assignable(&first.ty, &value.ty).is_err())?;
        let (a, b) = (self.checker.show(&first.ty), self.checker.show(&other.ty));
        let mut help = format!(
            "give both arms one type; nothing is converted by itself\n  {}",
            crate::shapes::aligned(self.checker, &first.ty, &other.ty)
        );
        if let (Type::Tensor(_), Type::Tensor(_)) = (&first.ty, &other.ty) {
            help = format!("{help}; {}", self.shape_help(&first.ty, &other.ty));
        }
        let diagnostic = Diagnostic::new(Code::E0214, "the arms of `when` have different types")
            .label(other.at, format!("this is {b}"))
            .label(first.at, format!("this is {a}"))
            .help(help);
        let _ = node;
        self.checker.report(diagnostic);
        None
    }

    /// A truth value.
    fn condition(&mut self, node: &ast::Expr) -> Option<Expr> {
        let value = self.expr(node, None);
        if value.ty == Type::truth() {
            return Some(value);
        }
        if value.ty != Type::Unknown {
            let shown = self.checker.show(&value.ty);
            let diagnostic = Diagnostic::new(Code::E0201, format!("a condition is a truth value, not {shown}"))
                .label(value.at, format!("this is {shown}"));
            self.checker.report(diagnostic.help("compare it with something, such as `value > 0.5`"));
        }
        None
    }

    /// The value of a block, with the bindings that it needs.
    pub(crate) fn arm(&mut self, arm: &Arm, wanted: Option<&Type>) -> Expr {
        let base = self.depth();
        let mut locals: Vec<Local> = Vec::new();
        for statement in &arm.statements {
            let attributes = self.attributes(&statement.attributes);
            let Some(name) = &statement.binds else { continue };
            let value = self.expr(&statement.value, None);
            self.bind(name, &value);
            locals.push(Local { name: name.text.clone(), value, attributes });
        }
        let result = self.expr(&arm.value, wanted);
        self.leave(base);
        if locals.is_empty() {
            return result;
        }
        let (ty, at) = (result.ty.clone(), self.place(arm.span));
        Expr { kind: ExprKind::Block(Box::new(Block { locals, result })), ty, at }
    }

    pub(crate) fn for_each(&mut self, node: &ast::ForEach) -> Typed {
        let list = self.expr(&node.list, None);
        let item = match &list.ty {
            Type::List { item, .. } | Type::Stream(item) => item.as_ref().clone(),
            Type::Unknown => Type::Unknown,
            other => {
                let shown = self.checker.show(other);
                let diagnostic = Diagnostic::new(Code::E0201, format!("`for each` goes through a list, not {shown}"))
                    .label(list.at, format!("this is {shown}"));
                self.checker.report(diagnostic.help("give it a value of type `list<...>` or `stream<...>`"));
                Type::Unknown
            }
        };
        let base = self.depth();
        self.bind_type(&node.name, item);
        let body = self.arm(&node.body, None);
        self.leave(base);
        let ty = match (&list.ty, body.ty.clone()) {
            (_, Type::Unknown) => return BROKEN,
            (_, ty) if ty.is_constant() => {
                let shown = self.checker.show(&ty);
                let diagnostic =
                    Diagnostic::new(Code::E0201, format!("a list holds no {shown}")).label(body.at, "this is known when compiling");
                self.checker.report(diagnostic.help("make something of each value"));
                return BROKEN;
            }
            (Type::List { most, .. }, ty) => Type::List { item: Box::new(ty), most: *most },
            (Type::Stream(_), ty) => Type::Stream(Box::new(ty)),
            _ => return BROKEN,
        };
        (ExprKind::ForEach { list: Box::new(list), body: Box::new(body) }, ty)
    }

    /// A record of what the statements bind; none of them sees another.
    pub(crate) fn parallel(&mut self, statements: &[ast::Statement], span: Span) -> Typed {
        let mut fields: Vec<(String, Expr)> = Vec::new();
        for statement in statements {
            let attributes = self.attributes(&statement.attributes);
            let Some(name) = &statement.binds else { continue };
            let value = self.expr(&statement.value, None);
            if fields.iter().any(|(known, _)| *known == name.text) {
                let diagnostic = Diagnostic::new(Code::E0102, format!("`{}` is defined twice", name.text));
                self.checker.report(diagnostic.label(self.place(name.span), "defined again here").help("give one of them another name"));
                continue;
            }
            // What is said of how a part runs stays with it.
            let value = if attributes.is_empty() {
                value
            } else {
                let (ty, at, index) = (value.ty.clone(), value.at, self.depth());
                let result = Expr { kind: ExprKind::Local(index), ty: ty.clone(), at };
                let locals = vec![Local { name: name.text.clone(), value, attributes }];
                Expr { kind: ExprKind::Block(Box::new(Block { locals, result })), ty, at }
            };
            fields.push((name.text.clone(), value));
        }
        if fields.is_empty() {
            let diagnostic =
                Diagnostic::new(Code::E0201, "`parallel` computes nothing").label(self.place(span), "expected a statement in it");
            self.checker.report(diagnostic.help("write `parallel { a = First(x), b = Second(x) }`"));
            return BROKEN;
        }
        let ty = Type::Record(fields.iter().map(|(name, value)| (name.clone(), value.ty.clone())).collect());
        self.bounded_type((ExprKind::Record(fields), ty), span)
    }

    pub(crate) fn bounded_loop(&mut self, node: &ast::Loop) -> Typed {
        let start = self.expr(&node.start, None);
        let at_most = self.rounds(&node.at_most);
        let base = self.depth();
        self.bind_type(&node.name, start.ty.clone());
        if let Some(counting) = &node.counting {
            self.bind_type(counting, Type::scalar(DType::I32));
        }
        self.use_all(base);
        let body = self.arm(&node.body, Some(&start.ty.clone()));
        let until = node.until.as_ref().map(|until| self.condition(until));
        self.leave(base);
        if start.ty.is_constant() {
            let shown = self.checker.show(&start.ty);
            let diagnostic = Diagnostic::new(Code::E0201, format!("a loop changes a value that is known when running, not {shown}"))
                .label(start.at, format!("this is {shown}"));
            self.checker.report(diagnostic.help("start with a tensor or another value of the pipeline"));
            return BROKEN;
        }
        if let Err(misfit) = assignable(&start.ty, &body.ty) {
            let (first, place) = (self.checker.show(&start.ty), start.at);
            let ty = start.ty.clone();
            let diagnostic = self.misfit(&misfit, &ty, &body);
            let message = format!("a loop's value keeps its type: {}", diagnostic.message);
            self.checker.report(Diagnostic { message, ..diagnostic }.label(place, format!("it starts as {first}")));
            return BROKEN;
        }
        let (Some(at_most), false) = (at_most, matches!(until, Some(None))) else { return (ExprKind::Broken, start.ty) };
        if start.ty == Type::Unknown || body.ty == Type::Unknown {
            return BROKEN;
        }
        let ty = start.ty.clone();
        (ExprKind::Loop(Box::new(Loop { start, at_most, counts: node.counting.is_some(), until: until.flatten(), body })), ty)
    }

    /// How many rounds a loop has at most.
    fn rounds(&mut self, node: &ast::Expr) -> Option<u64> {
        let value = self.expr(node, Some(&Type::Number));
        match (&value.kind, &value.ty) {
            (ExprKind::Value(Value::Number(rounds, None)), _) if *rounds >= 1.0 && *rounds <= MAX_ROUNDS && rounds.fract() == 0.0 => {
                Some(*rounds as u64)
            }
            (_, Type::Unknown) => None,
            _ => {
                let diagnostic = Diagnostic::new(Code::E0211, "nobody knows how often this loop runs")
                    .label(value.at, "expected a whole number from 1 to 1000000, known when compiling");
                self.checker.report(diagnostic.help("write a number or the name of a constant"));
                None
            }
        }
    }
}
