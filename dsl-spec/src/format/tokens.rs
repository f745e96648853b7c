//! A file as a tree of tokens, each with the comments beside it.

use crate::grammar::{self, Rule};
use crate::parse::{header, item_rule};
use crate::split::split;
use pest::iterators::Pair;

/// A comment on a line of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comment<'a> {
    pub(super) text: &'a str,
    /// A blank line stands before it.
    pub(super) blank: bool,
}

/// A token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// As it is to be written.
    pub(super) text: &'a str,
    /// The comments between the line of the token before and this one.
    pub(super) lead: Vec<Comment<'a>>,
    /// The comment behind it on its line.
    pub(super) trail: Option<&'a str>,
    /// A blank line stands right before it.
    pub(super) blank: bool,
    /// A newline stands somewhere between the token before and this one.
    pub(super) newline: bool,
}

/// A node of the grammar, or a token where it has no children.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) rule: Rule,
    /// Its first token.
    pub(super) first: usize,
    pub(super) children: Vec<Node>,
}

/// A file's items and tokens.
#[derive(Clone, Debug)]
pub(super) struct Source<'a> {
    pub(super) items: Vec<Node>,
    pub(super) tokens: Vec<Token<'a>>,
    /// No token: the comments after the last one.
    pub(super) end: Token<'a>,
}

impl<'a> Source<'a> {
    /// Every comment, in order.
    pub(super) fn comments(&self) -> Vec<&'a str> {
        let beside = |token: &Token<'a>| token.lead.iter().map(|comment| comment.text).chain(token.trail).collect::<Vec<_>>();
        self.tokens.iter().chain([&self.end]).flat_map(beside).collect()
    }
}

/// Reads a text that parses; none where it does not.
pub(super) fn read(source: &str) -> Option<Source<'_>> {
    let mut reader = Reader { source, base: 0, at: 0, tokens: Vec::new() };
    let mut items = Vec::new();
    for piece in split(source).0 {
        let text = source.get(piece.span.range())?;
        let rule = item_rule(&header(text, piece.span).keyword.text)?;
        let pair = grammar::parse(rule, text).ok()?.next()?;
        reader.base = piece.span.start as usize;
        items.push(reader.node(pair)?);
    }
    let end = reader.beside(source.len());
    Some(Source { items, end, tokens: reader.tokens })
}

struct Reader<'a> {
    source: &'a str,
    /// Where the item starts; pest counts from there.
    base: usize,
    /// The end of the last token.
    at: usize,
    tokens: Vec<Token<'a>>,
}

impl<'a> Reader<'a> {
    fn node(&mut self, pair: Pair<'_, Rule>) -> Option<Node> {
        let rule = pair.as_rule();
        let first = self.tokens.len();
        let whole = matches!(rule, Rule::number | Rule::compare_op | Rule::sum_op);
        let parts: Vec<Pair<'_, Rule>> = pair.clone().into_inner().collect();
        if whole || parts.is_empty() {
            self.token(&pair)?;
            return Some(Node { rule, first, children: Vec::new() });
        }
        let parts = parts.into_iter().filter(|part| part.as_rule() != Rule::end);
        let children = parts.map(|part| self.node(part)).collect::<Option<Vec<Node>>>()?;
        Some(Node { rule, first, children })
    }

    fn token(&mut self, pair: &Pair<'_, Rule>) -> Option<()> {
        let start = self.base + pair.as_span().start();
        let text = self.source.get(start..self.base + pair.as_span().end())?;
        // Where a mark must not be followed by another, pest counts in the white space and comments between them.
        let end = if pair.as_rule() == Rule::string { text.len() } else { mark_end(text) };
        let mut token = self.beside(start);
        token.text = match &text[..end] {
            "ε" | "ϵ" => "epsilon",
            "δ" => "delta",
            text => text,
        };
        self.at = start + end;
        self.tokens.push(token);
        Some(())
    }

    /// A token without text, with what stands between the last one and `start`. A comment behind the last token becomes that one's.
    fn beside(&mut self, start: usize) -> Token<'a> {
        let mut token = Token::default();
        let mut rest = self.source.get(self.at..start).unwrap_or("");
        let mut newlines = 0;
        while let Some(c) = rest.chars().next() {
            if c != '/' {
                newlines += usize::from(c == '\n');
                rest = &rest[c.len_utf8()..];
                continue;
            }
            let end = rest.find('\n').unwrap_or(rest.len());
            let text = rest[..end].trim_end();
            rest = &rest[end..];
            match self.tokens.last_mut() {
                Some(last) if newlines == 0 && !token.newline => last.trail = Some(text),
                _ => token.lead.push(Comment { text, blank: newlines > 1 }),
            }
            token.newline = true;
            newlines = 0;
        }
        token.newline |= newlines > 0;
        token.blank = newlines > 1;
        token
    }
}

/// Where white space or a comment starts.
fn mark_end(text: &str) -> usize {
    let space = text.find(char::is_whitespace).unwrap_or(text.len());
    let comment = text.find("//").unwrap_or(text.len());
    space.min(comment)
}
