//! Privacy: what may leave the device, and what it costs.
//!
//! Inputs of pipelines are private unless they are marked `public`. A private value leaves through an outlet alone, whose mechanism needs to know how far one
//! person's input can move the value (`flow`, `bound`); and what all outlets of a budget release together must not cost more than it has (`accounting`).

pub mod accounting;
mod bound;
mod flow;
mod operators;

use crate::blocks::{OUTLET_KEYS, Reader};
use crate::checker::Checker;
use crate::declared::{Budget, Declarations, Mechanism, Outlet};
use crate::program::{Body, Expr, ExprKind, PipelineId};
use crate::reuse::Reuse;
use crate::types::{Labels, TensorType, Type};
use accounting::{Release, largest_count, total};
use flow::{Flow, Follower};
use mlp_syntax::ast::Item;
use mlp_syntax::{Code, Diagnostic, FileId, Location};
use std::collections::HashMap;

/// What the checker found out about an outlet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Released {
    /// True where the value depends on a private input.
    pub private: bool,
    /// How far one person's input can move the value, in the norm that the mechanism needs; 0 for labels and public values.
    pub sensitivity: f64,
    /// One release, as it is counted; none for a public value.
    pub release: Option<Release>,
}

/// Fills in what outlets release and what budgets spend, and reports what must not leave.
pub(crate) fn check_all(checker: &mut Checker<'_>, declarations: &mut Declarations, reuse: Option<&Reuse>) {
    let Declarations { outlets, budgets, .. } = declarations;
    // One that was taken over releases what it did, unless something that its value is made of has changed.
    let mut unchanged = HashMap::new();
    for outlet in outlets.iter_mut().filter(|outlet| outlet.released.is_some()) {
        let same = reuse.zip(outlet.pipeline).is_some_and(|(reuse, pipeline)| reuse.is_unchanged(checker, pipeline, &mut unchanged));
        outlet.released = outlet.released.filter(|_| same);
    }
    let mut follower = Follower::new(&checker.pipelines, &checker.models);
    let open = outlets.iter_mut().filter(|outlet| outlet.released.is_none());
    let values: Vec<(&mut Outlet, Flow)> = open.filter_map(|outlet| value(&mut follower, outlet).map(|value| (outlet, value))).collect();
    for (outlet, value) in values {
        outlet.released = released(checker, outlet, budgets, &value);
    }
    let mut spends: Vec<Vec<&Outlet>> = vec![Vec::new(); declarations.budgets.len()];
    for outlet in &declarations.outlets {
        let budget = outlet.spend.and_then(|(id, _)| spends.get_mut(id.0 as usize));
        budget.into_iter().for_each(|spends| spends.push(outlet));
    }
    for (one, spends) in declarations.budgets.iter_mut().zip(spends) {
        one.spent = budget(checker, one, &spends, &declarations.outlets);
    }
}

/// The value that an outlet names.
fn value(follower: &mut Follower<'_>, outlet: &Outlet) -> Option<Flow> {
    let answer = follower.answer(outlet.pipeline?)?;
    Some(outlet.fields.iter().fold(answer, |value, field| value.field(field)))
}

fn released(checker: &mut Checker<'_>, outlet: &Outlet, budgets: &[Budget], value: &Flow) -> Option<Released> {
    if !value.private() {
        return Some(Released { private: false, sensitivity: 0.0, release: None });
    }
    if outlet.broken || !is_complete(checker, outlet, budgets) {
        return None;
    }
    let (mechanism, place) = outlet.mechanism?;
    if !fits(checker, outlet, mechanism, place) {
        return None;
    }
    let labels = labels_of(checker, &outlet.ty);
    let sensitivity = sensitivity(checker, outlet, mechanism, value)?;
    Some(Released { private: true, sensitivity, release: Some(release(mechanism, labels)) })
}

/// A private value needs a budget, a mechanism and a count.
fn is_complete(checker: &mut Checker<'_>, outlet: &Outlet, budgets: &[Budget]) -> bool {
    let default = match &outlet.ty {
        Type::Label(_) => "randomized_response(epsilon = 0.1)",
        _ => "laplace(epsilon = 0.1)",
    };
    let here = budgets.iter().find(|budget| budget.declared.at.file == outlet.from.file).map(|budget| budget.declared.name.as_str());
    let (key, example, message, remark) = if outlet.spend.is_none() {
        let example = here.unwrap_or("Budget").to_owned();
        (
            "spend",
            example,
            format!("`{}` releases a private value without a budget", outlet.declared.name),
            "this depends on a private input",
        )
    } else if outlet.mechanism.is_none() {
        let message = format!("`{}` releases a private value as it is", outlet.declared.name);
        ("mechanism", default.to_owned(), message, "this depends on a private input")
    } else if outlet.at_most.is_none() {
        let message = format!("`{}` releases a private value any number of times", outlet.declared.name);
        ("at_most", "1".to_owned(), message, "nobody says how often this leaves")
    } else {
        return true;
    };
    let doc = OUTLET_KEYS.iter().find(|known| known.name == key).map_or("", |known| known.doc);
    let mut diagnostic = Diagnostic::new(Code::E0501, message).label(outlet.from, remark);
    diagnostic = diagnostic.help(match (key, here.is_none()) {
        ("spend", true) => {
            "declare a budget, `budget Name { unit = user, epsilon = 1.0 }`, and write `spend = Name`; or mark the inputs `public`"
                .to_owned()
        }
        _ => format!("write `{key} = {example}`. {}", doc.trim_end_matches('.')),
    });
    let reader = Reader { checker, file: outlet.from.file, noun: "an outlet", name: outlet.declared.at.span, span: outlet.span };
    let insertion = reader.insertion(&format!("{key} = {example}"));
    if key == "spend" && here.is_none() {
        // A budget above the outlet, and the outlet with what it lacks, as one edit.
        let whole = Location { file: outlet.from.file, span: outlet.span };
        if let Some((at, entry)) = insertion {
            let mut text = reader.checker.text(whole).to_owned();
            let (from, to) = ((at.span.start - outlet.span.start) as usize, (at.span.end - outlet.span.start) as usize);
            text.replace_range(from..to, &entry);
            let budget = "budget Budget {\n  unit    = user\n  window  = lifetime\n  epsilon = 1.0\n}\n\n";
            diagnostic = diagnostic.fix(whole, format!("{budget}{text}"));
        }
    } else if let Some((at, text)) = insertion {
        diagnostic = diagnostic.fix(at, text);
    }
    checker.report(diagnostic);
    false
}

/// How many labels a value stands for.
fn labels_of(checker: &Checker<'_>, ty: &Type) -> u64 {
    let labels = match ty {
        Type::Label(labels) | Type::Tensor(TensorType { labels, .. }) => labels,
        _ => return 2,
    };
    match labels {
        Labels::Of(id) => checker.labels.get(id.0 as usize).map_or(2, |set| (set.lines.len() as u64).max(2)),
        _ => 2,
    }
}

fn release(mechanism: Mechanism, labels: u64) -> Release {
    match mechanism {
        Mechanism::RandomizedResponse { epsilon } => Release::Response { epsilon, labels },
        Mechanism::Laplace { epsilon } => Release::Laplace { epsilon },
        Mechanism::Gaussian { epsilon, delta } => Release::Gaussian { noise: accounting::gaussian_noise(epsilon, delta) },
        Mechanism::GaussianNoise { noise } => Release::Gaussian { noise },
        Mechanism::Exponential { epsilon } => Release::Choice { epsilon },
        Mechanism::PermuteAndFlip { epsilon } => Release::Pure { epsilon },
    }
}

/// True where a mechanism can release a value of the outlet's type.
fn fits(checker: &mut Checker<'_>, outlet: &Outlet, mechanism: Mechanism, place: Location) -> bool {
    let is_scores =
        matches!(&outlet.ty, Type::Tensor(tensor) if tensor.dtype.is_float() && tensor.dims.len() == 1 && tensor.labels != Labels::None);
    let is_numbers = matches!(&outlet.ty, Type::Tensor(tensor) if tensor.dtype.is_float());
    let is_label = matches!(&outlet.ty, Type::Label(_));
    let (fits, wants) = match mechanism {
        Mechanism::RandomizedResponse { .. } => (is_label, "a label"),
        Mechanism::Laplace { .. } | Mechanism::Gaussian { .. } | Mechanism::GaussianNoise { .. } => (is_numbers, "numbers"),
        Mechanism::Exponential { .. } | Mechanism::PermuteAndFlip { .. } => (is_scores, "scores with labels"),
    };
    if fits {
        return true;
    }
    let shown = checker.show(&outlet.ty);
    let diagnostic = Diagnostic::new(Code::E0505, format!("this mechanism releases {wants}, not {shown}"))
        .label(place, format!("it takes {wants}"))
        .label(outlet.from, format!("this is {shown}"));
    let other = if is_label {
        Some("randomized_response(epsilon = 0.1)")
    } else if is_numbers {
        Some("laplace(epsilon = 0.1)")
    } else {
        None
    };
    checker.report(match other {
        Some(other) => diagnostic.help(format!("write `{other}`")).fix(place, other),
        None => diagnostic.help("release a label or a tensor of floats: name a field, or make one in the pipeline"),
    });
    false
}

/// How far the value moves in the mechanism's norm; what is unbounded is reported with the place where to clip.
fn sensitivity(checker: &mut Checker<'_>, outlet: &Outlet, mechanism: Mechanism, value: &Flow) -> Option<f64> {
    let bound = match (mechanism, value) {
        (Mechanism::RandomizedResponse { .. }, _) => return Some(0.0),
        (_, Flow::Tensor(bound)) => bound,
        _ => return None,
    };
    let (distance, norm) = match mechanism {
        Mechanism::Laplace { .. } => (bound.l1, "the sum of its changes"),
        Mechanism::Gaussian { .. } | Mechanism::GaussianNoise { .. } => (bound.l2, "the length of its change"),
        _ => (bound.linf, "its greatest change"),
    };
    if distance.is_finite() {
        return Some(distance);
    }
    let mut diagnostic =
        Diagnostic::new(Code::E0503, format!("nothing bounds how far one person can move what `{}` releases", outlet.declared.name));
    let origin = outlet.pipeline.and_then(|id| origin(checker, id, &outlet.fields)).filter(|at| at.file == outlet.from.file);
    if let Some(at) = origin {
        diagnostic = diagnostic.label(at, "clip this");
    }
    if let Some((at, what)) = &bound.cause {
        diagnostic = diagnostic.label(*at, what.clone());
    }
    diagnostic = diagnostic.label(outlet.from, format!("the mechanism needs a bound of {norm}"));
    diagnostic = diagnostic
        .help("write `.clip(low = 0.0, high = 1.0)` after it, with the range that it should have; softmax bounds scores by itself");
    if let Some(at) = origin {
        let text = checker.text(at);
        let simple = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let text = if simple { format!("{text}.clip(low = 0.0, high = 1.0)") } else { format!("({text}).clip(low = 0.0, high = 1.0)") };
        diagnostic = diagnostic.fix(at, text);
    }
    checker.report(diagnostic);
    None
}

/// The expression that makes a field of a pipeline's answer.
fn origin(checker: &Checker<'_>, id: PipelineId, fields: &[String]) -> Option<Location> {
    let Body::Steps { locals, result, .. } = &checker.pipelines.get(id.0 as usize)?.body else { return None };
    let mut expr: &Expr = result;
    let mut fields = fields.iter();
    // A local leads to a local before it, so that this ends.
    for _ in 0..=locals.len() + fields.len() {
        match &expr.kind {
            ExprKind::Local(index) if *index < locals.len() => expr = &locals[*index].value,
            ExprKind::Record(parts) => {
                let Some(field) = fields.next() else { return Some(expr.at) };
                expr = &parts.iter().find(|(name, _)| name == field)?.1;
            }
            _ => break,
        }
    }
    Some(expr.at)
}

/// What a budget's outlets cost together; what is too much is reported.
fn budget(checker: &mut Checker<'_>, budget: &Budget, spends: &[&Outlet], outlets: &[Outlet]) -> Option<f64> {
    if spends.is_empty() {
        unspent(checker, budget, outlets);
        return None;
    }
    let available = budget.epsilon?;
    let mut releases: Vec<(Release, u64)> = Vec::new();
    for outlet in spends {
        let Released { private, release, .. } = outlet.released?;
        if let (true, Some(release), Some((count, _))) = (private, release, outlet.at_most) {
            releases.push((release, count));
        }
        let needed = total(&releases, budget.delta);
        if needed.epsilon > available * (1.0 + 1e-9) {
            overspent(checker, budget, outlet, &releases, needed.epsilon);
            return None;
        }
    }
    Some(total(&releases, budget.delta).epsilon)
}

fn overspent(checker: &mut Checker<'_>, budget: &Budget, outlet: &Outlet, releases: &[(Release, u64)], needed: f64) {
    let (Some(&(last, count)), Some((_, place)), Some(available)) = (releases.last(), outlet.at_most, budget.epsilon) else { return };
    let others = &releases[..releases.len() - 1];
    let most = largest_count(others, last, count, available, budget.delta);
    let name = &budget.declared.name;
    let shown = if needed.is_finite() { format!("epsilon {}", rounded_up(needed)) } else { "an epsilon without bound".to_owned() };
    let mut diagnostic = Diagnostic::new(Code::E0504, format!("the outlets of `{name}` need {shown}, it has {available}"));
    diagnostic = diagnostic
        .label(place, if most > 0 { format!("at most {most} fit") } else { "not even one fits".to_owned() })
        .label(budget.declared.at, format!("epsilon {available}, delta {} for all outlets together", budget.delta));
    diagnostic = if most > 0 {
        diagnostic
            .help(format!("write `at_most = {most}`, or release less of it at a time: a mechanism with a lower epsilon"))
            .fix(place, most.to_string())
    } else if !needed.is_finite() {
        diagnostic.help("Gaussian noise needs a budget with a `delta`, such as `delta = 1e-6`")
    } else {
        diagnostic.help("give the mechanism a lower epsilon, or the other outlets of this budget a lower `at_most`")
    };
    checker.report(diagnostic);
}

/// With four digits, never below the number.
fn rounded_up(number: f64) -> f64 {
    let scale = 10_f64.powf(3.0 - number.abs().log10().floor());
    if scale.is_finite() && scale > 0.0 { (number * scale).ceil() / scale } else { number }
}

/// A budget that nothing spends protects nobody. A file of budgets alone is there for others.
fn unspent(checker: &mut Checker<'_>, budget: &Budget, outlets: &[Outlet]) {
    let file = budget.declared.at.file;
    let any = |fits: &dyn Fn(&Item) -> bool| checker.trees.first().is_some_and(|tree| tree.items.iter().any(fits));
    let has_pipelines = any(&|item| match item {
        Item::Pipeline(_) => true,
        Item::Broken(header) => header.keyword.text == "pipeline",
        _ => false,
    });
    // An outlet that could not be read may have been meant to spend it.
    let may_spend = outlets.iter().any(|outlet| outlet.broken && outlet.spend.is_none());
    // So may a broken item that is no other kind of item.
    let broken = any(&|item| match item {
        Item::Broken(header) => {
            let keyword = header.keyword.text.as_str();
            keyword == "outlet" || !mlp_syntax::KEYWORDS.contains(&keyword) && !keyword.starts_with(|c: char| c.is_ascii_digit())
        }
        _ => false,
    });
    let needs = outlets.iter().any(|outlet| outlet.spend.is_none() && outlet.released.is_none());
    if file != FileId(0) || !has_pipelines || may_spend || broken || needs {
        return;
    }
    let diagnostic = Diagnostic::new(Code::E0502, format!("no outlet spends `{}`", budget.declared.name))
        .label(budget.declared.at, "a budget without an outlet protects nobody")
        .help(format!(
            "declare an outlet with `spend = {}`, or remove the budget; an answer that its own user sees needs none",
            budget.declared.name
        ));
    checker.report(diagnostic.fix(Location { file, span: budget.span }, ""));
}
