//! The fields of types as they are written.

use super::collect::{Collector, Node};
use super::{DefinitionId, Kind, Member};
use mlp_syntax::ast::{Dim, Type, TypeArg, TypeKind};

/// A type and the file that it is written in.
#[derive(Clone, Copy)]
pub(super) struct Typed<'t> {
    pub(super) file: usize,
    pub(super) ty: &'t Type,
}

/// How many aliases are followed: more form a circle.
const MAX_ALIASES: usize = 32;

impl<'t> Collector<'t> {
    /// The type that aliases lead to.
    pub(super) fn resolved(&self, mut typed: Typed<'t>) -> Typed<'t> {
        for _ in 0..MAX_ALIASES {
            let TypeKind::Named { name, args } = &typed.ty.kind else { break };
            let Some(id) = self.scopes[typed.file].get(&name.text).filter(|_| args.is_empty()) else { break };
            let Some(Node::Alias(alias)) = self.nodes.get(id) else { break };
            typed = Typed { file: self.index.definitions[*id].file, ty: &alias.ty };
        }
        typed
    }

    /// What can follow a dot after a value of a type, and the fields' definitions.
    pub(super) fn members(&self, typed: Typed<'t>) -> Vec<(Member, Option<DefinitionId>)> {
        let Typed { file, ty } = self.resolved(typed);
        let fixed = |members: &[(&str, &str, &str)]| {
            let member =
                |(name, detail, doc): &(&str, &str, &str)| Member { name: (*name).into(), detail: (*detail).into(), doc: (*doc).into() };
            members.iter().map(|one| (member(one), None)).collect()
        };
        match &ty.kind {
            TypeKind::Record(fields) => fields
                .iter()
                .map(|field| {
                    let member = Member { name: field.name.text.clone(), detail: write(&field.ty), doc: field.doc.clone() };
                    (member, self.fields.get(&(file, field.name.span.start)).copied())
                })
                .collect(),
            TypeKind::Named { name, .. } if name.text == "ranking" => fixed(&[
                ("first", "label", "The best label."),
                ("labels", "list of labels", "The labels, best first."),
                ("scores", "list of numbers", "How likely each is, best first."),
            ]),
            TypeKind::Named { name, .. } if name.text == "size" => fixed(&[("width", "number", ""), ("height", "number", "")]),
            _ => Vec::new(),
        }
    }

    /// The type of a field.
    pub(super) fn field(&self, typed: Typed<'t>, name: &str) -> Option<Typed<'t>> {
        let Typed { file, ty } = self.resolved(typed);
        match &ty.kind {
            TypeKind::Record(fields) => fields.iter().find(|field| field.name.text == name).map(|field| Typed { file, ty: &field.ty }),
            _ => None,
        }
    }

    /// What a call of a definition gives.
    pub(super) fn result(&self, id: DefinitionId) -> Option<Typed<'t>> {
        let file = self.index.definitions[id].file;
        match self.nodes.get(&id)? {
            Node::Pipeline(node) => Some(Typed { file, ty: &node.result }),
            Node::Model(node) => match node.outputs.as_slice() {
                [only] => Some(Typed { file, ty: &only.ty }),
                _ => None,
            },
            Node::Alias(_) => None,
        }
    }

    /// The type of a parameter.
    pub(super) fn parameter(&self, id: DefinitionId, name: &str) -> Option<Typed<'t>> {
        let file = self.index.definitions[id].file;
        match self.nodes.get(&id)? {
            Node::Pipeline(node) => node.params.iter().find(|param| param.name.text == name).map(|param| Typed { file, ty: &param.ty }),
            _ => None,
        }
    }

    /// Whether a definition is called.
    pub(super) fn is_callable(&self, id: DefinitionId) -> bool {
        matches!(self.index.definitions[id].kind, Kind::Pipeline | Kind::Layer | Kind::Model)
    }
}

/// A type in one line, without its attributes.
pub(super) fn write(ty: &Type) -> String {
    let core = match &ty.kind {
        TypeKind::Tensor { dtype, dims } => format!("{}[{}]", dtype.text, list(dims.iter().map(dim))),
        TypeKind::Record(fields) => {
            format!("{{ {} }}", list(fields.iter().map(|field| format!("{}: {}", field.name.text, write(&field.ty)))))
        }
        TypeKind::Choice(options) => options.iter().map(|option| option.text.as_str()).collect::<Vec<_>>().join(" | "),
        TypeKind::Named { name, args } if args.is_empty() => name.text.clone(),
        TypeKind::Named { name, args } => format!("{}<{}>", name.text, list(args.iter().map(argument))),
    };
    if ty.optional { core + "?" } else { core }
}

fn argument(argument: &TypeArg) -> String {
    match argument {
        TypeArg::Number(number, _) => format!("{}{}", number.value, number.unit.map_or("", |unit| unit.symbol)),
        TypeArg::Path(path) => path.text(),
        TypeArg::Type(ty) => write(ty),
    }
}

fn dim(dim: &Dim) -> String {
    match dim {
        Dim::Const(size, _) => size.to_string(),
        Dim::Symbol(name) => name.text.clone(),
        Dim::Rest(name) => format!("..{}", name.text),
        Dim::Field(path) => path.text(),
        Dim::Binary(binary) => format!("({} {} {})", self::dim(&binary.left), binary.op.symbol(), self::dim(&binary.right)),
        Dim::AtMost(name, bound) => format!("{} <= {}", name.text, self::dim(bound)),
    }
}

fn list(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}
