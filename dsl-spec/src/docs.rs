//! Doc comments: the `///` lines directly above a node.

/// The text of the `///` lines that end right above the line of `start`, without the slashes and the space after them.
pub(crate) fn above(source: &str, start: usize) -> String {
    let before = source.get(..start).unwrap_or("");
    let mut lines: Vec<&str> = Vec::new();
    let mut above = before.split('\n').rev();
    if above.next().is_some_and(|same_line| !same_line.trim().is_empty()) {
        return String::new();
    }
    for line in above {
        let Some(text) = line.trim().strip_prefix("///") else { break };
        lines.push(text.strip_prefix(' ').unwrap_or(text));
    }
    lines.reverse();
    lines.join("\n").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_lines_right_above_count() {
        let source = "/// far\n\n/// One.\n///  Two.\n  model";
        assert_eq!(above(source, source.len() - 5), "One.\n Two.");
        assert_eq!(above("/// x\na = b", 8), "");
        assert_eq!(above("model", 0), "");
    }
}
