//! What a lowered pipeline takes and gives, in terms of the graph's ports.

use mlp_analysis::LabelsId;
use mlp_bundle::manifest::{Side, Truncate};
use mlp_graph::DType;

/// What a lowered pipeline takes and gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signature {
    /// What it takes, in order.
    pub inputs: Vec<SignatureField>,
    /// What it gives: one field named `value`, or the record's fields.
    pub outputs: Vec<SignatureField>,
    /// True where the answer is a record of `outputs`.
    pub record: bool,
    /// The tokens that its texts become.
    pub encodings: Vec<SignatureEncoding>,
}

/// How texts become tokens: `I64 [1, length]` each of their numbers, of what is text and what fills up, and of which text they belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureEncoding {
    /// Where the source says so.
    pub place: String,
    /// The inputs that are texts, one or two.
    pub texts: Vec<String>,
    /// The path of the tokenizer's file.
    pub file: String,
    /// Whether the tokens are added that say where a text begins and ends.
    pub special: bool,
    /// How many tokens there are.
    pub length: u32,
    /// What becomes of longer texts, where anything does.
    pub truncate: Option<Truncate>,
    /// The token that fills up; none for the one that the tokenizer names.
    pub pad: Option<String>,
    /// The side that is filled up.
    pub pad_side: Side,
    /// The ports of the numbers, the mask and the types, where the graph reads them.
    pub ports: [Option<String>; 3],
}

/// A named value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureField {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: SignatureType,
}

/// The type of a value, with the ports that carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureType {
    /// A dense tensor.
    Tensor {
        /// The element type.
        dtype: DType,
        /// The sizes.
        shape: Vec<u64>,
        /// The port.
        port: String,
        /// What positions along the last dimension stand for, where that is known.
        labels: Option<LabelsId>,
    },
    /// A photo: rows of RGBA bytes, `U8 [height, width, 4]`.
    Image {
        /// The greatest height.
        max_height: u32,
        /// The greatest width.
        max_width: u32,
        /// The port.
        port: String,
        /// The symbol of the height.
        height: String,
        /// The symbol of the width.
        width: String,
    },
    /// A sound of one channel: `F32 [samples]`.
    Sound {
        /// Samples a second.
        rate: u32,
        /// How many are read: silence follows a shorter sound, and of a longer one the rest is left out.
        samples: u64,
        /// The port.
        port: String,
    },
    /// A text, which has no port of its own: [`Signature::encodings`] says which ports it becomes.
    Text,
    /// A label: its number from 0, an `I32` scalar.
    Label {
        /// The labels.
        labels: LabelsId,
        /// The port.
        port: String,
    },
    /// The best labels with their scores, best first: `[count]` of `I32` and of `F32`.
    Ranking {
        /// The labels.
        labels: LabelsId,
        /// How many.
        count: u32,
        /// The port of the labels' numbers.
        indices: String,
        /// The port of the scores.
        scores: String,
    },
}
