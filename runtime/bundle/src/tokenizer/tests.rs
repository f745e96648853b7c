use super::pattern::javascript;
use super::*;
use serde_json::json;

fn wordpiece() -> Value {
    json!({
        "version": "1.0",
        "truncation": { "max_length": 128 },
        "padding": { "pad_id": 3, "pad_token": "[FILL]" },
        "added_tokens": [{ "id": 0, "content": "[UNK]", "special": true }],
        "normalizer": { "type": "Sequence", "normalizers": [{ "type": "NFD" }, { "type": "StripAccents" }, { "type": "Lowercase" }] },
        "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": null,
        "decoder": { "type": "WordPiece" },
        "model": { "type": "WordPiece", "unk_token": "[UNK]", "vocab": { "[UNK]": 0, "a": 1, "##b": 2 } },
    })
}

fn read(value: &Value) -> Result<Tokenizer, String> {
    Tokenizer::read(&value.to_string()).map_err(|error| error.to_string())
}

/// `wordpiece` with one part replaced.
fn with(part: &str, value: Value) -> Value {
    let mut file = wordpiece();
    file[part] = value;
    file
}

#[test]
fn what_the_language_says_itself_is_left_out() {
    let tokenizer = read(&wordpiece()).unwrap();
    assert_eq!((tokenizer.kind(), tokenizer.pad()), (TokenizerKind::WordPiece, Some(3)));
    assert_eq!((tokenizer.id_of("##b"), tokenizer.id_of("[UNK]"), tokenizer.id_of("c")), (Some(2), Some(0), None));
    let packed: Packed = serde_json::from_slice(&tokenizer.packed()).unwrap();
    for part in ["truncation", "padding", "decoder", "post_processor"] {
        assert_eq!(packed.tokenizer[part], Value::Null, "{part}");
    }
    // Defaults are written out, so that a reader needs to know none.
    assert_eq!(packed.tokenizer["model"]["max_input_chars_per_word"], 100);
    assert_eq!(packed.tokenizer["added_tokens"][0]["normalized"], false);
    // What is packed can be read again.
    assert_eq!(read(&packed.tokenizer).unwrap().kind(), TokenizerKind::WordPiece);
}

#[test]
fn kinds_are_told_apart_where_old_files_do_not_say() {
    let bpe = json!({ "vocab": { "a": 0, "b": 1, "ab": 2 }, "merges": ["a b"] });
    assert_eq!(read(&with("model", bpe)).unwrap().kind(), TokenizerKind::Bpe);
    let unigram = json!({ "vocab": [["<unk>", 0.0], ["a", -1.5]], "unk_id": 0 });
    let read = read(&with("model", unigram)).unwrap();
    assert_eq!((read.kind(), read.id_of("a")), (TokenizerKind::Unigram, Some(1)));
}

#[test]
fn what_some_runtime_does_not_know_is_refused() {
    let cases = [
        (with("normalizer", json!({ "type": "Nmt" })), "normalizer `Nmt` is not known to browsers"),
        (with("pre_tokenizer", json!({ "type": "UnicodeScripts" })), "pre-tokenizer `UnicodeScripts`"),
        (with("post_processor", json!({ "type": "Mystery" })), "post-processor `Mystery`"),
        (
            with(
                "post_processor",
                json!({ "type": "TemplateProcessing", "single": [{ "Sequence": { "id": "B", "type_id": 0 } }], "pair": [] }),
            ),
            "unknown part",
        ),
        (with("model", json!({ "type": "WordLevel", "vocab": {} })), "its model is `WordLevel`"),
        (with("model", json!({ "type": "WordPiece", "vocab": { "a": 0 } })), "has no `[UNK]`"),
        (with("model", json!({ "type": "WordPiece", "vocab": { "[UNK]": -1 } })), "has the number -1"),
        (with("model", json!({ "type": "BPE", "vocab": { "a": 0, "b": 1 }, "merges": ["a b"] })), "a merge speaks of `ab`"),
        (with("model", json!({ "type": "BPE", "vocab": { "a": 0 }, "merges": ["a"] })), "is no pair"),
        (with("model", json!({ "type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 1 })), "has no `unk_id`"),
        (with("model", Value::Null), "has no `model`"),
        (with("added_tokens", json!([{ "content": "x" }])), "no number"),
        (
            with("pre_tokenizer", json!({ "type": "Split", "pattern": { "Regex": "a++" }, "behavior": "Isolated" })),
            "no possessive repetition",
        ),
        (with("pre_tokenizer", json!({ "type": "Split", "pattern": { "String": " " }, "behavior": "Sometimes" })), "not one of Removed"),
        (with("normalizer", json!({ "type": "Precompiled", "precompiled_charsmap": "AAAA" })), "is damaged"),
    ];
    for (file, expected) in cases {
        let error = read(&file).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    assert!(Tokenizer::read("[]").is_err() && Tokenizer::read("{").is_err());
}

#[test]
fn sequences_have_an_end() {
    let mut part = json!({ "type": "NFC" });
    for _ in 0..20 {
        part = json!({ "type": "Sequence", "normalizers": [part] });
    }
    assert!(read(&with("normalizer", part)).unwrap_err().contains("sequences inside sequences"));
}

#[test]
fn regular_expressions_are_written_as_javascript_has_them() {
    let gpt2 = r"'s|'t| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
    let space = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000";
    let expected = format!(r"'s|'t| ?\p{{L}}+| ?[^{space}\p{{L}}\p{{N}}]+|[{space}]+(?![^{space}])|[{space}]+");
    assert_eq!(javascript(gpt2).unwrap(), expected);
    assert_eq!(javascript(r"(?i:'s|ll)|\p{N}{1,3}|(a|b)").unwrap(), r"(?:'[Ssſ]|[Ll][Ll])|\p{N}{1,3}|(?:a|b)");
    assert_eq!(javascript(r"\p{Han}[a-z\-]").unwrap(), r"\p{Script=Han}[a-z\x2d]");
    for wrong in
        ["(", ")", "[", "[]", "a++", "(?<x>a)", r"\b", r"[[a]]", "[a&&b]", "*", r"\p{Nope}", "a{", "a{,}", r"[\S]", "\\", "(?i:[a-z])"]
    {
        assert!(javascript(wrong).is_err(), "{wrong}");
    }
}
