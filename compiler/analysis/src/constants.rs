//! Values with names. Each is evaluated after those that it uses, whatever their order in the files.

use crate::checker::{Checker, at};
use crate::expressions::BodyChecker;
use crate::program::{ConstId, ExprKind, Value};
use crate::scope::Symbol;
use crate::signature::{self, SignatureNames};
use crate::types::Type;
use mlp_syntax::ast::{self, Const, Expr, Item};
use mlp_syntax::{Code, Diagnostic, FileId, Location, Span};
use std::rc::Rc;

/// Fills in every constant.
pub(crate) fn check_all(checker: &mut Checker<'_>) {
    let nodes = nodes(checker);
    let uses: Vec<Vec<(usize, Location)>> = nodes.iter().map(|(file, node)| uses(checker, *file, node)).collect();
    let mut state = vec![State::New; nodes.len()];
    for start in 0..nodes.len() {
        // Constants on the way with how many of their uses were followed: explicit, because chains may be long.
        let mut path = vec![(start, 0)];
        if state[start] != State::New {
            continue;
        }
        state[start] = State::Open;
        while let Some((index, followed)) = path.last_mut() {
            let index = *index;
            let Some(&(next, place)) = uses[index].get(*followed) else {
                if state[index] == State::Open {
                    let (file, node) = &nodes[index];
                    evaluate(checker, *file, index, node);
                }
                state[index] = State::Done;
                path.pop();
                continue;
            };
            *followed += 1;
            match state[next] {
                State::New => {
                    state[next] = State::Open;
                    path.push((next, 0));
                }
                State::Open => {
                    let circle: Vec<usize> = path.iter().map(|(index, _)| *index).skip_while(|index| *index != next).collect();
                    report_circle(checker, &circle, place);
                    circle.iter().for_each(|index| state[*index] = State::Circular);
                }
                State::Circular | State::Done => {}
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    /// On a circle: it has no value.
    Circular,
    Done,
}

fn nodes(checker: &Checker<'_>) -> Vec<(FileId, Rc<Const>)> {
    let mut nodes = Vec::new();
    for (file, tree) in checker.trees.iter().enumerate() {
        let consts = tree.items.iter().filter_map(|item| match item {
            Item::Const(node) => Some((FileId(file as u32), Rc::new(node.clone()))),
            _ => None,
        });
        nodes.extend(consts);
    }
    nodes
}

/// The constants that a constant's value and type name, with the places.
fn uses(checker: &Checker<'_>, file: FileId, node: &Const) -> Vec<(usize, Location)> {
    let mut names: Vec<(FileId, String, Span)> = Vec::new();
    expression_names(&node.value, &mut |name, span| names.push((file, name.to_owned(), span)));
    let mut seen = Vec::new();
    if let Some(ty) = &node.ty {
        type_names(checker, file, ty, &mut seen, &mut names);
    }
    let find = |(file, name, span): &(FileId, String, Span)| match checker.scopes.get(file.0 as usize)?.peek(name)? {
        Symbol::Const(id) => Some((id.0 as usize, at(*file, *span))),
        _ => None,
    };
    names.iter().filter_map(find).collect()
}

/// Calls `found` with every name that an expression of constants may use.
fn expression_names(expr: &Expr, found: &mut dyn FnMut(&str, Span)) {
    match &expr.kind {
        ast::ExprKind::Name(name) => found(name, expr.span),
        ast::ExprKind::List(items) => items.iter().for_each(|item| expression_names(item, found)),
        ast::ExprKind::Field(value, _) | ast::ExprKind::Index(value, _) | ast::ExprKind::Negate(value) => expression_names(value, found),
        ast::ExprKind::Binary(binary) => {
            expression_names(&binary.left, found);
            expression_names(&binary.right, found);
        }
        ast::ExprKind::Call(call) => {
            call.piped.iter().chain(call.arguments.iter().map(|argument| &argument.value)).for_each(|value| expression_names(value, found));
        }
        ast::ExprKind::Record(entries) => entries.iter().for_each(|entry| match &entry.value {
            Some(value) => expression_names(value, found),
            None => found(&entry.name.text, entry.name.span),
        }),
        _ => {}
    }
}

/// The names in the sizes of a type, and of the aliases that it names.
fn type_names(
    checker: &Checker<'_>,
    file: FileId,
    ty: &ast::Type,
    seen: &mut Vec<(FileId, String)>,
    names: &mut Vec<(FileId, String, Span)>,
) {
    match &ty.kind {
        ast::TypeKind::Tensor { dims, .. } => dims.iter().for_each(|dim| dim_names(file, dim, names)),
        ast::TypeKind::Named { name, args } if args.is_empty() && !seen.contains(&(file, name.text.clone())) => {
            seen.push((file, name.text.clone()));
            if let Some(Symbol::Alias(id)) = checker.scopes.get(file.0 as usize).and_then(|scope| scope.peek(&name.text))
                && seen.len() < 64
                && let Some((file, node)) = checker.alias_nodes.get(id.0 as usize)
            {
                type_names(checker, *file, node, seen, names);
            }
        }
        _ => {}
    }
}

fn dim_names(file: FileId, dim: &ast::Dim, names: &mut Vec<(FileId, String, Span)>) {
    match dim {
        ast::Dim::Symbol(name) => names.push((file, name.text.clone(), name.span)),
        ast::Dim::Field(path) => names.extend(path.names.first().map(|name| (file, name.text.clone(), name.span))),
        ast::Dim::Binary(binary) => {
            dim_names(file, &binary.left, names);
            dim_names(file, &binary.right, names);
        }
        _ => {}
    }
}

fn report_circle(checker: &mut Checker<'_>, circle: &[usize], place: Location) {
    let mut names: Vec<String> = circle.iter().map(|index| format!("`{}`", checker.consts[*index].name)).collect();
    names.extend(names.first().cloned());
    checker.report(
        Diagnostic::new(Code::E0110, format!("a constant is computed from itself: {}", names.join(" uses ")))
            .label(place, "this closes the circle")
            .help("write the value of one of them as a number"),
    );
}

fn evaluate(checker: &mut Checker<'_>, file: FileId, index: usize, node: &Const) {
    let declared = node.ty.as_ref().map(|ty| signature::resolve(checker, file, ty, &mut SignatureNames::default()));
    if declared.as_ref().is_some_and(|ty| *ty == Type::Unknown) {
        return;
    }
    let mut body = BodyChecker::new(checker, file, &[]);
    let value = body.expr(&node.value, declared.as_ref());
    if matches!(value.kind, ExprKind::Broken) || value.ty == Type::Unknown {
        return;
    }
    if let (Some(declared), Some(ty)) = (&declared, &node.ty) {
        let before = body.checker.error_count();
        body.expect_type(declared, &value, ty.span);
        if body.checker.error_count() > before {
            return;
        }
    }
    match value.kind {
        ExprKind::Value(found) => {
            checker.consts[index].ty = declared.unwrap_or(value.ty);
            checker.consts[index].value = Some(found);
        }
        _ => checker.report(
            Diagnostic::new(Code::E0211, format!("`{}` is not known when compiling", node.name.text))
                .label(at(file, node.value.span), "expected a number, a size, a string, or a list of them")
                .help("a constant is computed from numbers and other constants alone"),
        ),
    }
}

/// The value of a constant with its type; none after an error.
pub(crate) fn value(checker: &Checker<'_>, id: ConstId) -> Option<(Value, Type)> {
    let found = checker.consts.get(id.0 as usize)?;
    found.value.clone().map(|value| (value, found.ty.clone()))
}
