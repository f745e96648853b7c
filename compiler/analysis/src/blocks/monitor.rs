//! `monitor Name for Pipeline { ... }`

use super::{DRIFT_KEYS, DRIFT_TESTS, EXPLANATIONS, MEASURES, Measure, Method, Parameter, Reader, Takes};
use crate::checker::unknown_name;
use crate::declared::{Argument, Declared, Drift, Explanation, Limit, Monitor};
use crate::types::Type;
use mlp_syntax::ast::{self, Block, Declaration, Member, Operator};
use mlp_syntax::units::Dimension;
use mlp_syntax::{Code, Diagnostic};

/// How a reference is read.
const REFERENCES: &[Method] =
    &[Method { name: "samples", parameters: &[Parameter { name: "path", takes: Takes::File, required: true }], doc: "Values, one a row." }];

pub(super) fn check(reader: &mut Reader<'_, '_>, node: &Declaration, declared: Declared) -> Monitor {
    let pipeline = reader.target(node.target.as_ref());
    let mut monitor = Monitor { declared, pipeline, limits: Vec::new(), drifts: Vec::new(), explanations: Vec::new() };
    let mut words: Vec<&str> = MEASURES.iter().map(|measure| measure.name).collect();
    words.extend(["drift", "explain"]);
    for member in &node.members {
        match member {
            Member::Limit(node) => {
                if let Some(limit) = limit(reader, node, &words) {
                    if monitor.limits.iter().any(|known| (known.measure, known.statistic) == (limit.measure, limit.statistic)) {
                        let place = reader.place(node.span);
                        let diagnostic = Diagnostic::new(Code::E0102, format!("`{}` is bounded twice", limit.measure))
                            .label(place, "bounded again here");
                        reader.report(diagnostic.help("remove one of them"));
                    } else {
                        monitor.limits.push(limit);
                    }
                }
            }
            Member::Block(block) if block.keyword.text == "drift" => monitor.drifts.extend(drift(reader, block, pipeline)),
            Member::Apply(apply) if apply.keyword.text == "explain" => {
                let arguments = apply.arguments.as_deref().unwrap_or_default();
                let found = reader.applied(&apply.callee.text(), apply.callee.span, arguments, "explanation", EXPLANATIONS);
                monitor.explanations.extend(found.map(|(method, arguments)| Explanation { method: method.name, arguments }));
            }
            Member::Entry(entry) if MEASURES.iter().any(|measure| measure.name == entry.key.text) => {
                let place = reader.place(entry.span);
                let measure = MEASURES.iter().find(|measure| measure.name == entry.key.text);
                let op = if measure.is_some_and(|measure| measure.least) { "<" } else { ">" };
                let text = format!("{} {op} {}", entry.key.text, reader.checker.text(reader.place(entry.value.span)));
                let diagnostic =
                    Diagnostic::new(Code::E0107, format!("`{}` is bounded, not set", entry.key.text)).label(place, "expected a limit");
                reader.report(diagnostic.help(format!("write `{text}`")).fix(place, text));
            }
            other => reader.unknown_member(other, &words),
        }
    }
    if node.members.is_empty() {
        let place = reader.place(node.name.span);
        let diagnostic =
            Diagnostic::new(Code::E0108, format!("`{}` watches nothing", node.name.text)).label(place, "expected a limit in it");
        let diagnostic = diagnostic.help("write `latency p95 < 16ms`, `drift ...` or `explain ...`");
        reader.report(match reader.insertion("latency p95 < 16ms") {
            Some((at, text)) => diagnostic.fix(at, text),
            None => diagnostic,
        });
    }
    monitor
}

fn limit(reader: &mut Reader<'_, '_>, node: &ast::Limit, words: &[&str]) -> Option<Limit> {
    let Some(measure) = MEASURES.iter().find(|measure| measure.name == node.subject.text) else {
        let message = format!("a monitor does not measure `{}`", node.subject.text);
        let diagnostic = unknown_name(Code::E0107, message, &node.subject.text, reader.place(node.subject.span), words.iter().copied());
        reader.report(diagnostic);
        return None;
    };
    let statistic = match &node.statistic {
        None => None,
        Some(name) => Some(statistic(reader, measure, name)?),
    };
    let upper = matches!(node.op, Operator::Lt | Operator::Le);
    if upper != measure.least {
        let place = reader.place(node.op_span);
        let (right, word) = if measure.least {
            (if node.op == Operator::Ge { "<=" } else { "<" }, "less")
        } else {
            (if node.op == Operator::Le { ">=" } else { ">" }, "more")
        };
        let diagnostic = Diagnostic::new(Code::E0406, format!("a limit says what `{}` should be", measure.name))
            .label(place, format!("{word} is better"));
        reader.report(diagnostic.help(format!("write `{right}`")).fix(place, right));
        return None;
    }
    let (value, window) = reader.windowed(&node.bound)?;
    let ratio = measure.dimension == Dimension::Ratio;
    let fits = |number: f64| number >= 0.0 && (!ratio || number <= 1.0);
    let expected = if ratio { "a part from 0% to 100%" } else { "a number from 0" };
    let bound = reader.number_that(value, Some(measure.dimension), fits, expected)?;
    Some(Limit { measure: measure.name, statistic, op: node.op, bound, window })
}

fn statistic(reader: &mut Reader<'_, '_>, measure: &Measure, name: &ast::Name) -> Option<&'static str> {
    let found = measure.statistics.iter().copied().find(|known| *known == name.text);
    if found.is_none() {
        let place = reader.place(name.span);
        let message = format!("`{}` has no statistic `{}`", measure.name, name.text);
        let diagnostic = unknown_name(Code::E0107, message, &name.text, place, measure.statistics.iter().copied());
        reader.report(if measure.statistics.is_empty() { diagnostic.help("remove it").fix(place, "") } else { diagnostic });
    }
    found
}

fn drift(reader: &mut Reader<'_, '_>, block: &Block, pipeline: Option<crate::PipelineId>) -> Option<Drift> {
    let reader = &mut reader.inner(block, "`drift`");
    let entries = reader.only_entries(&block.members);
    let entries = reader.entries(entries.into_iter(), DRIFT_KEYS);
    let mut drift = Drift { fields: Vec::new(), test: "psi", reference: None, alpha: 0.01, window: None };
    for (key, entry) in entries {
        match key {
            "test" => drift.test = reader.word(&entry.value, DRIFT_TESTS)?,
            "reference" => {
                let (_, arguments) = reader.method(&entry.value, "reference", REFERENCES)?;
                drift.reference = arguments.into_iter().find_map(|(_, argument)| match argument {
                    Argument::Text(path) => Some(path),
                    Argument::Number(_) => None,
                });
            }
            _ => {
                let (value, window) = reader.windowed(&entry.value)?;
                let fits = |number: f64| number > 0.0 && number < 1.0;
                drift.alpha = reader.number_that(value, Some(Dimension::Ratio), fits, "a part above 0% and below 100%")?;
                drift.window = window;
            }
        }
    }
    let Some(subject) = &block.subject else {
        let place = reader.place(block.keyword.span);
        let diagnostic =
            Diagnostic::new(Code::E0108, "`drift` needs to know of what").label(place, "expected a part of an answer after it");
        reader.report(diagnostic.help("write `drift Pipeline.field { test = psi }`"));
        return None;
    };
    let (id, fields, ty) = reader.answer(subject)?;
    let place = reader.place(subject.span);
    if pipeline.is_some_and(|pipeline| pipeline != id) {
        let watched =
            pipeline.and_then(|id| reader.checker.pipelines.get(id.0 as usize)).map_or(String::new(), |pipeline| pipeline.name.clone());
        let diagnostic =
            Diagnostic::new(Code::E0407, format!("this monitor is for `{watched}`")).label(place, "this is of another pipeline");
        let first = subject.names.first().map(|name| reader.place(name.span));
        let diagnostic = diagnostic.help("watch a part of that pipeline's answer, or write another monitor");
        reader.report(match first {
            Some(first) => diagnostic.fix(first, watched),
            None => diagnostic,
        });
        return None;
    }
    if !matches!(ty, Type::Tensor(_) | Type::Label(_)) {
        let shown = reader.checker.show(&ty);
        let diagnostic = Diagnostic::new(Code::E0201, format!("`drift` compares tensors and labels, not {shown}"))
            .label(place, format!("this is {shown}"));
        reader.report(diagnostic.help("name a field that is a tensor or a label"));
        return None;
    }
    drift.fields = fields;
    Some(drift)
}
