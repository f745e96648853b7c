//! tract as an independent judge: another implementation of ONNX, which shares no code with this one.

#[path = "../../compiler/import/tests/support/build.rs"]
mod build;
#[path = "support/networks.rs"]
mod networks;

use mlp_driver::compile::Sharing;
use mlp_driver::{compile, onnx};
use mlp_engine::BackendKind;
use mlp_engine::backend::{self, Artifacts};
use networks::{Noise, network};
use tract_onnx::prelude::*;

fn ours(model: &[u8], input: &[f32], kind: BackendKind) -> Vec<f32> {
    let graph = onnx::import(model, &Default::default()).expect("the model imports");
    let compiled = compile::compile(graph).expect("the model compiles");
    let code = compile::emit(&compiled.plan).expect("the plan has code");
    let shared =
        compile::emit_threads(&compiled.plan, Sharing::Everywhere).expect("the plan has code for threads").expect("they share all");
    let wasm = match kind {
        BackendKind::WasmThreads => (&shared.0, &shared.1),
        BackendKind::WasmRelaxed => (&code.relaxed, &code.wasm),
        _ => (&code.simd128, &code.wasm),
    };
    let gpu = code.gpu.as_ref().map_err(ToString::to_string);
    let artifacts = Artifacts { plan: &compiled.plan, weights: compiled.weights.clone(), wasm: Some((wasm.0, wasm.1)), gpu };
    let mut backend = backend::open(kind, &artifacts, 1).expect("the plan loads");
    let bytes: Vec<u8> = input.iter().flat_map(|x| x.to_le_bytes()).collect();
    let outputs = backend.run(&[&bytes], &[]).expect("the plan runs");
    outputs[0].chunks_exact(4).map(|x| f32::from_le_bytes(x.try_into().expect("four bytes"))).collect()
}

fn tract(mut model: &[u8], input: &[f32]) -> TractResult<Vec<f32>> {
    let model = tract_onnx::onnx().model_for_read(&mut model)?.into_optimized()?.into_runnable()?;
    let tensor = Tensor::from_shape(&[1, 3, 29, 31], input)?;
    let outputs = model.run(tvec!(tensor.into()))?;
    Ok(outputs[0].to_plain_array_view::<f32>()?.iter().copied().collect())
}

#[test]
fn every_backend_agrees_with_tract() {
    let mut noise = Noise(0x2545_f491);
    let model = network(&mut noise);
    let input = noise.take(3 * 29 * 31);
    let expected = tract(&model, &input).expect("tract runs the model");
    assert_eq!(expected.len(), 10);
    assert!(expected.iter().any(|x| (x - 0.1).abs() > 0.02), "the network tells nothing apart: {expected:?}");
    for kind in BackendKind::ALL {
        let actual = ours(&model, &input, kind);
        let close = actual.iter().zip(&expected).all(|(x, y)| (x - y).abs() <= 1e-5 + 1e-4 * y.abs());
        assert!(close && actual.len() == 10, "{kind}: {actual:?}, tract: {expected:?}");
    }
}
