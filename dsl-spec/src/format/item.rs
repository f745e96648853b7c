//! Items.

use super::Docs;
use super::block::Style;
use super::doc::Doc;
use super::layout::Layout;
use super::tokens::Node;
use crate::grammar::Rule;

impl Layout<'_> {
    /// An item, without the comments above it.
    pub(super) fn item(&mut self, node: &Node) -> Docs {
        self.skip_lead(node.first);
        let nodes: Vec<Node> = node.children.iter().filter(|child| child.rule != Rule::end).cloned().collect();
        let mut out = Docs::new();
        match node.rule {
            Rule::use_item => self.import(&nodes, &mut out),
            Rule::pipeline_item | Rule::layer_item | Rule::model_item | Rule::test_item => self.headed(node, Style::Lines, &mut out),
            Rule::hook_item => self.headed(node, Style::Written, &mut out),
            _ => self.spaced(&nodes, &mut out),
        }
        out
    }

    /// `use std.vision.{ resize }`
    fn import(&mut self, nodes: &[Node], out: &mut Docs) {
        let open = nodes.iter().position(|child| child.rule == Rule::open_brace).unwrap_or(nodes.len());
        let (head, names) = nodes.split_at(open);
        let (keyword, source) = head.split_at(head.len().min(1));
        self.tight(keyword, out);
        out.push(Doc::Space);
        self.tight(source, out);
        self.list(names, Doc::Line, out);
    }
}
