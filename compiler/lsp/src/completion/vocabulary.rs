//! The words of the language: what can stand where, and what it means. What the checker has tables of comes from those.

use mlp_analysis::{
    BUDGET_KEYS, DEVICE_KEYS, DRIFT_KEYS, DRIFT_TESTS, EXPERIMENT_KEYS, EXPLAIN_KEYS, EXPLANATIONS, HOOK_KEYS, Key, MEASURES, MECHANISMS,
    Method, OUTLET_KEYS, QUANTIZE_KEYS, STATEMENT_ATTRIBUTES, VARIANT_KEYS,
};
use mlp_syntax::units::Dimension;
use std::borrow::Cow;

/// A word with what it means and, for a block, the text to write.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    pub(crate) word: &'static str,
    pub(crate) doc: &'static str,
    /// What is written, with `$1` where the cursor goes; the word itself where it is empty.
    pub(crate) snippet: Cow<'static, str>,
}

const fn word(word: &'static str, doc: &'static str, snippet: &'static str) -> Word {
    Word { word, doc, snippet: Cow::Borrowed(snippet) }
}

/// What starts an item.
pub(crate) const ITEMS: &[Word] = &[
    word("edition", "The edition of the language; the first line of a file.", "edition 2026"),
    word("use", "Names from a module of the standard library, or from another file.", "use ${1:std.tensor}.{ $2 }"),
    word("const", "A value with a name.", "const ${1:name} = $2"),
    word("type", "A type with a name.", "type ${1:Name} = $2"),
    word("labels", "A set of labels with a name: a list, or a file with one label a line.", "labels ${1:Name} = [$2]"),
    word(
        "model",
        "A model: where its file is, what it takes and what it gives.",
        "model ${1:Name} {\n  source = onnx(\"./$2.onnx\")\n  input  ${3:x}: f32[$4]\n  output ${5:y}: f32[$6]\n}",
    ),
    word("layer", "A part of a model, with weights.", "layer ${1:name}(${2:x}: f32[$3]) -> f32[$4] {\n  return $0\n}"),
    word(
        "pipeline",
        "What is computed from what: pre-processing, models, post-processing.",
        "pipeline ${1:Name}(${2:photo}: ${3:image<rgb>}) -> ${4:f32[1]} {\n  return $0\n}",
    ),
    word("hook", "A React hook for a pipeline.", "hook use${1:Name} for ${1:Name} {\n  prefer = [webgpu, wasm]\n}"),
    word(
        "budget",
        "What may be learned about one person, ever.",
        "budget ${1:Name} {\n  unit = user, window = lifetime\n  epsilon = 1.0, delta = 1e-6\n}",
    ),
    word(
        "outlet",
        "The only way a value leaves the device.",
        "outlet ${1:Name} from ${2:Pipeline.field} {\n  spend     = $3\n  mechanism = $4\n  at_most   = $5\n}",
    ),
    word("monitor", "What is watched while a pipeline runs.", "monitor ${1:Name} for ${2:Pipeline} {\n  latency p95 < ${3:16ms}\n}"),
    word("explain", "How an answer is explained.", "explain ${1:Name} for ${2:Pipeline} {\n  method = $3\n}"),
    word(
        "experiment",
        "Variants of a pipeline that are compared in the field.",
        "experiment ${1:Name} for ${2:Pipeline} {\n  variant ${3:small} { pipeline = $4, share = 10% }\n}",
    ),
    word("device", "What a kind of device has.", "device ${1:Name} {\n  memory = ${2:2GiB}\n  cores  = ${3:4}\n}"),
    word("test", "What must hold.", "test \"${1:what holds}\" {\n  expect $0\n}"),
];

/// The keys and blocks of a model.
const MODEL: &[Word] = &[
    word(
        "source",
        "Where the model's file is: `onnx(\"./model.onnx\")`, `safetensors(...)` or `registry(...)`.",
        "source = onnx(\"./$1.onnx\")",
    ),
    word("licence", "The SPDX expression of the file's licence.", "licence = \"$1\""),
    word("input", "What the model takes.", "input ${1:x}: f32[$2]"),
    word("output", "What the model gives.", "output ${1:y}: f32[$2]"),
    word("state", "An input that takes what an output gave in the run before, and zeros in the first.", "state ${1:h}: f32[$2] = ${3:hn}"),
    word(
        "quantize",
        "Compute in integers: with which data, and how much may be lost.",
        "quantize int8 {\n  calibrate = $1\n  max_drop  = 1%\n}",
    ),
    word("layers", "What the model computes, where its file holds weights alone.", "layers {\n  return $0\n}"),
];

/// The blocks of a monitor, beside its limits.
const MONITOR: &[Word] = &[
    word(
        "drift",
        "Whether values still are as they were when the model was made.",
        "drift ${1:Pipeline.field} { test = psi, alpha = ${2:1%} }",
    ),
    word("explain", "An explanation that is made of answers.", "explain $1"),
];

const VARIANT: Word = word("variant", "A pipeline in place of the other.", "variant ${1:small} { pipeline = $2, share = ${3:10%} }");

/// The statements of a test.
const TEST: &[Word] = &[word("expect", "What must hold: `part == value`.", "expect $0")];

/// What starts a statement of a pipeline or layer.
pub(crate) const STATEMENTS: &[Word] = &[word("return", "The pipeline's answer.", "return $0")];

/// What starts a value, beside names.
pub(crate) const VALUES: &[Word] = &[
    word("when", "A choice: `when a { x } else { y }`.", "when $1 { $2 } else { $3 }"),
    word("for", "The same for each element of a list.", "for each ${1:x} in $2 { $3 }"),
    word("parallel", "Values that do not depend on each other.", "parallel {\n  $0\n}"),
    word("loop", "A bounded loop: each round makes the next value.", "loop ${1:x} = $2 at_most ${3:8} { $4 }"),
];

/// Types.
pub(crate) const TYPES: &[Word] = &[
    word("f32", "A tensor of 32-bit floats: `f32[N, 3, 224, 224]`.", "f32[$1]"),
    word("f16", "A tensor of 16-bit floats.", "f16[$1]"),
    word("i8", "A tensor of signed bytes.", "i8[$1]"),
    word("u8", "A tensor of unsigned bytes.", "u8[$1]"),
    word("i32", "A tensor of 32-bit integers.", "i32[$1]"),
    word("i64", "A tensor of 64-bit integers.", "i64[$1]"),
    word("bool", "A tensor of truth values.", "bool[$1]"),
    word("image", "A photo of any size: `image<rgb>`.", "image<rgb>"),
    word("audio", "Sound: `audio<16kHz, mono>`.", "audio<${1:16kHz}, mono>"),
    word("text", "Text.", "text"),
    word("tokens", "Pieces of text, as numbers.", "tokens<$1>"),
    word("label", "One of the labels of a model's output: `label<Objects.logits>`.", "label<$1>"),
    word("ranking", "The best labels with their scores: `ranking<label<Objects.logits>, 5>`.", "ranking<label<$1>, ${2:5}>"),
    word("list", "Several values of one type: `list<f32[4]>`.", "list<$1>"),
    word("stream", "Values one after another.", "stream<$1>"),
    word("number", "A number that is known when compiling.", "number"),
    word("size", "A width and a height that are known when compiling: `224x224`.", "size"),
    word("string", "A text that is known when compiling.", "string"),
    word("time", "A duration: `16ms`.", "time"),
    word("bytes", "An amount of memory: `64MiB`.", "bytes"),
    word("rate", "So often a second: `60fps`, `16kHz`.", "rate"),
    word("ratio", "A part of a whole: `50%`.", "ratio"),
];

/// The attribute of types.
const LABELS: Word = word("labels", "What the positions along the last dimension stand for.", "labels(\"./$1.txt\")");

const BACKENDS: &[Word] = &[word("webgpu", "WebGPU.", ""), word("wasm", "WebAssembly.", "")];

const SOURCES: &[Word] = &[
    word("onnx", "An ONNX file.", "onnx(\"./$1.onnx\")"),
    word("safetensors", "Weights alone, with layers written here.", "safetensors(\"./$1.safetensors\")"),
    word("registry", "A model of the registry.", "registry(\"$1\", \"^1.0\")"),
];

const PROTECTED: &[Word] = &[
    word("user", "One person.", ""),
    word("device", "One device.", ""),
    word("session", "One session.", ""),
    word("event", "One event.", ""),
];

/// The blocks that have keys.
const BLOCKS: &[&str] =
    &["model", "quantize", "hook", "budget", "outlet", "monitor", "drift", "explain", "experiment", "variant", "device", "test"];

/// The keys that have words for values.
const KEYED: &[&str] = &["prefer", "backends", "unit", "window", "renewable", "mechanism", "source", "method", "explain", "test"];

/// The keys of a block.
pub(crate) fn keys(block: &str) -> Vec<Word> {
    let of = |keys: &[Key]| keys.iter().map(from_key).collect();
    match block {
        "model" => MODEL.to_vec(),
        "quantize" => of(QUANTIZE_KEYS),
        "hook" => of(HOOK_KEYS),
        "budget" => of(BUDGET_KEYS),
        "outlet" => of(OUTLET_KEYS),
        "monitor" => limits().chain(MONITOR.iter().cloned()).collect(),
        "drift" => of(DRIFT_KEYS),
        "explain" => of(EXPLAIN_KEYS),
        "experiment" => std::iter::once(VARIANT).chain(EXPERIMENT_KEYS.iter().map(from_key)).collect(),
        "variant" => of(VARIANT_KEYS),
        "device" => of(DEVICE_KEYS),
        "test" => TEST.to_vec(),
        _ => Vec::new(),
    }
}

/// A key with a value that it may have.
fn from_key(key: &Key) -> Word {
    let example = key.example.replace('\\', "\\\\").replace('}', "\\}").replace('$', "\\$");
    Word { word: key.name, doc: key.doc, snippet: Cow::Owned(format!("{} = ${{1:{example}}}", key.name)) }
}

/// The limits of a monitor.
fn limits() -> impl Iterator<Item = Word> {
    MEASURES.iter().map(|measure| {
        let statistic =
            measure.statistics.get(measure.statistics.len() / 2).map_or_else(String::new, |statistic| format!("${{1:{statistic}}} "));
        let bound = match measure.dimension {
            Dimension::Time => "16ms",
            Dimension::Bytes => "64MiB",
            Dimension::Rate => "30fps",
            Dimension::Ratio => "1%",
        };
        let op = if measure.least { '<' } else { '>' };
        Word { word: measure.name, doc: measure.doc, snippet: Cow::Owned(format!("{} {statistic}{op} ${{2:{bound}}}", measure.name)) }
    })
}

/// SPDX expressions that models are often published under.
const LICENCES: &[(&str, &str)] = &[
    ("Apache-2.0", "Free to use and change, with a grant of patents."),
    ("MIT", "Free to use and change."),
    ("BSD-3-Clause", "Free to use and change; names of authors do not endorse."),
    ("CC-BY-4.0", "Free to use and change, with attribution."),
    ("CC-BY-SA-4.0", "Free to use and change, with attribution, under the same licence."),
    ("CC-BY-NC-4.0", "Not for commercial use."),
    ("CC0-1.0", "In the public domain."),
    ("AGPL-3.0-only", "Who offers it as a service gives the source."),
    ("GPL-3.0-only", "Who passes it on gives the source."),
];

/// The words that can be a key's value.
pub(crate) fn choices(key: &str) -> Vec<Word> {
    match key {
        "prefer" | "backends" => BACKENDS.to_vec(),
        "unit" => PROTECTED.to_vec(),
        "window" => vec![word("lifetime", "Ever.", "")],
        "renewable" => vec![word("acknowledged", "It is known that a window that ends bounds nothing over a lifetime.", "")],
        "source" => SOURCES.to_vec(),
        "licence" => LICENCES.iter().map(|(name, doc)| Word { word: name, doc, snippet: Cow::Owned(format!("\"{name}\"")) }).collect(),
        "mechanism" => MECHANISMS.iter().map(from_method).collect(),
        "method" | "explain" => EXPLANATIONS.iter().map(from_method).collect(),
        "test" => DRIFT_TESTS.iter().map(|test| word(test, "A test of drift.", "")).collect(),
        _ => Vec::new(),
    }
}

/// A method with the parameters that it needs.
fn from_method(method: &Method) -> Word {
    let needed = method.parameters.iter().filter(|parameter| parameter.required).enumerate();
    let arguments: Vec<String> = needed.map(|(index, parameter)| format!("{} = ${}", parameter.name, index + 1)).collect();
    let snippet = match arguments.as_slice() {
        [] => method.name.to_owned(),
        arguments => format!("{}({})", method.name, arguments.join(", ")),
    };
    Word { word: method.name, doc: method.doc, snippet: Cow::Owned(snippet) }
}

/// Attributes: of statements first, then of types.
pub(crate) fn attributes() -> Vec<Word> {
    let of_statements = STATEMENT_ATTRIBUTES.iter().map(|form| Word {
        word: form.name,
        doc: form.doc,
        snippet: Cow::Owned(form.form.trim_start_matches('@').to_owned()),
    });
    of_statements.chain([LABELS]).collect()
}

/// What a word means.
pub(crate) fn describe(text: &str) -> Option<&'static str> {
    let fixed = [ITEMS, STATEMENTS, VALUES, TYPES].into_iter().flatten().cloned();
    let tables = BLOCKS.iter().flat_map(|block| keys(block)).chain(KEYED.iter().flat_map(|key| choices(key))).chain(attributes());
    fixed.chain(tables).find(|word| word.word == text).map(|word| word.doc)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snippets_are_closed_and_start_with_their_word() {
        let keys = BLOCKS.iter().flat_map(|block| keys(block));
        let all = ITEMS.iter().cloned().chain(keys).chain(KEYED.iter().flat_map(|key| choices(key))).chain(attributes());
        let mut count = 0;
        for word in all {
            count += 1;
            assert!(word.snippet.is_empty() || word.snippet.starts_with(word.word), "{word:?}");
            assert!(!word.doc.is_empty(), "{word:?}");
        }
        assert!(count > 60);
        assert_eq!(describe("epsilon"), Some("The privacy loss that all outlets together may cause."));
    }
}
