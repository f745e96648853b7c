//! `mlpc doc`: a package's pages, as plain HTML without scripts.
//!
//! One page a file of the package, the modules of the standard library that it uses included, and a style sheet. Everything that comes out of a source
//! is escaped; a doc comment is Markdown in which HTML is text and a link leads to the web, to a mail address or to a place on these pages.

mod markdown;
mod page;

use crate::args::Doc;
use crate::{Failure, Outcome, check};
use mlp_analysis::{Program, SourceFile};
use page::Page;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Runs the command.
pub(crate) fn doc(arguments: &Doc) -> Outcome {
    let Some(package) = check::checked(&arguments.file) else { return Ok(false) };
    let folder = &arguments.output;
    let failed = |path: &Path, error: std::io::Error| Failure(format!("{}: {error}", path.display()));
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let pages = pages(package.program());
    for (name, text) in &pages {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| failed(&path, error))?;
    }
    anstream::println!("{}  {} pages", folder.join("index.html").display(), pages.len() - 1);
    Ok(true)
}

/// The pages by file name, with their style sheet. The root's is `index.html`.
fn pages(program: &Program) -> BTreeMap<String, String> {
    let names = names(&program.files);
    let parsed: Vec<Page<'_>> = program.files.iter().zip(&names).map(|(file, (title, name))| Page::new(file, title, name)).collect();
    let mut out: BTreeMap<String, String> = parsed.iter().map(|page| (page.name.to_owned(), page.html(&parsed))).collect();
    out.insert("style.css".to_owned(), include_str!("style.css").to_owned());
    out
}

/// A title and a file name for each file, all different.
fn names(files: &[SourceFile]) -> Vec<(String, String)> {
    let mut names: Vec<(String, String)> = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let title = file.path.rsplit('/').next().unwrap_or(&file.path);
        let title = title.strip_suffix(".mlp").unwrap_or(title).to_owned();
        let plain: String = title.chars().map(|c| if c.is_ascii_alphanumeric() || ".-_".contains(c) { c } else { '_' }).collect();
        let taken = |name: &str| name == "index.html" || names.iter().any(|(_, other)| other.eq_ignore_ascii_case(name));
        let mut candidates = std::iter::once(format!("{plain}.html")).chain((2..).map(|number| format!("{plain}-{number}.html")));
        let name = if index == 0 { "index.html".to_owned() } else { candidates.find(|name| !taken(name)).unwrap_or_default() };
        names.push((title, name));
    }
    names
}

/// Text as HTML shows it, also inside an attribute.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlp_syntax::LineIndex;

    fn program<const N: usize>(files: [SourceFile; N]) -> Program {
        let mut program = Program::default();
        program.files.extend(files);
        program
    }

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned(), lines: LineIndex::new(text) }
    }

    #[test]
    fn pages_have_different_names() {
        let files = ["a/m.mlp", "b/x.mlp", "c/X.mlp", "d/index.mlp", "std.vision", "e/ü<.mlp"].map(|path| file(path, ""));
        let names: Vec<String> = names(&files).into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["index.html", "x.html", "X-2.html", "index-2.html", "std.vision.html", "__.html"]);
    }

    #[test]
    fn what_sources_say_is_text() {
        let source = "edition 2026\n\n/// Say <script>alert(1)</script> & `a<b` [x](javascript:alert(1)) [y](https://example.org)\ntype T = { a: f32[1] }\n\nconst evil = \"</code><img src=x onerror=y>\"\n";
        let program = program([file("a/<b>.mlp", source)]);
        let pages = pages(&program);
        let html = &pages["index.html"];
        assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("javascript:") && !html.contains("<b>"), "{html}");
        assert!(html.contains("&lt;script&gt;") && html.contains("href=\"https://example.org\""), "{html}");
    }

    #[test]
    fn names_lead_to_where_they_are_declared() {
        let root = file("m.mlp", "edition 2026\nuse \"./t.mlp\".{ T }\npipeline P(x: T) -> T {\n  return x\n}\n");
        let types = file("t.mlp", "edition 2026\n/// A thing.\ntype T = f32[1]\n");
        let pages = pages(&program([root, types]));
        assert!(pages["index.html"].contains("<a href=\"t.html#T\">T</a>"), "{}", pages["index.html"]);
        assert!(pages["t.html"].contains("id=\"T\"") && pages["t.html"].contains("A thing."));
    }
}
