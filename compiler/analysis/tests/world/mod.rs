//! A world made of strings.

use mlp_analysis::{ModelSignature, SignatureDim, SignaturePort, WeightTensor, Weights, World};
use mlp_bundle::DType;
use std::collections::HashMap;

/// Files and model signatures by path.
#[derive(Default)]
pub(crate) struct TestWorld {
    files: HashMap<String, String>,
    models: HashMap<String, ModelSignature>,
    weights: HashMap<String, Weights>,
}

#[allow(dead_code, reason = "each test asks for a part of it")]
impl TestWorld {
    pub(crate) fn new() -> TestWorld {
        TestWorld::default()
    }

    pub(crate) fn file(mut self, path: &str, text: &str) -> TestWorld {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    /// A model whose ports are written like `name f32[N, 3]`, separated by semicolons.
    pub(crate) fn model(mut self, path: &str, sha256: &str, inputs: &str, outputs: &str) -> TestWorld {
        let signature = ModelSignature { inputs: ports(inputs), outputs: ports(outputs), sha256: sha256.to_owned() };
        self.models.insert(path.to_owned(), signature);
        self
    }

    /// A file of weights, written like `mix.weight f32[3, 3]`, separated by semicolons.
    pub(crate) fn weights(mut self, path: &str, sha256: &str, tensors: &str) -> TestWorld {
        let tensor = |port: SignaturePort| {
            let size = |dim: &SignatureDim| match dim {
                SignatureDim::Const(size) => *size,
                _ => panic!("weights have fixed sizes"),
            };
            WeightTensor { name: port.name, dtype: port.dtype, shape: port.dims.iter().map(size).collect() }
        };
        let tensors = ports(tensors).into_iter().map(tensor).collect();
        self.weights.insert(path.to_owned(), Weights { tensors, sha256: sha256.to_owned() });
        self
    }

    /// The files of weights that examples speak of.
    pub(crate) fn with_weights(self) -> TestWorld {
        let block = |index: usize| {
            format!(
                "blocks.{index}.in.weight f32[16, 8]; blocks.{index}.in.bias f32[16]; blocks.{index}.out.weight f32[8, 16]; \
                 blocks.{index}.out.bias f32[8]; blocks.{index}.norm.weight f32[8]; blocks.{index}.norm.bias f32[8]"
            )
        };
        self.weights("colours.safetensors", "c0105", "mix.weight f32[3, 3]; mix.bias f16[3]")
            .weights(
                "digits.safetensors",
                "d161",
                "features.0.weight f32[16, 1, 3, 3]; features.0.bias f32[16]; classifier.weight f32[10, 3136]; classifier.bias f32[10]",
            )
            .weights("blocks.safetensors", "b10c", &[block(0), block(1)].join("; "))
    }
}

#[allow(dead_code, reason = "not every test has texts")]
impl TestWorld {
    /// The tokenizers that examples speak of.
    pub(crate) fn with_tokenizers(self) -> TestWorld {
        let wordpiece = r#"{"model":{"type":"WordPiece","vocab":{"[PAD]":0,"[UNK]":1,"a":2}}}"#;
        let bpe = r#"{"model":{"type":"BPE","vocab":{"<pad>":0,"a":1,"b":2,"ab":3},"merges":["a b"]}}"#;
        self.file("tokenizer.json", wordpiece).file("gpt2.json", bpe)
    }
}

fn ports(text: &str) -> Vec<SignaturePort> {
    text.split(';').filter(|port| !port.trim().is_empty()).map(port).collect()
}

fn port(text: &str) -> SignaturePort {
    let (name, ty) = text.trim().split_once(' ').expect("a name and a type");
    let (dtype, dims) = ty.trim_end_matches(']').split_once('[').expect("dimensions");
    let dims = dims.split(',').map(str::trim).filter(|dim| !dim.is_empty()).map(|dim| match dim.parse() {
        Ok(size) => SignatureDim::Const(size),
        Err(_) if dim == "?" => SignatureDim::Unknown,
        Err(_) => SignatureDim::Symbol(dim.to_owned()),
    });
    SignaturePort { name: name.to_owned(), dtype: DType::from_name(dtype).expect("an element type"), dims: dims.collect() }
}

impl World for TestWorld {
    fn read(&self, path: &str) -> Result<String, String> {
        self.files.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }

    fn exists(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    fn signature(&self, path: &str) -> Result<ModelSignature, String> {
        self.models.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }

    fn weights(&self, path: &str) -> Result<Weights, String> {
        self.weights.get(path).cloned().ok_or_else(|| "no such file".to_owned())
    }
}
