//! Values as callers see them.

use crate::photo::Photo;
use crate::sound::Sound;
use mlp_bundle::{DType, Scalar};
use serde::Serialize;
use std::collections::BTreeMap;

/// A value that a pipeline takes or gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A dense tensor.
    Tensor(Tensor),
    /// A photo.
    Photo(Photo),
    /// A sound.
    Sound(Sound),
    /// A text.
    Text(String),
    /// A label.
    Label(String),
    /// Labels with their scores, best first.
    Ranking(Vec<Ranked>),
    /// Named values.
    Record(BTreeMap<String, Value>),
}

/// A label with its score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranked {
    /// The label.
    pub label: String,
    /// The score.
    pub score: f32,
}

/// A dense row-major tensor of little-endian bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The element type.
    pub dtype: DType,
    /// The size of each dimension.
    pub shape: Vec<u64>,
    /// The elements.
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// The elements as numbers, integers beyond 2^53 rounded.
    pub fn numbers(&self) -> impl Iterator<Item = f64> + '_ {
        self.bytes.chunks_exact(self.dtype.size()).map(|element| match mlp_bundle::loops::scalar::load(self.dtype, element) {
            Scalar::Bool(x) => f64::from(u8::from(x)),
            Scalar::I32(x) => f64::from(x),
            Scalar::U32(x) => f64::from(x),
            Scalar::I64(x) => x as f64,
            Scalar::U64(x) => x as f64,
            Scalar::F32(bits) => f64::from(f32::from_bits(bits)),
            Scalar::F64(bits) => f64::from_bits(bits),
        })
    }
}

impl Value {
    /// The value as JSON: a tensor as `{dtype, shape, data}`, a label as text, a ranking as a list of `{label, score}`.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::Tensor(tensor) => {
                let data: Vec<f64> = tensor.numbers().collect();
                serde_json::json!({ "dtype": tensor.dtype.name(), "shape": tensor.shape, "data": data })
            }
            Value::Photo(photo) => serde_json::json!({ "width": photo.width, "height": photo.height }),
            Value::Sound(sound) => serde_json::json!({ "rate": sound.rate, "samples": sound.samples.len() }),
            Value::Text(text) => text.as_str().into(),
            Value::Label(label) => label.as_str().into(),
            Value::Ranking(ranking) => serde_json::json!(ranking),
            Value::Record(fields) => {
                fields.iter().map(|(name, value)| (name.clone(), value.to_json())).collect::<serde_json::Map<_, _>>().into()
            }
        }
    }
}
