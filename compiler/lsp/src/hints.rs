//! Types and costs that are nowhere written, shown between the lines.

use crate::costs::Cost;
use crate::names::Kind;
use crate::session::Session;
use crate::typed;
use ls_types::{InlayHint, InlayHintKind, InlayHintLabel, InlayHintTooltip, Position, Range, Uri};
use mlp_analysis::{Mechanism, Program};

/// The most characters of a hint; its tooltip has all of them.
const WIDTH: usize = 48;

impl Session {
    /// The types of bindings, and of the steps of pipelines that take several lines, with the bytes that they take; what models and pipelines cost, where that is
    /// known; what outlets release at what cost, and what that leaves of budgets.
    pub fn hints(&self, uri: &Uri, range: Range) -> Option<Vec<InlayHint>> {
        let snapshot = self.readable(uri)?;
        let program = snapshot.package.program();
        let text = snapshot.text(0)?;
        let bytes = text.bytes(range);
        let asked = |at: u32| bytes.contains(&(at as usize)) || at as usize == bytes.end;
        let mut hints = Vec::new();
        let costs = self.costs(uri);
        for (_, definition) in snapshot.index().in_file(0) {
            let cost = match definition.kind {
                Kind::Model => Some((definition.span.end, costs.and_then(|costs| costs.items.get(&definition.name)))),
                Kind::Pipeline => Some((definition.shown.end, costs.and_then(|costs| costs.items.get(&definition.name)))),
                _ => None,
            };
            if let Some((at, Some(cost))) = cost.filter(|(at, _)| asked(*at)) {
                hints.push(costing(text.position(at as usize), cost));
            }
            if definition.kind != Kind::Local || !asked(definition.span.end) {
                continue;
            }
            if let Some(ty) = typed::of_definition(program, definition) {
                let bytes = typed::type_of(program, definition).and_then(typed::bytes);
                hints.push(hint(text.position(definition.span.end as usize), ": ", &ty, bytes, false));
            }
        }
        for call in typed::calls(program, 0) {
            let (before, after) = (&text.as_str()[..call.callee.start as usize], &text.as_str()[call.end..]);
            let starts_line = before.trim_end().strip_suffix("|>").is_some_and(|rest| rest.trim_end_matches([' ', '\t']).ends_with('\n'));
            let goes_on =
                after.trim_start_matches([' ', '\t', '\r']).strip_prefix('\n').is_some_and(|rest| rest.trim_start().starts_with("|>"));
            if starts_line && goes_on {
                hints.push(hint(text.position(call.end), "", &call.result, call.bytes, true));
            }
        }
        hints.extend(privacy(program).map(|(at, label, tooltip)| InlayHint {
            tooltip: Some(InlayHintTooltip::String(tooltip)),
            ..plain(text.position(at as usize), label, true)
        }));
        hints.retain(|hint| bytes.contains(&text.offset(hint.position)) || text.offset(hint.position) == bytes.end);
        hints.sort_by_key(|hint| hint.position);
        hints.dedup_by_key(|hint| hint.position);
        Some(hints)
    }
}

/// What a model or pipeline costs, as the report of a build has it.
fn costing(position: Position, cost: &Cost) -> InlayHint {
    let at: Vec<String> = cost.sizes.iter().map(|(name, size)| format!("{name} = {size}")).collect();
    let at = if at.is_empty() { String::new() } else { format!(", with {}", at.join(", ")) };
    let (weights, memory) = (typed::amount(cost.weights), typed::amount(cost.memory));
    let tooltip = format!("{} multiply-accumulates a run{at}; {weights} of weights; {memory} for values while it runs.", cost.macs);
    let label = format!("{} MACs · {weights} of weights · {memory} of memory", typed::count(cost.macs));
    InlayHint { tooltip: Some(InlayHintTooltip::String(tooltip)), ..plain(position, label, true) }
}

/// What outlets and budgets of the first file cost: the place, the hint and its explanation.
fn privacy(program: &Program) -> impl Iterator<Item = (u32, String, String)> {
    let outlets = program.declarations.outlets.iter().filter(|outlet| outlet.from.file.0 == 0).filter_map(|outlet| {
        let released = outlet.released.filter(|released| released.private)?;
        let (Some((mechanism, _)), Some((count, _))) = (outlet.mechanism, outlet.at_most) else { return None };
        let each = match mechanism {
            Mechanism::RandomizedResponse { epsilon }
            | Mechanism::Laplace { epsilon }
            | Mechanism::Exponential { epsilon }
            | Mechanism::PermuteAndFlip { epsilon } => format!("epsilon {epsilon}"),
            Mechanism::Gaussian { epsilon, delta } => format!("epsilon {epsilon}, delta {delta}"),
            Mechanism::GaussianNoise { noise } => format!("noise {noise}"),
        };
        let moved = match released.sensitivity {
            0.0 => "One person decides which label it is.".to_owned(),
            sensitivity => format!("One person moves the value by at most {sensitivity}."),
        };
        Some((outlet.from.span.end, format!("{each} × {count}"), moved))
    });
    let budgets = program.declarations.budgets.iter().filter(|budget| budget.declared.at.file.0 == 0).filter_map(|budget| {
        let (spent, available) = (budget.spent?, budget.epsilon?);
        let label = format!("epsilon {} of {available} spent", rounded(spent));
        Some((budget.declared.at.span.end, label, "What all outlets of this budget release together, by the best known bound.".to_owned()))
    });
    outlets.chain(budgets)
}

/// With four digits.
fn rounded(number: f64) -> f64 {
    let scale = 10_f64.powf(3.0 - number.abs().log10().floor());
    if scale.is_finite() && scale > 0.0 { (number * scale).round() / scale } else { number }
}

fn plain(position: Position, label: String, padded: bool) -> InlayHint {
    InlayHint {
        position,
        label: InlayHintLabel::String(label),
        kind: None,
        text_edits: None,
        tooltip: None,
        padding_left: Some(padded),
        padding_right: None,
        data: None,
    }
}

fn hint(position: Position, before: &str, ty: &str, bytes: Option<u64>, padded: bool) -> InlayHint {
    let long = ty.chars().count() > WIDTH;
    let shown = if long { ty.chars().take(WIDTH - 1).chain(['…']).collect() } else { ty.to_owned() };
    let size = bytes.map_or(String::new(), |bytes| format!(" · {}", typed::amount(bytes)));
    InlayHint {
        kind: Some(InlayHintKind::TYPE),
        tooltip: long.then(|| InlayHintTooltip::String(format!("{ty}{size}"))),
        ..plain(position, format!("{before}{shown}{size}"), padded)
    }
}
