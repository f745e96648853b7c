//! tract as an independent judge: another implementation of ONNX, which shares no code with this one.

#[path = "../../compiler/import/tests/support/build.rs"]
mod build;

use build::{FLOAT, bytes, floats_tensor, int, ints, model, node, port};
use mlp_driver::{compile, onnx};
use mlp_engine::BackendKind;
use mlp_engine::backend::{self, Artifacts};
use tract_onnx::prelude::*;

/// Numbers between -0.5 and 0.5.
struct Noise(u32);

impl Noise {
    fn take(&mut self, count: usize) -> Vec<f32> {
        let mut next = || {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 17;
            self.0 ^= self.0 << 5;
            (f64::from(self.0) / f64::from(u32::MAX) - 0.5) as f32
        };
        (0..count).map(|_| next()).collect()
    }
}

/// A network with the parts of a mobile one: strided, depthwise and pointwise convolutions, a residual, pools, a classifier.
fn network(noise: &mut Noise) -> Vec<u8> {
    let mut weight = |name: &str, dims: &[i64]| floats_tensor(name, dims, &noise.take(dims.iter().product::<i64>() as usize));
    let weights = vec![
        weight("w0", &[12, 3, 3, 3]),
        weight("b0", &[12]),
        weight("w1", &[12, 1, 5, 5]),
        weight("w2", &[12, 12, 1, 1]),
        weight("w3", &[20, 12, 3, 3]),
        weight("w4", &[20, 10]),
        weight("b4", &[10]),
    ];
    let mut nodes = vec![
        node(
            "Conv",
            &["x", "w0", "b0"],
            &["c0"],
            vec![ints("strides", &[2, 2]), ints("pads", &[1, 1, 1, 1]), ints("kernel_shape", &[3, 3])],
        ),
        node("Relu", &["c0"], &["r0"], vec![]),
        node("Conv", &["r0", "w1"], &["c1"], vec![int("group", 12), ints("pads", &[2, 2, 2, 2]), ints("kernel_shape", &[5, 5])]),
        node("Conv", &["c1", "w2"], &["c2"], vec![ints("kernel_shape", &[1, 1])]),
        node("Add", &["c2", "r0"], &["a"], vec![]),
        node("MaxPool", &["a"], &["m"], vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), ints("pads", &[1, 1, 0, 0])]),
        node("Conv", &["m", "w3"], &["c3"], vec![ints("dilations", &[2, 2]), ints("kernel_shape", &[3, 3])]),
        node("GlobalAveragePool", &["c3"], &["g"], vec![]),
        node("Flatten", &["g"], &["f"], vec![]),
        node("Gemm", &["f", "w4", "b4"], &["l"], vec![]),
        node("Softmax", &["l"], &["y"], vec![int("axis", 1)]),
    ];
    nodes.iter_mut().enumerate().for_each(|(index, node)| node.name = format!("node{index}"));
    bytes(&model(13, vec![port("x", FLOAT, &[1, 3, 29, 31])], weights, nodes, &["y"]))
}

fn ours(model: &[u8], input: &[f32], kind: BackendKind) -> Vec<f32> {
    let graph = onnx::import(model, &Default::default()).expect("the model imports");
    let compiled = compile::compile(graph).expect("the model compiles");
    let code = compile::emit(&compiled.plan).expect("the plan has code");
    let module = if kind == BackendKind::WasmRelaxed { &code.relaxed } else { &code.simd128 };
    let gpu = code.gpu.as_ref().map_err(ToString::to_string);
    let artifacts = Artifacts { plan: &compiled.plan, weights: compiled.weights.clone(), wasm: Some((module, &code.wasm)), gpu };
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
