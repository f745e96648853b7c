//! The one edit that makes a broken item whole. Edits are tried, not guessed: one is offered where the item parses without an error after it.

use crate::diagnostic::{Code, Diagnostic};
use crate::grammar::Rule;
use crate::parse::parses;
use crate::span::{FileId, Location, Span};
use crate::split::Piece;
use crate::suggest::closest;

/// The longest item that is repaired, in bytes.
const MAX_BYTES: usize = 8 << 10;
/// How many times an item's length is parsed at most to find its repair, so that repairing costs no more than so many times what parsing costs.
const EFFORT: usize = 16;
/// The most items that one without its opening brace fell into.
const MAX_JOINED: usize = 64;

/// Keywords inside items, which a word beside an error may have been meant for.
const KEYWORDS: &[&str] = &[
    "return", "expect", "input", "output", "state", "when", "else", "each", "parallel", "loop", "at_most", "until", "counting", "layers",
    "for", "from", "in", "over", "public", "pipeline", "layer",
];
/// What other languages call it.
const HABITS: &[(&str, &str)] = &[
    ("if", "when"),
    ("foreach", "for each"),
    ("elif", "else when"),
    ("elsif", "else when"),
    ("elseif", "else when"),
    ("assert", "expect"),
];
/// What other languages write before a name that is given a value; here nothing stands there.
const INTRODUCTIONS: &[&str] = &["let", "var", "val", "const", "auto", "mut"];

/// A text to write in place of another.
struct Edit {
    at: Span,
    text: String,
}

/// An item with an error, and how much more may be tried.
struct Patient<'a> {
    source: &'a str,
    item: Span,
    left: usize,
}

impl<'a> Patient<'a> {
    fn new(source: &'a str, item: Span) -> Patient<'a> {
        let length = item.range().len();
        Patient { source, item, left: if length <= MAX_BYTES { length.max(64) * EFFORT } else { 0 } }
    }

    /// True where the item parses after the edit.
    fn heals(&mut self, edit: &Edit) -> bool {
        let (Some(before), Some(after)) = (
            self.source.get(self.item.start as usize..edit.at.start as usize),
            self.source.get(edit.at.end as usize..self.item.end as usize),
        ) else {
            return false;
        };
        let length = before.len() + edit.text.len() + after.len();
        if length > self.left {
            return false;
        }
        self.left -= length;
        parses(&[before, &edit.text, after].concat())
    }

    /// The first edit that makes the item whole.
    fn first(&mut self, edits: impl IntoIterator<Item = Edit>) -> Option<Edit> {
        edits.into_iter().find(|edit| self.heals(edit))
    }

    fn before(&self, at: u32) -> &'a str {
        self.source.get(self.item.start as usize..at as usize).unwrap_or("")
    }

    /// The last word before a place, where nothing but white space stands between.
    fn word_before(&self, at: u32) -> Option<Span> {
        let text = self.before(at).trim_end();
        let start = text.trim_end_matches(is_word).len();
        let first = self.item.start as usize;
        (start < text.len()).then(|| Span::new(first + start, first + text.len()))
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn location(span: Span) -> Location {
    Location { file: FileId(0), span }
}

fn with(diagnostic: Diagnostic, edit: Edit) -> Diagnostic {
    diagnostic.fix(location(edit.at), edit.text)
}

/// A syntax error with the edit that heals it, where one is found. `found` is the token that does not fit, `expected` what pest tried there.
pub(crate) fn mend(diagnostic: Diagnostic, source: &str, item: Span, found: Span, expected: &[Rule]) -> Diagnostic {
    let mut patient = Patient::new(source, item);
    if let Some(better) = quotes(&mut patient, found).or_else(|| unit_apart(&mut patient, found)) {
        return better;
    }
    if let Some(better) = misspelt(&mut patient, found, expected).or_else(|| habit(&mut patient, found)) {
        return better;
    }
    if let Some(better) = introduced(&mut patient, found).or_else(|| lone_value(&mut patient, found, expected)) {
        return better;
    }
    let edits = rewritten(source, item, found, expected).into_iter().chain(replacements(source, found, expected));
    let edits: Vec<Edit> = edits.chain(insertions(source, found, expected)).chain(removals(source, item, found)).collect();
    match patient.first(edits) {
        Some(edit) if diagnostic.help.is_none() => {
            let help = match edit.text.trim() {
                "" => "remove it".to_owned(),
                text => format!("write `{text}`"),
            };
            with(diagnostic.help(help), edit)
        }
        Some(edit) => with(diagnostic, edit),
        None => diagnostic,
    }
}

/// `'text'`, and the quotes of word processors.
fn quotes(patient: &mut Patient<'_>, found: Span) -> Option<Diagnostic> {
    let close = match found.text(patient.source) {
        "'" => '\'',
        "`" => '`',
        "‘" => '’',
        "“" => '”',
        _ => return None,
    };
    let rest = patient.source.get(found.end as usize..patient.item.end as usize)?;
    let text = rest.lines().next()?.split_once(close)?.0;
    let at = Span { end: found.end + (text.len() + close.len_utf8()) as u32, ..found };
    let edit = Edit { at, text: format!("\"{text}\"") };
    let heals = patient.heals(&edit);
    let diagnostic = Diagnostic::new(Code::E0006, "a string stands between double quotes")
        .mark(at, "expected `\"` on both sides")
        .help(format!("write `\"{text}\"`"));
    heals.then(|| with(diagnostic, edit))
}

/// A word that was meant for a keyword: the one that does not fit, or the one before it, which was taken for a name.
fn misspelt(patient: &mut Patient<'_>, found: Span, expected: &[Rule]) -> Option<Diagnostic> {
    for span in [Some(found), patient.word_before(found.start)].into_iter().flatten() {
        let word = span.text(patient.source);
        if !word.starts_with(is_word) || KEYWORDS.contains(&word) && span != found {
            continue;
        }
        // `in` may follow every value, so that it says little of what was meant elsewhere than in `for each x in`.
        let in_each = patient.before(found.start).trim_end().trim_end_matches(is_word).trim_end().ends_with("each");
        let says = |rule: &&Rule| span == found && (**rule != Rule::kw_in || in_each);
        let wanted = expected.iter().filter(says).filter_map(|rule| keyword(*rule));
        let close = closest(word, KEYWORDS.iter().copied());
        let candidates: Vec<&str> = close.into_iter().chain(wanted).collect();
        for keyword in candidates {
            let edit = Edit { at: span, text: keyword.to_owned() };
            if patient.heals(&edit) {
                return Some(meant(word, span, keyword, edit));
            }
        }
    }
    None
}

fn meant(word: &str, span: Span, keyword: &str, edit: Edit) -> Diagnostic {
    let message = format!("expected `{keyword}`, found `{word}`");
    let diagnostic = Diagnostic::new(Code::E0006, message).mark(span, format!("did you mean `{keyword}`?"));
    with(diagnostic.help(format!("write `{keyword}`")), edit)
}

/// A keyword of another language, further back on the line: `if` was read as a name.
fn habit(patient: &mut Patient<'_>, found: Span) -> Option<Diagnostic> {
    let before = patient.before(found.end);
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    let first = patient.item.start as usize + line;
    for (word, keyword) in HABITS {
        for (at, _) in before[line..].match_indices(word) {
            let span = Span::new(first + at, first + at + word.len());
            let whole = !before[..line + at].ends_with(is_word) && !before[line + at + word.len()..].starts_with(is_word);
            let edit = Edit { at: span, text: (*keyword).to_owned() };
            if whole && patient.heals(&edit) {
                return Some(meant(word, span, keyword, edit));
            }
        }
    }
    None
}

/// `16 ms`: the unit was read as what does not fit, or as the name that begins what follows.
fn unit_apart(patient: &mut Patient<'_>, found: Span) -> Option<Diagnostic> {
    for span in [Some(found), patient.word_before(found.start)].into_iter().flatten() {
        let unit = span.text(patient.source);
        let before = patient.before(span.start);
        let number = before.trim_end_matches([' ', '\t']);
        if crate::units::find(unit).is_none() || number.len() == before.len() || !number.ends_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        let close = patient.item.start as usize + number.len();
        let edit = Edit { at: Span::new(close, span.start as usize), text: String::new() };
        if patient.heals(&edit) {
            let diagnostic = Diagnostic::new(Code::E0006, "a unit stands right behind its number")
                .mark(span, "the space before it parts it from the number")
                .help("remove the space");
            return Some(with(diagnostic, edit));
        }
    }
    None
}

/// `let y = x`
fn introduced(patient: &mut Patient<'_>, found: Span) -> Option<Diagnostic> {
    let span = patient.word_before(found.start).filter(|span| INTRODUCTIONS.contains(&span.text(patient.source)))?;
    let edit = Edit { at: Span { end: found.start, ..span }, text: String::new() };
    let word = span.text(patient.source).to_owned();
    let heals = patient.heals(&edit);
    let diagnostic = Diagnostic::new(Code::E0006, format!("`{word}` stands before a name that is given a value"))
        .mark(span, "nothing stands there in this language")
        .help("write `name = value`");
    heals.then(|| with(diagnostic, edit))
}

/// The last value of a pipeline without `return`.
fn lone_value(patient: &mut Patient<'_>, found: Span, expected: &[Rule]) -> Option<Diagnostic> {
    let before = patient.before(found.start);
    let mut words = patient.item.text(patient.source).split(|c| !is_word(c));
    if !expected.contains(&Rule::assign) || words.any(|word| word == "return") {
        return None;
    }
    let line = before.trim_end().rfind('\n').map_or(0, |at| at + 1);
    let indent = before[line..].len() - before[line..].trim_start().len();
    let start = patient.item.start as usize + line + indent;
    let edit = Edit { at: Span::new(start, start), text: "return ".to_owned() };
    let heals = patient.heals(&edit);
    let value = Span::new(start, start + before[line + indent..].trim_end().len());
    let diagnostic = Diagnostic::new(Code::E0006, "a value stands alone")
        .mark(value, "nobody says what becomes of it")
        .help("write `return` before the answer, or give the value a name: `name = value`");
    heals.then(|| with(diagnostic, edit))
}

/// What does not fit, as it is written in this language: numbers and units without a space, quotes around names of tests, `?` behind its type.
fn rewritten(source: &str, item: Span, found: Span, expected: &[Rule]) -> Option<Edit> {
    let text = found.text(source);
    let before = source.get(item.start as usize..found.start as usize)?;
    let after = source.get(found.end as usize..item.end as usize)?;
    let close = found.start as usize - (before.len() - before.trim_end().len());
    let after_number = before.trim_end().ends_with(|c: char| c.is_ascii_digit());
    let next_word = after.find(|c| !is_word(c)).unwrap_or(after.len());
    match text {
        "x" | "×" if after_number && after.trim_start().starts_with(|c: char| c.is_ascii_digit()) => {
            let end = found.end as usize + (after.len() - after.trim_start().len());
            Some(Edit { at: Span::new(close, end), text: "x".to_owned() })
        }
        _ if text.starts_with(is_word) && expected.contains(&Rule::string) => Some(Edit { at: found, text: format!("\"{text}\"") }),
        _ if text.len() > 2 && text.starts_with('"') && expected.contains(&Rule::integer) => {
            Some(Edit { at: found, text: text.trim_matches('"').to_owned() })
        }
        "?" if next_word > 0 => {
            Some(Edit { at: Span::new(found.start as usize, found.end as usize + next_word), text: format!("{}?", &after[..next_word]) })
        }
        _ if text.chars().all(is_invisible) && !text.is_empty() => Some(Edit { at: found, text: " ".to_owned() }),
        _ => import_names(source, item, found),
    }
}

/// Characters that look like a space, or like nothing, and are neither.
fn is_invisible(c: char) -> bool {
    !c.is_ascii() && (c.is_whitespace() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}'))
}

/// The mark that does not fit, replaced by one that would.
fn replacements(source: &str, found: Span, expected: &[Rule]) -> impl Iterator<Item = Edit> {
    let text = found.text(source);
    let replaceable = matches!(text, ":" | "=" | "==" | ":=" | "=>" | "->" | "|" | "|>" | "." | "," | "::" | ">" | "<" | "-");
    let spaced = source.get(..found.start as usize).unwrap_or("").ends_with(' ');
    // A point between two numbers or names means something else than what stood there, but for these.
    let meant = |wanted: &&str| *wanted != "." || matches!(text, "," | "::");
    let wanted: Vec<&str> = ordered(expected).into_iter().filter(|_| replaceable).filter(meant).collect();
    wanted
        .into_iter()
        .map(move |wanted| Edit { at: found, text: if wanted == "=" && !spaced { " =".to_owned() } else { wanted.to_owned() } })
}

/// A mark or keyword that would fit, before what does not.
fn insertions(source: &str, found: Span, expected: &[Rule]) -> impl Iterator<Item = Edit> {
    let before = source.get(..found.start as usize).unwrap_or("");
    let close = before.trim_end().len();
    let keywords = expected.iter().filter_map(|rule| keyword(*rule)).filter(|keyword| *keyword != "in");
    // Two values beside each other are hardly two stages.
    let marks = ordered(expected).into_iter().filter(|mark| *mark != "|>");
    marks.chain(keywords).map(move |wanted| match wanted {
        // These follow what they belong to.
        "," | ":" | ")" | "]" | "." => {
            let space = if before.len() == close && wanted != "." { " " } else { "" };
            Edit { at: Span::new(close, close), text: format!("{wanted}{space}") }
        }
        "at_most" => Edit { at: Span::new(close, found.start as usize), text: " at_most 8 ".to_owned() },
        "\n" => Edit { at: Span::new(close, found.start as usize), text: "\n".to_owned() },
        wanted => Edit { at: Span::new(close, found.start as usize), text: format!(" {wanted} ") },
    })
}

/// Nothing in place of what does not fit.
fn removals(source: &str, item: Span, found: Span) -> impl Iterator<Item = Edit> {
    let text = found.text(source);
    let before = source.get(item.start as usize..found.start as usize).unwrap_or("").trim_end();
    // In an arm the value stands alone; elsewhere a value is missing before `return`.
    let removable = matches!(text, "=" | "," | "?") || text == "return" && (before.ends_with('{') || before.ends_with("return"));
    let rest = source.get(found.end as usize..).unwrap_or("");
    let space = rest.len() - rest.trim_start_matches(' ').len();
    let end = found.end + if text == "return" { space as u32 } else { 0 };
    removable.then(|| Edit { at: Span { end, ..found }, text: String::new() }).into_iter()
}

/// `use std.vision.resize`, where the names stand between braces.
fn import_names(source: &str, item: Span, found: Span) -> Option<Edit> {
    let text = source.get(item.start as usize..found.start as usize)?.trim_end();
    let (module, name) = text.strip_prefix("use ")?.rsplit_once('.')?;
    let start = item.start as usize + text.len() - name.len();
    (name.chars().all(is_word) && module.contains('.') && !module.contains('"'))
        .then(|| Edit { at: Span::new(start, start + name.len()), text: format!("{{ {name} }}") })
}

/// The marks among what was expected, the likeliest to be forgotten first.
fn ordered(expected: &[Rule]) -> Vec<&'static str> {
    const MARKS: &[(&str, &[Rule])] = &[
        (",", &[Rule::comma]),
        (":", &[Rule::colon]),
        ("=", &[Rule::assign]),
        ("->", &[Rule::arrow]),
        ("|>", &[Rule::pipe_mark]),
        (".", &[Rule::dot, Rule::field]),
        ("<=", &[Rule::at_most_mark]),
        ("\n", &[Rule::end, Rule::EOI]),
    ];
    MARKS.iter().filter(|(_, rules)| rules.iter().any(|rule| expected.contains(rule))).map(|(mark, _)| *mark).collect()
}

fn keyword(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::kw_for => "for",
        Rule::kw_from => "from",
        Rule::kw_in => "in",
        Rule::kw_else => "else",
        Rule::kw_each => "each",
        Rule::kw_at_most => "at_most",
        Rule::kw_return => "return",
        Rule::kw_expect => "expect",
        Rule::kw_pipeline => "pipeline",
        _ => return None,
    })
}

/// What the splitter found, each with the edit that heals its piece, where one is found. A piece with several is left to its author.
pub(crate) fn mend_pieces(source: &str, pieces: &[Piece], diagnostics: &mut [Diagnostic]) {
    let places: Vec<Option<Span>> = diagnostics.iter().map(|one| one.labels.first().map(|label| label.at.span)).collect();
    let piece_of = |place: Option<Span>| {
        let at = place?.start;
        let index = pieces.partition_point(|piece| piece.span.end <= at);
        pieces.get(index).filter(|piece| piece.span.start <= at).map(|_| index)
    };
    let owners: Vec<Option<usize>> = places.iter().map(|place| piece_of(*place)).collect();
    for (index, diagnostic) in diagnostics.iter_mut().enumerate() {
        let (Some(owner), Some(place)) = (owners[index], places[index]) else { continue };
        let neighbours = [index.checked_sub(1), Some(index + 1)];
        if neighbours.into_iter().flatten().any(|other| owners.get(other) == Some(&Some(owner))) {
            continue;
        }
        let mut patient = Patient::new(source, pieces[owner].span);
        let edit = match diagnostic.code {
            Code::E0002 => patient.first(string_ends(source, place)),
            Code::E0003 => patient.first(bracket_ends(source, pieces[owner].span, place)),
            Code::E0004 if pieces[owner].span == place => Some(Edit { at: place, text: String::new() }),
            Code::E0004 => patient.first([Edit { at: place, text: String::new() }]),
            _ => None,
        };
        if let Some(edit) = edit {
            diagnostic.fix = Some(crate::diagnostic::Fix { at: location(edit.at), replacement: edit.text });
        }
    }
}

/// Where tokens end in a text, last first.
fn token_ends(text: &str) -> Vec<usize> {
    let ends = |at: &usize| {
        let (before, after) = text.split_at(*at);
        let (Some(last), next) = (before.chars().next_back(), after.chars().next()) else { return false };
        !(last.is_whitespace() || is_word(last) && next.is_some_and(is_word))
    };
    (1..=text.len()).rev().filter(|at| text.is_char_boundary(*at)).filter(ends).collect()
}

/// A closing quote at each place where the string may have been meant to end.
fn string_ends(source: &str, string: Span) -> impl Iterator<Item = Edit> {
    let start = string.start as usize;
    let quote = move |at: usize| Edit { at: Span::new(start + at, start + at), text: "\"".to_owned() };
    token_ends(string.text(source)).into_iter().filter(|at| *at > 1).map(quote)
}

/// A closing bracket at each place where the opening one at `open` may have been meant to end: a brace at the end of the item first, others on their line.
fn bracket_ends(source: &str, item: Span, open: Span) -> impl Iterator<Item = Edit> {
    let (close, brace) = match open.text(source) {
        "(" => (")", false),
        "[" => ("]", false),
        _ => ("}", true),
    };
    let inside = source.get(open.end as usize..item.end as usize).unwrap_or("");
    let line = inside.lines().next().unwrap_or("");
    let line = line.split("//").next().unwrap_or("").trim_end();
    let lines = inside.len() > line.len();
    let end = item.end as usize;
    let last = brace.then(|| Edit { at: Span::new(end, end), text: if lines { "\n}" } else { " }" }.to_owned() });
    let text = if brace { " }" } else { close };
    let start = open.end as usize;
    let on_line = token_ends(line).into_iter().map(move |at| Edit { at: Span::new(start + at, start + at), text: text.to_owned() });
    last.into_iter().chain(on_line)
}

/// An item whose `{` was forgotten fell into pieces. Gives how many of `pieces` were one item, and what to say of it.
pub(crate) fn without_brace(source: &str, pieces: &[Piece]) -> Option<(usize, Diagnostic)> {
    let (first, rest) = pieces.split_first()?;
    for (count, piece) in rest.iter().enumerate().take(MAX_JOINED) {
        if !piece.span.text(source).ends_with('}') {
            continue;
        }
        let end = first.span.end as usize;
        let edit = Edit { at: Span::new(end, end), text: " {".to_owned() };
        if Patient::new(source, first.span.to(piece.span)).heals(&edit) {
            let last = source.get(..end).and_then(|text| text.chars().next_back()).map_or(0, char::len_utf8);
            let diagnostic = Diagnostic::new(Code::E0006, "expected `{`, found a new line")
                .mark(Span::new(end - last, end), "the block begins after this")
                .help("write `{` at the end of the line");
            return Some((count + 2, with(diagnostic, edit)));
        }
    }
    None
}
