//! Paths of files, in the quotes where one is named.

use super::context::{self, Token};
use mlp_syntax::{TokenClass, highlight};

/// A path that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Written<'s> {
    /// The folder so far, up to its last `/`; empty before the first.
    pub(super) folder: &'s str,
    /// Where the name starts that is being written.
    pub(super) start: usize,
    /// What the file is for: what is called with it, or the word before it.
    pub(super) asked: &'s str,
}

/// The path that is being written at a byte of a text; none where no path is expected there.
pub(super) fn written(source: &str, offset: usize) -> Option<Written<'_>> {
    let item = context::item_start(source, offset);
    let line_end = source[offset..].find('\n').map_or(source.len(), |at| offset + at);
    let (span, _) = highlight(&source[item..line_end]).into_iter().find(|(span, class)| {
        let (start, end) = (item + span.start as usize, item + span.end as usize);
        let text = &source[start..end];
        // After the closing quote it is written.
        let closed = text.len() > 1 && text.ends_with('"');
        *class == TokenClass::Text && start < offset && if closed { offset < end } else { offset <= end }
    })?;
    let quote = item + span.start as usize;
    let text = &source[quote + 1..offset];
    let tokens = context::tokens(&source[item..quote]);
    let asked = asked(&tokens)?;
    let name = text.rfind('/').map_or(0, |at| at + 1);
    Some(Written { folder: &text[..name], start: quote + 1 + name, asked })
}

/// What the string after some tokens is for.
fn asked<'s>(tokens: &[Token<'s>]) -> Option<&'s str> {
    let word = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic());
    match tokens {
        [first] if first.text == "use" => Some("use"),
        [first, .., last] if first.text == "labels" && last.text == "=" => Some("labels"),
        [.., name, open] if open.text == "(" && word(name.text) => Some(name.text),
        [.., name, open, parameter, equals] if open.text == "(" && equals.text == "=" && word(parameter.text) => Some(name.text),
        _ => None,
    }
}

/// The endings of the files that something takes; empty where any may be meant.
pub(super) fn endings(asked: &str) -> &'static [&'static str] {
    match asked {
        "onnx" => &["onnx"],
        "safetensors" => &["safetensors"],
        "use" => &["mlp"],
        "labels" => &["txt"],
        "wordpiece" | "bpe" | "unigram" => &["json"],
        "image" | "images" => &["png", "jpg", "jpeg", "webp", "gif", "bmp"],
        "audio" | "sound" => &["wav"],
        "samples" | "tensor" => &["npy", "npz"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_by_what_asks_for_it() {
        for (source, expected) in [
            ("model M {\n  source = onnx(\"|", Some(("", "onnx"))),
            ("model M {\n  source = onnx(\"./mo|\")\n}", Some(("./", "onnx"))),
            ("model M {\n  output y: f32[3] @labels(\"./a/b/|\")\n}", Some(("./a/b/", "labels"))),
            ("use \"../|", Some(("../", "use"))),
            ("labels Kinds = \"./|\"", Some(("./", "labels"))),
            ("test \"t\" {\n  expect P(image(\"./|\"))", Some(("./", "image"))),
            ("pipeline P(s: string) -> f32 {\n  t = s |> wordpiece(tokenizer = \"./|\")", Some(("./", "wordpiece"))),
            ("model M {\n  licence = \"|\"\n}", None),
            ("test \"|", None),
            ("model M {\n  source = onnx(\"./m.onnx\"|", None),
            ("// onnx(\"./|", None),
        ] {
            let marked = source.replace("|>", "&&");
            let offset = marked.find('|').unwrap();
            let text = format!("{}{}", &source[..offset], &source[offset + 1..]);
            let found = written(&text, offset);
            assert_eq!(found.as_ref().map(|found| (found.folder, found.asked)), expected, "{source}");
        }
    }
}
