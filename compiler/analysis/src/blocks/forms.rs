//! The keys, limits and methods that blocks know, in tables that checking, completion and documentation share.

use mlp_syntax::units::Dimension;

/// A key of a block.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The key.
    pub name: &'static str,
    /// True where a block must have it.
    pub required: bool,
    /// A value that it may have.
    pub example: &'static str,
    /// What it says, in a sentence.
    pub doc: &'static str,
}

const fn key(name: &'static str, required: bool, example: &'static str, doc: &'static str) -> Key {
    Key { name, required, example, doc }
}

/// The keys of `budget`.
pub const BUDGET_KEYS: &[Key] = &[
    key("unit", true, "user", "Whom it protects: `user`, `device`, `session` or `event`."),
    key("window", false, "lifetime", "How long it lasts: `lifetime`, or a time after which it is whole again."),
    key("epsilon", true, "1.0", "The privacy loss that all outlets together may cause."),
    key("delta", false, "1e-6", "The chance that the loss is greater; 0 where it is left away."),
    key("renewable", false, "acknowledged", "Says that a window that ends bounds nothing over a lifetime."),
];

/// The keys of `outlet`.
pub const OUTLET_KEYS: &[Key] = &[
    key("spend", false, "Clinic", "The budget that pays for it; needed where the value is private."),
    key("mechanism", false, "randomized_response(epsilon = 0.02)", "How the value is made harmless; needed where it is private."),
    key("at_most", false, "1", "How often it is used in one window of the budget; needed where the value is private."),
];

/// The blocks and limits of `monitor` aside, it has no keys.
pub const MONITOR_KEYS: &[Key] = &[];

/// The keys of `drift` in a monitor.
pub const DRIFT_KEYS: &[Key] = &[
    key("test", true, "psi", "How values are compared with how they were."),
    key("reference", false, "samples(\"./reference.npy\")", "The file with values as they were."),
    key("alpha", false, "1% over lifetime", "How often a false alarm is accepted."),
];

/// The keys of `explain`.
pub const EXPLAIN_KEYS: &[Key] = &[
    key("method", true, "grad_cam(layer = \"features\")", "How an answer is explained."),
    key("top", false, "1", "Of how many labels, best first."),
];

/// The keys of `experiment`, besides its `variant` blocks.
pub const EXPERIMENT_KEYS: &[Key] = &[
    key("metric", true, "Health", "The monitor or outlet that variants are compared by."),
    key("until", false, "14d", "After which time it ends."),
];

/// The keys of `variant` in an experiment.
pub const VARIANT_KEYS: &[Key] = &[
    key("pipeline", true, "Classify", "What runs instead; it takes and gives the same."),
    key("share", true, "10%", "For which part of the devices."),
];

/// The keys of `device`.
pub const DEVICE_KEYS: &[Key] = &[
    key("memory", true, "2GiB", "Its memory."),
    key("cores", false, "4", "The cores of its processor."),
    key("backends", false, "[webgpu, wasm]", "What it can run on."),
    key("downlink", false, "8MB over 1s", "What it can download in a time."),
    key("storage", false, "1GiB", "What it can keep."),
];

/// The keys of `hook`.
pub const HOOK_KEYS: &[Key] = &[
    key("prefer", false, "[webgpu, wasm]", "What it runs on, best first."),
    key("monitor", false, "Health", "The monitor that watches it."),
    key("outlet", false, "Usage", "The outlet that its answers leave through."),
    key("explain", false, "Why", "The explanation that it offers."),
    key("realtime", false, "60fps", "How often it runs on a stream."),
];

/// The keys of `quantize` in a model.
pub const QUANTIZE_KEYS: &[Key] = &[
    key("calibrate", true, "images(\"./calibration/*.jpg\") |> Prepare", "Inputs that show which values occur."),
    key("max_drop", false, "1%", "The build fails when agreement falls further."),
    key("keep", false, "[\"classifier\"]", "Layers that stay as they are."),
];

/// What a monitor measures.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Its word.
    pub name: &'static str,
    /// What it is measured in.
    pub dimension: Dimension,
    /// The statistics of it that may be bounded.
    pub statistics: &'static [&'static str],
    /// True where more is worse, so that it is bounded from above.
    pub least: bool,
    /// What it is, in a sentence.
    pub doc: &'static str,
}

const TIMES: &[&str] = &["p50", "p90", "p95", "p99", "mean", "max"];

/// Everything that a monitor measures.
pub const MEASURES: &[Measure] = &[
    Measure { name: "latency", dimension: Dimension::Time, statistics: TIMES, least: true, doc: "How long an answer takes." },
    Measure { name: "memory", dimension: Dimension::Bytes, statistics: &["peak", "mean"], least: true, doc: "What is held while it runs." },
    Measure { name: "throughput", dimension: Dimension::Rate, statistics: &["mean", "min"], least: false, doc: "Answers a second." },
    Measure { name: "battery", dimension: Dimension::Ratio, statistics: &[], least: true, doc: "What it takes of the battery." },
    Measure { name: "errors", dimension: Dimension::Ratio, statistics: &[], least: true, doc: "The part of calls that fail." },
];

/// A method: what is called in a block.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// Its name.
    pub name: &'static str,
    /// Its parameters.
    pub parameters: &'static [Parameter],
    /// What it does, in a sentence.
    pub doc: &'static str,
}

/// A parameter of a method.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// True where it must be given.
    pub required: bool,
}

/// What a parameter takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Takes {
    /// A number above 0.
    Positive,
    /// A chance: a number above 0 and below 1.
    Chance,
    /// A whole number from 1.
    Whole,
    /// A text.
    Text,
    /// The path of a file that exists.
    File,
}

const fn needs(name: &'static str, takes: Takes) -> Parameter {
    Parameter { name, takes, required: true }
}

const fn may(name: &'static str, takes: Takes) -> Parameter {
    Parameter { name, takes, required: false }
}

/// How values are made harmless.
pub const MECHANISMS: &[Method] = &[
    Method {
        name: "randomized_response",
        parameters: &[needs("epsilon", Takes::Positive)],
        doc: "A label, or with some chance another one.",
    },
    Method { name: "laplace", parameters: &[needs("epsilon", Takes::Positive)], doc: "Noise on numbers whose sum of changes is bounded." },
    Method {
        name: "gaussian",
        parameters: &[may("epsilon", Takes::Positive), may("delta", Takes::Chance), may("noise", Takes::Positive)],
        doc: "Noise on numbers whose length of change is bounded; many releases cost least.",
    },
    Method {
        name: "exponential",
        parameters: &[needs("epsilon", Takes::Positive)],
        doc: "The label of a great score, with some chance another.",
    },
    Method { name: "permute_and_flip", parameters: &[needs("epsilon", Takes::Positive)], doc: "As `exponential`, and never worse." },
];

/// How answers are explained.
pub const EXPLANATIONS: &[Method] = &[
    Method { name: "gradient", parameters: &[], doc: "How much each input changes the answer." },
    Method { name: "grad_cam", parameters: &[needs("layer", Takes::Text)], doc: "Where in a photo a layer saw what it answers." },
    Method {
        name: "integrated_gradients",
        parameters: &[may("tolerance", Takes::Positive), may("steps", Takes::Whole)],
        doc: "Each input's part of the answer; the parts add up to it within the tolerance.",
    },
    Method { name: "occlusion", parameters: &[may("window", Takes::Whole)], doc: "What the answer loses when a part is hidden." },
];

/// How answers are compared with how they were.
pub const DRIFT_TESTS: &[&str] = &["psi", "ks", "chi_square", "jensen_shannon"];
