//! The paths of weights: strings in which `{i + 1}` stands for a number.

use mlp_syntax::ast::{Expr, Item};
use mlp_syntax::parse;

/// A part of a path.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// As it is.
    Text(String),
    /// A number, by an expression. Its places are those of a text of its own.
    Number(Expr),
}

/// The parts of a path, or why it has none.
pub(super) fn parts(path: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = path;
    while let Some(open) = rest.find(['{', '}']) {
        if rest[open..].starts_with('}') {
            return Err("a `}` stands here without a `{`".to_owned());
        }
        if open > 0 {
            parts.push(Part::Text(rest[..open].to_owned()));
        }
        let inside = &rest[open + 1..];
        let Some(close) = inside.find('}') else { return Err("a `{` is not closed".to_owned()) };
        parts.push(Part::Number(expression(&inside[..close])?));
        rest = &inside[close + 1..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

/// The expression that stands between braces.
fn expression(text: &str) -> Result<Expr, String> {
    // An expression stands nowhere alone, but the value of a constant is one.
    let (file, diagnostics) = parse(&format!("const number = {text}"));
    match <[Item; 1]>::try_from(file.items) {
        Ok([Item::Const(node)]) if diagnostics.is_empty() => Ok(node.value),
        _ => Err(format!("`{text}` is no expression")),
    }
}

/// A path below another.
pub(super) fn join(path: &str, name: &str) -> String {
    match (path.is_empty(), name.is_empty()) {
        (true, _) => name.to_owned(),
        (false, true) => path.to_owned(),
        (false, false) => format!("{path}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlp_syntax::ast::ExprKind;

    #[test]
    fn braces_hold_expressions() {
        let parts = parts("encoder.{first + i}.x{i}").unwrap();
        let texts: Vec<&str> = parts.iter().map(|part| if let Part::Text(text) = part { text } else { "" }).collect();
        assert_eq!(texts, ["encoder.", "", ".x", ""]);
        assert!(matches!(&parts[1], Part::Number(Expr { kind: ExprKind::Binary(_), .. })));
        assert!(matches!(&parts[3], Part::Number(Expr { kind: ExprKind::Name(name), .. }) if name == "i"));
    }

    #[test]
    fn damaged_paths_are_refused() {
        for path in ["{", "}", "a.{", "a.{i", "{}", "{i +}", "{{i}}", "{i) (j}"] {
            assert!(parts(path).is_err(), "{path}");
        }
        assert!(parts("").unwrap().is_empty());
    }

    #[test]
    fn paths_are_joined_by_dots() {
        assert_eq!(join("", "weight"), "weight");
        assert_eq!(join("a.b", "weight"), "a.b.weight");
        assert_eq!(join("a.b", ""), "a.b");
    }
}
