//! The model of a generated module: what there is to say, before it is spelled as JavaScript or as declarations.

use super::Backend;

/// A module.
pub(super) struct Module {
    /// The version of the compiler.
    pub(super) compiler: String,
    /// The package's name.
    pub(super) package: String,
    /// The pipelines, in source order.
    pub(super) pipelines: Vec<Pipeline>,
    /// The hooks, in source order.
    pub(super) hooks: Vec<Hook>,
    /// The unions of labels.
    pub(super) labels: Vec<Labels>,
}

/// A pipeline: two types and a constant.
pub(super) struct Pipeline {
    /// The constant's name.
    pub(super) name: String,
    /// The doc comment of the source.
    pub(super) doc: String,
    /// The type of its input.
    pub(super) input: Declared,
    /// The type of its output.
    pub(super) output: Declared,
    /// The format of the bundle.
    pub(super) format: u32,
    /// The signature and the places of everything, JSON.
    pub(super) manifest: String,
    /// Digests and sizes of its files, JSON.
    pub(super) files: String,
    /// The names of its files.
    pub(super) urls: Vec<String>,
}

/// A declared type.
pub(super) struct Declared {
    /// Its name.
    pub(super) name: String,
    /// What it stands for.
    pub(super) shape: Shape,
}

/// What a declared type stands for.
pub(super) enum Shape {
    /// An interface with read-only properties.
    Record(Vec<Property>),
    /// Another name of a type.
    Alias(Property),
}

/// A property of an interface.
pub(super) struct Property {
    /// Its name, not yet quoted.
    pub(super) name: String,
    /// What it is, in words.
    pub(super) doc: String,
    /// Its type.
    pub(super) ty: Type,
}

/// The type of a value.
pub(super) enum Type {
    /// What a pipeline takes as an image.
    Image,
    /// What a pipeline takes as a sound.
    Sound,
    /// A text.
    Text,
    /// A typed array that a pipeline takes, or an array of the same numbers.
    TensorInput {
        /// The name of the typed array.
        array: &'static str,
        /// The type of its numbers.
        number: &'static str,
    },
    /// A typed array that a pipeline gives.
    Tensor(&'static str),
    /// A typed array that a pipeline takes with its shape, or without where the number of its elements tells it.
    ShapedInput {
        /// The name of the typed array.
        array: &'static str,
        /// The type of its numbers.
        number: &'static str,
    },
    /// A typed array that a pipeline gives with its shape.
    Shaped(&'static str),
    /// A label, by the name of its union; `string` without one.
    Label(Option<String>),
    /// A list of labels with scores, by the name of the union.
    Ranking(Option<String>),
}

/// A union of labels.
pub(super) struct Labels {
    /// The type's name.
    pub(super) name: String,
    /// The labels, each once.
    pub(super) labels: Vec<String>,
}

/// A hook.
pub(super) struct Hook {
    /// Its name.
    pub(super) name: String,
    /// The name of its suspending sister; none where answers depend on the runs before.
    pub(super) suspense: Option<String>,
    /// The index of its pipeline.
    pub(super) pipeline: usize,
    /// Its preference.
    pub(super) prefer: Vec<Backend>,
}
