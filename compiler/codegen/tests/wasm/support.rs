//! Running a plan's modules beside the evaluator.

use mlp_bundle::DType;
use mlp_bundle::Scalar;
use mlp_bundle::loops::{eval, scalar};
use mlp_bundle::plan::{Plan, Size};
use mlp_codegen::wasm::{self, Sharing, Target};
use mlp_wasm::{Offsets, Threads, WasmSession};

/// Pseudo-random numbers: xorshift, so that a failure can be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number in `-1.0..1.0`.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// `count` elements: floats within a few units of 0, integers over their whole range.
    pub(crate) fn elements(&mut self, dtype: DType, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count * dtype.size()];
        for element in bytes.chunks_exact_mut(dtype.size()) {
            let value = match dtype.compute() {
                DType::Bool => Scalar::Bool(self.next() & 1 == 1),
                DType::F32 => Scalar::f32(self.unit() * 4.0),
                DType::F64 => Scalar::f64(f64::from(self.unit()) * 4.0),
                DType::I32 => Scalar::I32(self.next() as i32),
                DType::U32 => Scalar::U32(self.next() as u32),
                DType::I64 => Scalar::I64(self.next() as i64),
                _ => Scalar::U64(self.next()),
            };
            scalar::store(dtype, value, element).unwrap();
        }
        bytes
    }
}

/// Runs one target's module.
pub(crate) fn run_module(plan: &Plan, weights: &[u8], inputs: &[&[u8]], symbols: &[u32], target: Target) -> Vec<Vec<u8>> {
    let module = wasm::emit(plan, target).unwrap();
    let offsets = Offsets { weights: module.weights_offset, arena: module.arena_offset };
    let mut session = WasmSession::new(&module.bytes, plan, weights, offsets).unwrap();
    let first = session.run(inputs, symbols).unwrap();
    // A second run must not depend on what the first one left behind.
    assert_eq!(session.run(inputs, symbols).unwrap(), first);
    for threads in [1, 3] {
        let module = wasm::emit_threads(plan, target, Sharing::Everywhere).unwrap().unwrap();
        let threads = Threads { count: threads, pages: module.memory_pages, helper_pages: module.helper_pages };
        let mut session = WasmSession::with_threads(&module.bytes, plan, weights, offsets, threads).unwrap();
        // Now without helpers, now with them.
        for _ in 0..4 {
            assert_eq!(session.run(inputs, symbols).unwrap(), first, "{threads:?} compute other bits than one\n{plan}");
            wait_for_helpers(&mut session, threads.count - 1);
        }
    }
    first
}

/// Waits until all helpers have come.
pub(crate) fn wait_for_helpers(session: &mut WasmSession, count: u32) {
    let start = std::time::Instant::now();
    while session.helpers() < count {
        assert!(start.elapsed().as_secs() < 60, "a helper never comes");
        std::thread::yield_now();
    }
}

/// Checks both targets against the evaluator: integers must be equal, floats close.
pub(crate) fn check(plan: &Plan, weights: &[u8], inputs: &[&[u8]], symbols: &[u32]) {
    check_beside(plan, weights, inputs, symbols, 1e-2);
}

/// [`check`] of sums whose terms are of this magnitude, so that what they cancel to is no more exact.
pub(crate) fn check_beside(plan: &Plan, weights: &[u8], inputs: &[&[u8]], symbols: &[u32], magnitude: f64) {
    let expected = eval::run(plan, weights, inputs, symbols).unwrap();
    for target in [Target::Simd128, Target::Relaxed] {
        let outputs = run_module(plan, weights, inputs, symbols, target);
        for ((port, output), expected) in plan.outputs.iter().zip(&outputs).zip(&expected) {
            let dtype = plan.buffers[port.buffer].dtype;
            for (n, (x, y)) in output.chunks_exact(dtype.size()).zip(expected.chunks_exact(dtype.size())).enumerate() {
                let (x, y) = (scalar::load(dtype, x), scalar::load(dtype, y));
                assert!(
                    close(x, y, dtype, magnitude),
                    "{target:?}, output `{}`, element {n}: {} is not {}\n{plan}",
                    port.name,
                    show(x),
                    show(y)
                );
            }
        }
    }
}

fn number(value: Scalar) -> f64 {
    match value {
        Scalar::F32(bits) => f64::from(f32::from_bits(bits)),
        Scalar::F64(bits) => f64::from_bits(bits),
        _ => f64::NAN,
    }
}

fn show(value: Scalar) -> String {
    if value.dtype().is_float() { number(value).to_string() } else { format!("{value:?}") }
}

fn close(x: Scalar, y: Scalar, dtype: DType, magnitude: f64) -> bool {
    if !dtype.is_float() {
        return x == y;
    }
    let (x, y) = (number(x), number(y));
    let tolerance = match dtype {
        DType::F16 => 1e-3,
        DType::BF16 => 1e-2,
        DType::F64 => 1e-12,
        _ => 1e-5,
    };
    x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= tolerance * y.abs().max(magnitude)
}

/// Checks a plan without weights on random inputs.
pub(crate) fn check_random(text: &str, symbols: &[u32]) {
    let plan: Plan = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let inputs: Vec<Vec<u8>> = plan
        .inputs
        .iter()
        .map(|port| {
            let size = |size: &Size| match size {
                Size::Const(n) => *n as usize,
                Size::Symbol(symbol) => symbols[cranelift_entity::EntityRef::index(*symbol)] as usize,
            };
            random.elements(plan.buffers[port.buffer].dtype, port.shape.iter().map(size).product())
        })
        .collect();
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    check(&plan, &random.elements(DType::U8, plan.weights_bytes as usize), &inputs, symbols);
}
