//! What the names inside an item stand for.

use super::collect::{Collector, name_of, plain};
use super::types::Typed;
use super::{Definition, DefinitionId, Kind, PLACEHOLDER, Role};
use mlp_syntax::Span;
use mlp_syntax::ast::{
    Argument, Arm, Attribute, Call, Dim, Entry, Expr, ExprKind, Item, Member, Model, Name, Pipeline, RecordEntry, Statement, Type, TypeArg,
    TypeKind,
};
use std::collections::HashMap;

/// A value's name that is visible.
struct Variable<'t> {
    name: String,
    definition: DefinitionId,
    ty: Option<Typed<'t>>,
}

/// Walks one item.
pub(super) struct Body<'c, 't> {
    collector: &'c mut Collector<'t>,
    file: usize,
    /// The item.
    item: Span,
    variables: Vec<Variable<'t>>,
    /// Sizes and sets of labels that the signature leaves open.
    symbols: HashMap<String, DefinitionId>,
}

impl<'c, 't> Body<'c, 't> {
    pub(super) fn new(collector: &'c mut Collector<'t>, file: usize) -> Body<'c, 't> {
        Body { collector, file, item: Span::default(), variables: Vec::new(), symbols: HashMap::new() }
    }

    pub(super) fn item(&mut self, item: &'t Item) {
        self.item = item.span();
        match item {
            Item::Const(node) => {
                node.ty.iter().for_each(|ty| self.ty(ty));
                self.expr(&node.value, None);
            }
            Item::Type(node) => self.ty(&node.ty),
            Item::Labels(node) => self.expr(&node.value, None),
            Item::Model(node) => self.model(node),
            Item::Pipeline(node) => self.pipeline(node),
            Item::Test(node) => node.expectations.iter().for_each(|expectation| self.expr(expectation, None)),
            Item::Hook(node) => {
                self.global(&node.pipeline);
                node.entries.iter().for_each(|entry| self.entry(entry));
            }
            Item::Declaration(node) => {
                if let Some(target) = &node.target {
                    self.collector.path(self.file, target);
                }
                self.members(&node.members);
            }
            Item::Edition(_) | Item::Use(_) | Item::Broken(_) => {}
        }
    }

    fn global(&mut self, name: &Name) {
        if let Some(id) = self.collector.scopes[self.file].get(&name.text).copied() {
            self.collector.note(self.file, name.span, id, Role::Use);
        }
    }

    fn model(&mut self, node: &'t Model) {
        let id = self.collector.scopes[self.file].get(&node.name.text).copied();
        for port in node.ports() {
            self.ty(&port.ty);
            let known = id.and_then(|id| self.collector.owned.get(&(id, port.name.text.clone())).copied());
            let ty = Some(Typed { file: self.file, ty: &port.ty });
            self.variables.extend(known.map(|definition| Variable { name: port.name.text.clone(), definition, ty }));
        }
        for state in &node.states {
            let output = id.and_then(|id| self.collector.owned.get(&(id, state.next.text.clone())).copied());
            output.into_iter().for_each(|output| self.collector.note(self.file, state.next.span, output, Role::Use));
        }
        node.entries.iter().for_each(|entry| self.entry(entry));
        for block in &node.blocks {
            self.members(&block.members);
        }
        if let Some(layers) = &node.layers {
            layers.statements.iter().for_each(|statement| self.statement(statement, None));
        }
    }

    fn pipeline(&mut self, node: &'t Pipeline) {
        let named = |definition: &Definition| definition.span == node.name.span && definition.file == self.file;
        let id = self.collector.index.definitions.iter().position(named);
        for param in &node.params {
            let known = id.and_then(|id| self.collector.owned.get(&(id, param.name.text.clone())).copied());
            let ty = Some(Typed { file: self.file, ty: &param.ty });
            self.variables.extend(known.map(|definition| Variable { name: param.name.text.clone(), definition, ty }));
        }
        for param in &node.params {
            self.ty(&param.ty);
            param.default.iter().for_each(|default| self.expr(default, None));
        }
        self.ty(&node.result);
        let result = Typed { file: self.file, ty: &node.result };
        for statement in node.body.iter().flatten() {
            self.statement(statement, Some(result));
        }
    }

    /// A statement; `result` is what a `return` gives.
    fn statement(&mut self, node: &'t Statement, result: Option<Typed<'t>>) {
        match &node.binds {
            None => self.expr(&node.value, result),
            Some(name) => {
                self.expr(&node.value, None);
                let ty = self.type_of(&node.value);
                self.bind(name, node.span, ty);
            }
        }
        node.attributes.iter().for_each(|attribute| self.attribute(attribute));
    }

    fn bind(&mut self, name: &Name, shown: Span, ty: Option<Typed<'t>>) {
        let item = self.item;
        let definition = self.collector.define(Definition { shown, ..plain(self.file, name, Kind::Local, item, "") });
        self.variables.push(Variable { name: name.text.clone(), definition, ty });
    }

    fn attribute(&mut self, node: &'t Attribute) {
        for argument in &node.arguments {
            match name_of(&argument.value).filter(|name| self.find(name).is_none()) {
                Some(name) if node.name.text == "labels" => self.symbol(&Name { text: name.to_owned(), span: argument.value.span }),
                _ => self.expr(&argument.value, None),
            }
        }
    }

    fn members(&mut self, members: &'t [Member]) {
        for member in members {
            match member {
                Member::Entry(entry) => self.entry(entry),
                Member::Limit(limit) => self.expr(&limit.bound, None),
                Member::Apply(apply) => {
                    self.collector.path(self.file, &apply.callee);
                    self.arguments(apply.arguments.as_deref().unwrap_or_default(), None);
                }
                Member::Block(block) => {
                    if let Some(subject) = &block.subject {
                        self.collector.path(self.file, subject);
                    }
                    self.members(&block.members);
                }
            }
        }
    }

    fn entry(&mut self, entry: &'t Entry) {
        self.expr(&entry.value, None);
    }

    fn ty(&mut self, ty: &'t Type) {
        match &ty.kind {
            TypeKind::Tensor { dims, .. } => dims.iter().for_each(|dim| self.dim(dim)),
            TypeKind::Record(fields) => fields.iter().for_each(|field| self.ty(&field.ty)),
            TypeKind::Choice(_) => {}
            TypeKind::Named { name, args } => {
                self.global(name);
                for arg in args {
                    match arg {
                        TypeArg::Number(..) => {}
                        TypeArg::Type(ty) => self.ty(ty),
                        TypeArg::Path(path) => self.type_argument(&name.text, path),
                    }
                }
            }
        }
        ty.attributes.iter().for_each(|attribute| self.attribute(attribute));
    }

    fn type_argument(&mut self, ty: &str, path: &'t mlp_syntax::ast::Path) {
        if self.collector.path(self.file, path) {
            return;
        }
        if let [name] = path.names.as_slice() {
            match self.find(&name.text) {
                Some(id) => self.collector.note(self.file, name.span, id, Role::Use),
                None if matches!(ty, "label" | "ranking") => self.symbol(name),
                None => {}
            }
        }
    }

    fn dim(&mut self, dim: &'t Dim) {
        match dim {
            Dim::Const(..) => {}
            Dim::Symbol(name) | Dim::Rest(name) => match self.find(&name.text) {
                Some(id) => self.collector.note(self.file, name.span, id, Role::Use),
                None => self.symbol(name),
            },
            Dim::Field(path) => {
                if let Some((first, id)) = path.names.first().and_then(|first| Some((first, self.find(&first.text)?))) {
                    self.collector.note(self.file, first.span, id, Role::Use);
                }
            }
            Dim::Binary(binary) => {
                self.dim(&binary.left);
                self.dim(&binary.right);
            }
            Dim::AtMost(name, bound) => {
                self.symbol(name);
                self.dim(bound);
            }
        }
    }

    /// A size or set of labels of this signature: defined where it stands first.
    fn symbol(&mut self, name: &Name) {
        match self.symbols.get(&name.text) {
            Some(id) => self.collector.note(self.file, name.span, *id, Role::Use),
            None => {
                let item = self.item;
                let definition = Definition { shown: name.span, ..plain(self.file, name, Kind::Symbol, item, "") };
                let id = self.collector.define(definition);
                self.symbols.insert(name.text.clone(), id);
            }
        }
    }

    fn find(&self, name: &str) -> Option<DefinitionId> {
        let variable = self.variables.iter().rev().find(|variable| variable.name == name).map(|variable| variable.definition);
        variable.or_else(|| self.collector.scopes[self.file].get(name).copied())
    }

    /// An expression; `expected` is the type of what it is for, where that is known.
    fn expr(&mut self, expr: &'t Expr, expected: Option<Typed<'t>>) {
        match &expr.kind {
            ExprKind::Name(name) => {
                if let Some(id) = self.find(name) {
                    self.collector.note(self.file, expr.span, id, Role::Use);
                }
            }
            ExprKind::Number(_) | ExprKind::Size { .. } | ExprKind::Text(_) | ExprKind::Broken => {}
            ExprKind::List(items) => items.iter().for_each(|item| self.expr(item, None)),
            ExprKind::Record(entries) => entries.iter().for_each(|entry| self.record_entry(entry, expected)),
            ExprKind::Field(inner, name) => {
                self.expr(inner, None);
                self.field(inner, name);
            }
            ExprKind::Index(inner, _) | ExprKind::Negate(inner) => self.expr(inner, None),
            ExprKind::Call(call) => self.call(call),
            ExprKind::Binary(binary) => {
                self.expr(&binary.left, None);
                self.expr(&binary.right, None);
            }
            ExprKind::Over(over) => {
                self.expr(&over.value, None);
                self.expr(&over.window, None);
            }
            ExprKind::When(when) => {
                for (condition, arm) in &when.arms {
                    self.expr(condition, None);
                    self.arm(arm, expected);
                }
                self.arm(&when.otherwise, expected);
            }
            ExprKind::ForEach(each) => {
                self.expr(&each.list, None);
                let before = self.variables.len();
                self.bind(&each.name, each.name.span, None);
                self.arm(&each.body, None);
                self.variables.truncate(before);
            }
            ExprKind::Parallel(statements) => {
                let before = self.variables.len();
                for statement in statements {
                    self.statement(statement, None);
                    self.variables.truncate(before);
                }
            }
            ExprKind::Loop(node) => {
                self.expr(&node.start, None);
                self.expr(&node.at_most, None);
                let before = self.variables.len();
                let ty = self.type_of(&node.start);
                self.bind(&node.name, node.name.span, ty);
                node.counting.iter().for_each(|name| self.bind(name, name.span, None));
                node.until.iter().for_each(|until| self.expr(until, None));
                self.arm(&node.body, expected);
                self.variables.truncate(before);
            }
        }
    }

    fn arm(&mut self, arm: &'t Arm, expected: Option<Typed<'t>>) {
        let before = self.variables.len();
        arm.statements.iter().for_each(|statement| self.statement(statement, None));
        self.expr(&arm.value, expected);
        self.variables.truncate(before);
    }

    fn record_entry(&mut self, entry: &'t RecordEntry, expected: Option<Typed<'t>>) {
        let role = if entry.value.is_some() { Role::Use } else { Role::Shorthand };
        let members = expected.map(|typed| self.collector.members(typed)).unwrap_or_default();
        let field = members.into_iter().find(|(member, _)| member.name == entry.name.text).and_then(|(_, id)| id);
        if entry.value.is_none()
            && let Some(id) = self.find(&entry.name.text)
        {
            self.collector.note(self.file, entry.name.span, id, role);
        }
        if let Some(id) = field {
            self.collector.note(self.file, entry.name.span, id, role);
        }
        let inner = expected.and_then(|typed| self.collector.field(typed, &entry.name.text));
        entry.value.iter().for_each(|value| self.expr(value, inner));
    }

    fn field(&mut self, inner: &'t Expr, name: &Name) {
        let members = match name_of(inner).and_then(|name| self.find(name)).filter(|id| self.collector.is_callable(*id)) {
            Some(id) => self.collector.members_of(id),
            None => self.type_of(inner).map(|typed| self.collector.members(typed)).unwrap_or_default(),
        };
        if name.text == PLACEHOLDER {
            self.collector.index.asked = Some(members.into_iter().map(|(member, _)| member).collect());
        } else if let Some((_, Some(id))) = members.into_iter().find(|(member, _)| member.name == name.text) {
            self.collector.note(self.file, name.span, id, Role::Use);
        }
    }

    fn call(&mut self, call: &'t Call) {
        call.piped.iter().for_each(|piped| self.expr(piped, None));
        self.expr(&call.callee, None);
        let callee = match &call.callee.kind {
            ExprKind::Field(_, name) => self.method(name),
            _ => name_of(&call.callee).and_then(|name| self.find(name)),
        };
        self.arguments(&call.arguments, callee);
    }

    /// `x.max()` calls a pipeline of `std.tensor`.
    fn method(&mut self, name: &Name) -> Option<DefinitionId> {
        let id = self.collector.scopes[self.collector.methods?].get(&name.text).copied()?;
        self.collector.note(self.file, name.span, id, Role::Use);
        Some(id)
    }

    fn arguments(&mut self, arguments: &'t [Argument], callee: Option<DefinitionId>) {
        for argument in arguments {
            let named = callee.zip(argument.name.as_ref());
            if let Some(id) = named.and_then(|(id, name)| self.collector.owned.get(&(id, name.text.clone())).copied())
                && let Some(name) = &argument.name
            {
                self.collector.note(self.file, name.span, id, Role::Use);
            }
            let ty = named.and_then(|(id, name)| self.collector.parameter(id, &name.text));
            // A word of a choice is no name.
            let is_word = ty.is_some_and(|typed| matches!(self.collector.resolved(typed).ty.kind, TypeKind::Choice(_)));
            if !is_word || name_of(&argument.value).is_none() {
                self.expr(&argument.value, ty);
            }
        }
    }

    /// The type of an expression, where what is written tells it.
    fn type_of(&self, expr: &'t Expr) -> Option<Typed<'t>> {
        match &expr.kind {
            ExprKind::Name(name) => self.variables.iter().rev().find(|variable| variable.name == *name)?.ty,
            ExprKind::Field(inner, name) => self.collector.field(self.type_of(inner)?, &name.text),
            ExprKind::Call(call) => self.collector.result(self.find(name_of(&call.callee)?)?),
            ExprKind::When(when) => self.type_of(&when.otherwise.value),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Index;

    const SOURCE: &str = "\
edition 2026
model M { source = onnx(\"m.onnx\")  input x: f32[N, 3]  output logits: f32[N, 5] @labels(\"l.txt\") }
type Answer = { best: label<M.logits>, scores: f32[5] }
pipeline P(x: f32[1, 3], k: number = 2) -> Answer {
  scores = x |> M
  best = scores
  return { best = best, scores }
}
pipeline Q(x: f32[1, 3]) -> label<M.logits> {
  a = P(x, k = 3)
  return a.best
}
outlet O from P.best { spend = B }
budget B { epsilon = 1.0 }
";

    fn index() -> Index {
        Index::of_file("m.mlp", SOURCE)
    }

    /// The texts of the lines that name what is named at the first place of `before` followed by `name`.
    fn uses(before: &str, name: &str) -> Vec<usize> {
        let index = index();
        let at = SOURCE.find(&format!("{before}{name}")).unwrap() + before.len();
        let definition = index.at(0, at).unwrap_or_else(|| panic!("nothing at {before}{name}")).definition;
        index.of(definition).map(|(_, occurrence)| SOURCE[..occurrence.span.start as usize].matches('\n').count() + 1).collect()
    }

    #[test]
    fn names_lead_to_their_definitions() {
        assert_eq!(uses("model ", "M"), [2, 3, 5, 9]);
        assert_eq!(uses("output ", "logits"), [2, 3, 9]);
        assert_eq!(uses("{ ", "best"), [3, 7, 11, 13], "the field, its value in a record, its uses");
        assert_eq!(uses("  ", "best ="), [6, 7], "the local");
        assert_eq!(uses("  ", "scores ="), [5, 6, 7]);
        assert_eq!(uses("M { source = onnx(\"m.onnx\")  input x: f32[", "N"), [2, 2]);
        assert_eq!(uses("1, 3], ", "k"), [4, 10]);
        assert_eq!(uses("spend = ", "B"), [13, 14]);
    }
}
