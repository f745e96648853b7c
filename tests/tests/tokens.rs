//! Texts become the tokens that the `tokenizers` library makes of them, as it was recorded, on every way to a run: `library/text` has small tokenizers with
//! everything that large ones have. The browser's part is compared with the same recordings by its own tests.

use mlp_bundle::manifest::{Encoding, Side, Truncate};
use mlp_bundle::tokenizer::{Packed, Tokenizer};
use mlp_engine::Encoder;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

fn file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("library/text").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(name: &str) -> Value {
    serde_json::from_str(&file(name)).expect("the recordings are JSON")
}

fn numbers(value: &Value) -> Vec<i64> {
    value.as_array().expect("a list").iter().map(|number| number.as_i64().expect("a number")).collect()
}

/// What a case says of its encoding; as long as its tokens are.
fn encoding(case: &Value) -> Encoding {
    let truncate = (!case["truncate"].is_null()).then(|| Truncate {
        most: case["truncate"]["most"].as_u64().expect("a number") as u32,
        side: if case["truncate"]["side"] == "left" { Side::Left } else { Side::Right },
    });
    Encoding {
        texts: numbers(&case["texts"]).iter().map(|text| format!("text{text}")).collect(),
        tokenizer: "tokenizer.json".to_owned(),
        special: case["special"] == true,
        length: case["ids"].as_array().expect("a list").len() as u32,
        truncate,
        pad: 0,
        pad_side: Side::Right,
        ids: None,
        mask: None,
        types: None,
    }
}

#[test]
fn every_text_becomes_the_tokens_that_were_recorded() {
    let recorded = json("cases.json");
    let texts: Vec<&str> = recorded["texts"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let mut packed: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    let mut count = 0;
    for case in recorded["cases"].as_array().unwrap() {
        let name = case["tokenizer"].as_str().unwrap();
        let tokenizer = packed.entry(name).or_insert_with(|| Tokenizer::read(&file(&format!("{name}.json"))).unwrap().packed());
        let encoder = Encoder::new(&encoding(case), tokenizer).unwrap_or_else(|error| panic!("{name}: {error}"));
        let given: Vec<&str> = numbers(&case["texts"]).iter().map(|&text| texts[text as usize]).collect();
        let tokens = encoder.encode(&given).unwrap_or_else(|error| panic!("{name}, {given:?}: {error}"));
        assert_eq!(tokens.ids, numbers(&case["ids"]), "{name}, {given:?}");
        assert_eq!(tokens.types, numbers(&case["types"]), "{name}, {given:?}");
        count += 1;
    }
    assert!(count > 900, "only {count} cases were there");
}

/// The browser's tests take expressions from this file, so that both sides are tested with what a build makes.
#[test]
fn expressions_are_packed_as_browsers_are_tested_with_them() {
    let mut patterns: BTreeMap<String, String> = BTreeMap::new();
    let recorded = json("cases.json");
    let mut names: Vec<&str> = recorded["cases"].as_array().unwrap().iter().map(|case| case["tokenizer"].as_str().unwrap()).collect();
    names.dedup();
    for name in names {
        let packed: Packed = serde_json::from_slice(&Tokenizer::read(&file(&format!("{name}.json"))).unwrap().packed()).unwrap();
        patterns.extend(packed.patterns);
    }
    let expected: BTreeMap<String, String> = serde_json::from_value(json("patterns.json")).unwrap();
    assert_eq!(patterns, expected);
}
