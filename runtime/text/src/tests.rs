use super::*;
use mlp_bundle::manifest::Truncate;
use serde_json::json;

fn file() -> Vec<u8> {
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "decoder": null,
        "added_tokens": [],
        "normalizer": { "type": "Lowercase" },
        "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": {
            "type": "BertProcessing", "cls": ["[CLS]", 1], "sep": ["[SEP]", 2],
        },
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": { "[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "##b": 4, "c": 5 },
        },
    });
    serde_json::to_vec(&Packed { tokenizer, patterns: Default::default() }).unwrap()
}

fn encoding(texts: &[&str], length: u32) -> Encoding {
    Encoding {
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        tokenizer: "tokenizer.json".to_owned(),
        special: true,
        length,
        truncate: None,
        pad: 9,
        pad_side: Side::Right,
        ids: None,
        mask: None,
        types: None,
    }
}

#[test]
fn what_is_shorter_is_filled_up() {
    let tokens = Encoder::new(&encoding(&["x"], 6), &file()).unwrap().encode(&["AB c"]).unwrap();
    assert_eq!((tokens.ids, tokens.mask), (vec![1, 3, 4, 5, 2, 9], vec![1, 1, 1, 1, 1, 0]));
    let left = Encoding { pad_side: Side::Left, special: false, ..encoding(&["x"], 4) };
    let tokens = Encoder::new(&left, &file()).unwrap().encode(&["c"]).unwrap();
    assert_eq!((tokens.ids, tokens.mask), (vec![9, 9, 9, 5], vec![0, 0, 0, 1]));
}

#[test]
fn what_is_longer_is_cut_off_or_refused() {
    let cut = |side| Encoding { truncate: Some(Truncate { most: 4, side }), ..encoding(&["x"], 4) };
    let ids = |encoding: &Encoding| Encoder::new(encoding, &file()).unwrap().encode(&["a c a c c"]).unwrap().ids;
    assert_eq!(ids(&cut(Side::Right)), [1, 3, 5, 2]);
    assert_eq!(ids(&cut(Side::Left)), [1, 5, 5, 2]);
    let error = Encoder::new(&encoding(&["x"], 4), &file()).unwrap().encode(&["a c a c c"]).unwrap_err().to_string();
    assert!(error.contains("`x` has 7 tokens, and the pipeline takes 4"), "{error}");
    let long = "a".repeat(MAX_TEXT + 1);
    assert!(matches!(Encoder::new(&encoding(&["x"], 4), &file()).unwrap().encode(&[&long]), Err(TextError::Long { .. })));
}

#[test]
fn pairs_know_which_text_is_which() {
    let tokens = Encoder::new(&encoding(&["x", "y"], 8), &file()).unwrap().encode(&["a", "c c"]).unwrap();
    assert_eq!((tokens.ids, tokens.types), (vec![1, 3, 2, 5, 5, 2, 9, 9], vec![0, 0, 0, 1, 1, 1, 0, 0]));
}

/// Both texts are longer than what is left, and the second is the longer: it keeps the odd token.
#[test]
fn of_two_texts_the_longer_keeps_more() {
    let cut = |most| Encoding { truncate: Some(Truncate { most, side: Side::Right }), ..encoding(&["x", "y"], most) };
    let ids = |most, texts: [&str; 2]| Encoder::new(&cut(most), &file()).unwrap().encode(&texts).unwrap().ids;
    assert_eq!(ids(4, ["a a a a a", "c c c c c c c"]), [1, 2, 5, 2]);
    assert_eq!(ids(4, ["a a a a a a a", "c c c c c"]), [1, 3, 2, 2]);
    assert_eq!(ids(8, ["a", "c c c c c c c c c c c"]), [1, 3, 2, 5, 5, 5, 5, 2]);
}

#[test]
fn a_file_that_is_no_tokenizer_is_refused() {
    let error = |file: &[u8]| Encoder::new(&encoding(&["x"], 8), file).err().unwrap().to_string();
    assert!(error(b"{}").contains("`tokenizer.json` cannot be used"));
    assert!(error(br#"{"tokenizer":{"model":{}}}"#).contains("cannot be used"));
    let one = Encoding { truncate: Some(Truncate { most: 1, side: Side::Right }), ..encoding(&["x"], 4) };
    assert!(Encoder::new(&one, &file()).is_err(), "there is no room for what says where a text ends");
}
