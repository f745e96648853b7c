//! From nodes to docs: tokens, comments, and lists between brackets.

use super::Docs;
use super::doc::Doc;
use super::tokens::{Node, Token};
use crate::grammar::Rule;

/// Lays out the nodes of a file.
pub(super) struct Layout<'s> {
    pub(super) tokens: &'s [Token<'s>],
    /// Whether the comments above a token are laid out already.
    done: Vec<bool>,
    /// How many indents stand around what is laid out now.
    pub(super) depth: usize,
    /// How many brackets do: outside all of them an item ends at most newlines.
    pub(super) brackets: usize,
}

impl<'s> Layout<'s> {
    pub(super) fn new(tokens: &'s [Token<'s>]) -> Layout<'s> {
        Layout { tokens, done: vec![false; tokens.len()], depth: 0, brackets: 0 }
    }

    /// A token with the comments above it and behind it.
    pub(super) fn token(&mut self, index: usize, out: &mut Docs) {
        self.lead(index, out);
        let token = &self.tokens[index];
        out.push(Doc::Text(token.text.to_owned()));
        out.extend(token.trail.map(|text| Doc::Trailing(text.to_owned())));
    }

    /// The comments above a token, unless they are laid out already.
    pub(super) fn lead(&mut self, index: usize, out: &mut Docs) {
        if !self.skip_lead(index) {
            out.extend(self.tokens[index].lead.iter().map(|comment| Doc::Own { text: comment.text.to_owned(), blank: false }));
        }
    }

    /// Takes the comments above a token as laid out; whether they were already.
    pub(super) fn skip_lead(&mut self, index: usize) -> bool {
        std::mem::replace(&mut self.done[index], true)
    }

    /// The comments above a closing bracket, which stand further in than the bracket.
    pub(super) fn lead_of_close(&mut self, index: usize, blanks: bool, out: &mut Docs) {
        if self.skip_lead(index) {
            return;
        }
        for comment in &self.tokens[index].lead {
            out.extend([Doc::Hard, Doc::Own { text: comment.text.to_owned(), blank: blanks && comment.blank }]);
        }
    }

    /// The comments beside a comma, which come after it; the comma itself is written by who calls. Whether they take lines of their own.
    pub(super) fn comments_of_comma(&mut self, index: usize, out: &mut Docs) -> bool {
        let token = &self.tokens[index];
        let taken = self.tokens[index - 1].trail.is_some();
        if token.lead.is_empty() && !taken {
            out.extend(token.trail.map(|text| Doc::Trailing(text.to_owned())));
            return false;
        }
        let own = token.lead.iter().map(|comment| comment.text).chain(token.trail);
        let before = out.len();
        out.extend(own.flat_map(|text| [Doc::Hard, Doc::Own { text: text.to_owned(), blank: false }]));
        out.len() > before
    }

    /// A token or a node. The comments above it stand in front of its group, which they do not break.
    pub(super) fn node(&mut self, node: &Node, out: &mut Docs) {
        self.lead(node.first, out);
        if node.children.is_empty() {
            self.token(node.first, out);
            return;
        }
        match node.rule {
            Rule::expr | Rule::bound => self.comparison(node, out),
            Rule::pipe | Rule::sum | Rule::product | Rule::choice_type => self.chain(node, out),
            Rule::arguments => self.arguments(node, out),
            Rule::group => self.group(node, out),
            Rule::list => self.list(&node.children, Doc::Soft, out),
            Rule::record => self.braces(&node.children, super::block::Style::Fitting, out),
            Rule::when_expr | Rule::each_expr | Rule::loop_expr => self.control(node, out),
            Rule::parallel_expr => self.headed(node, super::block::Style::Written, out),
            Rule::record_type => self.braces(&node.children, super::block::Style::Written, out),
            Rule::ty => self.ty(node, out),
            Rule::tensor_type | Rule::named_type => self.applied_type(node, out),
            Rule::dim | Rule::dim_sum | Rule::dim_product | Rule::parameter | Rule::argument => self.spaced(&node.children, out),
            Rule::members => self.braces(&node.children, super::block::Style::Written, out),
            Rule::block | Rule::limit | Rule::apply => self.spaced(&node.children, out),
            Rule::return_stmt | Rule::expect_stmt => self.statement(&node.children, out),
            Rule::layers_block => self.headed(node, super::block::Style::Lines, out),
            Rule::signature => self.signature(node, out),
            _ => self.tight(&node.children, out),
        }
    }

    /// Nodes with nothing between them.
    pub(super) fn tight(&mut self, nodes: &[Node], out: &mut Docs) {
        nodes.iter().for_each(|node| self.node(node, out));
    }

    /// Nodes with spaces between them, except before a colon, a dot and arguments.
    pub(super) fn spaced(&mut self, nodes: &[Node], out: &mut Docs) {
        for (index, node) in nodes.iter().enumerate() {
            if index > 0 && !matches!(node.rule, Rule::colon | Rule::arguments) {
                out.push(Doc::Space);
            }
            self.node(node, out);
        }
    }

    /// What is laid out further in.
    pub(super) fn indented(&mut self, lay: impl FnOnce(&mut Self, &mut Docs)) -> Doc {
        let mut docs = Docs::new();
        self.depth += 1;
        lay(self, &mut docs);
        self.depth -= 1;
        Doc::Indent(docs)
    }

    /// What stands before a closing bracket: comments alone between brackets take a line, too.
    pub(super) fn before_close(&self, empty: bool, edge: Doc, open: &Node, close: &Node) -> Option<Doc> {
        let comments = self.tokens[open.first].trail.is_some() || !self.tokens[close.first].lead.is_empty();
        match (empty, comments) {
            (false, _) => Some(edge),
            (true, true) => Some(Doc::Hard),
            (true, false) => None,
        }
    }

    /// A bracket, elements with commas between them, and a bracket; `edge` stands inside the brackets.
    pub(super) fn list(&mut self, nodes: &[Node], edge: Doc, out: &mut Docs) {
        let [open, inner @ .., close] = nodes else { return self.tight(nodes, out) };
        self.brackets += 1;
        let mut docs = Docs::new();
        self.token(open.first, &mut docs);
        let empty = inner.is_empty();
        let body = self.indented(|this, docs| {
            if !empty {
                docs.push(edge.clone());
            }
            let last = inner.iter().rposition(|node| node.rule != Rule::comma);
            // Numbers fill their lines, unless comments stand among them.
            let within = &this.tokens[open.first..close.first];
            let bare =
                this.tokens[close.first].lead.is_empty() && within.iter().all(|token| token.lead.is_empty() && token.trail.is_none());
            let numbers = bare && inner.iter().all(|node| node.rule == Rule::comma || is_number(node));
            let line = if numbers { Doc::Late(vec![Doc::Line]) } else { Doc::Line };
            for (index, node) in inner.iter().enumerate() {
                if node.rule == Rule::comma {
                    this.comments_of_comma(node.first, docs);
                    docs.extend((last > Some(index)).then(|| line.clone()));
                } else {
                    this.node(node, docs);
                    docs.push(if last == Some(index) { Doc::BrokenComma } else { Doc::Comma });
                }
            }
            this.lead_of_close(close.first, false, docs);
        });
        docs.push(body);
        docs.extend(self.before_close(empty, edge, open, close));
        self.token(close.first, &mut docs);
        self.brackets -= 1;
        out.push(Doc::Group(docs));
    }
}

/// Whether a value is a number, with or without a sign.
fn is_number(node: &Node) -> bool {
    match &node.children[..] {
        [] => node.rule == Rule::number,
        [only] => is_number(only),
        [sign, value] => sign.rule == Rule::minus && is_number(value),
        _ => false,
    }
}
