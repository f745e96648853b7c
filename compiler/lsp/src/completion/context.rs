//! What is being written at a place, told by the tokens before it: it must work in the middle of an item that does not parse.

use mlp_syntax::{TokenClass, highlight};

/// What is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    /// Nothing that could be completed: a comment, a string, a new name.
    Nothing,
    /// The start of an item.
    Item,
    /// The unit of a number.
    Unit,
    /// An attribute, after `@`.
    Attribute,
    /// A field or port, after a dot.
    Member,
    /// A module, after `use`; the part before its last dot.
    Module(String),
    /// A name of the module or file in quotes, between the braces of `use`.
    Import(String),
    Type,
    /// What is called, after `|>`.
    Stage,
    /// A key of a block.
    Key(String),
    /// A statement of a pipeline or layer.
    Statement,
    /// A value: of a key, in a call of a function; whether an argument starts here.
    Value {
        key: Option<String>,
        callee: Option<String>,
        starts: bool,
    },
    /// The pipeline, or a field of it, after `for` or `from`.
    Target,
}

/// Where completion was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) context: Context,
    /// Where the word starts that is being written.
    pub(crate) start: usize,
    /// Where the item starts that it is in.
    pub(crate) item: usize,
    /// The names that are bound before it in the same item.
    pub(crate) bound: Vec<String>,
}

#[derive(Clone, Copy)]
pub(crate) struct Token<'s> {
    pub(crate) text: &'s str,
    /// A newline stands before it.
    pub(crate) newline: bool,
}

/// An open bracket.
struct Frame<'s> {
    open: &'s str,
    /// The statement that it stands in, up to it.
    head: Vec<&'s str>,
    /// The statement inside it, so far.
    statement: Vec<&'s str>,
}

/// The context at a byte of a text.
pub(crate) fn place(source: &str, offset: usize) -> Place {
    let before = &source[..offset];
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut start = before.rfind(|c| !word(c)).map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
    let item = item_start(source, start);
    let none = |start| Place { context: Context::Nothing, start, item, bound: Vec::new() };
    let line_end = source[offset..].find('\n').map_or(source.len(), |at| offset + at);
    // The item alone tells whether this is a comment or a string, however large the file is.
    let covers = |(span, _): &(mlp_syntax::Span, TokenClass)| item + (span.start as usize) < offset && offset <= item + span.end as usize;
    match highlight(&source[item..line_end]).into_iter().find(covers) {
        Some((_, TokenClass::Comment | TokenClass::DocComment)) => return none(start),
        Some((span, TokenClass::Text)) => {
            let text = span.text(&source[item..line_end]);
            if offset < item + span.end as usize || text.len() < 2 || !text.ends_with('"') {
                return none(start);
            }
        }
        _ => {}
    }
    if before[start..].starts_with(|c: char| c.is_ascii_digit()) {
        // A number, and perhaps the start of its unit.
        start += before[start..].find(|c: char| !c.is_ascii_digit()).unwrap_or(offset - start);
        return Place { context: Context::Unit, start, item, bound: Vec::new() };
    }
    let tokens = tokens(&source[item..start]);
    let bound = bound(&tokens);
    let newline = source[item..start].rfind(|c: char| !c.is_whitespace()).is_none_or(|at| source[item + at..start].contains('\n'));
    Place { context: context(&tokens, newline), start, item, bound }
}

/// Where the item starts that a place is in: the last line that starts with a letter in its first column.
pub(crate) fn item_start(source: &str, offset: usize) -> usize {
    let starts = source[..offset].match_indices('\n').map(|(at, _)| at + 1).chain([0]);
    let is_start = |at: &usize| source[*at..].starts_with(|c: char| c.is_ascii_lowercase()) && *at < offset;
    starts.filter(is_start).max().unwrap_or(0)
}

pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (mut found, mut at, mut newline) = (Vec::new(), 0, false);
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = match c {
            _ if c.is_whitespace() => {
                newline |= c == '\n';
                at += c.len_utf8();
                continue;
            }
            '/' if rest.starts_with("//") => {
                at += rest.find('\n').unwrap_or(rest.len());
                continue;
            }
            '"' => {
                let mut escaped = false;
                let end = rest.char_indices().skip(1).find(|(_, c)| {
                    let ends = *c == '\n' || *c == '"' && !escaped;
                    escaped = *c == '\\' && !escaped;
                    ends
                });
                end.map_or(rest.len(), |(at, _)| at + 1)
            }
            _ if word(c) => rest.find(|c: char| !word(c)).unwrap_or(rest.len()),
            _ if ["|>", "->", "==", "!=", "<=", ">=", ".."].iter().any(|mark| rest.starts_with(mark)) => 2,
            _ => c.len_utf8(),
        };
        found.push(Token { text: &rest[..length], newline });
        newline = false;
        at += length;
    }
    found
}

/// Names that are bound by `name =`, `name:` and `for each name`.
fn bound(tokens: &[Token<'_>]) -> Vec<String> {
    let is_name = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let mut names: Vec<String> = Vec::new();
    for (index, token) in tokens.iter().enumerate().filter(|(_, token)| is_name(token.text)) {
        let next = tokens.get(index + 1).map_or("", |next| next.text);
        let starts_line =
            token.newline || index > 0 && matches!(tokens[index - 1].text, "{" | "," | "(" | "public" | "each" | "loop" | "counting");
        let inside_call = next == "=" && index > 0 && !token.newline && tokens[index - 1].text != "{" && tokens[index - 1].text != "loop";
        if (starts_line && matches!(next, "=" | ":") && !inside_call) || index > 0 && matches!(tokens[index - 1].text, "each" | "counting")
        {
            names.push(token.text.to_owned());
        }
    }
    names.sort();
    names.dedup();
    names
}

/// Whether a statement goes on after a newline: because of what stands before it or after it.
pub(crate) fn goes_on(last: Option<&&str>, next: &str) -> bool {
    let open = ["|>", "=", "->", "+", "*", "/", "==", "!=", "<=", ">=", "<", ",", ":", "|", "return", "else"];
    last.is_some_and(|last| open.contains(last)) || matches!(next, "|>" | "@" | "{" | "else")
}

fn context(tokens: &[Token<'_>], newline: bool) -> Context {
    let mut frames = vec![Frame { open: "", head: Vec::new(), statement: Vec::new() }];
    for token in tokens {
        let is_inside = frames.len() > 1;
        let Some(frame) = frames.last_mut() else { return Context::Nothing };
        let in_block = matches!(frame.open, "" | "{");
        if in_block && token.newline && !goes_on(frame.statement.last(), token.text) {
            frame.statement.clear();
        }
        match token.text {
            "(" | "[" | "{" => {
                let head = frame.statement.clone();
                frame.statement.push(token.text);
                frames.push(Frame { open: token.text, head, statement: Vec::new() });
            }
            ")" | "]" | "}" if is_inside => {
                frames.pop();
                frames.last_mut().into_iter().for_each(|frame| frame.statement.push(token.text));
            }
            "," if !frame.open.is_empty() => frame.statement.clear(),
            text => frame.statement.push(text),
        }
    }
    let inner = frames.last_mut().filter(|frame| matches!(frame.open, "" | "{"));
    if let Some(frame) = inner.filter(|frame| newline && !goes_on(frame.statement.last(), "")) {
        frame.statement.clear();
    }
    frames.last().map_or(Context::Nothing, |frame| inside(frame, &frames))
}

fn inside(frame: &Frame<'_>, frames: &[Frame<'_>]) -> Context {
    let statement = frame.statement.as_slice();
    let first = frames.get(1).and_then(|outer| outer.head.first()).or(statement.first()).copied().unwrap_or("");
    let last = statement.last().copied().unwrap_or("");
    let value = |key: Option<&str>, callee: Option<&str>, starts| Context::Value {
        key: key.map(str::to_owned),
        callee: callee.map(str::to_owned),
        starts,
    };
    match last {
        "@" => return Context::Attribute,
        "|>" => return Context::Stage,
        "." if first == "use" => return Context::Module(statement[1..statement.len() - 1].concat()),
        "." => return Context::Member,
        "->" => return Context::Type,
        "<" if statement.len() > 1 && ["label", "ranking", "list", "stream", "tokens"].contains(&statement[statement.len() - 2]) => {
            return Context::Type;
        }
        ":" => return Context::Type,
        _ => {}
    }
    match (frame.open, statement) {
        ("", []) => Context::Item,
        ("", ["use"]) => Context::Module(String::new()),
        ("", [_, _, "for" | "from"]) => Context::Target,
        ("", ["type", _, "="]) => Context::Type,
        ("", [.., "="]) => value(None, None, false),
        ("{", []) if first == "use" => {
            let source = frame.head.get(1..frame.head.len().saturating_sub(1)).unwrap_or_default().concat();
            Context::Import(source)
        }
        ("{", statement) => braces(frame, statement, first),
        ("(", statement) => {
            let is_signature = frames.len() == 2 && matches!(first, "pipeline" | "layer" | "intrinsic");
            let callee = frame.head.last().copied();
            match statement {
                _ if is_signature && !statement.contains(&"=") => Context::Nothing,
                [] => value(None, callee, true),
                [name, "=", ..] => value(Some(name), callee, false),
                _ => value(None, callee, false),
            }
        }
        ("[", _) => value(frame.head.first().copied(), None, false),
        _ => Context::Nothing,
    }
}

/// Between braces: a block, a record, the arm of a choice.
fn braces(frame: &Frame<'_>, statement: &[&str], first: &str) -> Context {
    let keyword = frame.head.first().copied().unwrap_or("");
    let is_code = matches!(first, "pipeline" | "layer") || keyword == "layers";
    let is_record = matches!(frame.head.last(), Some(&("=" | "return" | "->" | ":")));
    match statement {
        [] if is_record => Context::Value { key: None, callee: None, starts: false },
        [] if is_code => Context::Statement,
        [] => Context::Key(keyword.to_owned()),
        ["input" | "output" | "state"] => Context::Nothing,
        [.., "spend" | "monitor" | "outlet" | "metric", "="] | [_, "=", ..] | ["return" | "expect" | "drift" | "explain", ..] => {
            Context::Value { key: Some(statement[0].to_owned()), callee: None, starts: false }
        }
        [_, ..] if is_code => Context::Value { key: None, callee: None, starts: false },
        _ => Context::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The context at `|`.
    fn at(source: &str) -> Context {
        // A pipe mark is no cursor.
        let offset = source.replace("|>", "&&").find('|').unwrap();
        place(&format!("{}{}", &source[..offset], &source[offset + 1..]), offset).context
    }

    fn value(key: Option<&str>, callee: Option<&str>, starts: bool) -> Context {
        Context::Value { key: key.map(str::to_owned), callee: callee.map(str::to_owned), starts }
    }

    #[test]
    fn the_tokens_before_tell_what_is_written() {
        for (source, expected) in [
            ("|", Context::Item),
            ("edition 2026\n\npip|", Context::Item),
            ("use |", Context::Module(String::new())),
            ("use std.|", Context::Module("std".into())),
            ("use std.vision.{ resize, | }", Context::Import("std.vision".into())),
            ("use \"./a.mlp\".{ |", Context::Import("\"./a.mlp\"".into())),
            ("model M {\n  |", Context::Key("model".into())),
            ("model M {\n  source = |", value(Some("source"), None, false)),
            ("model M {\n  quantize int8 {\n    |", Context::Key("quantize".into())),
            ("model M {\n  input x: |", Context::Type),
            ("pipeline P(x: |", Context::Type),
            ("pipeline P(|", Context::Nothing),
            ("pipeline P(x: f32[1]) -> |", Context::Type),
            ("pipeline P(x: f32[1]) -> f32[1] {\n  |", Context::Statement),
            ("pipeline P(x: f32[1]) -> f32[1] {\n  y = x\n  |", Context::Statement),
            ("pipeline P(x: f32[1]) -> f32[1] {\n  y = x |> |", Context::Stage),
            ("pipeline P(x: f32[1]) -> f32[1] {\n  y = x\n    |> so|", Context::Stage),
            ("pipeline P(x: f32[1]) -> f32[1] {\n  y = x |> f(|", value(None, Some("f"), true)),
            ("pipeline P(x: f32[1]) -> f32[1] {\n  y = f(x, k = |", value(Some("k"), Some("f"), false)),
            ("pipeline P(x: f32[1]) -> f32[1] {\n  return |", value(Some("return"), None, false)),
            ("pipeline P(x: f32[1]) -> f32[1] {\n  return x @|", Context::Attribute),
            ("pipeline P(x: f32[1]) -> f32[1] {\n  y = x.|", Context::Member),
            ("pipeline P(x: f32[1]) -> f32[1] {\n  y = 16|", Context::Unit),
            ("outlet O from |", Context::Target),
            ("outlet O from P.|", Context::Member),
            ("outlet O from P {\n  spend = |", value(Some("spend"), None, false)),
            ("hook useP for P { prefer = [|", value(Some("prefer"), None, false)),
            ("pipeline P(x: f32[1]) -> label<|", Context::Type),
            ("// no|", Context::Nothing),
            ("const a = \"|\"", Context::Nothing),
        ] {
            assert_eq!(at(source), expected, "{source}");
        }
    }

    #[test]
    fn names_that_are_bound_before_are_known() {
        let source = "pipeline P(x: f32[1], k: number = 2) -> f32[1] {\n  y = f(x, q = 1)\n  for_z = for each z in y { z }\n  return ";
        assert_eq!(place(source, source.len()).bound, ["for_z", "k", "x", "y", "z"]);
    }
}
