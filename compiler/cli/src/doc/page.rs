//! The page of one file.

use super::{escape, markdown};
use mlp_analysis::SourceFile;
use mlp_syntax::ast::{File, Item, Model, PipelineKind, UseSource};
use mlp_syntax::{Span, TokenClass, format, highlight, parse};
use std::collections::BTreeMap;

/// A file with its tree. Its text is formatted, so that all pages look alike.
pub(super) struct Page<'a> {
    title: &'a str,
    /// Its file name.
    pub(super) name: &'a str,
    /// The file's path, as an import names it once it is resolved.
    path: &'a str,
    text: String,
    tree: File,
}

/// What a page says of an item.
struct Entry<'t> {
    kind: &'static str,
    name: &'t str,
    doc: &'t str,
    /// What of its text is shown.
    shown: Span,
    /// What has doc comments of its own inside it: name and doc.
    parts: Vec<(&'t str, &'t str)>,
}

impl<'a> Page<'a> {
    pub(super) fn new(file: &'a SourceFile, title: &'a str, name: &'a str) -> Page<'a> {
        let text = format(&file.text).unwrap_or_else(|_| file.text.clone());
        let tree = parse(&text).0;
        Page { title, name, path: &file.path, text, tree }
    }

    fn entries(&self) -> Vec<Entry<'_>> {
        self.tree.items.iter().filter_map(|item| self.entry(item)).collect()
    }

    fn entry<'t>(&self, item: &'t Item) -> Option<Entry<'t>> {
        let plain = |kind, name: &'t mlp_syntax::ast::Name, doc: &'t String| Entry {
            kind,
            name: &name.text,
            doc,
            shown: item.span(),
            parts: Vec::new(),
        };
        Some(match item {
            Item::Model(node) => Entry { parts: ports(node), ..plain("Models", &node.name, &node.doc) },
            Item::Pipeline(node) => {
                let kind = if node.kind == PipelineKind::Layer { "Layers" } else { "Pipelines" };
                // A signature says what it takes and gives; how it comes to that is in the source.
                let shown = Span { start: node.span.start, end: self.signature_end(node.result.span.end) };
                Entry { shown, ..plain(kind, &node.name, &node.doc) }
            }
            Item::Type(node) => plain("Types", &node.name, &node.doc),
            Item::Labels(node) => plain("Labels", &node.name, &node.doc),
            Item::Const(node) => plain("Constants", &node.name, &node.doc),
            Item::Hook(node) => plain("Hooks", &node.name, &node.doc),
            Item::Declaration(node) => plain(plural(node.kind.keyword()), &node.name, &node.doc),
            Item::Edition(_) | Item::Use(_) | Item::Test(_) | Item::Broken(_) => return None,
        })
    }

    /// Where a signature ends whose result type ends at `end`: after its attributes, before the brace.
    fn signature_end(&self, end: u32) -> u32 {
        let rest = &self.text[end as usize..];
        let body = rest.find('{').unwrap_or(rest.len());
        let line = rest.find("\n\n").unwrap_or(rest.len());
        end + rest[..body.min(line)].trim_end().len() as u32
    }

    /// The page's HTML; names lead to where `pages` declare them.
    pub(super) fn html(&self, pages: &[Page<'_>]) -> String {
        let entries = self.entries();
        let links = self.links(pages);
        let mut body = String::new();
        for entry in &entries {
            let id = escape(entry.name);
            let kind = escape(&entry.kind.trim_end_matches('s').to_lowercase());
            body += &format!("<section id=\"{id}\">\n<h2><a href=\"#{id}\">{id}</a> <small>{kind}</small></h2>\n");
            body += &format!("<pre><code>{}</code></pre>\n{}", self.code(entry.shown, &links), markdown::html(entry.doc));
            let documented: Vec<_> = entry.parts.iter().filter(|(_, doc)| !doc.is_empty()).collect();
            if !documented.is_empty() {
                body += "<dl>\n";
                for (name, doc) in documented {
                    body += &format!("<dt><code>{}</code></dt>\n<dd>{}</dd>\n", escape(name), markdown::html(doc));
                }
                body += "</dl>\n";
            }
            body += "</section>\n";
        }
        if entries.is_empty() {
            body += "<p>This file declares nothing.</p>\n";
        }
        let title = escape(self.title);
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<link rel=\"stylesheet\" href=\"style.css\">\n</head>\n<body>\n{}<main>\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n",
            self.navigation(&entries, pages)
        )
    }

    /// The files of the package, and what this one declares.
    fn navigation(&self, entries: &[Entry<'_>], pages: &[Page<'_>]) -> String {
        let mut out = String::from("<nav>\n<h2>Files</h2>\n<ul>\n");
        for page in pages {
            let current = if page.name == self.name { " aria-current=\"page\"" } else { "" };
            out += &format!("<li><a href=\"{}\"{current}>{}</a></li>\n", escape(page.name), escape(page.title));
        }
        out += "</ul>\n";
        let mut kinds: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        entries.iter().for_each(|entry| kinds.entry(entry.kind).or_default().push(entry.name));
        for (kind, names) in kinds {
            out += &format!("<h2>{kind}</h2>\n<ul>\n");
            for name in names.into_iter().map(escape) {
                out += &format!("<li><a href=\"#{name}\">{name}</a></li>\n");
            }
            out += "</ul>\n";
        }
        out + "</nav>\n"
    }

    /// Where the names of this file are declared: its own, and those it imports.
    fn links(&self, pages: &[Page<'_>]) -> BTreeMap<String, String> {
        let own = self.entries().into_iter().map(|entry| (entry.name.to_owned(), format!("#{}", entry.name)));
        let mut links: BTreeMap<String, String> = own.collect();
        for item in &self.tree.items {
            let Item::Use(import) = item else { continue };
            let path = match &import.source {
                UseSource::Module(path) => path.text(),
                UseSource::File(text) => mlp_analysis::join(self.path, &text.value),
            };
            let Some(page) = pages.iter().find(|page| page.path == path) else { continue };
            links.extend(import.names.iter().map(|name| (name.text.clone(), format!("{}#{}", page.name, name.text))));
        }
        links
    }

    /// A piece of the text in colours, its names with links.
    fn code(&self, span: Span, links: &BTreeMap<String, String>) -> String {
        let mut out = String::new();
        let mut at = span.start;
        let inside = |token: &Span| token.start >= span.start && token.end <= span.end;
        for (token, class) in highlight(&self.text).into_iter().filter(|(token, _)| inside(token)) {
            out += &escape(Span { start: at, end: token.start }.text(&self.text));
            let text = token.text(&self.text);
            let names = matches!(class, TokenClass::Type | TokenClass::Function | TokenClass::Variable | TokenClass::Declared);
            match links.get(text).filter(|_| names) {
                Some(link) => out += &format!("<a href=\"{}\">{}</a>", escape(link), escape(text)),
                None => out += &format!("<span class=\"{}\">{}</span>", style(class), escape(text)),
            }
            at = token.end;
        }
        out + &escape(Span { start: at, end: span.end }.text(&self.text))
    }
}

fn ports(model: &Model) -> Vec<(&str, &str)> {
    model.ports().map(|port| (port.name.text.as_str(), port.doc.as_str())).collect()
}

fn plural(keyword: &'static str) -> &'static str {
    match keyword {
        "budget" => "Budgets",
        "outlet" => "Outlets",
        "monitor" => "Monitors",
        "explain" => "Explanations",
        "experiment" => "Experiments",
        _ => "Devices",
    }
}

/// The style sheet's name of a kind of token.
fn style(class: TokenClass) -> &'static str {
    match class {
        TokenClass::Comment | TokenClass::DocComment => "comment",
        TokenClass::Keyword | TokenClass::Attribute => "keyword",
        TokenClass::Text => "text",
        TokenClass::Number => "number",
        TokenClass::Type => "type",
        TokenClass::Symbol => "symbol",
        TokenClass::Operator => "operator",
        TokenClass::Function | TokenClass::Declared => "name",
        TokenClass::Parameter | TokenClass::Property | TokenClass::Variable | TokenClass::Module => "plain",
    }
}
