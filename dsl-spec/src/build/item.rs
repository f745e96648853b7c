//! Items and statements.

use super::Builder;
use crate::ast::*;
use crate::diagnostic::{Code, Diagnostic};
use crate::docs;
use crate::grammar::{Cursor, Rule};
use crate::span::Span;
use pest::iterators::{Pair, Pairs};

impl Builder<'_> {
    /// The item of a parse of `rule`.
    pub(crate) fn item(&mut self, rule: Rule, mut pairs: Pairs<'_, Rule>) -> Option<Item> {
        let pair = pairs.next()?;
        let span = self.trimmed(&pair);
        let cursor = Cursor::new(pair);
        match rule {
            Rule::edition_item => self.edition(cursor, span).map(Item::Edition),
            Rule::use_item => self.import(cursor, span).map(Item::Use),
            Rule::model_item => self.model(cursor, span).map(Item::Model),
            Rule::intrinsic_item | Rule::pipeline_item => self.pipeline(rule, cursor, span).map(Item::Pipeline),
            Rule::test_item => self.test(cursor, span).map(Item::Test),
            Rule::hook_item => self.hook(cursor, span).map(Item::Hook),
            _ => None,
        }
    }

    /// The span of a pair without trailing white space and comments.
    fn trimmed(&self, pair: &Pair<'_, Rule>) -> Span {
        let span = self.span(pair);
        let last = pair.clone().into_inner().filter(|child| child.as_rule() != Rule::end).last();
        last.map_or(span, |last| Span { end: self.trimmed(&last).end, ..span })
    }

    fn edition(&mut self, mut cursor: Cursor<'_>, span: Span) -> Option<Edition> {
        let year = cursor.seek(Rule::integer)?;
        let at = self.span(&year);
        Some(Edition { year: self.whole(year.as_str(), at), span })
    }

    fn import(&mut self, mut cursor: Cursor<'_>, span: Span) -> Option<Use> {
        cursor.next_if(Rule::kw_use)?;
        let source = match cursor.next_if(Rule::string) {
            Some(text) => UseSource::File(self.text(&text)),
            None => UseSource::Module(self.path(cursor.next_if(Rule::module)?)?),
        };
        let names = cursor.filter(|pair| pair.as_rule() == Rule::word).map(|pair| self.name(pair)).collect();
        Some(Use { source, names, span })
    }

    fn model(&mut self, mut cursor: Cursor<'_>, span: Span) -> Option<Model> {
        let doc = self.doc(span);
        let name = self.take_name(&mut cursor)?;
        let mut model = Model { doc, name, entries: Vec::new(), inputs: Vec::new(), outputs: Vec::new(), unsupported: Vec::new(), span };
        let mut lines = Lines::default();
        for pair in cursor {
            let at = self.trimmed(&pair);
            match pair.as_rule() {
                Rule::entry => model.entries.push(self.entry(pair)?),
                Rule::input_port => model.inputs.push(self.port(pair)?),
                Rule::output_port => model.outputs.push(self.port(pair)?),
                Rule::sub_block => model.unsupported.push(self.sub_block(pair)?),
                Rule::comma => {
                    lines.separate();
                    continue;
                }
                _ => continue,
            }
            lines.entry(self, at);
        }
        Some(model)
    }

    fn entry(&mut self, pair: Pair<'_, Rule>) -> Option<Entry> {
        let span = self.trimmed(&pair);
        let mut cursor = Cursor::new(pair);
        let key = self.take_name(&mut cursor)?;
        let value = self.expr(cursor.seek(Rule::expr)?)?;
        Some(Entry { key, value, span })
    }

    fn port(&mut self, pair: Pair<'_, Rule>) -> Option<Port> {
        let span = self.trimmed(&pair);
        let mut cursor = Cursor::new(pair);
        let name = self.take_name(&mut cursor)?;
        let ty = self.ty(cursor.seek(Rule::ty)?)?;
        Some(Port { doc: self.doc(span), name, ty, span })
    }

    fn sub_block(&mut self, pair: Pair<'_, Rule>) -> Option<Header> {
        let span = self.trimmed(&pair);
        let mut cursor = Cursor::new(pair);
        let keyword = self.name(cursor.next_if(Rule::word)?);
        let name = cursor.next_if(Rule::word).map(|pair| self.name(pair));
        self.report(
            Diagnostic::new(Code::E0009, format!("`{}` blocks are not supported by this version of the compiler", keyword.text))
                .mark(keyword.span, "the block is read over")
                .help("remove the block, or use a newer compiler"),
        );
        Some(Header { keyword, name, span })
    }

    fn pipeline(&mut self, rule: Rule, mut cursor: Cursor<'_>, span: Span) -> Option<Pipeline> {
        let mut signature = Cursor::new(cursor.seek(Rule::signature)?);
        let name = self.take_name(&mut signature)?;
        let mut params = Vec::new();
        let mut result = None;
        for pair in signature {
            match pair.as_rule() {
                Rule::parameter => params.push(self.param(pair)?),
                Rule::ty => result = Some(self.ty(pair)?),
                _ => {}
            }
        }
        let body = if rule == Rule::intrinsic_item { None } else { Some(self.statements(cursor)?) };
        Some(Pipeline { doc: self.doc(span), name, params, result: result?, body, span })
    }

    fn param(&mut self, pair: Pair<'_, Rule>) -> Option<Param> {
        let span = self.trimmed(&pair);
        let mut cursor = Cursor::new(pair);
        let name = self.take_name(&mut cursor)?;
        let ty = self.ty(cursor.seek(Rule::ty)?)?;
        let default = match cursor.seek(Rule::expr) {
            Some(value) => Some(self.expr(value)?),
            None => None,
        };
        Some(Param { name, ty, default, span })
    }

    fn statements(&mut self, cursor: Cursor<'_>) -> Option<Vec<Statement>> {
        let mut statements = Vec::new();
        let mut lines = Lines::default();
        for pair in cursor {
            match pair.as_rule() {
                Rule::comma => lines.separate(),
                Rule::binding | Rule::return_stmt => {
                    let span = self.trimmed(&pair);
                    lines.entry(self, span);
                    statements.push(self.statement(pair, span)?);
                }
                _ => {}
            }
        }
        Some(statements)
    }

    fn statement(&mut self, pair: Pair<'_, Rule>, span: Span) -> Option<Statement> {
        let mut cursor = Cursor::new(pair);
        let binds = cursor.next_if(Rule::word).map(|pair| self.name(pair));
        let value = self.expr(cursor.seek(Rule::expr)?)?;
        let attributes = cursor.filter(|pair| pair.as_rule() == Rule::attribute).filter_map(|pair| self.attribute(pair)).collect();
        Some(Statement { binds, value, attributes, span })
    }

    fn test(&mut self, mut cursor: Cursor<'_>, span: Span) -> Option<Test> {
        let name = self.text(&cursor.seek(Rule::string)?);
        let mut expectations = Vec::new();
        let mut lines = Lines::default();
        for pair in cursor {
            match pair.as_rule() {
                Rule::comma => lines.separate(),
                Rule::expect_stmt => {
                    lines.entry(self, self.trimmed(&pair));
                    expectations.push(self.expr(Cursor::new(pair).seek(Rule::expr)?)?);
                }
                _ => {}
            }
        }
        Some(Test { doc: self.doc(span), name, expectations, span })
    }

    fn hook(&mut self, mut cursor: Cursor<'_>, span: Span) -> Option<Hook> {
        let name = self.take_name(&mut cursor)?;
        let pipeline = self.take_name(&mut cursor)?;
        let mut entries = Vec::new();
        let mut lines = Lines::default();
        for pair in cursor {
            match pair.as_rule() {
                Rule::comma => lines.separate(),
                Rule::entry => {
                    lines.entry(self, self.trimmed(&pair));
                    entries.push(self.entry(pair)?);
                }
                _ => {}
            }
        }
        Some(Hook { doc: self.doc(span), name, pipeline, entries, span })
    }

    pub(super) fn doc(&self, span: Span) -> String {
        docs::above(self.source, span.start as usize)
    }
}

/// Checks that a newline or a comma stands between two entries; the grammar does not.
#[derive(Default)]
struct Lines {
    last: Option<Span>,
}

impl Lines {
    fn separate(&mut self) {
        self.last = None;
    }

    fn entry(&mut self, builder: &mut Builder<'_>, span: Span) {
        if let Some(last) = self.last {
            let between = Span { start: last.end, end: span.start };
            if !between.text(builder.source).contains('\n') {
                let at = builder.location(between);
                builder.report(
                    Diagnostic::new(Code::E0007, "two entries stand on one line")
                        .mark(span, "this entry starts on the line of the one before it")
                        .help("start a new line, or write a comma between them")
                        .fix(at, ", "),
                );
            }
        }
        self.last = Some(span);
    }
}
