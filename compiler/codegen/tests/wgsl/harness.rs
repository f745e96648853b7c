//! Runs a plan on the GPU and in the evaluator of the loop IR, and compares.

use mlp_bundle::dtype::DType;
use mlp_bundle::gpu::GpuProgram;
use mlp_bundle::loops::{Arithmetic, Body, eval};
use mlp_bundle::plan::{Place, Plan, Size, verify};
use mlp_gpu::GpuSession;

/// A small generator of reproducible numbers.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u32
    }

    /// Bytes of `len` elements: floats in -2..2, 64-bit integers of every size, others of any bits.
    pub(crate) fn fill(&mut self, dtype: DType, len: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..len {
            let bits = self.next();
            match dtype {
                DType::Bool => bytes.push((bits & 1) as u8),
                DType::U8 | DType::I8 => bytes.push(bits as u8),
                DType::U16 | DType::I16 => bytes.extend((bits as u16).to_le_bytes()),
                DType::U32 | DType::I32 => bytes.extend((bits >> (self.next() % 32)).to_le_bytes()),
                DType::U64 | DType::I64 => {
                    let wide = u64::from(bits) << 32 | u64::from(self.next());
                    bytes.extend(((wide as i64) >> (self.next() % 64)).to_le_bytes());
                }
                DType::F16 => bytes.extend(mlp_bundle::loops::scalar::f32_to_f16(self.float()).to_le_bytes()),
                DType::BF16 => bytes.extend(mlp_bundle::loops::scalar::f32_to_bf16(self.float()).to_le_bytes()),
                DType::F32 => bytes.extend(self.float().to_le_bytes()),
                DType::F64 => bytes.extend(f64::from(self.float()).to_le_bytes()),
            }
        }
        bytes
    }

    fn float(&mut self) -> f32 {
        self.next() as f32 / u32::MAX as f32 * 4.0 - 2.0
    }
}

/// Random weights; where integer panels are padded along the input channels they are zero, as the format promises.
pub(crate) fn weights(plan: &Plan, random: &mut Random) -> Vec<u8> {
    let mut weights = vec![0; plan.weights_bytes as usize];
    for buffer in plan.buffers.values() {
        if let Place::Weights { offset } = buffer.place {
            let bytes = random.fill(buffer.dtype, buffer.len);
            weights[offset as usize..][..bytes.len()].copy_from_slice(&bytes);
        }
    }
    for kernel in &plan.kernels {
        let Body::Contract(contract) = &kernel.body else { continue };
        let Place::Weights { offset } = plan.buffers[contract.weights].place else { continue };
        if contract.arithmetic != Arithmetic::F32 {
            let words = contract.window.in_c.div_ceil(4) as usize;
            let rest = contract.window.in_c as usize - (words - 1) * 4;
            let packed = &mut weights[offset as usize..][..plan.buffers[contract.weights].len as usize];
            for (word, four) in packed.chunks_mut(4).enumerate() {
                if word / 16 % words == words - 1 {
                    four[rest..].fill(0);
                }
            }
        }
    }
    weights
}

/// Parses, verifies and runs a plan on random data, before a probe of its variants, after it, and in another session.
pub(crate) fn agree_after_tuning(text: &str, seed: u64) {
    let plan = parse(text);
    let mut random = Random::new(seed);
    let weights = weights(&plan, &mut random);
    let inputs: Vec<Vec<u8>> =
        plan.inputs.iter().map(|port| random.fill(plan.buffers[port.buffer].dtype, plan.buffers[port.buffer].len)).collect();
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let expected = eval::run(&plan, &weights, &inputs, &[]).unwrap_or_else(|error| panic!("{error}\n{plan}"));
    let program = mlp_codegen::wgsl::emit(&plan).unwrap_or_else(|error| panic!("{error}\n{plan}"));
    let open = || GpuSession::new(&program, &weights).unwrap_or_else(|error| panic!("{error}"));
    let mut session = open();
    let run = |session: &mut GpuSession| {
        compare(&plan, &program, &expected, &session.run(&inputs, &[]).unwrap_or_else(|error| panic!("{error}")))
    };
    run(&mut session);
    session.tune(std::time::Duration::from_secs(5)).unwrap_or_else(|error| panic!("{error}"));
    run(&mut session);
    let mut other = open();
    assert_eq!(other.variants(), session.variants(), "a new session begins with what was found");
    run(&mut other);
}

/// Parses, verifies and runs a plan on random data; integers must be equal, floats close.
pub(crate) fn agree(text: &str, symbols: &[u32], seed: u64) {
    let plan = parse(text);
    let mut random = Random::new(seed);
    let weights = weights(&plan, &mut random);
    let inputs: Vec<Vec<u8>> = plan
        .inputs
        .iter()
        .map(|port| {
            let size = |size: &Size| match size {
                Size::Const(n) => *n,
                Size::Symbol(symbol) => u64::from(symbols[symbol.as_u32() as usize]),
            };
            random.fill(plan.buffers[port.buffer].dtype, port.shape.iter().map(size).product())
        })
        .collect();
    agree_on(&plan, &weights, &inputs, symbols);
}

pub(crate) fn parse(text: &str) -> Plan {
    let plan: Plan = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
    verify::verify(&plan).unwrap_or_else(|error| panic!("{error}\n{text}"));
    plan
}

/// Runs a plan on given data, as it is and with each variant of its kernels, and compares.
pub(crate) fn agree_on(plan: &Plan, weights: &[u8], inputs: &[Vec<u8>], symbols: &[u32]) {
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let expected = eval::run(plan, weights, &inputs, symbols).unwrap_or_else(|error| panic!("{error}\n{plan}"));
    agree_with(plan, weights, &inputs, symbols, &expected);
}

/// Runs a plan as it is and with each variant of its kernels, and compares with what is expected.
pub(crate) fn agree_with(plan: &Plan, weights: &[u8], inputs: &[&[u8]], symbols: &[u32], expected: &[Vec<u8>]) -> GpuProgram {
    let program = mlp_codegen::wgsl::emit(plan).unwrap_or_else(|error| panic!("{error}\n{plan}"));
    let variants = program.variants().into_iter().map(|variant| program.forced(variant));
    for (index, program) in std::iter::once(program.clone()).chain(variants).enumerate() {
        program.verify(plan).unwrap_or_else(|error| panic!("{error}\n{plan}"));
        let session = open(&program, weights);
        assert!(index > 0 || session.is_some(), "what is made for every device runs on every one");
        let Some(mut session) = session else { continue };
        let found = session.run(inputs, symbols).unwrap_or_else(|error| panic!("{error}"));
        compare(plan, &program, expected, &found);
    }
    program
}

/// A session; none where the adapter lacks what the program needs.
fn open(program: &GpuProgram, weights: &[u8]) -> Option<GpuSession> {
    match GpuSession::new(program, weights) {
        Err(mlp_gpu::GpuError::Lacks { .. }) => None,
        other => Some(other.unwrap_or_else(|error| panic!("{error}"))),
    }
}

fn compare(plan: &Plan, program: &GpuProgram, expected: &[Vec<u8>], found: &[Vec<u8>]) {
    for ((port, expected), found) in plan.outputs.iter().zip(expected).zip(found) {
        let dtype = plan.buffers[port.buffer].dtype;
        for (n, (want, got)) in expected.chunks(dtype.size()).zip(found.chunks(dtype.size())).enumerate() {
            if !same(dtype, want, got) {
                let sources: Vec<&str> = program.modules.iter().map(|module| module.wgsl.as_str()).collect();
                let value = |bytes| mlp_bundle::loops::scalar::load(dtype, bytes);
                panic!("`{}`[{n}] is {:?}, not {:?}\n{plan}\n{}", port.name, value(got), value(want), sources.join("\n"));
            }
        }
    }
}

fn same(dtype: DType, want: &[u8], got: &[u8]) -> bool {
    use mlp_bundle::dtype::Scalar;
    match (mlp_bundle::loops::scalar::load(dtype, want), mlp_bundle::loops::scalar::load(dtype, got)) {
        (Scalar::F32(want), Scalar::F32(got)) if dtype == DType::F32 => {
            let (want, got) = (f32::from_bits(want), f32::from_bits(got));
            want == got || (want.is_nan() && got.is_nan()) || (want - got).abs() <= 1e-4 + 1e-4 * want.abs()
        }
        (want, got) => want == got,
    }
}
