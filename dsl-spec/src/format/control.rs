//! Control flow: its arms are broken together, and always where they have statements.

use super::Docs;
use super::doc::Doc;
use super::layout::Layout;
use super::tokens::Node;
use crate::grammar::Rule;

impl Layout<'_> {
    /// `when`, `for each` and `loop`: words, values and arms with spaces between them.
    pub(super) fn control(&mut self, node: &Node, out: &mut Docs) {
        let mut docs = Docs::new();
        let mut broken = false;
        for (index, child) in node.children.iter().enumerate() {
            docs.extend((index > 0).then_some(Doc::Space));
            match (child.rule, &child.children[..]) {
                (Rule::arm, [open, inner @ .., close]) => {
                    broken |= inner.iter().any(|entry| entry.rule == Rule::binding);
                    docs.append(&mut self.between_braces(open, inner, close));
                }
                _ => self.node(child, &mut docs),
            }
        }
        out.push(if broken { Doc::Broken(docs) } else { Doc::Group(docs) });
    }
}
