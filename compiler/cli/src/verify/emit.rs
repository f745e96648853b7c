//! Bundles, inputs and expected outputs of cases written to a folder, so that they can be checked elsewhere: in a browser.

use super::case::Case;
use super::model::{Model, Refused};
use crate::sizes::Sizes;
use crate::{Failure, Outcome};
use mlp_graph::Tensor;
use serde::Serialize;
use std::path::Path;

/// A row of `index.json`.
#[derive(Serialize)]
struct Entry {
    name: String,
    /// The bundle's folder; none where the case could not be compiled.
    bundle: Option<String>,
    inputs: Vec<File>,
    outputs: Vec<File>,
    /// Why it could not be compiled.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// That is for want of support, rather than an error.
    unsupported: bool,
    /// All arithmetic is on integers, so backends must agree bit for bit.
    integer: bool,
}

/// A tensor in a file of little-endian bytes.
#[derive(Serialize)]
struct File {
    name: String,
    dtype: &'static str,
    shape: Vec<u64>,
    file: String,
    /// One step of an output's quantization, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<f64>,
}

/// Writes all cases.
pub(super) fn emit(cases: &[Case], folder: &Path, sizes: &Sizes, variant: Option<&str>) -> Outcome {
    let mut entries = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let name = case.name.clone();
        entries.push(match one(case, &folder.join(index.to_string()), index, (sizes, variant)) {
            Ok(entry) => entry,
            Err(Refused { unsupported, detail }) => {
                Entry { name, bundle: None, inputs: Vec::new(), outputs: Vec::new(), detail: Some(detail), unsupported, integer: false }
            }
        });
    }
    std::fs::create_dir_all(folder)?;
    mlp_bundle::bundle::write_whole(&folder.join("index.json"), &serde_json::to_vec_pretty(&entries)?)?;
    Ok(true)
}

fn one(case: &Case, folder: &Path, index: usize, (sizes, variant): (&Sizes, Option<&str>)) -> Result<Entry, Refused> {
    let model = Model::load(case, sizes, variant)?;
    let (names, steps, integer) = (model.output_names.clone(), model.steps.clone(), model.integer);
    let (compiled, code, recorded) = model.into_parts()?;
    if let Err(error) = &code.gpu {
        // The other backends can still be checked; the bundle says that it has no GPU program.
        anstream::eprintln!("{}: {error}", case.name);
    }
    let failed = |error: mlp_bundle::BundleError| Failure::from(error);
    let input_names: Vec<String> = compiled.plan.inputs.iter().map(|port| port.name.clone()).collect();
    let bundle = mlp_driver::bundle::of_model("model", &[], compiled, code);
    bundle.write_folder(folder).map_err(failed)?;
    let write = |kind: &str, position: usize, name: &String, tensor: &Tensor, step: Option<f64>| -> Result<File, Failure> {
        let file = format!("{kind}_{position}.bin");
        mlp_bundle::bundle::write_whole(&folder.join(&file), tensor.bytes())?;
        let file = format!("{index}/{file}");
        Ok(File { name: name.clone(), dtype: tensor.dtype().name(), shape: tensor.shape().to_vec(), file, step })
    };
    let inputs = input_names.iter().zip(&recorded.inputs).enumerate();
    let outputs = names.iter().zip(&recorded.outputs).zip(steps).enumerate();
    Ok(Entry {
        name: case.name.clone(),
        bundle: Some(index.to_string()),
        inputs: inputs.map(|(position, (name, tensor))| write("input", position, name, tensor, None)).collect::<Result<_, _>>()?,
        outputs: outputs
            .map(|(position, ((name, tensor), step))| write("output", position, name, tensor, step))
            .collect::<Result<_, _>>()?,
        detail: None,
        unsupported: false,
        integer,
    })
}
