//! Diagnostics, sizes and times as people read them.

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report, Severity, ThemeCharacters, ThemeStyles,
};
use mlp_syntax::Diagnostic;
use std::io::IsTerminal;

pub(crate) const RED: &str = "\x1b[1;31m";
pub(crate) const GREEN: &str = "\x1b[32m";
pub(crate) const YELLOW: &str = "\x1b[33m";
pub(crate) const BOLD: &str = "\x1b[1m";
pub(crate) const DIM: &str = "\x1b[2m";
pub(crate) const PLAIN: &str = "\x1b[0m";

/// The texts that diagnostics point into, by file number: path and text.
pub(crate) type Sources<'a> = dyn Fn(u32) -> Option<(&'a str, &'a str)> + 'a;

/// The most diagnostics that are shown to people: who has more begins with the first, and a picture of each would hide them.
const MOST_SHOWN: usize = 100;

/// Prints diagnostics with their source to the error stream.
pub(crate) fn human<'a>(diagnostics: &[Diagnostic], sources: &Sources<'a>) {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let styles = if colour { ThemeStyles::ansi() } else { ThemeStyles::none() };
    let theme = GraphicalTheme { characters: ThemeCharacters::unicode(), styles };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(100);
    // Where not all are shown, no warning takes the place of an error.
    let mut shown: Vec<&Diagnostic> = diagnostics.iter().collect();
    if shown.len() > MOST_SHOWN {
        shown.sort_by_key(|diagnostic| !diagnostic.is_error());
    }
    for diagnostic in shown.into_iter().take(MOST_SHOWN) {
        let report = report(diagnostic, sources);
        let mut text = String::new();
        if handler.render_report(&mut text, report.as_ref()).is_ok() {
            eprintln!("{}", text.trim_start_matches('\n'));
        } else {
            eprintln!("{}: {}", diagnostic.code, diagnostic.message);
        }
    }
    if let Some(more) = diagnostics.len().checked_sub(MOST_SHOWN).filter(|more| *more > 0) {
        eprintln!("and {more} more: `mlpc check --format json` lists all of them");
    }
}

fn report<'a>(diagnostic: &Diagnostic, sources: &Sources<'a>) -> Report {
    let file = diagnostic.labels.first().map_or(0, |label| label.at.file.0);
    let here = diagnostic.labels.iter().filter(|label| label.at.file.0 == file);
    let labels = here.map(|label| LabeledSpan::new(Some(label.text.clone()), label.at.span.start as usize, label.at.span.range().len()));
    let severity = if diagnostic.is_error() { Severity::Error } else { Severity::Warning };
    let mut data =
        MietteDiagnostic::new(&diagnostic.message).with_code(diagnostic.code.to_string()).with_severity(severity).with_labels(labels);
    if let Some(help) = remedy(diagnostic) {
        data = data.with_help(help);
    }
    let report = Report::new(data);
    match sources(file) {
        Some((path, text)) => report.with_source_code(NamedSource::new(path, text.to_string())),
        None => report,
    }
}

/// The remedy, and the replacement that a fix would write.
pub(crate) fn remedy(diagnostic: &Diagnostic) -> Option<String> {
    let fix = diagnostic.fix.as_ref().filter(|fix| !fix.replacement.trim().is_empty() && !fix.replacement.contains('\n'));
    match (&diagnostic.help, fix) {
        (Some(help), Some(fix)) if !help.contains(&fix.replacement) => Some(format!("{help}: write `{}`", fix.replacement)),
        (Some(help), _) => Some(help.clone()),
        (None, Some(fix)) => Some(format!("write `{}`", fix.replacement)),
        (None, None) => None,
    }
}

/// Bytes with a binary unit.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB"];
    let (mut value, mut unit) = (count as f64, 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// A duration with a fitting unit.
pub(crate) fn milliseconds(ms: f64) -> String {
    if ms >= 1000.0 {
        format!("{:.2} s", ms / 1000.0)
    } else if ms >= 1.0 {
        format!("{ms:.1} ms")
    } else {
        format!("{:.0} µs", ms * 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_fitting_units() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(5 << 20), "5.0 MiB");
        assert_eq!(milliseconds(0.25), "250 µs");
        assert_eq!(milliseconds(12.34), "12.3 ms");
        assert_eq!(milliseconds(2500.0), "2.50 s");
    }
}
