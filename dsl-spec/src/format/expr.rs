//! Expressions and statements.

use super::Docs;
use super::doc::Doc;
use super::layout::Layout;
use super::tokens::Node;
use crate::grammar::Rule;

impl Layout<'_> {
    /// Values, each with its attributes after it; a statement without its name.
    pub(super) fn statement(&mut self, nodes: &[Node], out: &mut Docs) {
        let values = nodes.iter().take_while(|node| node.rule != Rule::attribute).count();
        self.spaced(&nodes[..values], out);
        self.attributes(&nodes[values..], out);
    }

    /// Attributes, each after a space or on a line of its own.
    pub(super) fn attributes(&mut self, nodes: &[Node], out: &mut Docs) {
        if nodes.is_empty() {
            return;
        }
        let docs = self.indented(|this, docs| {
            for node in nodes {
                docs.push(Doc::Line);
                this.node(node, docs);
            }
        });
        out.push(Doc::Group(vec![docs]));
    }

    /// A value, two compared, or one `over` a stretch of time.
    pub(super) fn comparison(&mut self, node: &Node, out: &mut Docs) {
        let [first, rest @ ..] = &node.children[..] else { return };
        if rest.is_empty() {
            return self.node(first, out);
        }
        let mut docs = Docs::new();
        self.node(first, &mut docs);
        let rest = self.indented(|this, docs| {
            for (index, node) in rest.iter().enumerate() {
                docs.push(if index % 2 == 0 && node.rule == Rule::compare_op { this.line() } else { Doc::Space });
                this.node(node, docs);
            }
        });
        docs.push(rest);
        out.push(Doc::Group(docs));
    }

    /// A place to break a line before an operator; outside all brackets the item would end there.
    fn line(&self) -> Doc {
        if self.brackets > 0 { Doc::Line } else { Doc::Space }
    }

    /// Operands with an operator before each but the first; broken, each has a line.
    pub(super) fn chain(&mut self, node: &Node, out: &mut Docs) {
        let [first, rest @ ..] = &node.children[..] else { return };
        if rest.is_empty() {
            return self.node(first, out);
        }
        // An item goes on after a newline where `|` stands there.
        let line = if matches!(node.rule, Rule::pipe | Rule::choice_type) { Doc::Line } else { self.line() };
        let mut docs = Docs::new();
        self.node(first, &mut docs);
        let rest = self.indented(|this, docs| {
            for pair in rest.chunks(2) {
                docs.push(line.clone());
                this.spaced(pair, docs);
            }
        });
        docs.push(rest);
        out.push(Doc::Group(docs));
    }

    /// Parentheses around one value.
    pub(super) fn group(&mut self, node: &Node, out: &mut Docs) {
        let [open, value, close] = &node.children[..] else { return self.tight(&node.children, out) };
        self.brackets += 1;
        let mut docs = Docs::new();
        self.token(open.first, &mut docs);
        let inner = self.indented(|this, docs| {
            docs.push(Doc::Soft);
            this.node(value, docs);
            this.lead_of_close(close.first, false, docs);
        });
        docs.extend([inner, Doc::Soft]);
        self.token(close.first, &mut docs);
        self.brackets -= 1;
        out.push(Doc::Group(docs));
    }

    /// The arguments of a call. An only argument that has brackets itself needs no lines of its own.
    pub(super) fn arguments(&mut self, node: &Node, out: &mut Docs) {
        match &node.children[..] {
            [open, argument, close] if is_bracketed(argument) && self.is_bare(open) && self.tokens[close.first].lead.is_empty() => {
                self.brackets += 1;
                self.tight(&node.children, out);
                self.brackets -= 1;
            }
            nodes => self.list(nodes, Doc::Soft, out),
        }
    }

    /// Whether no comment stands between a bracket and what follows it.
    fn is_bare(&self, open: &Node) -> bool {
        self.tokens[open.first].trail.is_none() && self.tokens[open.first + 1].lead.is_empty()
    }
}

/// Whether a value is nothing but a list, a record, control flow or the like.
fn is_bracketed(node: &Node) -> bool {
    match &node.children[..] {
        [only] => is_bracketed(only),
        _ => matches!(
            node.rule,
            Rule::list | Rule::record | Rule::group | Rule::when_expr | Rule::each_expr | Rule::loop_expr | Rule::parallel_expr
        ),
    }
}
