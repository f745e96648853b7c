//! Plans built by hand, and their evaluation by the oracle.
// Each test file takes what it needs of these.
#![allow(dead_code, unreachable_pub)]

use mlp_bundle::loops::{
    Access, AccessDim, Affine, Arithmetic, BinaryOp, Body, Bounds, BufferId, Contract, Depthwise, Epilogue, Expr, ExprId, Exprs, Kernel,
    Nest, Store, Window, eval,
};
use mlp_bundle::plan::{ALIGN, Buffer, PLAN_VERSION, Place, Plan, Port, SLACK, Size, Symbol};
use mlp_bundle::{DType, Scalar};
use mlp_native::{Isa, Options, Program};

/// A small generator: tests need variety, not quality.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    /// Elements of a type: small numbers, with every fifth one of the type's corner cases.
    pub fn elements(&mut self, dtype: DType, count: usize) -> Vec<u8> {
        (0..count).flat_map(|_| self.element(dtype)).collect()
    }

    fn element(&mut self, dtype: DType) -> Vec<u8> {
        let corner = self.next().is_multiple_of(5);
        let pick = self.next() as usize;
        let small = f64::from(pick as i32 % 2001) / 100.0 - 10.0;
        let floats = [0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -3.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e10, -1e-10, 3e9, -88.0, 90.0];
        let value = if corner { floats[pick % floats.len()] } else { small };
        let ints = [0_i64, 1, -1, i64::MAX, i64::MIN, i64::from(i32::MIN), i64::from(i32::MAX), 255, 128, -128, 31, 33];
        let int = if corner { ints[pick % ints.len()] } else { (pick % 201) as i64 - 100 };
        let mut bytes = vec![0; dtype.size()];
        let scalar = match dtype.compute() {
            DType::Bool => Scalar::Bool(pick.is_multiple_of(2)),
            DType::I32 => Scalar::I32(int as i32),
            DType::U32 => Scalar::U32(int as u32),
            DType::I64 => Scalar::I64(int),
            DType::U64 => Scalar::U64(int as u64),
            DType::F64 => Scalar::f64(value),
            _ => Scalar::f32(value as f32),
        };
        mlp_bundle::loops::scalar::store(dtype, scalar, &mut bytes).unwrap();
        bytes
    }

    /// Ordinary `f32` numbers between -1 and 1.
    pub fn floats(&mut self, count: usize) -> Vec<u8> {
        (0..count).flat_map(|_| ((self.next() % 2001) as f32 / 1000.0 - 1.0).to_le_bytes()).collect()
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// A plan under construction.
pub struct Builder {
    pub plan: Plan,
    pub weights: Vec<u8>,
    pub inputs: Vec<Vec<u8>>,
    pub symbols: Vec<u32>,
}

impl Builder {
    pub fn new() -> Builder {
        let plan = Plan {
            version: PLAN_VERSION,
            name: "test".into(),
            symbols: Default::default(),
            buffers: Default::default(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            states: Vec::new(),
            kernels: Vec::new(),
            arena_bytes: 0,
            weights_bytes: 0,
        };
        Builder { plan, weights: Vec::new(), inputs: Vec::new(), symbols: Vec::new() }
    }

    fn buffer(&mut self, dtype: DType, len: usize, place: Place) -> BufferId {
        let name = format!("buffer{}", self.plan.buffers.len());
        self.plan.buffers.push(Buffer { name, dtype, len: len as u64, place })
    }

    fn arena(&mut self, dtype: DType, len: usize) -> BufferId {
        let offset = self.plan.arena_bytes;
        self.plan.arena_bytes = (offset + (len * dtype.size()) as u64).next_multiple_of(ALIGN);
        self.buffer(dtype, len, Place::Arena { offset })
    }

    fn port(&self, buffer: BufferId, kind: &str) -> Port {
        Port { name: format!("{kind}{buffer}"), buffer, shape: vec![Size::Const(self.plan.buffers[buffer].len)] }
    }

    pub fn input(&mut self, dtype: DType, bytes: Vec<u8>) -> BufferId {
        let buffer = self.arena(dtype, bytes.len() / dtype.size());
        self.plan.inputs.push(self.port(buffer, "in"));
        self.inputs.push(bytes);
        buffer
    }

    pub fn output(&mut self, dtype: DType, len: usize) -> BufferId {
        let buffer = self.arena(dtype, len);
        self.plan.outputs.push(self.port(buffer, "out"));
        buffer
    }

    pub fn constant(&mut self, dtype: DType, bytes: Vec<u8>) -> BufferId {
        let offset = self.weights.len() as u64;
        let len = bytes.len() / dtype.size();
        self.weights.extend(bytes);
        self.weights.resize(self.weights.len().next_multiple_of(ALIGN as usize), 0);
        self.buffer(dtype, len, Place::Weights { offset })
    }

    pub fn symbol(&mut self, value: u32, max: u32) -> mlp_bundle::loops::SymbolId {
        self.symbols.push(value);
        self.plan.symbols.push(Symbol { name: format!("symbol{value}"), min: 0, max, formula: None })
    }

    pub fn kernel(&mut self, body: Body) {
        let name = format!("kernel{}", self.plan.kernels.len());
        self.plan.kernels.push(Kernel { name, origin: Vec::new(), body });
    }

    /// A nest without reduction: what `make` computes, stored to `out` row-major over `parallel`.
    pub fn map(&mut self, parallel: &[u32], out: BufferId, make: impl FnOnce(&mut Exprs) -> ExprId) {
        let mut exprs = Exprs::new();
        let value = make(&mut exprs);
        let stores = vec![Store { access: dense(out, parallel), value }];
        self.kernel(Body::Nest(Nest { parallel: parallel.to_vec(), reduce: Vec::new(), exprs, accs: Vec::new(), stores }));
    }

    /// Runs by the oracle.
    pub fn expect(&mut self) -> Vec<Vec<u8>> {
        self.plan.arena_bytes = self.plan.arena_bytes.next_multiple_of(ALIGN) + SLACK;
        self.weights.resize(self.weights.len() + SLACK as usize, 0);
        self.plan.weights_bytes = self.weights.len() as u64;
        eval::run(&self.plan, &self.weights, &self.inputs(), &self.symbols).unwrap()
    }

    fn inputs(&self) -> Vec<&[u8]> {
        self.inputs.iter().map(Vec::as_slice).collect()
    }

    pub fn run(&self, isa: Isa, threads: usize) -> (Vec<Vec<u8>>, Program) {
        let options = Options { threads, isa: Some(isa) };
        let mut program = Program::compile(&self.plan, self.weights.clone().into(), &options).unwrap();
        let first = program.run(&self.inputs(), &self.symbols).unwrap();
        let again = program.run(&self.inputs(), &self.symbols).unwrap();
        assert_eq!(first, again, "a second run gives other bytes");
        (first, program)
    }

    /// Compares every instruction set of this machine with the oracle: integers to the bit, floats within `tolerance` (relative and absolute).
    pub fn check(&mut self, tolerance: f64) {
        let expected = self.expect();
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for threads in [1, 3] {
                let (got, _) = self.run(isa, threads);
                for ((port, expected), got) in self.plan.outputs.iter().zip(&expected).zip(&got) {
                    let dtype = self.plan.buffers[port.buffer].dtype;
                    compare(dtype, expected, got, tolerance)
                        .unwrap_or_else(|why| panic!("{isa}, {threads} threads, {}: {why}\n{}", port.name, self.plan));
                }
            }
        }
    }
}

fn compare(dtype: DType, expected: &[u8], got: &[u8], tolerance: f64) -> Result<(), String> {
    let float = |scalar: Scalar| match scalar {
        Scalar::F32(bits) => Some(f64::from(f32::from_bits(bits))),
        Scalar::F64(bits) => Some(f64::from_bits(bits)),
        _ => None,
    };
    for (i, (e, g)) in expected.chunks(dtype.size()).zip(got.chunks(dtype.size())).enumerate() {
        let (e, g) = (mlp_bundle::loops::scalar::load(dtype, e), mlp_bundle::loops::scalar::load(dtype, g));
        let equal = match (float(e), float(g)) {
            (Some(e), Some(g)) if e.is_nan() || g.is_nan() => e.is_nan() && g.is_nan(),
            (Some(e), Some(g)) => e == g || (e - g).abs() <= tolerance * (1.0 + e.abs()),
            _ => e == g,
        };
        if !equal {
            return Err(format!("element {i} is {g:?}, not {e:?} ({:?} for {:?})", float(g), float(e)));
        }
    }
    Ok(())
}

/// Row-major over `sizes`.
pub fn dense(buffer: BufferId, sizes: &[u32]) -> Access {
    let mut stride = 1;
    let mut dims = Vec::new();
    for (axis, &extent) in sizes.iter().enumerate().rev() {
        dims.insert(0, AccessDim { index: Affine::axis(axis as u8), extent, stride });
        stride *= u64::from(extent);
    }
    Access { buffer, offset: 0, dims, bounds: Bounds::Inside }
}

pub fn load(exprs: &mut Exprs, access: Access) -> ExprId {
    exprs.push(Expr::Load(access))
}

pub fn int(exprs: &mut Exprs, value: i32) -> ExprId {
    exprs.push(Expr::Const(Scalar::I32(value)))
}

pub fn float(exprs: &mut Exprs, value: f32) -> ExprId {
    exprs.push(Expr::Const(Scalar::f32(value)))
}

pub fn binary(exprs: &mut Exprs, op: BinaryOp, x: ExprId, y: ExprId) -> ExprId {
    exprs.push(Expr::Binary(op, x, y))
}

/// An access by channel (axis 1) of an epilogue.
pub fn by_channel(buffer: BufferId, channels: u32) -> Access {
    let dims = vec![AccessDim { index: Affine::axis(1), extent: channels, stride: 1 }];
    Access { buffer, offset: 0, dims, bounds: Bounds::Inside }
}

/// An access by pixel and channel of an epilogue, pixels `stride` elements apart.
pub fn by_pixel(buffer: BufferId, window: &Window, stride: u64, offset: u64) -> Access {
    let dims = vec![
        AccessDim { index: Affine::axis(0), extent: window.pixels(), stride },
        AccessDim { index: Affine::axis(1), extent: window.out_c, stride: 1 },
    ];
    Access { buffer, offset, dims, bounds: Bounds::Inside }
}

pub fn contraction(
    depthwise: bool,
    window: Window,
    arithmetic: Arithmetic,
    input: BufferId,
    weights: BufferId,
    epilogue: Epilogue,
) -> Body {
    if depthwise {
        Body::Depthwise(Depthwise { window, arithmetic, input, weights, epilogue })
    } else {
        Body::Contract(Contract { window, arithmetic, input, weights, per_image: false, scales: None, epilogue })
    }
}

/// Elements of packed weights.
pub fn weights_len(depthwise: bool, w: &Window, arithmetic: Arithmetic) -> usize {
    let taps = w.taps() as usize;
    let channels = w.out_c.next_multiple_of(16) as usize;
    match arithmetic {
        _ if depthwise => taps * channels,
        Arithmetic::F32 => taps * channels * w.in_c as usize,
        Arithmetic::Int8 { .. } => taps * channels * w.in_c.next_multiple_of(4) as usize,
    }
}
