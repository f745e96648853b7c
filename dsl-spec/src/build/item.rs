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
            Rule::const_item => self.constant(cursor, span).map(Item::Const),
            Rule::type_item => self.type_alias(cursor, span).map(Item::Type),
            Rule::labels_item => self.labels(cursor, span).map(Item::Labels),
            Rule::model_item => self.model(cursor, span).map(Item::Model),
            Rule::intrinsic_item | Rule::pipeline_item | Rule::layer_item => self.pipeline(rule, cursor, span).map(Item::Pipeline),
            Rule::test_item => self.test(cursor, span).map(Item::Test),
            Rule::hook_item => self.hook(cursor, span).map(Item::Hook),
            Rule::budget_item => self.declaration(DeclarationKind::Budget, cursor, span).map(Item::Declaration),
            Rule::outlet_item => self.declaration(DeclarationKind::Outlet, cursor, span).map(Item::Declaration),
            Rule::monitor_item => self.declaration(DeclarationKind::Monitor, cursor, span).map(Item::Declaration),
            Rule::explain_item => self.declaration(DeclarationKind::Explain, cursor, span).map(Item::Declaration),
            Rule::experiment_item => self.declaration(DeclarationKind::Experiment, cursor, span).map(Item::Declaration),
            Rule::device_item => self.declaration(DeclarationKind::Device, cursor, span).map(Item::Declaration),
            _ => None,
        }
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

    fn constant(&mut self, mut cursor: Cursor<'_>, span: Span) -> Option<Const> {
        let name = self.take_name(&mut cursor)?;
        let mut ty = None;
        let mut value = None;
        for pair in cursor {
            match pair.as_rule() {
                Rule::ty => ty = Some(self.ty(pair)?),
                Rule::expr => value = Some(self.expr(pair)?),
                _ => {}
            }
        }
        Some(Const { doc: self.doc(span), name, ty, value: value?, span })
    }

    fn type_alias(&mut self, mut cursor: Cursor<'_>, span: Span) -> Option<TypeAlias> {
        let name = self.take_name(&mut cursor)?;
        let ty = self.ty(cursor.seek(Rule::ty)?)?;
        Some(TypeAlias { doc: self.doc(span), name, ty, span })
    }

    fn labels(&mut self, mut cursor: Cursor<'_>, span: Span) -> Option<LabelsItem> {
        let name = self.take_name(&mut cursor)?;
        let value = self.expr(cursor.seek(Rule::expr)?)?;
        Some(LabelsItem { doc: self.doc(span), name, value, span })
    }

    fn model(&mut self, mut cursor: Cursor<'_>, span: Span) -> Option<Model> {
        let doc = self.doc(span);
        let name = self.take_name(&mut cursor)?;
        let mut model = Model {
            doc,
            name,
            entries: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            states: Vec::new(),
            blocks: Vec::new(),
            layers: None,
            span,
        };
        let mut lines = Lines::default();
        for pair in cursor {
            let at = self.trimmed(&pair);
            match pair.as_rule() {
                Rule::entry => model.entries.push(self.entry(pair)?),
                Rule::input_port => model.inputs.push(self.port(pair)?),
                Rule::output_port => model.outputs.push(self.port(pair)?),
                Rule::state_port => model.states.push(self.state(pair)?),
                Rule::block => model.blocks.push(self.block(pair)?),
                Rule::layers_block => self.layers(&mut model, pair)?,
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

    pub(super) fn entry(&mut self, pair: Pair<'_, Rule>) -> Option<Entry> {
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

    fn state(&mut self, pair: Pair<'_, Rule>) -> Option<State> {
        let span = self.trimmed(&pair);
        let mut cursor = Cursor::new(pair);
        let name = self.take_name(&mut cursor)?;
        let ty = self.ty(cursor.seek(Rule::ty)?)?;
        let next = self.take_name(&mut cursor)?;
        Some(State { port: Port { doc: self.doc(span), name, ty, span }, next })
    }

    fn layers(&mut self, model: &mut Model, pair: Pair<'_, Rule>) -> Option<()> {
        let span = self.trimmed(&pair);
        let statements = self.statements(Cursor::new(pair))?;
        if model.layers.is_some() {
            self.report(
                Diagnostic::new(Code::E0102, "the model has `layers` twice")
                    .mark(span, "the second one")
                    .help("write all layers into one block"),
            );
        }
        model.layers = Some(Layers { statements, span });
        Some(())
    }

    fn pipeline(&mut self, rule: Rule, mut cursor: Cursor<'_>, span: Span) -> Option<Pipeline> {
        let mut kind = PipelineKind::Pipeline;
        let signature = cursor.find(|pair| {
            if pair.as_rule() == Rule::kw_layer {
                kind = PipelineKind::Layer;
            }
            pair.as_rule() == Rule::signature
        });
        let mut signature = Cursor::new(signature?);
        let name = self.take_name(&mut signature)?;
        let mut params = Vec::new();
        let mut params_end = span.start;
        let mut result = None;
        for pair in signature {
            match pair.as_rule() {
                Rule::parameter => params.push(self.param(pair)?),
                Rule::close_paren => params_end = self.span(&pair).start,
                Rule::ty => result = Some(self.ty(pair)?),
                _ => {}
            }
        }
        let body = if rule == Rule::intrinsic_item { None } else { Some(self.statements(cursor)?) };
        Some(Pipeline { kind, doc: self.doc(span), name, params, params_end, result: result?, body, span })
    }

    fn param(&mut self, pair: Pair<'_, Rule>) -> Option<Param> {
        let span = self.trimmed(&pair);
        let mut cursor = Cursor::new(pair);
        let public = cursor.next_if(Rule::kw_public).is_some();
        let name = self.take_name(&mut cursor)?;
        let ty = self.ty(cursor.seek(Rule::ty)?)?;
        let default = match cursor.seek(Rule::expr) {
            Some(value) => Some(self.expr(value)?),
            None => None,
        };
        Some(Param { name, public, ty, default, span })
    }

    pub(super) fn statements(&mut self, cursor: Cursor<'_>) -> Option<Vec<Statement>> {
        self.statement_lines(cursor).map(|(statements, _)| statements)
    }

    /// Statements, and how far their lines were followed.
    pub(super) fn statement_lines(&mut self, cursor: Cursor<'_>) -> Option<(Vec<Statement>, Lines)> {
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
        Some((statements, lines))
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
pub(super) struct Lines {
    last: Option<Span>,
}

impl Lines {
    pub(super) fn separate(&mut self) {
        self.last = None;
    }

    pub(super) fn entry(&mut self, builder: &mut Builder<'_>, span: Span) {
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
