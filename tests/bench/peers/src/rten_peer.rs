//! rten, with its weights packed when they are loaded.

use crate::{Failure, Input, Peer};
use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value};
use rten_tensor::Tensor;
use std::sync::Arc;

struct Rten {
    model: Model,
    inputs: Vec<(NodeId, Value)>,
    pool: Arc<ThreadPool>,
}

impl Peer for Rten {
    fn run(&self) -> Result<(), Failure> {
        let inputs = self.inputs.iter().map(|(id, value)| (*id, value.as_view().into())).collect();
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&self.pool)));
        self.model.run(inputs, self.model.output_ids(), Some(options))?;
        Ok(())
    }
}

/// Loads a model.
pub fn load(model: &str, inputs: &[Input], threads: usize) -> Result<Box<dyn Peer>, Failure> {
    let mut options = ModelOptions::with_all_ops();
    options.prepack_weights(true);
    let model = options.load_file(model)?;
    let inputs = inputs.iter().map(|input| Ok((model.node_id(&input.name)?, value(input)?))).collect::<Result<_, Failure>>()?;
    Ok(Box::new(Rten { model, inputs, pool: Arc::new(ThreadPool::with_num_threads(threads)) }))
}

/// An input as rten holds it: whole numbers and truth values have 32 bits.
fn value(input: &Input) -> Result<Value, Failure> {
    let shape = &input.shape[..];
    Ok(match &input.dtype[..] {
        "float32" => Tensor::from_data(shape, input.elements(f32::from_le_bytes)?).into(),
        "int64" => Tensor::from_data(shape, input.elements(|bytes| i64::from_le_bytes(bytes) as i32)?).into(),
        "int32" => Tensor::from_data(shape, input.elements(i32::from_le_bytes)?).into(),
        "uint8" => Tensor::from_data(shape, input.elements(u8::from_le_bytes)?).into(),
        "int8" => Tensor::from_data(shape, input.elements(i8::from_le_bytes)?).into(),
        "bool" => Tensor::from_data(shape, input.elements(|[byte]: [u8; 1]| i32::from(byte != 0))?).into(),
        other => return Err(format!("inputs of {other} are not given to rten").into()),
    })
}
