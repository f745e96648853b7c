//! Definitions of all files, then what names them.

use super::body::Body;
use super::{Definition, DefinitionId, Index, Kind, Member, Occurrence, Role};
use mlp_analysis::join;
use mlp_syntax::Span;
use mlp_syntax::ast::{Expr, ExprKind, File, Item, Model, Name, Path, Pipeline, PipelineKind, Type, TypeAlias, TypeKind, Use, UseSource};
use std::collections::HashMap;
use std::sync::Arc;

/// The syntax of a definition that has members.
#[derive(Clone, Copy)]
pub(super) enum Node<'t> {
    Model(&'t Model),
    Pipeline(&'t Pipeline),
    Alias(&'t TypeAlias),
}

/// The state of a collection.
pub(super) struct Collector<'t> {
    pub(super) index: Index,
    /// What a file declares and imports.
    pub(super) scopes: Vec<HashMap<String, DefinitionId>>,
    pub(super) nodes: HashMap<DefinitionId, Node<'t>>,
    /// Fields of record types, by file and where their name starts.
    pub(super) fields: HashMap<(usize, u32), DefinitionId>,
    /// Ports of models and parameters of pipelines.
    pub(super) owned: HashMap<(DefinitionId, String), DefinitionId>,
    /// The file whose pipelines are called as methods.
    pub(super) methods: Option<usize>,
}

/// The names of files.
pub(super) fn collect(paths: &[&str], trees: &[Arc<File>]) -> Index {
    let mut collector = Collector {
        index: Index { occurrences: vec![Vec::new(); trees.len()], ..Index::default() },
        scopes: vec![HashMap::new(); trees.len()],
        nodes: HashMap::new(),
        fields: HashMap::new(),
        owned: HashMap::new(),
        methods: paths.iter().position(|path| *path == "std.tensor"),
    };
    for (file, tree) in trees.iter().enumerate() {
        tree.items.iter().for_each(|item| collector.declare(file, item));
    }
    let declared = collector.scopes.clone();
    for (file, tree) in trees.iter().enumerate() {
        for item in &tree.items {
            if let Item::Use(import) = item {
                collector.import(file, import, paths, &declared);
            }
        }
    }
    for (file, tree) in trees.iter().enumerate() {
        tree.items.iter().for_each(|item| Body::new(&mut collector, file).item(item));
    }
    for occurrences in &mut collector.index.occurrences {
        occurrences.sort_by_key(|occurrence| occurrence.span);
    }
    collector.index
}

impl<'t> Collector<'t> {
    /// Notes that a place names a definition.
    pub(super) fn note(&mut self, file: usize, span: Span, definition: DefinitionId, role: Role) {
        if let Some(occurrences) = self.index.occurrences.get_mut(file) {
            occurrences.push(Occurrence { span, definition, role });
        }
    }

    /// A new definition.
    pub(super) fn define(&mut self, definition: Definition) -> DefinitionId {
        let id = self.index.definitions.len();
        self.note(definition.file, definition.span, id, Role::Definition);
        self.index.definitions.push(definition);
        id
    }

    fn declare(&mut self, file: usize, item: &'t Item) {
        let (name, kind, doc, node) = match item {
            Item::Const(node) => (&node.name, Kind::Const, &node.doc, None),
            Item::Type(node) => (&node.name, Kind::Type, &node.doc, Some(Node::Alias(node))),
            Item::Labels(node) => (&node.name, Kind::Labels, &node.doc, None),
            Item::Model(node) => (&node.name, Kind::Model, &node.doc, Some(Node::Model(node))),
            Item::Pipeline(node) => {
                let kind = if node.kind == PipelineKind::Layer { Kind::Layer } else { Kind::Pipeline };
                (&node.name, kind, &node.doc, Some(Node::Pipeline(node)))
            }
            Item::Hook(node) => (&node.name, Kind::Hook, &node.doc, None),
            Item::Declaration(node) => (&node.name, Kind::Declaration(node.kind), &node.doc, None),
            Item::Test(node) => {
                let name = Name { text: node.name.value.clone(), span: node.name.span };
                let id = self.define(plain(file, &name, Kind::Test, item.span(), &node.doc));
                // A test's name is no name that anything uses.
                self.index.occurrences[file].retain(|occurrence| occurrence.definition != id);
                return;
            }
            Item::Edition(_) | Item::Use(_) | Item::Broken(_) => return,
        };
        let mut definition = plain(file, name, kind, item.span(), doc);
        if let Item::Pipeline(node) = item {
            definition.shown = Span { start: node.span.start, end: end_of(&node.result) };
        }
        let id = self.define(definition);
        self.scopes[file].entry(name.text.clone()).or_insert(id);
        self.nodes.extend(node.map(|node| (id, node)));
        match item {
            Item::Model(node) => {
                for port in node.ports() {
                    let definition = Definition { owner: Some(id), ..plain(file, &port.name, Kind::Port, port.span, &port.doc) };
                    let port_id = self.define(definition);
                    self.owned.insert((id, port.name.text.clone()), port_id);
                    self.fields_of(file, &port.ty);
                }
            }
            Item::Pipeline(node) => {
                for param in &node.params {
                    let definition = Definition { owner: Some(id), ..plain(file, &param.name, Kind::Parameter, param.span, "") };
                    let param_id = self.define(definition);
                    self.owned.insert((id, param.name.text.clone()), param_id);
                    self.fields_of(file, &param.ty);
                }
                self.fields_of(file, &node.result);
            }
            Item::Type(node) => self.fields_of(file, &node.ty),
            Item::Const(node) => node.ty.iter().for_each(|ty| self.fields_of(file, ty)),
            _ => {}
        }
    }

    /// Declares the fields of the record types in a type.
    fn fields_of(&mut self, file: usize, ty: &'t Type) {
        match &ty.kind {
            TypeKind::Record(fields) => {
                for field in fields {
                    let span = Span { start: field.name.span.start, end: end_of(&field.ty) };
                    let id = self.define(plain(file, &field.name, Kind::Field, span, &field.doc));
                    self.fields.insert((file, field.name.span.start), id);
                    self.fields_of(file, &field.ty);
                }
            }
            TypeKind::Named { args, .. } => {
                for arg in args {
                    if let mlp_syntax::ast::TypeArg::Type(ty) = arg {
                        self.fields_of(file, ty);
                    }
                }
            }
            TypeKind::Tensor { .. } | TypeKind::Choice(_) => {}
        }
    }

    fn import(&mut self, file: usize, import: &Use, paths: &[&str], declared: &[HashMap<String, DefinitionId>]) {
        let path = match &import.source {
            UseSource::Module(path) => path.text(),
            UseSource::File(text) => join(paths[file], &text.value),
        };
        let Some(from) = paths.iter().position(|known| *known == path) else { return };
        for name in &import.names {
            let Some(id) = declared[from].get(&name.text) else { continue };
            self.note(file, name.span, *id, Role::Use);
            self.scopes[file].entry(name.text.clone()).or_insert(*id);
        }
    }

    /// What can follow a dot after a name of a file.
    pub(super) fn members_of(&self, id: DefinitionId) -> Vec<(Member, Option<DefinitionId>)> {
        let file = self.index.definitions[id].file;
        match self.nodes.get(&id) {
            Some(Node::Model(node)) => node
                .ports()
                .map(|port| {
                    let detail = super::types::write(&port.ty);
                    let member = Member { name: port.name.text.clone(), detail, doc: port.doc.clone() };
                    (member, self.owned.get(&(id, port.name.text.clone())).copied())
                })
                .collect(),
            Some(Node::Pipeline(node)) => self.members(super::types::Typed { file, ty: &node.result }),
            Some(Node::Alias(node)) => self.members(super::types::Typed { file, ty: &node.ty }),
            None => Vec::new(),
        }
    }

    /// Follows a path whose first name a file knows, as `Objects.logits`; whether it does.
    pub(super) fn path(&mut self, file: usize, path: &Path) -> bool {
        let Some(first) = path.names.first() else { return false };
        let Some(id) = self.scopes[file].get(&first.text).copied() else { return false };
        self.note(file, first.span, id, Role::Use);
        let mut members = self.members_of(id);
        for name in &path.names[1..] {
            if name.text == super::PLACEHOLDER {
                self.index.asked = Some(members.into_iter().map(|(member, _)| member).collect());
                break;
            }
            let Some((_, Some(id))) = members.into_iter().find(|(member, _)| member.name == name.text) else { break };
            self.note(file, name.span, id, Role::Use);
            members = Vec::new();
        }
        true
    }
}

/// A definition without an owner, of which all is shown.
pub(super) fn plain(file: usize, name: &Name, kind: Kind, item: Span, doc: &str) -> Definition {
    Definition { name: name.text.clone(), kind, file, span: name.span, item, shown: item, doc: doc.to_owned(), owner: None }
}

/// Where a type ends with its attributes.
pub(super) fn end_of(ty: &Type) -> u32 {
    ty.attributes.iter().map(|attribute| attribute.span.end).chain([ty.span.end]).max().unwrap_or(ty.span.end)
}

/// The name that an expression is.
pub(super) fn name_of(expr: &Expr) -> Option<&str> {
    match &expr.kind {
        ExprKind::Name(name) => Some(name),
        _ => None,
    }
}
