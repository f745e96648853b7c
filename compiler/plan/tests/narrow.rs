//! Weights in fewer bits: found where they stand for exactly the same numbers, and computed with as if they were not.

mod support;

use mlp_bundle::DType;
use mlp_bundle::loops::{Body, Contract, eval};
use mlp_graph::Graph;
use mlp_plan::{PlanOptions, Planned};
use support::{graph, inputs, planned_with};

/// The plan with and without narrow weights, whose results must be the same bits.
fn both(text: &str) -> [Planned; 2] {
    let graph: Graph = graph(text);
    let inputs = inputs(&graph, &[]);
    let bytes: Vec<&[u8]> = inputs.iter().map(|input| input.bytes()).collect();
    let mut wide = PlanOptions::all();
    wide.narrow_weights = false;
    let plans = [planned_with(&graph, &PlanOptions::all()), planned_with(&graph, &wide)];
    let [narrow, wide] = plans.each_ref().map(|planned| eval::run(&planned.plan, &planned.weights, &bytes, &[]).unwrap());
    assert!(narrow == wide, "{}", plans[0].plan);
    plans
}

fn contract(planned: &Planned) -> &Contract {
    let contracts =
        planned.plan.kernels.iter().find_map(|kernel| if let Body::Contract(contract) = &kernel.body { Some(contract) } else { None });
    contracts.expect("a product is a contraction")
}

#[test]
fn bytes_times_a_factor_a_channel_are_kept_as_bytes() {
    // Noise is sixteenths, from -48 to 48: what is left of quantized weights when they are floats.
    let [narrow, wide] = both(
        r#"input %0 "x": f32[3, 200]
        %3 = constant noise(2): f32[3, 90]
        %4 = constant noise(3): f32[200, 90]
        %5 = matmul %0, %4: f32[3, 90]
        %6 = add %5, %3: f32[3, 90]
        output "a" %6"#,
    );
    let contract = contract(&narrow);
    let scales = contract.scales.expect("its weights are whole numbers");
    assert_eq!((scales.bits, scales.per), (8, 200));
    assert_eq!(narrow.plan.buffers[contract.weights].dtype, DType::I8);
    // A byte and not four, but for the factors, the bias and what aligns them.
    assert!(narrow.weights.len() < wide.weights.len() / 3, "{} and {}", narrow.weights.len(), wide.weights.len());
}

#[test]
fn tables_and_weights_of_binary16_are_kept_so() {
    let [narrow, wide] = both(
        r#"input %0 "x": i64[5]
        %1 = constant noise(1): f32[400, 64]
        %2 = gather %1, %0 {axis=0}: f32[5, 64]
        output "a" %2"#,
    );
    assert!(narrow.weights.len() < wide.weights.len() * 6 / 10, "{} and {}", narrow.weights.len(), wide.weights.len());
    assert!(narrow.plan.buffers.values().any(|buffer| buffer.dtype == DType::F16 && buffer.len == 400 * 64), "{}", narrow.plan);
}

#[test]
fn small_products_and_windows_keep_their_floats() {
    for text in [
        r#"input %0 "x": f32[3, 20]
        %1 = constant noise(1): f32[20, 30]
        %2 = matmul %0, %1: f32[3, 30]
        output "a" %2"#,
        r#"input %0 "x": f32[1, 5, 5, 64]
        %1 = constant noise(1): f32[64, 64, 3, 3]
        %2 = conv %0, %1 {kernel=[3, 3], strides=[1, 1], dilations=[1, 1], pads_begin=[1, 1], pads_end=[1, 1], groups=1, layout=channels_last}: f32[1, 5, 5, 64]
        output "a" %2"#,
    ] {
        let [narrow, wide] = both(text);
        assert_eq!((contract(&narrow).scales, narrow.weights.len()), (None, wide.weights.len()));
    }
}
