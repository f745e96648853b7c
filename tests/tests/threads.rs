//! Modules for several threads: the bits of the module for one, whoever comes to help and whenever; and none where they would not pay.

#[path = "../../compiler/import/tests/support/build.rs"]
mod build;

use build::{FLOAT, bytes, floats_tensor, int, ints, model, node, port};
use mlp_driver::compile::{self, Code, Compiled};
use mlp_driver::onnx;
use mlp_wasm::{Offsets, Threads, WasmSession};

/// Numbers between -0.5 and 0.5.
fn noise(state: &mut u32, count: usize) -> Vec<f32> {
    let mut next = || {
        *state ^= *state << 13;
        *state ^= *state >> 17;
        *state ^= *state << 5;
        (f64::from(*state) / f64::from(u32::MAX) - 0.5) as f32
    };
    (0..count).map(|_| next()).collect()
}

/// A mobile network on images of that side: dense, depthwise and pointwise convolutions, a residual, a pool, a classifier.
fn network(side: i64) -> Vec<u8> {
    let mut state = 0x2545_f491;
    let mut weight = |name: &str, dims: &[i64]| floats_tensor(name, dims, &noise(&mut state, dims.iter().product::<i64>() as usize));
    let weights = vec![
        weight("w0", &[32, 3, 3, 3]),
        weight("b0", &[32]),
        weight("w1", &[32, 1, 3, 3]),
        weight("w2", &[32, 32, 1, 1]),
        weight("w3", &[100, 32, 3, 3]),
        weight("w4", &[1003, 100]),
        weight("b4", &[1003]),
    ];
    let window = |pads: i64, stride: i64, kernel: i64| {
        vec![ints("strides", &[stride; 2]), ints("pads", &[pads; 4]), ints("kernel_shape", &[kernel; 2])]
    };
    let with = |mut attributes: Vec<_>, more| {
        attributes.push(more);
        attributes
    };
    let mut nodes = vec![
        node("Conv", &["x", "w0", "b0"], &["c0"], window(1, 2, 3)),
        node("Relu", &["c0"], &["r0"], vec![]),
        node("Conv", &["r0", "w1"], &["c1"], with(window(1, 1, 3), int("group", 32))),
        node("Conv", &["c1", "w2"], &["c2"], window(0, 1, 1)),
        node("Add", &["c2", "r0"], &["a"], vec![]),
        node("Sigmoid", &["a"], &["s"], vec![]),
        node("MaxPool", &["s"], &["m"], window(0, 2, 2)),
        node("Conv", &["m", "w3"], &["c3"], window(1, 1, 3)),
        node("GlobalAveragePool", &["c3"], &["g"], vec![]),
        node("Flatten", &["g"], &["f"], vec![]),
        node("Gemm", &["f", "w4", "b4"], &["l"], vec![int("transB", 1)]),
        node("Softmax", &["l"], &["y"], vec![int("axis", 1)]),
    ];
    nodes.iter_mut().enumerate().for_each(|(index, node)| node.name = format!("node{index}"));
    bytes(&model(13, vec![port("x", FLOAT, &[1, 3, side, side])], weights, nodes, &["y"]))
}

fn compiled(side: i64) -> (Compiled, Code) {
    let graph = onnx::import(&network(side), &Default::default()).expect("the model imports");
    let compiled = compile::compile(graph).expect("the model compiles");
    let code = compile::emit(&compiled.plan).expect("the plan has code");
    (compiled, code)
}

#[test]
fn threads_compute_the_bits_of_one() {
    let (compiled, code) = compiled(96);
    let (plan, weights) = (&compiled.plan, &compiled.weights[..]);
    let offsets = Offsets { weights: code.wasm.weights_offset, arena: code.wasm.arena_offset };
    let modules = code.wasm.threads.expect("threads pay on a network of this size");
    let mut state = 0x9e37_79b9;
    let inputs: Vec<Vec<u8>> = (0..4).map(|_| noise(&mut state, 3 * 96 * 96).iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    for (single, shared) in [&code.simd128, &code.relaxed].into_iter().zip(&code.threads.expect("it has modules for threads")) {
        let mut session = WasmSession::new(single, plan, weights, offsets).expect("the module loads");
        let expected: Vec<_> = inputs.iter().map(|input| session.run(&[input], &[]).expect("it runs")).collect();
        assert!(expected.windows(2).all(|pair| pair[0] != pair[1]), "the network tells nothing apart");
        for count in 1..=4 {
            let threads = Threads { count, pages: modules.memory_pages, helper_pages: modules.helper_pages };
            let mut session = WasmSession::with_threads(shared, plan, weights, offsets, threads).expect("the module loads");
            // Helpers come while the first runs are on their way, and sleep in the pauses.
            for round in 0..200 {
                let (input, expected) = (&inputs[round % inputs.len()], &expected[round % inputs.len()]);
                assert_eq!(&session.run(&[input], &[]).expect("it runs"), expected, "{count} threads, round {round}");
                if round % 50 == 49 {
                    std::thread::sleep(std::time::Duration::from_millis(3));
                }
            }
            assert!(session.helpers() < count);
        }
    }
}

#[test]
fn a_small_network_has_no_modules_for_threads() {
    let (_, code) = compiled(12);
    assert!(code.wasm.threads.is_none() && code.threads.is_none());
}

#[test]
fn a_module_that_does_not_fit_is_refused() {
    let (compiled, code) = compiled(96);
    let offsets = Offsets { weights: code.wasm.weights_offset, arena: code.wasm.arena_offset };
    let modules = code.wasm.threads.expect("threads pay on a network of this size");
    let open = |module: &[u8], pages, helper_pages, count| {
        WasmSession::with_threads(module, &compiled.plan, &compiled.weights, offsets, Threads { count, pages, helper_pages })
            .err()
            .map(|error| error.to_string())
    };
    let [shared, _] = code.threads.expect("it has modules for threads");
    let (pages, helper_pages) = (modules.memory_pages, modules.helper_pages);
    assert_eq!(open(&shared, pages, helper_pages, 2), None);
    let imports = open(&code.simd128, pages, helper_pages, 2).expect("a module for one thread is refused");
    assert!(imports.contains("imports something else"), "{imports}");
    let small = open(&shared, 1, helper_pages, 2).expect("too small a memory is refused");
    assert!(small.contains("does not fit its plan"), "{small}");
    let large = open(&shared, pages, u32::MAX / 2, 4).expect("too large a memory is refused");
    assert!(large.contains("4 GiB"), "{large}");
}
