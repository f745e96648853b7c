//! The profile as a page that stands alone: a timeline of the kernels, and the table.

use super::{Report, Row, origin};
use crate::render;
use std::fmt::Write;

/// How the page looks; bars are as wide as their kernel's share.
const STYLE: &str = "body{font:14px/1.5 system-ui,sans-serif;margin:2rem;color:#1e293b;background:#fff}\
h1{font-size:1.3rem}.line{display:flex;height:3rem;width:100%;border:1px solid #cbd5e1}\
.line div{min-width:0;overflow:hidden;border-right:1px solid #fff}.products{background:#2563eb}.other{background:#d97706}\
table{border-collapse:collapse;margin-top:1.5rem}td,th{padding:.15rem .7rem;text-align:right;white-space:nowrap}\
td:first-child,th:first-child,td:last-child,th:last-child{text-align:left}tr:nth-child(even){background:#f1f5f9}\
td:last-child{white-space:normal;color:#64748b}.key{color:#64748b}";

/// The page.
pub(super) fn page(report: &Report) -> String {
    let title = escape(&format!("{} on {} ({})", report.name, report.backend, report.device));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n\
         <p>{} in {} kernels; medians of {} runs. <span class=\"key\">Blue: contractions and attention. Orange: everything else.</span></p>\n<div class=\"line\">\n",
        render::milliseconds(report.total_ms),
        report.kernels.len(),
        report.runs
    );
    for row in &report.kernels {
        let class = if row.macs > 0 { "products" } else { "other" };
        let tip = escape(&format!("{}: {}, {:.1}%", row.name, render::milliseconds(row.median_us / 1e3), row.share * 100.0));
        let _ = writeln!(page, "<div class=\"{class}\" style=\"width:{:.4}%\" title=\"{tip}\"></div>", row.share * 100.0);
    }
    page.push_str("</div>\n<table>\n<tr>");
    for head in ["kernel", "time", "share", "read", "written", "MMAC", "GMAC/s", "GB/s", "of the peak", "from"] {
        let _ = write!(page, "<th>{head}</th>");
    }
    page.push_str("</tr>\n");
    report.kernels.iter().for_each(|row| page.push_str(&line(row)));
    page.push_str("</table>\n</body>\n</html>\n");
    page
}

fn line(row: &Row) -> String {
    let cells = [
        escape(&row.name),
        render::milliseconds(row.median_us / 1e3),
        format!("{:.1}%", row.share * 100.0),
        render::bytes(row.read_bytes),
        render::bytes(row.written_bytes),
        format!("{:.2}", row.macs as f64 / 1e6),
        format!("{:.1}", row.gmacs),
        format!("{:.1}", row.gbs),
        row.roofline.map_or(String::new(), |part| format!("{:.0}%", part * 100.0)),
        format!("<span title=\"{}\">{}</span>", escape(&row.origin.join(", ")), escape(&origin(row))),
    ];
    format!("<tr><td>{}</td></tr>\n", cells.join("</td><td>"))
}

/// Text as HTML shows it: names come from models, and those from anywhere.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_become_markup() {
        let row = Row {
            variant: String::new(),
            name: "conv_0".into(),
            origin: vec!["</td><script>\"&".into(), "b".into()],
            median_us: 12.0,
            share: 1.0,
            macs: 5,
            int8: false,
            read_bytes: 1,
            written_bytes: 2,
            gmacs: 1.0,
            gbs: 1.0,
            roofline: None,
        };
        let report = Report {
            name: "<model>".into(),
            backend: "native",
            device: "a".into(),
            threads: 1,
            runs: 1,
            total_ms: 0.012,
            peak: None,
            kernels: vec![row],
        };
        let page = page(&report);
        assert!(page.contains("&lt;model&gt; on native"));
        assert!(page.contains("&lt;/td&gt;&lt;script&gt;&quot;&amp; +1"));
        assert!(!page.contains("<script>") && !page.contains("<model>"));
        assert_eq!(page.matches("<tr>").count(), 2);
    }
}
