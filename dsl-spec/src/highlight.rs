//! What each token of a text is, for whoever shows it in colour: editors and pages.
//!
//! Where an item parses, its grammar tells; where it does not, its letters alone do, so that colours do not vanish while someone types.

use crate::grammar::{self, Rule};
use crate::parse::{header, item_rule};
use crate::span::Span;
use crate::split::{KEYWORDS, split};
use pest::iterators::Pair;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenClass {
    /// `// why`
    Comment,
    /// `/// what`
    DocComment,
    /// `pipeline`, `when`
    Keyword,
    /// `"./model.onnx"`
    Text,
    /// `16ms`, `224x224`
    Number,
    /// `f32`, `image`, the name of a type
    Type,
    /// `N` in `f32[N, 3]`
    Symbol,
    /// The name of a model, a budget, a monitor
    Declared,
    /// What is called, and where it is declared
    Function,
    /// A parameter, and an argument's name
    Parameter,
    /// A key, a field
    Property,
    /// A value's name
    Variable,
    /// `@labels`
    Attribute,
    /// `std.vision`
    Module,
    /// `|>`, `+`
    Operator,
}

/// A token and what it is.
pub type Highlighted = (Span, TokenClass);

/// The tokens of a text in order, none over another; brackets and separators are left out.
pub fn highlight(source: &str) -> Vec<Highlighted> {
    Colours::default().of(source)
}

/// Tokens of items that are kept from one text to the next, so that an edit costs what it touches.
#[derive(Clone, Debug, Default)]
pub struct Colours {
    /// By an item's text and whether its brackets or strings are damaged; places are from its start.
    items: HashMap<(String, bool), Vec<Highlighted>>,
}

impl Colours {
    /// What [`highlight`] gives.
    pub fn of(&mut self, source: &str) -> Vec<Highlighted> {
        let mut tokens = Vec::new();
        let mut before = std::mem::take(&mut self.items);
        for piece in split(source).0 {
            let key = (piece.span.text(source).to_owned(), piece.damaged);
            let known = before.remove(&key);
            let found = self.items.entry(key).or_insert_with_key(|(text, damaged)| known.unwrap_or_else(|| item(text, *damaged)));
            let base = piece.span.start;
            tokens.extend(found.iter().map(|(span, class)| (Span { start: base + span.start, end: base + span.end }, *class)));
        }
        comments(source, &mut tokens);
        tokens.sort_unstable();
        tokens.dedup_by_key(|(span, _)| span.start);
        tokens
    }
}

/// The tokens of one item.
fn item(text: &str, damaged: bool) -> Vec<Highlighted> {
    let mut tokens = Vec::new();
    let keyword = header(text, Span::new(0, text.len())).keyword.text;
    let parsed = item_rule(&keyword).filter(|_| !damaged).and_then(|rule| grammar::parse(rule, text).ok());
    match parsed {
        Some(pairs) => pairs.for_each(|pair| walk(&pair, None, &mut tokens)),
        None => lexical(text, &mut tokens),
    }
    tokens
}

/// The rules that are keywords: their names say so.
static KEYWORD_RULES: LazyLock<HashSet<Rule>> =
    LazyLock::new(|| Rule::all_rules().iter().copied().filter(|rule| format!("{rule:?}").starts_with("kw_")).collect());

/// Takes the tokens of a pair, which stands in `parent`.
fn walk(pair: &Pair<'_, Rule>, parent: Option<Rule>, tokens: &mut Vec<Highlighted>) {
    let rule = pair.as_rule();
    let span = |pair: &Pair<'_, Rule>| Span::new(pair.as_span().start(), pair.as_span().end());
    let whole = match rule {
        Rule::number | Rule::size | Rule::integer => Some(TokenClass::Number),
        Rule::string => Some(TokenClass::Text),
        Rule::compare_op | Rule::order_op | Rule::sum_op | Rule::product_op | Rule::minus => Some(TokenClass::Operator),
        Rule::pipe_mark | Rule::assign | Rule::arrow | Rule::bar | Rule::rest_mark | Rule::at_most_mark | Rule::optional_mark => {
            Some(TokenClass::Operator)
        }
        Rule::at => Some(TokenClass::Attribute),
        Rule::word => Some(word(parent)),
        _ if KEYWORD_RULES.contains(&rule) => Some(TokenClass::Keyword),
        _ => None,
    };
    if let Some(class) = whole {
        // Where a mark must not be followed by another, pest counts in the white space between them.
        let text = pair.as_str();
        let length = if rule == Rule::string { text.len() } else { text.find(char::is_whitespace).unwrap_or(text.len()) };
        let mut span = span(pair);
        span.end = span.start + length as u32;
        tokens.push((span, class));
        return;
    }
    let parts: Vec<Pair<'_, Rule>> = pair.clone().into_inner().collect();
    let called = rule == Rule::postfix && parts.get(1).is_some_and(|part| part.as_rule() == Rule::arguments);
    for (index, part) in parts.iter().enumerate() {
        let place = match part.as_rule() {
            // The first word of a block, and of what it applies, is its keyword.
            Rule::word if index == 0 && matches!(rule, Rule::block | Rule::limit | Rule::apply) => Some(Rule::kw_input),
            // Only the first word of a signature names what is declared, and so on.
            Rule::word if rule == Rule::argument && parts.len() == 1 => Some(Rule::value_name),
            Rule::value_name if called && index == 0 => Some(Rule::stage),
            Rule::path if matches!(rule, Rule::stage | Rule::apply) => Some(Rule::stage),
            Rule::word if rule == Rule::path && parent == Some(Rule::dim_atom) => Some(Rule::dim),
            _ => Some(rule),
        };
        match (part.as_rule(), place) {
            (Rule::value_name | Rule::path, Some(Rule::stage)) => {
                let names: Vec<Pair<'_, Rule>> = part.clone().into_inner().filter(|name| name.as_rule() == Rule::word).collect();
                names.iter().for_each(|name| tokens.push((span(name), TokenClass::Function)));
            }
            _ => walk(part, place, tokens),
        }
    }
}

/// What a word is, by what it stands in.
fn word(parent: Option<Rule>) -> TokenClass {
    match parent {
        Some(Rule::kw_input) => TokenClass::Keyword,
        Some(Rule::signature) => TokenClass::Function,
        Some(Rule::parameter | Rule::argument) => TokenClass::Parameter,
        Some(Rule::tensor_type | Rule::named_type | Rule::type_item) => TokenClass::Type,
        Some(Rule::dim | Rule::rest_dim) => TokenClass::Symbol,
        Some(Rule::module) => TokenClass::Module,
        Some(Rule::attribute) => TokenClass::Attribute,
        Some(
            Rule::entry
            | Rule::field
            | Rule::field_type
            | Rule::record_entry
            | Rule::limit
            | Rule::input_port
            | Rule::output_port
            | Rule::state_port,
        ) => TokenClass::Property,
        Some(
            Rule::model_item
            | Rule::labels_item
            | Rule::budget_item
            | Rule::outlet_item
            | Rule::monitor_item
            | Rule::explain_item
            | Rule::experiment_item
            | Rule::device_item
            | Rule::hook_item,
        ) => TokenClass::Declared,
        Some(Rule::choice_type) => TokenClass::Symbol,
        _ => TokenClass::Variable,
    }
}

/// The tokens of a text that does not parse.
fn lexical(text: &str, tokens: &mut Vec<Highlighted>) {
    let mut at = 0;
    let mut first = true;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (length, class) = match c {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), None),
            '"' => (string_end(rest), Some(TokenClass::Text)),
            '0'..='9' => {
                let end = rest.find(|c: char| !is_word(c) && c != '.' && c != '%').unwrap_or(rest.len());
                (end, Some(TokenClass::Number))
            }
            _ if is_word(c) => {
                let end = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
                let known = std::mem::take(&mut first) && KEYWORDS.contains(&&rest[..end]);
                let class = match &rest[..end] {
                    _ if known => TokenClass::Keyword,
                    "return" | "expect" | "when" | "else" | "input" | "output" | "state" => TokenClass::Keyword,
                    _ if rest[end..].starts_with('(') => TokenClass::Function,
                    _ => TokenClass::Variable,
                };
                (end, Some(class))
            }
            _ => (c.len_utf8(), None),
        };
        if let Some(class) = class {
            tokens.push((Span::new(at, at + length), class));
        }
        at += length;
    }
}

/// Where a string that starts a text ends, or the line, where it is not closed.
fn string_end(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '\n' => return at,
            '"' if !escaped => return at + 1,
            _ => escaped = c == '\\' && !escaped,
        }
    }
    rest.len()
}

/// Takes the comments of a text, which lie between the tokens of any item.
fn comments(source: &str, tokens: &mut Vec<Highlighted>) {
    let mut at = 0;
    while let Some(found) = source[at..].find(['"', '/']) {
        let start = at + found;
        let rest = &source[start..];
        at = start + 1;
        if rest.starts_with('"') {
            at = start + string_end(rest);
        } else if rest.starts_with("//") {
            let end = start + rest.find('\n').map_or(rest.len(), |end| rest[..end].trim_end().len());
            let class = if rest.starts_with("///") { TokenClass::DocComment } else { TokenClass::Comment };
            tokens.push((Span::new(start, end), class));
            at = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::TokenClass::*;
    use super::*;

    fn classes(source: &str) -> Vec<(&str, TokenClass)> {
        highlight(source).into_iter().map(|(span, class)| (span.text(source), class)).collect()
    }

    #[test]
    fn the_grammar_tells_what_a_word_is() {
        let source = "/// Doc\npipeline P(x: f32[N]) -> f32[N] {\n  return x |> f(k = 1ms) // why\n}";
        let expected = [
            ("/// Doc", DocComment),
            ("pipeline", Keyword),
            ("P", Function),
            ("x", Parameter),
            ("f32", Type),
            ("N", Symbol),
            ("->", Operator),
            ("f32", Type),
            ("N", Symbol),
            ("return", Keyword),
            ("x", Variable),
            ("|>", Operator),
            ("f", Function),
            ("k", Parameter),
            ("=", Operator),
            ("1ms", Number),
            ("// why", Comment),
        ];
        assert_eq!(classes(source), expected);
    }

    #[test]
    fn a_broken_item_keeps_its_colours() {
        let found = classes("model M {\n  source = onnx(\"a.onnx\"\n\npipeline P() -> f32[1] {\n  return \"http://x\" 5\n");
        assert!(found.contains(&("model", Keyword)) && found.contains(&("\"a.onnx\"", Text)) && found.contains(&("pipeline", Keyword)));
        assert!(found.contains(&("\"http://x\"", Text)), "{found:?}");
    }

    #[test]
    fn kept_colours_are_those_of_the_text() {
        let texts = [
            "const a = 1\nconst b = 2\n",
            "const a = 1\n// why\nconst bc = 2\n",
            "const a = (1\nconst bc = 2\n",
            "const bc = 2\nconst bc = 2\n",
            "",
        ];
        let mut colours = Colours::default();
        for text in texts {
            assert_eq!(colours.of(text), highlight(text), "{text}");
        }
        assert!(colours.items.is_empty());
    }

    #[test]
    fn tokens_never_overlap() {
        for source in ["\"", "a // b \" c", "const x = \"a\\\"// b\" // c\n", "é // ü\n/", "const a = 5 \"x"] {
            let tokens = highlight(source);
            assert!(tokens.windows(2).all(|pair| pair[0].0.end <= pair[1].0.start), "{source}: {tokens:?}");
            assert!(tokens.iter().all(|(span, _)| source.get(span.range()).is_some()), "{source}: {tokens:?}");
        }
    }
}
