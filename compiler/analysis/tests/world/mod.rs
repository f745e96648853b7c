//! A world made of strings.

use mlp_analysis::{ModelSignature, SignatureDim, SignaturePort, World};
use mlp_bundle::DType;
use std::collections::HashMap;

/// Files and model signatures by path.
#[derive(Default)]
pub(crate) struct TestWorld {
    files: HashMap<String, String>,
    models: HashMap<String, ModelSignature>,
}

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
}
