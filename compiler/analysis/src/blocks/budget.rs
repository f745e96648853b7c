//! `budget Name { ... }`

use super::{BUDGET_KEYS, Reader};
use crate::declared::{Budget, Declared, PrivacyUnit};
use mlp_syntax::ast::{Declaration, ExprKind};
use mlp_syntax::units::Dimension;
use mlp_syntax::{Code, Diagnostic};

pub(super) fn check(reader: &mut Reader<'_, '_>, node: &Declaration, declared: Declared) -> Budget {
    let mut budget = Budget { declared, unit: None, window: None, epsilon: None, delta: 0.0, span: node.span, spent: None };
    let entries = reader.only_entries(&node.members);
    let entries = reader.entries(entries.into_iter(), BUDGET_KEYS);
    let mut window = None;
    let mut acknowledged = false;
    for (key, entry) in &entries {
        match *key {
            "unit" => {
                let words: Vec<&'static str> = PrivacyUnit::ALL.iter().map(|(word, _)| *word).collect();
                let word = reader.word(&entry.value, &words);
                budget.unit = PrivacyUnit::ALL.iter().find(|(known, _)| Some(*known) == word).map(|(_, unit)| *unit);
            }
            "window" => match &entry.value.kind {
                ExprKind::Name(name) if name == "lifetime" => {}
                _ => {
                    budget.window = reader.positive(&entry.value, Some(Dimension::Time));
                    window = budget.window.map(|_| entry.value.span);
                }
            },
            "epsilon" => budget.epsilon = reader.positive(&entry.value, None),
            "delta" => {
                let fits = |number: f64| (0.0..1.0).contains(&number);
                budget.delta = reader.number_that(&entry.value, None, fits, "a number from 0, below 1").unwrap_or(0.0);
            }
            _ => acknowledged = reader.word(&entry.value, &["acknowledged"]).is_some(),
        }
    }
    if let (Some(span), false) = (window, acknowledged) {
        let place = reader.place(span);
        let diagnostic = Diagnostic::new(Code::E0506, format!("`{}` is whole again after each window", node.name.text))
            .label(place, "what is learned over a lifetime has no bound")
            .help("write `window = lifetime`, or say that you know it: `renewable = acknowledged`");
        reader.report(diagnostic.fix(place, "lifetime"));
    }
    budget
}
