//! SARIF 2.1.0, the format of static analysis results (OASIS standard), one run a document.

use super::{Place, place};
use crate::render::{Sources, remedy};
use mlp_syntax::{Code, Diagnostic, Fix, Label};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The document of a check.
pub(crate) fn sarif(diagnostics: &[Diagnostic], sources: &Sources<'_>) -> Value {
    let mut rules: BTreeMap<Code, usize> = diagnostics.iter().map(|diagnostic| (diagnostic.code, 0)).collect();
    rules.values_mut().enumerate().for_each(|(index, place)| *place = index);
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "mlpc",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.keys().map(|code| rule(*code)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": diagnostics.iter().map(|diagnostic| result(diagnostic, &rules, sources)).collect::<Vec<_>>(),
        }],
    })
}

fn rule(code: Code) -> Value {
    let level = if code.severity() == mlp_syntax::Severity::Error { "error" } else { "warning" };
    json!({
        "id": code.name(),
        "shortDescription": { "text": code.title() },
        "help": { "text": code.page(), "markdown": code.page() },
        "defaultConfiguration": { "level": level },
    })
}

fn result(diagnostic: &Diagnostic, rules: &BTreeMap<Code, usize>, sources: &Sources<'_>) -> Value {
    let first = diagnostic.labels.first();
    let mut message = diagnostic.message.clone();
    message.extend(first.filter(|label| !label.text.is_empty()).map(|label| format!(": {}", label.text)));
    message.extend(remedy(diagnostic).map(|text| format!("\n{text}")));
    let mut result = Map::new();
    result.insert("ruleId".into(), json!(diagnostic.code.name()));
    result.insert("ruleIndex".into(), json!(rules.get(&diagnostic.code)));
    result.insert("level".into(), json!(if diagnostic.is_error() { "error" } else { "warning" }));
    result.insert("message".into(), json!({ "text": message }));
    result.insert("locations".into(), first.map_or(json!([]), |label| json!([location(label, sources)])));
    if diagnostic.labels.len() > 1 {
        let related = diagnostic.labels.iter().enumerate().skip(1).map(|(id, label)| {
            let mut place = location(label, sources);
            place["id"] = json!(id);
            place["message"] = json!({ "text": label.text });
            place
        });
        result.insert("relatedLocations".into(), related.collect());
    }
    if let Some(fix) = &diagnostic.fix {
        result.insert("fixes".into(), json!([change(fix, diagnostic, sources)]));
    }
    Value::Object(result)
}

fn location(label: &Label, sources: &Sources<'_>) -> Value {
    let place = place(label.at, sources);
    json!({ "physicalLocation": { "artifactLocation": { "uri": uri(place.path) }, "region": region(&place) } })
}

fn change(fix: &Fix, diagnostic: &Diagnostic, sources: &Sources<'_>) -> Value {
    let place = place(fix.at, sources);
    json!({
        "description": { "text": diagnostic.help.as_deref().unwrap_or(&diagnostic.message) },
        "artifactChanges": [{
            "artifactLocation": { "uri": uri(place.path) },
            "replacements": [{ "deletedRegion": region(&place), "insertedContent": { "text": fix.replacement } }],
        }],
    })
}

fn region(place: &Place<'_>) -> Value {
    json!({
        "startLine": place.start.line,
        "startColumn": place.start.column,
        "endLine": place.end.line,
        "endColumn": place.end.column,
    })
}

/// A path as a URI reference (RFC 3986): an absolute one with its scheme, any other relative to where the check ran.
fn uri(path: &str) -> String {
    let mut uri = String::from(if path.starts_with('/') { "file://" } else { "" });
    for byte in path.replace('\\', "/").bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            _ => uri += &format!("%{byte:02X}"),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_references() {
        assert_eq!(uri("a b/ü.mlp"), "a%20b/%C3%BC.mlp");
        assert_eq!(uri("/x/y.mlp"), "file:///x/y.mlp");
        assert_eq!(uri("../x:y.mlp"), "../x%3Ay.mlp");
    }
}
