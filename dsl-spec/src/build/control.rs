//! Control flow: `when`, `for each`, `parallel` and `loop`.

use super::Builder;
use crate::ast::*;
use crate::grammar::{Cursor, Rule};
use pest::iterators::Pair;

impl Builder<'_> {
    /// One of the four, with the height of what is inside it.
    pub(super) fn control(&mut self, pair: Pair<'_, Rule>) -> Option<(ExprKind, u16)> {
        match pair.as_rule() {
            Rule::when_expr => self.when(pair),
            Rule::each_expr => self.for_each(pair),
            Rule::loop_expr => self.bounded_loop(pair),
            Rule::parallel_expr => {
                let statements = self.statements(Cursor::new(pair))?;
                let height = heights(&statements);
                Some((ExprKind::Parallel(statements), height))
            }
            _ => None,
        }
    }

    fn when(&mut self, pair: Pair<'_, Rule>) -> Option<(ExprKind, u16)> {
        let mut arms = Vec::new();
        let mut otherwise = None;
        let mut condition = None;
        let mut height = 0;
        for pair in Cursor::new(pair) {
            match pair.as_rule() {
                Rule::expr => condition = Some(self.expr(pair)?),
                Rule::arm => {
                    let arm = self.arm(pair)?;
                    height = height.max(arm_height(&arm));
                    match condition.take() {
                        Some(condition) => {
                            height = height.max(condition.height);
                            arms.push((condition, arm));
                        }
                        None => otherwise = Some(arm),
                    }
                }
                _ => {}
            }
        }
        Some((ExprKind::When(Box::new(When { arms, otherwise: otherwise? })), height))
    }

    fn for_each(&mut self, pair: Pair<'_, Rule>) -> Option<(ExprKind, u16)> {
        let mut cursor = Cursor::new(pair);
        let name = self.take_name(&mut cursor)?;
        let list = self.pipe(cursor.seek(Rule::pipe)?)?;
        let body = self.arm(cursor.seek(Rule::arm)?)?;
        let height = list.height.max(arm_height(&body));
        Some((ExprKind::ForEach(Box::new(ForEach { name, list, body })), height))
    }

    fn bounded_loop(&mut self, pair: Pair<'_, Rule>) -> Option<(ExprKind, u16)> {
        let mut cursor = Cursor::new(pair);
        let name = self.take_name(&mut cursor)?;
        let start = self.pipe(cursor.seek(Rule::pipe)?)?;
        let at_most = self.chain(cursor.seek(Rule::sum)?)?;
        let mut height = start.height.max(at_most.height);
        let mut counting = None;
        let mut until = None;
        let mut body = None;
        for pair in cursor {
            match pair.as_rule() {
                Rule::word => counting = Some(self.name(pair)),
                Rule::expr => {
                    let condition = self.expr(pair)?;
                    height = height.max(condition.height);
                    until = Some(condition);
                }
                Rule::arm => body = Some(self.arm(pair)?),
                _ => {}
            }
        }
        let body = body?;
        height = height.max(arm_height(&body));
        Some((ExprKind::Loop(Box::new(Loop { name, start, at_most, counting, until, body })), height))
    }

    fn arm(&mut self, pair: Pair<'_, Rule>) -> Option<Arm> {
        let span = self.trimmed(&pair);
        let value = pair.clone().into_inner().find(|child| child.as_rule() == Rule::expr)?;
        let (statements, mut lines) = self.statement_lines(Cursor::new(pair))?;
        lines.entry(self, self.trimmed(&value));
        Some(Arm { statements, value: self.expr(value)?, span })
    }
}

/// The greatest height among the statements' values.
fn heights(statements: &[Statement]) -> u16 {
    statements.iter().map(|statement| statement.value.height).max().unwrap_or(0)
}

fn arm_height(arm: &Arm) -> u16 {
    heights(&arm.statements).max(arm.value.height)
}
