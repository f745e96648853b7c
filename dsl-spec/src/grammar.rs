//! The parser that pest makes of `grammar/mlp.pest`, and a cursor over its pairs. Nothing outside this crate sees a `Rule`.

use pest::Parser as _;
use pest::error::{Error, InputLocation};
use pest::iterators::{Pair, Pairs};
use pest_derive::Parser;

#[derive(Parser)]
#[grammar = "grammar/mlp.pest"]
struct Grammar;

/// Parses the text of one item.
pub(crate) fn parse(rule: Rule, text: &str) -> Result<Pairs<'_, Rule>, Box<Error<Rule>>> {
    Grammar::parse(rule, text).map_err(Box::new)
}

/// Where a parse stopped, as an offset into the text.
pub(crate) fn error_offset(error: &Error<Rule>) -> usize {
    match error.location {
        InputLocation::Pos(at) => at,
        InputLocation::Span((start, _)) => start,
    }
}

/// Walks the children of a pair. A child that the grammar promises but that is not there is `None`, never a panic.
pub(crate) struct Cursor<'a> {
    pairs: Pairs<'a, Rule>,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(pair: Pair<'a, Rule>) -> Cursor<'a> {
        Cursor { pairs: pair.into_inner() }
    }

    /// The next child, if it is of that rule.
    pub(crate) fn next_if(&mut self, rule: Rule) -> Option<Pair<'a, Rule>> {
        if self.pairs.peek()?.as_rule() == rule { self.pairs.next() } else { None }
    }

    /// The next child of that rule, whatever stands before it.
    pub(crate) fn seek(&mut self, rule: Rule) -> Option<Pair<'a, Rule>> {
        self.pairs.find(|pair| pair.as_rule() == rule)
    }
}

impl<'a> Iterator for Cursor<'a> {
    type Item = Pair<'a, Rule>;

    fn next(&mut self) -> Option<Pair<'a, Rule>> {
        self.pairs.next()
    }
}
