//! `explain Name for Pipeline { ... }`

use super::{EXPLAIN_KEYS, EXPLANATIONS, Reader};
use crate::declared::{Declared, Explain, Explanation};
use mlp_syntax::ast::Declaration;

pub(super) fn check(reader: &mut Reader<'_, '_>, node: &Declaration, declared: Declared) -> Explain {
    let pipeline = reader.target(node.target.as_ref());
    let mut explain = Explain { declared, pipeline, method: None, top: 1 };
    let entries = reader.only_entries(&node.members);
    for (key, entry) in reader.entries(entries.into_iter(), EXPLAIN_KEYS) {
        match key {
            "method" => {
                let found = reader.method(&entry.value, "explanation", EXPLANATIONS);
                explain.method = found.map(|(method, arguments)| Explanation { method: method.name, arguments });
            }
            _ => explain.top = reader.whole(&entry.value).unwrap_or(1),
        }
    }
    explain
}
