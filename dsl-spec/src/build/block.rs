//! Declarations and the blocks inside models and declarations: members.

use super::Builder;
use super::item::Lines;
use crate::ast::*;
use crate::grammar::{Cursor, Rule};
use crate::span::Span;
use pest::iterators::Pair;

impl Builder<'_> {
    pub(super) fn declaration(&mut self, kind: DeclarationKind, mut cursor: Cursor<'_>, span: Span) -> Option<Declaration> {
        let name = self.take_name(&mut cursor)?;
        let mut target = None;
        let mut members = Vec::new();
        for pair in cursor {
            match pair.as_rule() {
                Rule::path => target = Some(self.path(pair)?),
                Rule::members => members = self.members(pair)?,
                _ => {}
            }
        }
        Some(Declaration { doc: self.doc(span), kind, name, target, members, span })
    }

    pub(super) fn block(&mut self, pair: Pair<'_, Rule>) -> Option<Block> {
        let span = self.trimmed(&pair);
        let mut cursor = Cursor::new(pair);
        let keyword = self.take_name(&mut cursor)?;
        let subject = match cursor.next_if(Rule::path) {
            Some(path) => Some(self.path(path)?),
            None => None,
        };
        let members = self.members(cursor.seek(Rule::members)?)?;
        Some(Block { doc: self.doc(span), keyword, subject, members, span })
    }

    fn members(&mut self, pair: Pair<'_, Rule>) -> Option<Vec<Member>> {
        let mut members = Vec::new();
        let mut lines = Lines::default();
        for pair in Cursor::new(pair) {
            let member = match pair.as_rule() {
                Rule::comma => {
                    lines.separate();
                    continue;
                }
                Rule::entry => Member::Entry(self.entry(pair)?),
                Rule::block => Member::Block(self.block(pair)?),
                Rule::limit => Member::Limit(self.limit(pair)?),
                Rule::apply => Member::Apply(self.apply(pair)?),
                _ => continue,
            };
            lines.entry(self, member.span());
            members.push(member);
        }
        Some(members)
    }

    fn limit(&mut self, pair: Pair<'_, Rule>) -> Option<Limit> {
        let span = self.trimmed(&pair);
        let mut cursor = Cursor::new(pair);
        let subject = self.take_name(&mut cursor)?;
        let statistic = cursor.next_if(Rule::word).map(|pair| self.name(pair));
        let op = cursor.next_if(Rule::order_op)?;
        let op_span = self.span(&op);
        let op = Operator::from_symbol(op.as_str())?;
        let bound = self.windowed(cursor.next_if(Rule::bound)?)?;
        Some(Limit { subject, statistic, op, op_span, bound, span })
    }

    fn apply(&mut self, pair: Pair<'_, Rule>) -> Option<Apply> {
        let span = self.trimmed(&pair);
        let mut cursor = Cursor::new(pair);
        let keyword = self.take_name(&mut cursor)?;
        let callee = self.path(cursor.next_if(Rule::path)?)?;
        let arguments = match cursor.next_if(Rule::arguments) {
            Some(pair) => Some(self.arguments(pair)?),
            None => None,
        };
        Some(Apply { keyword, callee, arguments, span })
    }
}
