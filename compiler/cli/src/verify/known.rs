//! The list of known gaps: `CASE [BACKEND,...] REASON` a line, `#` before a comment. Without backends a row speaks of all.

use super::{Line, Status};
use crate::Failure;
use std::path::Path;

struct Row {
    case: String,
    backends: Vec<String>,
    reason: String,
    passed: bool,
}

/// The rows of the list.
#[derive(Default)]
pub(super) struct Known {
    rows: Vec<Row>,
}

impl Known {
    /// Reads the list.
    pub(super) fn read(path: &Path) -> Result<Known, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| Failure(format!("{}: {error}", path.display())))?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let row = |(index, line): (usize, &str)| {
            Row::parse(line).ok_or_else(|| Failure(format!("{}:{}: a row is `CASE [BACKEND,...] REASON`", path.display(), index + 1)))
        };
        Ok(Known { rows: lines.map(row).collect::<Result<_, _>>()? })
    }

    /// Marks a line that the list excuses.
    pub(super) fn apply<'c>(&mut self, mut line: Line<'c>) -> Line<'c> {
        let speaks =
            |row: &&mut Row| row.case == line.name && (row.backends.is_empty() || row.backends.iter().any(|name| name == line.backend));
        if let Some(row) = self.rows.iter_mut().find(speaks) {
            if line.status == Status::Pass {
                row.passed = true;
            } else {
                line.status = Status::Known;
                line.detail = format!("{} ({})", row.reason, line.detail);
            }
        }
        line
    }

    /// What is wrong with the list itself: rows of cases that pass now, or that are not there.
    pub(super) fn stale(&self, cases: &[&str]) -> Vec<String> {
        let rows = self.rows.iter();
        let complaint = |row: &Row| {
            if row.passed {
                Some(format!("`{}` is in the list of known gaps and passes: take it out", row.case))
            } else if !cases.contains(&row.case.as_str()) {
                Some(format!("`{}` is in the list of known gaps and no case has that name", row.case))
            } else {
                None
            }
        };
        rows.filter_map(complaint).collect()
    }
}

impl Row {
    fn parse(line: &str) -> Option<Row> {
        let (case, rest) = line.trim().split_once(char::is_whitespace)?;
        let rest = rest.trim_start();
        let (backends, reason) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", rest),
        };
        let backends = backends.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_string).collect();
        let reason = reason.trim().to_string();
        (!reason.is_empty()).then(|| Row { case: case.into(), backends, reason, passed: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &'static str, backend: &'static str, status: Status) -> Line<'static> {
        Line { name, backend, status, max_abs: 0.0, max_rel: 0.0, detail: "d".into() }
    }

    #[test]
    fn excuses_what_it_lists_and_complains_of_what_passes() {
        let rows = ["a [gpu, wasm] no doubles", "b strings", "c gone"].map(|row| Row::parse(row).unwrap());
        let mut known = Known { rows: rows.into() };
        assert_eq!(known.apply(line("a", "gpu", Status::Unsupported)).status, Status::Known);
        assert_eq!(known.apply(line("a", "native", Status::Fail)).status, Status::Fail);
        assert_eq!(known.apply(line("b", "native", Status::Pass)).status, Status::Pass);
        let stale = known.stale(&["a", "b"]);
        assert_eq!(stale.len(), 2);
        assert!(stale[0].contains("`b`") && stale[0].contains("passes"), "{stale:?}");
        assert!(stale[1].contains("`c`"), "{stale:?}");
        assert!(Row::parse("only-a-name").is_none());
    }
}
