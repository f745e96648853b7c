//! `experiment Name for Pipeline { ... }`

use super::{EXPERIMENT_KEYS, Reader, VARIANT_KEYS};
use crate::declared::{Declared, Experiment, Metric, MonitorId, OutletId, Variant};
use crate::scope::Symbol;
use mlp_syntax::ast::{Block, Declaration, DeclarationKind, Entry, ExprKind, Member, Name};
use mlp_syntax::units::Dimension;
use mlp_syntax::{Code, Diagnostic};

pub(super) fn check(reader: &mut Reader<'_, '_>, node: &Declaration, declared: Declared) -> Experiment {
    let pipeline = reader.target(node.target.as_ref());
    let mut experiment = Experiment { declared, pipeline, variants: Vec::new(), metric: None, until: None };
    let mut entries: Vec<&Entry> = Vec::new();
    let mut shares = 0.0;
    for member in &node.members {
        match member {
            Member::Entry(entry) => entries.push(entry),
            Member::Block(block) if block.keyword.text == "variant" => {
                let Some(variant) = variant(reader, block, pipeline) else { continue };
                let place = reader.place(block.subject.as_ref().map_or(block.keyword.span, |subject| subject.span));
                if experiment.variants.iter().any(|known| known.name == variant.name) {
                    let diagnostic = Diagnostic::new(Code::E0102, format!("the variant `{}` is defined twice", variant.name))
                        .label(place, "defined again here");
                    reader.report(diagnostic.help("give one of them another name"));
                }
                shares += variant.share;
                // Shares are written in percent; what binary fractions lose is no share.
                if shares > 1.0 + 1e-9 && shares - variant.share <= 1.0 + 1e-9 {
                    let diagnostic = Diagnostic::new(Code::E0408, format!("the variants take {} of the devices", percent(shares)))
                        .label(place, "with this they are more than all");
                    let left = (1.0 - (shares - variant.share)).max(0.0);
                    let diagnostic = diagnostic.help(format!("at most {} is left for this one", percent(left)));
                    let share = block.members.iter().find_map(|member| match member {
                        Member::Entry(entry) if entry.key.text == "share" => Some(reader.place(entry.value.span)),
                        _ => None,
                    });
                    reader.report(match share {
                        Some(share) if left > 0.0 => diagnostic.fix(share, percent(left)),
                        _ => diagnostic,
                    });
                }
                experiment.variants.push(variant);
            }
            other => reader.unknown_member(other, &["variant", "metric", "until"]),
        }
    }
    for (key, entry) in reader.entries(entries.into_iter(), EXPERIMENT_KEYS) {
        match key {
            "metric" => {
                let fits = |symbol| matches!(symbol, Symbol::Block(DeclarationKind::Monitor | DeclarationKind::Outlet, _));
                experiment.metric = match reader.reference(&entry.value, "a monitor or outlet", fits) {
                    Some(Symbol::Block(DeclarationKind::Monitor, id)) => Some(Metric::Monitor(MonitorId(id))),
                    Some(Symbol::Block(_, id)) => Some(Metric::Outlet(OutletId(id))),
                    _ => None,
                };
            }
            _ => experiment.until = reader.positive(&entry.value, Some(Dimension::Time)),
        }
    }
    let has_variant = node.members.iter().any(|member| matches!(member, Member::Block(_)));
    if !has_variant {
        let place = reader.place(node.name.span);
        let diagnostic =
            Diagnostic::new(Code::E0108, format!("`{}` compares nothing", node.name.text)).label(place, "expected a `variant` in it");
        let target = node.target.as_ref().map(mlp_syntax::ast::Path::text).unwrap_or_default();
        let text = format!("variant other {{ pipeline = {target}, share = 50% }}");
        let diagnostic = diagnostic.help(format!("write `{text}`"));
        reader.report(match reader.insertion(&text) {
            Some((at, text)) => diagnostic.fix(at, text),
            None => diagnostic,
        });
    }
    experiment
}

fn percent(share: f64) -> String {
    format!("{}%", (share * 1e4).round() / 1e2)
}

fn variant(reader: &mut Reader<'_, '_>, block: &Block, pipeline: Option<crate::PipelineId>) -> Option<Variant> {
    let reader = &mut reader.inner(block, "a variant");
    let Some(subject) = &block.subject else {
        let place = reader.place(block.keyword.span);
        let diagnostic = Diagnostic::new(Code::E0108, "a variant needs a name").label(place, "expected a name after it");
        reader.report(diagnostic.help("write `variant small { ... }`").fix(place, "variant other"));
        return None;
    };
    let mut variant = Variant { name: subject.text(), pipeline: None, share: 0.0 };
    let entries = reader.only_entries(&block.members);
    for (key, entry) in reader.entries(entries.into_iter(), VARIANT_KEYS) {
        match (key, &entry.value.kind) {
            ("pipeline", ExprKind::Name(name)) => {
                variant.pipeline = reader.pipeline(&Name { text: name.clone(), span: entry.value.span });
                if let (Some(control), Some(other)) = (pipeline, variant.pipeline) {
                    same_signature(reader, control, other, entry);
                }
            }
            ("pipeline", _) => {
                reader.reference(&entry.value, "a pipeline", |_| false);
            }
            _ => {
                let fits = |number: f64| number > 0.0 && number <= 1.0;
                variant.share =
                    reader.number_that(&entry.value, Some(Dimension::Ratio), fits, "a part above 0%, up to 100%").unwrap_or(0.0);
            }
        }
    }
    Some(variant)
}

/// A variant stands where the other pipeline stands, so it takes and gives the same.
fn same_signature(reader: &mut Reader<'_, '_>, control: crate::PipelineId, other: crate::PipelineId, entry: &Entry) {
    let pipelines = &reader.checker.pipelines;
    let (Some(a), Some(b)) = (pipelines.get(control.0 as usize), pipelines.get(other.0 as usize)) else { return };
    let takes = |pipeline: &crate::Pipeline| pipeline.params.iter().map(|param| (param.name.clone(), param.ty.clone())).collect::<Vec<_>>();
    let unknown = |pipeline: &crate::Pipeline| {
        pipeline.result == crate::Type::Unknown || pipeline.params.iter().any(|param| param.ty == crate::Type::Unknown)
    };
    if unknown(a) || unknown(b) || (takes(a) == takes(b) && a.result == b.result) {
        return;
    }
    let remark = if takes(a) == takes(b) {
        format!("it gives {}, not {}", reader.checker.show(&b.result), reader.checker.show(&a.result))
    } else {
        "it takes something else".to_owned()
    };
    let (a, b) = (a.name.clone(), b.name.clone());
    let place = reader.place(entry.value.span);
    let diagnostic = Diagnostic::new(Code::E0407, format!("`{b}` cannot stand in for `{a}`")).label(place, remark);
    reader.report(diagnostic.help("name a pipeline that takes and gives the same"));
}
