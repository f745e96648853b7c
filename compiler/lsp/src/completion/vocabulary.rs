//! The words of the language: what can stand where, and what it means.

/// A word with what it means and, for a block, the text to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    pub(crate) word: &'static str,
    pub(crate) doc: &'static str,
    /// What is written, with `$1` where the cursor goes; the word itself where it is empty.
    pub(crate) snippet: &'static str,
}

const fn word(word: &'static str, doc: &'static str, snippet: &'static str) -> Word {
    Word { word, doc, snippet }
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

/// The keys and sub-blocks of each block.
pub(crate) const KEYS: &[(&str, &[Word])] = &[
    (
        "model",
        &[
            word(
                "source",
                "Where the model's file is: `onnx(\"./model.onnx\")`, `safetensors(...)` or `registry(...)`.",
                "source = onnx(\"./$1.onnx\")",
            ),
            word("licence", "The SPDX expression of the file's licence.", "licence = \"$1\""),
            word("input", "What the model takes.", "input ${1:x}: f32[$2]"),
            word("output", "What the model gives.", "output ${1:y}: f32[$2]"),
            word(
                "quantize",
                "Compute in integers: with which data, and how much may be lost.",
                "quantize int8 {\n  calibrate = $1\n  max_drop  = 1%\n}",
            ),
            word("layers", "What the model computes, where its file holds weights alone.", "layers {\n  return $0\n}"),
        ],
    ),
    (
        "quantize",
        &[
            word("calibrate", "Inputs from which the ranges of values are learned.", "calibrate = $1"),
            word("max_drop", "How much less the answers may agree with those of the unquantized model.", "max_drop = ${1:1%}"),
            word("keep", "Layers that stay as they are.", "keep = [$1]"),
        ],
    ),
    (
        "hook",
        &[
            word("prefer", "What it runs on, best first.", "prefer = [webgpu, wasm]"),
            word("monitor", "What watches it.", "monitor = $1"),
            word("outlet", "How values leave the device.", "outlet = $1"),
            word("realtime", "How often a second it must answer.", "realtime = ${1:60fps}"),
        ],
    ),
    (
        "budget",
        &[
            word("unit", "Whose privacy it is about.", "unit = user"),
            word("window", "The time for which it must last.", "window = ${1:lifetime}"),
            word("epsilon", "How much may be learned: the bound of differential privacy.", "epsilon = ${1:1.0}"),
            word("delta", "How likely the bound may fail.", "delta = ${1:1e-6}"),
        ],
    ),
    (
        "outlet",
        &[
            word("spend", "The budget that each release is taken from.", "spend = $1"),
            word("mechanism", "How noise is added.", "mechanism = $1"),
            word("at_most", "How often a value is released.", "at_most = ${1:48}"),
        ],
    ),
    (
        "monitor",
        &[
            word("latency", "How long an answer takes.", "latency p95 < ${1:16ms}"),
            word("memory", "How much memory it needs.", "memory peak < ${1:64MiB}"),
            word(
                "drift",
                "Whether values still are as they were when the model was made.",
                "drift ${1:Pipeline.field} { test = psi, alpha = ${2:1%} }",
            ),
            word("explain", "An explanation that is made of answers.", "explain $1"),
        ],
    ),
    (
        "drift",
        &[
            word("test", "The statistic.", "test = ${1:psi}"),
            word("reference", "The values that are compared with.", "reference = samples(\"./$1.npy\")"),
            word("alpha", "How often it may be wrong.", "alpha = ${1:1%} over ${2:lifetime}"),
        ],
    ),
    ("explain", &[word("method", "How it is explained.", "method = $1"), word("top", "How many answers are explained.", "top = ${1:3}")]),
    (
        "experiment",
        &[
            word("variant", "A pipeline in place of the other.", "variant ${1:small} { pipeline = $2, share = ${3:10%} }"),
            word("metric", "The monitor that decides.", "metric = $1"),
            word("until", "When it ends.", "until = ${1:14d}"),
        ],
    ),
    ("variant", &[word("pipeline", "What runs.", "pipeline = $1"), word("share", "For how many.", "share = ${1:10%}")]),
    (
        "device",
        &[
            word("memory", "How much memory it has.", "memory = ${1:2GiB}"),
            word("cores", "How many cores it has.", "cores = ${1:4}"),
            word("backends", "What it runs.", "backends = [webgpu, wasm]"),
            word("downlink", "How fast it downloads.", "downlink = ${1:8MB over 1s}"),
        ],
    ),
    ("test", &[word("expect", "What must hold: `part == value`.", "expect $0")]),
];

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

/// Attributes: of statements first, then of types.
pub(crate) const ATTRIBUTES: &[Word] = &[
    word("timeout", "The answer must be there in that time.", "timeout(${1:8ms})"),
    word("retry", "Try again where it fails.", "retry(times = ${1:2})"),
    word("cache", "Keep answers for inputs that come again.", "cache(entries = ${1:64})"),
    word("labels", "What the positions along the last dimension stand for.", "labels(\"./$1.txt\")"),
];

/// Words that are the value of a key.
pub(crate) const CHOICES: &[(&str, &[Word])] = &[
    ("prefer", &[word("webgpu", "WebGPU.", ""), word("wasm", "WebAssembly.", "")]),
    ("backends", &[word("webgpu", "WebGPU.", ""), word("wasm", "WebAssembly.", "")]),
    ("unit", &[word("user", "One person.", "")]),
    ("window", &[word("lifetime", "Ever.", "")]),
    (
        "mechanism",
        &[
            word(
                "randomized_response",
                "A label is told truly with a probability that epsilon bounds.",
                "randomized_response(epsilon = ${1:0.02})",
            ),
            word("laplace", "Noise of the Laplace distribution.", "laplace(epsilon = ${1:0.02})"),
            word("gaussian", "Noise of the normal distribution.", "gaussian(epsilon = ${1:0.02}, delta = ${2:1e-7})"),
        ],
    ),
    (
        "source",
        &[
            word("onnx", "An ONNX file.", "onnx(\"./$1.onnx\")"),
            word("safetensors", "Weights alone, with layers written here.", "safetensors(\"./$1.safetensors\")"),
            word("registry", "A model of the registry.", "registry(\"$1\", \"^1.0\")"),
        ],
    ),
    (
        "method",
        &[
            word("grad_cam", "What a layer of the network looked at.", "grad_cam(layer = \"$1\")"),
            word("integrated_gradients", "How much each input counted.", "integrated_gradients(tolerance = ${1:1e-3})"),
        ],
    ),
];

/// The keys of a block.
pub(crate) fn keys(block: &str) -> &'static [Word] {
    KEYS.iter().find(|(name, _)| *name == block).map_or(&[], |(_, keys)| keys)
}

/// The words that can be a key's value.
pub(crate) fn choices(key: &str) -> &'static [Word] {
    CHOICES.iter().find(|(name, _)| *name == key).map_or(&[], |(_, words)| words)
}

/// What a word means.
pub(crate) fn describe(text: &str) -> Option<&'static str> {
    let tables = [ITEMS, STATEMENTS, VALUES, TYPES, ATTRIBUTES].into_iter().chain(KEYS.iter().chain(CHOICES).map(|(_, words)| *words));
    tables.flatten().find(|word| word.word == text).map(|word| word.doc)
}
