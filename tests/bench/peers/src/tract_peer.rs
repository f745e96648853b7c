//! tract, with its shapes fixed to the inputs' and optimized.

use crate::{Failure, Input, Peer};
use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;

struct Tract {
    run: Box<dyn Fn() -> TractResult<()>>,
}

impl Peer for Tract {
    fn run(&self) -> Result<(), Failure> {
        Ok((self.run)()?)
    }
}

/// Loads a model.
pub fn load(model: &str, inputs: &[Input], threads: usize) -> Result<Box<dyn Peer>, Failure> {
    if threads > 1 {
        set_default_executor(Executor::multithread(threads));
    }
    // Sizes that a file declares as symbols contradict the inputs' sizes to its analysis.
    let mut model = tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true).model_for_path(model)?;
    let mut values: TVec<TValue> = tvec!();
    for place in 0..model.inputs.len() {
        let name = model.node(model.inputs[place].node).name.clone();
        let input = inputs.iter().find(|input| input.name == name).ok_or_else(|| format!("there is no input `{name}`"))?;
        let tensor = tensor(input)?;
        model.set_input_fact(place, InferenceFact::dt_shape(tensor.datum_type(), tensor.shape()))?;
        values.push(tensor.into());
    }
    let model = model.into_optimized()?.into_runnable()?;
    Ok(Box::new(Tract { run: Box::new(move || model.run(values.clone()).map(|_| ())) }))
}

fn tensor(input: &Input) -> Result<Tensor, Failure> {
    let shape = &input.shape[..];
    Ok(match &input.dtype[..] {
        "float32" => Tensor::from_shape(shape, &input.elements(f32::from_le_bytes)?)?,
        "float64" => Tensor::from_shape(shape, &input.elements(f64::from_le_bytes)?)?,
        "int64" => Tensor::from_shape(shape, &input.elements(i64::from_le_bytes)?)?,
        "int32" => Tensor::from_shape(shape, &input.elements(i32::from_le_bytes)?)?,
        "uint8" => Tensor::from_shape(shape, &input.elements(u8::from_le_bytes)?)?,
        "int8" => Tensor::from_shape(shape, &input.elements(i8::from_le_bytes)?)?,
        "bool" => Tensor::from_shape(shape, &input.elements(|[byte]: [u8; 1]| byte != 0)?)?,
        other => return Err(format!("inputs of {other} are not given to tract").into()),
    })
}
