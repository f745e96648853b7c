//! Types and signatures.

use super::Docs;
use super::doc::Doc;
use super::layout::Layout;
use super::tokens::Node;
use crate::grammar::Rule;

impl Layout<'_> {
    /// A type with `?` and its attributes.
    pub(super) fn ty(&mut self, node: &Node, out: &mut Docs) {
        let core = node.children.iter().take_while(|child| child.rule != Rule::attribute).count();
        self.tight(&node.children[..core], out);
        self.attributes(&node.children[core..], out);
    }

    /// `f32[N, 3]`, `label<Model.scores>`
    pub(super) fn applied_type(&mut self, node: &Node, out: &mut Docs) {
        let (name, arguments) = node.children.split_at(1);
        self.tight(name, out);
        if !arguments.is_empty() {
            self.list(arguments, Doc::Soft, out);
        }
    }

    /// `Name(x: f32[3]) -> f32[3]`
    pub(super) fn signature(&mut self, node: &Node, out: &mut Docs) {
        let close = node.children.iter().position(|child| child.rule == Rule::close_paren).unwrap_or(0);
        let (head, result) = node.children.split_at(close + 1);
        let (name, parameters) = head.split_at(1);
        self.tight(name, out);
        self.list(parameters, Doc::Soft, out);
        out.push(Doc::Space);
        let mut docs = Docs::new();
        self.spaced(result, &mut docs);
        // A record is broken rather than the parameters in front of it.
        let is_record = result.last().is_some_and(|ty| ty.children.first().is_some_and(|core| core.rule == Rule::record_type));
        out.extend(docs.into_iter().map(|doc| match doc {
            Doc::Group(docs) if is_record => Doc::Late(docs),
            doc => doc,
        }));
    }
}
