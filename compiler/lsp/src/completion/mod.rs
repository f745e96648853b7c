//! What can be written at a place.

pub(crate) mod context;
mod files;
mod piped;
pub(crate) mod vocabulary;

use crate::names::{Definition, Index, Kind, Member, PLACEHOLDER};
use crate::session::{Session, Snapshot};
use crate::symbols::word;
use crate::text::Text;
use context::{Context, Place};
use ls_types::{
    CompletionItem, CompletionItemKind, CompletionTextEdit, Documentation, InsertTextFormat, MarkupContent, MarkupKind, Position, Range,
    TextEdit, Uri,
};
use mlp_analysis::{STD_MODULES, join};
use mlp_syntax::ast::{File, Item, PipelineKind, UseSource};
use mlp_syntax::{parse, units};
use std::path::Path;
use vocabulary::Word;

impl Session {
    /// What can be written at a position, best first.
    pub fn completion(&self, uri: &Uri, position: Position) -> Option<Vec<CompletionItem>> {
        let snapshot = self.snapshot(uri)?;
        let text = snapshot.text(0)?;
        let offset = text.offset(position);
        let mut place = context::place(text.as_str(), offset);
        let path = files::written(text.as_str(), offset);
        place.start = path.as_ref().map_or(place.start, |path| path.start);
        let replaced = Range::new(text.position(place.start), text.position(offset));
        let mut completer = Completer { snapshot: &snapshot, text, place: &place, offset, replaced, items: Vec::new() };
        match path {
            Some(path) => completer.paths(&path, self.beside(uri, path.folder)),
            None => completer.complete(),
        }
        if place.context == Context::Stage {
            completer.rank(piped::Piped::find(text.as_str(), place.item, place.start, offset, |text| self.instead(uri, text)));
        }
        let mut items = completer.items;
        for (rank, item) in items.iter_mut().enumerate() {
            item.sort_text = Some(format!("{rank:04}"));
        }
        Some(items)
    }
}

struct Completer<'s> {
    snapshot: &'s Snapshot,
    text: &'s Text,
    place: &'s Place,
    offset: usize,
    replaced: Range,
    items: Vec<CompletionItem>,
}

impl Completer<'_> {
    fn complete(&mut self) {
        match &self.place.context {
            Context::Nothing => {}
            Context::Item => self.words(vocabulary::ITEMS, CompletionItemKind::KEYWORD),
            Context::Unit => {
                for unit in units::UNITS {
                    let doc = format!("{}: {} of its base unit", unit.dimension.name(), unit.scale);
                    self.item(unit.symbol, CompletionItemKind::UNIT, unit.dimension.name(), &doc, "");
                }
            }
            Context::Attribute => self.words(&vocabulary::attributes(), CompletionItemKind::PROPERTY),
            Context::Member => self.members(),
            Context::Module(before) => self.modules(before),
            Context::Import(source) => self.imports(source),
            Context::Type => {
                self.globals(|kind| matches!(kind, Kind::Type | Kind::Model | Kind::Labels));
                self.words(vocabulary::TYPES, CompletionItemKind::STRUCT);
            }
            Context::Target => self.globals(|kind| matches!(kind, Kind::Pipeline)),
            Context::Stage => {
                self.globals(|kind| matches!(kind, Kind::Pipeline | Kind::Layer | Kind::Model));
                self.library();
            }
            Context::Key(block) => {
                // A model or a hook says each thing once, but an input is said again.
                let said = self.said();
                let again = |word: &str| {
                    matches!(word, "input" | "output" | "state" | "expect" | "explain" | "variant" | "drift") || block == "monitor"
                };
                let mut keys = vocabulary::keys(block);
                keys.retain(|key| again(key.word) || !said.iter().any(|said| said == key.word));
                self.words(&keys, CompletionItemKind::PROPERTY);
            }
            Context::Statement => {
                self.words(vocabulary::STATEMENTS, CompletionItemKind::KEYWORD);
                self.values();
            }
            Context::Value { key, callee, starts } => self.value(key.as_deref(), callee.as_deref(), *starts),
        }
    }

    /// Files that may be meant, and the folders that may hold them.
    fn paths(&mut self, path: &files::Written<'_>, listed: Vec<String>) {
        let endings = files::endings(path.asked);
        // What starts with a dot is not for people; what is named stands beside the file that names it.
        let lead = if path.folder.is_empty() { "./" } else { "" };
        for name in listed.iter().filter(|name| !name.starts_with('.') && !name.contains(['"', '\\'])) {
            let ending = Path::new(name).extension().and_then(|ending| ending.to_str()).unwrap_or("").to_ascii_lowercase();
            let written = format!("{lead}{name}");
            if name.ends_with('/') {
                self.item(&written, CompletionItemKind::FOLDER, "", "", "");
            } else if endings.is_empty() || endings.contains(&ending.as_str()) {
                self.item(&written, CompletionItemKind::FILE, "", "", "");
            }
        }
    }

    /// Puts what takes the piped value first, and leaves out what would be imported for nothing.
    fn rank(&mut self, piped: Option<piped::Piped>) {
        let Some(piped) = piped else { return };
        let taking = piped.taking();
        let fits = |item: &CompletionItem| taking.get(item.label.as_str()) != Some(&false);
        self.items.retain(|item| item.additional_text_edits.is_none() || fits(item));
        self.items.sort_by_key(|item| !fits(item));
    }

    fn value(&mut self, key: Option<&str>, callee: Option<&str>, starts: bool) {
        let index = self.snapshot.index();
        if let Some(callee) = callee {
            let called = index.definitions.iter().position(|definition| definition.name == callee && definition.is_item());
            let params: Vec<&Definition> =
                index.definitions.iter().filter(|one| called.is_some() && one.owner == called && one.kind == Kind::Parameter).collect();
            let choice = key.and_then(|key| params.iter().find(|param| param.name == key)).map(|param| self.source(param).to_owned());
            if let Some((_, options)) = choice.as_deref().and_then(|text| text.split_once(':')).filter(|(_, options)| options.contains('|'))
            {
                let options = options.split('=').next().unwrap_or("");
                for option in options.split('|').map(str::trim) {
                    self.item(option, CompletionItemKind::ENUM_MEMBER, "", "", "");
                }
                return;
            }
            if starts {
                for param in params {
                    let detail = self.source(param).to_owned();
                    self.item(&param.name, CompletionItemKind::VARIABLE, &detail, "", &format!("{} = $1", param.name));
                }
            }
        }
        let key = key.unwrap_or("");
        let choices = vocabulary::choices(key);
        self.words(&choices, CompletionItemKind::ENUM_MEMBER);
        let block = match key {
            "spend" => Some("budget"),
            "outlet" => Some("outlet"),
            "monitor" | "metric" => Some("monitor"),
            _ => None,
        };
        match block {
            Some(block) => self.globals(|kind| matches!(kind, Kind::Declaration(kind) if kind.keyword() == block)),
            None if choices.is_empty() => self.values(),
            None => {}
        }
    }

    /// Names of values, what can be called, and what starts an expression.
    fn values(&mut self) {
        for name in &self.place.bound {
            let known = self.snapshot.index().in_file(0).map(|(_, definition)| definition);
            // A name in another pipeline is another value.
            let start = self.place.item as u32;
            let known = known.filter(|one| one.span.start >= start && one.span.end as usize <= self.place.start);
            let mut known = known.filter(|one| one.name == *name && matches!(one.kind, Kind::Local | Kind::Parameter));
            let ty = known.find_map(|one| crate::typed::of_definition(self.snapshot.package.program(), one)).unwrap_or_default();
            self.item(name, CompletionItemKind::VARIABLE, &ty, "", "");
        }
        self.globals(|kind| matches!(kind, Kind::Pipeline | Kind::Layer | Kind::Model | Kind::Const | Kind::Labels));
        self.library();
        self.words(vocabulary::VALUES, CompletionItemKind::KEYWORD);
    }

    /// What the file declares and imports, of some kinds.
    fn globals(&mut self, wanted: impl Fn(Kind) -> bool) {
        let index = self.snapshot.index();
        let visible = index.definitions.iter().enumerate().filter(|(_, one)| one.is_item() && wanted(one.kind));
        let visible = visible.filter(|(id, one)| one.file == 0 || index.of(*id).any(|(file, _)| file == 0));
        let visible: Vec<&Definition> = visible.map(|(_, one)| one).collect();
        for definition in visible {
            let kind = match definition.kind {
                Kind::Pipeline | Kind::Layer => CompletionItemKind::FUNCTION,
                Kind::Model => CompletionItemKind::CLASS,
                Kind::Const => CompletionItemKind::CONSTANT,
                Kind::Type => CompletionItemKind::STRUCT,
                _ => CompletionItemKind::REFERENCE,
            };
            let detail = match definition.kind {
                Kind::Pipeline | Kind::Layer => self.source(definition).to_owned(),
                kind => word(kind).to_owned(),
            };
            self.item(&definition.name, kind, &detail, &definition.doc, "");
        }
    }

    /// Pipelines of the standard library that are not imported yet, each with the import; its layers where layers are written.
    fn library(&mut self) {
        let Some(own) = self.snapshot.package.analysis().tree(0) else { return };
        let around = own.items.iter().rfind(|item| item.span().start as usize <= self.place.start);
        let in_pipeline = around.is_some_and(|item| match item {
            Item::Pipeline(node) => node.kind == PipelineKind::Pipeline,
            Item::Broken(header) => header.keyword.text == "pipeline",
            _ => false,
        });
        for module in STD_MODULES {
            let (tree, _) = parse(module.source);
            for item in &tree.items {
                let Item::Pipeline(node) = item else { continue };
                let name = &node.name.text;
                if in_pipeline && node.kind == PipelineKind::Layer || self.items.iter().any(|item| item.label == *name) {
                    continue;
                }
                let signature = mlp_syntax::Span { start: node.span.start, end: node.result.span.end }.text(module.source);
                let import = self.import_edit(&own, module.name, name);
                self.item(name, CompletionItemKind::FUNCTION, &format!("{} ({})", one_line(signature), module.name), &node.doc, "");
                if let Some(item) = self.items.last_mut() {
                    item.additional_text_edits = Some(vec![import]);
                }
            }
        }
    }

    /// The edit that imports a name.
    fn import_edit(&self, tree: &File, module: &str, name: &str) -> TextEdit {
        let mut after = 0;
        for item in &tree.items {
            match item {
                Item::Use(import) => {
                    after = import.span.end as usize;
                    let last = import.names.last().filter(|_| matches!(&import.source, UseSource::Module(path) if path.text() == module));
                    if let Some(last) = last {
                        let at = self.text.position(last.span.end as usize);
                        return TextEdit { range: Range::new(at, at), new_text: format!(", {name}") };
                    }
                }
                Item::Edition(edition) => after = after.max(edition.span.end as usize),
                _ => {}
            }
        }
        let at = self.text.position(after);
        let is_first = !tree.items.iter().any(|item| matches!(item, Item::Use(_)));
        let lead = if after == 0 {
            ""
        } else if is_first {
            "\n\n"
        } else {
            "\n"
        };
        let trail = if after == 0 { "\n" } else { "" };
        TextEdit { range: Range::new(at, at), new_text: format!("{lead}use {module}.{{ {name} }}{trail}") }
    }

    /// What can follow a dot: found by resolving the text with a name put there.
    fn members(&mut self) {
        let source = self.text.as_str();
        let text = format!("{}{PLACEHOLDER}{}", &source[..self.place.start], &source[self.offset..]);
        let asked = |text: &str| Index::new(self.snapshot.package.analysis(), Some(text)).asked;
        // Where a bracket is still open, the item is closed after the name.
        let members: Vec<Member> = asked(&text)
            .or_else(|| {
                let line_end = text[self.place.start..].find('\n').map_or(text.len(), |at| self.place.start + at);
                [")", "]", " }", ") }", "> }", ">"]
                    .iter()
                    .find_map(|end| asked(&format!("{}{end}{}", &text[..line_end], &text[line_end..])))
            })
            .unwrap_or_default();
        for member in members {
            self.item(&member.name, CompletionItemKind::FIELD, &member.detail, &member.doc, "");
        }
        let is_target = ["outlet", "monitor", "explain", "experiment"].iter().any(|keyword| self.line().starts_with(keyword));
        if !is_target && !self.is_model() {
            self.methods();
        }
    }

    /// Whether what stands before the dot is a model, which has ports alone.
    fn is_model(&self) -> bool {
        let before = self.line().trim_end_matches('.');
        let name = before.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
        self.snapshot.package.program().models.iter().any(|model| model.name == name)
    }

    /// The line that is being written, up to the place.
    fn line(&self) -> &str {
        let before = &self.text.as_str()[..self.place.start];
        before.rsplit('\n').next().unwrap_or("")
    }

    /// `x.max()` calls a pipeline of `std.tensor`.
    fn methods(&mut self) {
        let Some(module) = STD_MODULES.iter().find(|module| module.name == "std.tensor") else { return };
        for item in &parse(module.source).0.items {
            let Item::Pipeline(node) = item else { continue };
            let signature = mlp_syntax::Span { start: node.span.start, end: node.result.span.end }.text(module.source);
            let call = if node.params.len() > 1 { format!("{}($1)", node.name.text) } else { format!("{}()", node.name.text) };
            self.item(&node.name.text, CompletionItemKind::METHOD, &one_line(signature), &node.doc, &call);
        }
    }

    fn modules(&mut self, before: &str) {
        for module in STD_MODULES {
            let rest = if before.is_empty() {
                Some(module.name)
            } else {
                module.name.strip_prefix(before).and_then(|rest| rest.strip_prefix('.'))
            };
            if let Some(rest) = rest {
                self.item(rest, CompletionItemKind::MODULE, "", "", &format!("{rest}.{{ $1 }}"));
            }
        }
    }

    /// What a module or file declares and this file does not import yet.
    fn imports(&mut self, source: &str) {
        let files = &self.snapshot.package.program().files;
        let path = match source.strip_prefix('"').and_then(|source| source.strip_suffix('"')) {
            Some(reference) => files.first().map(|root| join(&root.path, reference)).unwrap_or_default(),
            None => source.to_owned(),
        };
        let text = match STD_MODULES.iter().find(|module| module.name == path) {
            Some(module) => module.source,
            None => files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str()),
        };
        let index = Index::of_file(&path, text);
        for (_, definition) in index.in_file(0).filter(|(_, definition)| definition.is_item()) {
            let shown = definition.shown.text(text);
            self.item(&definition.name, CompletionItemKind::REFERENCE, &one_line(shown), &definition.doc, "");
        }
    }

    /// The keys that the block around has already.
    fn said(&self) -> Vec<String> {
        let source = self.text.as_str();
        let mut depth = 0usize;
        let open = source[..self.place.start].char_indices().rev().find(|(_, c)| {
            depth += usize::from(*c == '}');
            let found = *c == '{' && depth == 0;
            depth = depth.saturating_sub(usize::from(*c == '{'));
            found
        });
        let body = open.map_or("", |(at, _)| &source[at + 1..]);
        let mut depth = 0usize;
        let mut said = Vec::new();
        for line in body.split(['\n', ',']) {
            if depth == 0 {
                said.extend(line.split_whitespace().next().map(str::to_owned));
            }
            depth += line.matches('{').count();
            let closed = line.matches('}').count();
            if closed > depth {
                break;
            }
            depth -= closed;
        }
        said
    }

    /// What is shown of a definition, in one line.
    fn source(&self, definition: &Definition) -> String {
        one_line(definition.shown.text(self.snapshot.text(definition.file).map_or("", Text::as_str)))
    }

    fn words(&mut self, words: &[Word], kind: CompletionItemKind) {
        for word in words {
            self.item(word.word, kind, "", word.doc, &word.snippet);
        }
    }

    fn item(&mut self, label: &str, kind: CompletionItemKind, detail: &str, doc: &str, snippet: &str) {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let new_text = if snippet.is_empty() { label } else { snippet };
        self.items.push(CompletionItem {
            label: label.to_owned(),
            kind: Some(kind),
            detail: some(detail),
            documentation: some(doc).map(|value| Documentation::MarkupContent(MarkupContent { kind: MarkupKind::Markdown, value })),
            insert_text_format: Some(if snippet.contains('$') { InsertTextFormat::SNIPPET } else { InsertTextFormat::PLAIN_TEXT }),
            text_edit: Some(CompletionTextEdit::Edit(TextEdit { range: self.replaced, new_text: new_text.to_owned() })),
            ..CompletionItem::default()
        });
    }
}

/// A text with its white space squeezed.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
