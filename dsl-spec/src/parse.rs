//! From text to a file: split, then parse each item on its own.

use crate::ast::{File, Header, Item, Name};
use crate::build::Builder;
use crate::diagnostic::{Code, Diagnostic};
use crate::expected;
use crate::grammar::{self, Rule};
use crate::repair;
use crate::span::Span;
use crate::split::{KEYWORDS, Piece, split};
use crate::suggest::closest;
use pest::error::{Error, ErrorVariant};
use std::ops::Range;

/// The largest text that is parsed, in bytes.
pub const MAX_SOURCE_BYTES: usize = 1 << 20;

/// Parses a file. Any text gives a file: an item with a syntax error becomes [`Item::Broken`], is reported once, and hides no other.
/// Spans and labels are of file 0; [`Diagnostic::in_file`] moves them.
pub fn parse(source: &str) -> (File, Vec<Diagnostic>) {
    if source.len() > MAX_SOURCE_BYTES {
        let diagnostic = Diagnostic::new(Code::E0001, format!("this file has {} bytes; at most {MAX_SOURCE_BYTES} are read", source.len()))
            .mark(Span::new(0, 0), "the file starts here")
            .help("split it into files that `use` each other");
        return (File::default(), vec![diagnostic]);
    }
    let (pieces, diagnostics) = split(source);
    let mut found = diagnostics.into_iter().peekable();
    let (mut items, mut diagnostics) = (Vec::with_capacity(pieces.len()), Vec::new());
    for range in blocks(source, &pieces) {
        let end = pieces.get(range.end).map_or(u32::MAX, |next| next.span.start);
        let mut own = Vec::new();
        while let Some(one) = found.next_if(|one| one.primary().is_none_or(|at| at.span.start < end)) {
            own.push(one);
        }
        let (read, said) = read(source, &pieces[range], own);
        items.extend(read);
        diagnostics.extend(said);
    }
    (File { items }, diagnostics)
}

/// The pieces of each block: from one that starts with a keyword up to the next such one.
pub(crate) fn blocks(source: &str, pieces: &[Piece]) -> Vec<Range<usize>> {
    let starts = (0..pieces.len()).filter(|index| *index == 0 || is_block(source, pieces[*index]));
    let mut blocks: Vec<Range<usize>> = starts.map(|start| start..pieces.len()).collect();
    for index in 1..blocks.len() {
        blocks[index - 1].end = blocks[index].start;
    }
    blocks
}

fn is_block(source: &str, piece: Piece) -> bool {
    item_rule(&header(piece.span.text(source), piece.span).keyword.text).is_some()
}

/// The items of a block and what is found in them, by place; `diagnostics` are the splitter's.
pub(crate) fn read(source: &str, pieces: &[Piece], mut diagnostics: Vec<Diagnostic>) -> (Vec<Item>, Vec<Diagnostic>) {
    repair::mend_pieces(source, pieces, &mut diagnostics);
    let mut builder = Builder::new(source, diagnostics);
    let mut items = Vec::with_capacity(pieces.len());
    let mut rest = pieces;
    while let Some((piece, after)) = rest.split_first() {
        let (count, item) = headless(&mut builder, rest).unwrap_or_else(|| (1, item(&mut builder, *piece)));
        items.push(item);
        rest = after.get(count - 1..).unwrap_or(&[]);
    }
    (items, builder.finish())
}

/// True for a text of items without a syntax error; nothing is repaired or explained.
pub(crate) fn parses(text: &str) -> bool {
    let (pieces, diagnostics) = split(text);
    if !diagnostics.is_empty() || pieces.is_empty() {
        return false;
    }
    let mut builder = Builder::new(text, diagnostics);
    let reads = |piece: &Piece| {
        let item = piece.span.text(text);
        let rule = item_rule(&header(item, piece.span).keyword.text)?;
        builder.at(piece.span.start as usize).item(rule, grammar::parse(rule, item).ok()?)
    };
    let all = pieces.iter().map(reads).all(|item| item.is_some());
    all && builder.finish().is_empty()
}

/// The item at the start of `pieces`, where its `{` is missing and its lines therefore became pieces of their own; with how many it is.
fn headless(builder: &mut Builder<'_>, pieces: &[Piece]) -> Option<(usize, Item)> {
    let (first, rest) = pieces.split_first()?;
    let text = first.span.text(builder.source);
    let source = builder.source;
    // What comes after a whole item starts with a keyword.
    if first.damaged || text.contains('{') && text.ends_with('}') || rest.is_empty() || !is_block(source, *first) {
        return None;
    }
    let (count, diagnostic) = repair::without_brace(source, pieces)?;
    let span = first.span.to(pieces.get(count - 1)?.span);
    builder.forget(span);
    builder.report(diagnostic);
    Some((count, Item::Broken(header(span.text(source), span))))
}

fn item(builder: &mut Builder<'_>, piece: Piece) -> Item {
    let text = piece.span.text(builder.source);
    let header = header(text, piece.span);
    if piece.damaged {
        return Item::Broken(header);
    }
    let Some(rule) = item_rule(&header.keyword.text) else {
        let diagnostic = unknown_block(builder.source, &header);
        builder.report(diagnostic);
        return Item::Broken(header);
    };
    match grammar::parse(rule, text) {
        Ok(pairs) => builder.at(piece.span.start as usize).item(rule, pairs).unwrap_or(Item::Broken(header)),
        Err(error) => {
            let (diagnostic, found) = syntax_error(builder.source, piece.span, &error);
            let expected: &[Rule] = match &error.variant {
                ErrorVariant::ParsingError { positives, .. } => positives,
                ErrorVariant::CustomError { .. } => &[],
            };
            let mends = diagnostic.fix.is_none();
            builder.report(if mends { repair::mend(diagnostic, builder.source, piece.span, found, expected) } else { diagnostic });
            Item::Broken(header)
        }
    }
}

/// The grammar's rule for an item that starts with this word.
pub(crate) fn item_rule(keyword: &str) -> Option<Rule> {
    Some(match keyword {
        "edition" => Rule::edition_item,
        "use" => Rule::use_item,
        "const" => Rule::const_item,
        "type" => Rule::type_item,
        "labels" => Rule::labels_item,
        "model" => Rule::model_item,
        "intrinsic" => Rule::intrinsic_item,
        "pipeline" => Rule::pipeline_item,
        "layer" => Rule::layer_item,
        "test" => Rule::test_item,
        "hook" => Rule::hook_item,
        "budget" => Rule::budget_item,
        "outlet" => Rule::outlet_item,
        "monitor" => Rule::monitor_item,
        "explain" => Rule::explain_item,
        "experiment" => Rule::experiment_item,
        "device" => Rule::device_item,
        _ => return None,
    })
}

/// The keyword and the name of an item, found without its grammar.
pub(crate) fn header(text: &str, span: Span) -> Header {
    let mut words = Words { text, at: 0 };
    let rebase = |word: Option<(usize, &str)>| {
        word.map(|(at, word)| {
            let start = span.start as usize + at;
            Name { text: word.to_owned(), span: Span::new(start, start + word.len()) }
        })
    };
    let keyword = rebase(words.next());
    let keyword = keyword.unwrap_or_else(|| {
        let first = text.chars().next().map_or(0, char::len_utf8);
        Name { text: text[..first].to_owned(), span: Span::new(span.start as usize, span.start as usize + first) }
    });
    if keyword.text == "intrinsic" {
        words.next();
    }
    Header { keyword, name: rebase(words.next()), span }
}

/// The words at the start of a text, up to anything that is neither a word nor white space.
struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for Words<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<(usize, &'a str)> {
        let rest = &self.text[self.at..];
        let start = self.at + (rest.len() - rest.trim_start().len());
        let word = &self.text[start..];
        let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(word.len());
        self.at = start + end;
        (end > 0).then(|| (start, &word[..end]))
    }
}

fn unknown_block(source: &str, header: &Header) -> Diagnostic {
    let found = &header.keyword.text;
    let place = header.keyword.span;
    let diagnostic = Diagnostic::new(Code::E0008, format!("no block starts with `{found}`"));
    if let Some(remedy) = habit(found) {
        let diagnostic = diagnostic.mark(place, "expected the start of a block").help(remedy);
        let keyword = match found.as_str() {
            "#" => "//",
            "import" => "use",
            "let" | "var" | "val" => "const",
            "fn" | "def" | "func" | "function" => "pipeline",
            _ => return diagnostic,
        };
        let at = crate::Location { file: crate::FileId(0), span: place };
        let rest = source.get(place.end as usize..header.span.end as usize).unwrap_or("");
        let heals = keyword == "//" || parses(&[keyword, rest].concat());
        return if heals { diagnostic.fix(at, keyword) } else { diagnostic };
    }
    match closest(found, KEYWORDS.iter().copied()) {
        Some(keyword) => {
            let at = crate::Location { file: crate::FileId(0), span: place };
            diagnostic.mark(place, format!("did you mean `{keyword}`?")).fix(at, keyword)
        }
        None => diagnostic.mark(place, "expected the start of a block").help(format!("blocks start with {}", quoted(KEYWORDS))),
    }
}

/// What people write who come from other languages.
fn habit(found: &str) -> Option<&'static str> {
    Some(match found {
        "/" | "#" => "a comment starts with `//` and ends with its line",
        "record" | "struct" | "interface" | "class" => "a record type is written `type Name = { field: f32[10] }`",
        "enum" => "a choice is written `type Name = first | second`",
        "fn" | "def" | "func" | "function" => "a function is written `pipeline Name(x: f32[10]) -> f32[10] { ... }`",
        "import" | "include" | "require" => "an import is written `use std.vision.{ resize }` or `use \"./file.mlp\".{ Name }`",
        "let" | "var" | "val" => "a value with a name is written `const name = 5`; inside a pipeline just `name = value`",
        "registry" => "a model from the registry is written `source = registry(\"vision/objects\", \"^1.2\")` inside a `model`",
        _ => return None,
    })
}

/// `a`, `b` and `c`.
fn quoted(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

/// What pest says about a broken item, in the language's own words, with the token that does not fit.
fn syntax_error(source: &str, item: Span, error: &Error<Rule>) -> (Diagnostic, Span) {
    let at = (item.start as usize + grammar::error_offset(error)).min(item.end as usize);
    let at = next_token(source, at, item.end as usize);
    let span = token_at(source, at, item.end as usize);
    (explained(source, item, span, error), span)
}

/// The same for the token at `span`.
fn explained(source: &str, item: Span, span: Span, error: &Error<Rule>) -> Diagnostic {
    let found = match span.text(source) {
        "" => "the end".to_owned(),
        text => format!("`{text}`"),
    };
    if let Some(diagnostic) = bare_control_flow(source, item, span) {
        return diagnostic;
    }
    let at = crate::Location { file: crate::FileId(0), span };
    if span.text(source) == ";" {
        let diagnostic = Diagnostic::new(Code::E0006, "statements end without `;`").mark(span, "a newline or a comma ends a statement");
        return diagnostic.help("remove it").fix(at, "");
    }
    if let Some(diagnostic) = for_without_each(source, item, span) {
        return diagnostic;
    }
    let expected = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => expected::list(positives),
        ErrorVariant::CustomError { message } => message.clone(),
    };
    let before = source.get(item.start as usize..span.start as usize).unwrap_or("");
    let expected = if before.trim_end().ends_with("|>") { "a pipeline or model after `|>`".to_owned() } else { expected };
    let diagnostic = Diagnostic::new(Code::E0006, format!("expected {expected}, found {found}")).mark(span, format!("expected {expected}"));
    if before.starts_with("test") && span.text(source) == "=" {
        return diagnostic.help("a comparison is written `==`").fix(at, "==");
    }
    match span.text(source) {
        ":" if expected.contains("`)`") && before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_') => {
            return diagnostic.help("an argument is written `name = value`").fix(at, " =");
        }
        ":" if expected.contains("`=`") => {
            return diagnostic.help("an entry is written `key = value`");
        }
        "?" if expected == "a type" => return diagnostic.help("`?` stands after the type: `text?`"),
        "return" if before.trim_end().ends_with('{') => {
            return diagnostic.help("a block inside a value ends with its value alone, without `return`");
        }
        _ => {}
    }
    match form(before) {
        Some(form) => diagnostic.help(format!("it is written {form}")),
        None => diagnostic,
    }
}

/// How an item is written, where the error lies in its head; `before` is the item up to the error.
fn form(before: &str) -> Option<&'static str> {
    let keyword = before.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or("");
    if keyword != "use" && before.contains('{') {
        return None;
    }
    Some(match keyword {
        "edition" => "`edition 2026`",
        "const" => "`const name = 5`",
        "type" => "`type Name = { field: f32[10] }`",
        "labels" => "`labels Name = [\"first\", \"second\"]` or `labels Name = \"./labels.txt\"`",
        "budget" => "`budget Name { ... }`",
        "outlet" => "`outlet Name from Pipeline.field { ... }`",
        "monitor" => "`monitor Name for Pipeline { ... }`",
        "explain" => "`explain Name for Pipeline { ... }`",
        "experiment" => "`experiment Name for Pipeline { ... }`",
        "device" => "`device Name { ... }`",
        "layer" => "`layer Name(x: f32[N, C]) -> f32[N, C] { ... }`",
        "use" => "`use std.vision.{ resize }` or `use \"./file.mlp\".{ Name }`",
        "model" => "`model Name { ... }`",
        "pipeline" => "`pipeline Name(photo: image<rgb>) -> f32[10] { ... }`",
        "intrinsic" => "`intrinsic pipeline name(x: f32[N]) -> f32[N]`",
        "test" => "`test \"what holds\" { ... }`",
        "hook" => "`hook useName for Pipeline { ... }`",
        _ => return None,
    })
}

/// Control flow without a name for its value: the error stands after its first word, which was read as the name of a statement.
fn bare_control_flow(source: &str, item: Span, found: Span) -> Option<Diagnostic> {
    let before = source.get(item.start as usize..found.start as usize)?;
    let line = before.rsplit('\n').next().unwrap_or("");
    let keyword = ["for", "when", "parallel", "loop"].into_iter().find(|keyword| line.trim() == *keyword)?;
    let start = found.start as usize - line.trim_start().len();
    let span = Span::new(start, start + keyword.len());
    let shown = if keyword == "for" { "for each" } else { keyword };
    Some(
        Diagnostic::new(Code::E0006, format!("the value of `{shown}` has no name"))
            .mark(span, "expected a statement such as `name = value`")
            .help(format!("write `name = {shown} ...`, or `return {shown} ...`")),
    )
}

/// `for x in xs`, which this language writes with `each`.
fn for_without_each(source: &str, item: Span, found: Span) -> Option<Diagnostic> {
    let before = source.get(item.start as usize..found.start as usize)?.trim_end();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let head = before.trim_end_matches(is_word);
    let has_name = head.len() < before.len();
    let head = head.trim_end();
    let is_for = head.strip_suffix("for").is_some_and(|rest| !rest.ends_with(is_word));
    if !is_for || !has_name || found.text(source) != "in" {
        return None;
    }
    let end = item.start as usize + head.len();
    let keyword = Span::new(end - "for".len(), end);
    let at = crate::Location { file: crate::FileId(0), span: keyword };
    Some(
        Diagnostic::new(Code::E0006, "expected `each` after `for`")
            .mark(keyword, "this goes through a list")
            .help("write `for each x in xs { ... }`; its value is the list of what is made of each element")
            .fix(at, "for each"),
    )
}

/// The start of the first token at or after `at`: pest may stop before white space and comments.
fn next_token(source: &str, mut at: usize, end: usize) -> usize {
    loop {
        let rest = source.get(at..end).unwrap_or("");
        let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        at += rest.len() - trimmed.len();
        if !trimmed.starts_with("//") {
            return at;
        }
        at += trimmed.find('\n').unwrap_or(trimmed.len());
    }
}

/// The word, string or mark at `at`.
fn token_at(source: &str, at: usize, end: usize) -> Span {
    let rest = source.get(at..end).unwrap_or("");
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let length = match rest.chars().next() {
        None => 0,
        Some(c) if c.is_ascii_digit() => rest.find(|c: char| !is_word(c) && c != '.').unwrap_or(rest.len()),
        Some(c) if is_word(c) => rest.find(|c: char| !is_word(c)).unwrap_or(rest.len()),
        Some('"') => rest[1..].find(['"', '\n']).map_or(rest.len(), |close| close + 2),
        Some(_) if ["->", "|>", "==", "!=", "<=", ">=", "..", "=>", ":=", "::"].iter().any(|mark| rest.starts_with(mark)) => 2,
        Some(c) => c.len_utf8(),
    };
    Span::new(at, at + length)
}
