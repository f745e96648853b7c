//! Expressions.

use super::Builder;
use crate::ast::*;
use crate::diagnostic::{Code, Diagnostic};
use crate::grammar::{Cursor, Rule};
use crate::span::Span;
use crate::units;
use pest::iterators::Pair;

/// The greatest height of an expression tree: later phases recurse over it.
pub(crate) const MAX_HEIGHT: u16 = 128;

impl Builder<'_> {
    /// An expression: a pipe, or two compared.
    pub(super) fn expr(&mut self, pair: Pair<'_, Rule>) -> Option<Expr> {
        let mut cursor = Cursor::new(pair);
        let mut value = self.pipe(cursor.next_if(Rule::pipe)?)?;
        if let Some(op) = cursor.next_if(Rule::compare_op) {
            let right = self.pipe(cursor.next_if(Rule::pipe)?)?;
            value = self.binary(value, op, right)?;
        }
        self.over(value, cursor)
    }

    /// A pipe, with the stretch of time that it is counted over where one follows.
    pub(super) fn windowed(&mut self, pair: Pair<'_, Rule>) -> Option<Expr> {
        let mut cursor = Cursor::new(pair);
        let value = self.pipe(cursor.next_if(Rule::pipe)?)?;
        self.over(value, cursor)
    }

    fn over(&mut self, value: Expr, mut rest: Cursor<'_>) -> Option<Expr> {
        if rest.next_if(Rule::kw_over).is_none() {
            return Some(value);
        }
        let window = self.pipe(rest.next_if(Rule::pipe)?)?;
        let (span, height) = (value.span.to(window.span), value.height.max(window.height));
        Some(self.node(ExprKind::Over(Box::new(Over { value, window })), span, height))
    }

    pub(super) fn pipe(&mut self, pair: Pair<'_, Rule>) -> Option<Expr> {
        let mut cursor = Cursor::new(pair);
        let mut value = self.chain(cursor.next_if(Rule::sum)?)?;
        for stage in cursor.filter(|pair| pair.as_rule() == Rule::stage) {
            let mut stage = Cursor::new(stage);
            let callee = self.path_expr(stage.next_if(Rule::path)?)?;
            let mut span = value.span.to(callee.span);
            let arguments = match stage.next_if(Rule::arguments) {
                Some(pair) => {
                    span = span.to(self.trimmed(&pair));
                    self.arguments(pair)?
                }
                None => Vec::new(),
            };
            let height = arguments.iter().map(|argument| argument.value.height).chain([value.height, callee.height]).max().unwrap_or(0);
            value = self.node(ExprKind::Call(Box::new(Call { callee, piped: Some(value), arguments })), span, height);
        }
        Some(value)
    }

    /// `a.b` in the place of a callee.
    fn path_expr(&mut self, pair: Pair<'_, Rule>) -> Option<Expr> {
        let path = self.path(pair)?;
        let mut names = path.names.into_iter();
        let first = names.next()?;
        let mut expr = self.node(ExprKind::Name(first.text), first.span, 0);
        for name in names {
            let span = expr.span.to(name.span);
            let height = expr.height;
            expr = self.node(ExprKind::Field(Box::new(expr), name), span, height);
        }
        Some(expr)
    }

    /// A sum or a product: operands with operators between them, grouped from the left.
    pub(super) fn chain(&mut self, pair: Pair<'_, Rule>) -> Option<Expr> {
        let mut cursor = Cursor::new(pair);
        let mut value = self.operand(cursor.next()?)?;
        while let Some(op) = cursor.next() {
            let right = self.operand(cursor.next()?)?;
            value = self.binary(value, op, right)?;
        }
        Some(value)
    }

    fn operand(&mut self, pair: Pair<'_, Rule>) -> Option<Expr> {
        match pair.as_rule() {
            Rule::product => self.chain(pair),
            Rule::unary => self.unary(pair),
            _ => None,
        }
    }

    fn binary(&mut self, left: Expr, op: Pair<'_, Rule>, right: Expr) -> Option<Expr> {
        let op_span = self.span(&op);
        let op = Operator::from_symbol(op.as_str().trim_end())?;
        let span = left.span.to(right.span);
        let height = left.height.max(right.height);
        Some(self.node(ExprKind::Binary(Box::new(Binary { left, op, op_span, right })), span, height))
    }

    fn unary(&mut self, pair: Pair<'_, Rule>) -> Option<Expr> {
        let mut signs = Vec::new();
        let mut value = None;
        for child in Cursor::new(pair) {
            match child.as_rule() {
                Rule::minus => signs.push(self.span(&child)),
                Rule::postfix => value = Some(self.postfix(child)?),
                _ => return None,
            }
        }
        let mut value = value?;
        for sign in signs.into_iter().rev() {
            let span = sign.to(value.span);
            let height = value.height;
            value = self.node(ExprKind::Negate(Box::new(value)), span, height);
        }
        Some(value)
    }

    fn postfix(&mut self, pair: Pair<'_, Rule>) -> Option<Expr> {
        let mut cursor = Cursor::new(pair);
        let mut value = self.primary(cursor.next()?)?;
        for pair in cursor {
            let span = value.span.to(self.trimmed(&pair));
            value = match pair.as_rule() {
                Rule::field => {
                    let name = self.take_name(&mut Cursor::new(pair))?;
                    let height = value.height;
                    let span = value.span.to(name.span);
                    self.node(ExprKind::Field(Box::new(value), name), span, height)
                }
                Rule::index => {
                    let digits = Cursor::new(pair).seek(Rule::integer)?;
                    let at = self.span(&digits);
                    let index = self.whole(digits.as_str(), at);
                    let height = value.height;
                    self.node(ExprKind::Index(Box::new(value), index), span, height)
                }
                Rule::arguments => {
                    let arguments = self.arguments(pair)?;
                    let height = arguments.iter().map(|argument| argument.value.height).chain([value.height]).max().unwrap_or(0);
                    self.node(ExprKind::Call(Box::new(Call { callee: value, piped: None, arguments })), span, height)
                }
                _ => return None,
            };
        }
        Some(value)
    }

    pub(super) fn arguments(&mut self, pair: Pair<'_, Rule>) -> Option<Vec<Argument>> {
        let mut arguments = Vec::new();
        for pair in Cursor::new(pair).filter(|pair| pair.as_rule() == Rule::argument) {
            let mut cursor = Cursor::new(pair);
            let name = cursor.next_if(Rule::word).map(|pair| self.name(pair));
            arguments.push(Argument { name, value: self.expr(cursor.seek(Rule::expr)?)? });
        }
        Some(arguments)
    }

    fn primary(&mut self, pair: Pair<'_, Rule>) -> Option<Expr> {
        let span = self.trimmed(&pair);
        let kind = match pair.as_rule() {
            Rule::value_name => ExprKind::Name(self.take_name(&mut Cursor::new(pair))?.text),
            Rule::string => ExprKind::Text(self.text(&pair).value),
            Rule::number => self.number(pair).map_or(ExprKind::Broken, ExprKind::Number),
            Rule::size => self.size(pair.as_str(), span),
            Rule::group => return self.expr(Cursor::new(pair).seek(Rule::expr)?),
            Rule::list => return self.list(pair, span),
            Rule::record => return self.record(pair, span),
            _ => {
                let (kind, height) = self.control(pair)?;
                return Some(self.node(kind, span, height));
            }
        };
        Some(self.node(kind, span, 0))
    }

    fn list(&mut self, pair: Pair<'_, Rule>, span: Span) -> Option<Expr> {
        let mut items = Vec::new();
        for pair in Cursor::new(pair).filter(|pair| pair.as_rule() == Rule::expr) {
            items.push(self.expr(pair)?);
        }
        let height = items.iter().map(|item| item.height).max().unwrap_or(0);
        Some(self.node(ExprKind::List(items), span, height))
    }

    fn record(&mut self, pair: Pair<'_, Rule>, span: Span) -> Option<Expr> {
        let mut entries = Vec::new();
        for pair in Cursor::new(pair).filter(|pair| pair.as_rule() == Rule::record_entry) {
            let mut cursor = Cursor::new(pair);
            let name = self.take_name(&mut cursor)?;
            let value = match cursor.seek(Rule::expr) {
                Some(pair) => Some(self.expr(pair)?),
                None => None,
            };
            entries.push(RecordEntry { name, value });
        }
        let height = entries.iter().filter_map(|entry| entry.value.as_ref()).map(|value| value.height).max().unwrap_or(0);
        Some(self.node(ExprKind::Record(entries), span, height))
    }

    /// `WxH`; both sides are at least 1.
    fn size(&mut self, text: &str, span: Span) -> ExprKind {
        let side = |digits: &str| digits.parse::<u32>().ok().filter(|side| (1..=65536).contains(side));
        match text.split_once('x').and_then(|(width, height)| Some((side(width)?, side(height)?))) {
            Some((width, height)) => ExprKind::Size { width, height },
            None => {
                self.report(
                    Diagnostic::new(Code::E0011, format!("`{text}` is no size"))
                        .mark(span, "both sides are from 1 to 65536")
                        .help("write width, `x`, height, as in `224x224`"),
                );
                ExprKind::Broken
            }
        }
    }

    /// A number with its unit; none where either is reported as wrong.
    pub(super) fn number(&mut self, pair: Pair<'_, Rule>) -> Option<Number> {
        let span = self.span(&pair);
        let mut cursor = Cursor::new(pair);
        let digits = cursor.next_if(Rule::digits)?;
        let value: f64 = digits.as_str().parse().ok()?;
        if !value.is_finite() {
            self.report(
                Diagnostic::new(Code::E0011, format!("`{}` is too large", digits.as_str()))
                    .mark(span, "a number is at most about 1.8e308")
                    .help("write a smaller number"),
            );
            return None;
        }
        let Some(pair) = cursor.next_if(Rule::unit) else { return Some(Number { value, unit: None }) };
        let unit = units::find(pair.as_str());
        if unit.is_none() {
            let at = self.span(&pair);
            self.unknown_unit(pair.as_str(), at);
        }
        Some(Number { value, unit: Some(unit?) })
    }

    fn unknown_unit(&mut self, symbol: &str, at: Span) {
        let diagnostic = Diagnostic::new(Code::E0010, format!("`{symbol}` is no unit"));
        let diagnostic = match units::suggest(symbol) {
            Some(known) => diagnostic.mark(at, format!("did you mean `{known}`?")).fix(self.location(at), known),
            None => diagnostic.mark(at, "unknown unit").help(format!("units are {}", units::examples())),
        };
        self.report(diagnostic);
    }

    /// A node over children of that height; a tree that grows too high is dropped, and reported once an item.
    fn node(&mut self, kind: ExprKind, span: Span, children: u16) -> Expr {
        let height = children + 1;
        if height <= MAX_HEIGHT {
            return Expr { kind, span, height };
        }
        if !std::mem::replace(&mut self.overgrown, true) {
            self.report(
                Diagnostic::new(Code::E0005, format!("more than {MAX_HEIGHT} operations hang together here"))
                    .mark(span, "this expression is too long")
                    .help("give a part of it a name of its own"),
            );
        }
        Expr { kind: ExprKind::Broken, span, height: 0 }
    }
}
