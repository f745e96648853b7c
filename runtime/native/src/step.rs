//! The kernels of a plan as runnable steps.

use crate::finish::{Form, Plane, Reader};
use crate::jit::{Code, EpilogueFn, Jit, NestFn};
use crate::map::release;
use crate::program::{self, EpilogueSteps, Line, RowSteps, Source};
use crate::{CompileError, jit, offset};
use mlp_bundle::DType;
use mlp_bundle::loops::{self, Arithmetic, Body, BufferId, Contract, Depthwise, Epilogue, Expr, Kernel, Nest, Rows, Scales, Strided};
use mlp_bundle::plan::{Place, Plan};
use mlp_kernels::{
    Attention, AttentionBuffers, AttentionShape, Contraction, ContractionBuffers, DepthwiseBuffers, DepthwiseConv, EpilogueProgram,
    EpilogueSource, FinishF32, FinishI8, HeadStrides, Kernels, Raw, Requantization, ResidualAdd, RowPlace, RowsProgram, Stored, Window,
    Winograd,
};
use std::ops::Range;

/// A step whose code is not yet at its final address.
pub(crate) struct Pending {
    work: Work<Code>,
    cost: u64,
}

/// One kernel, ready to run.
pub(crate) struct Step {
    work: Work<Linked>,
    /// Estimated nanoseconds on one thread.
    cost: u64,
    kernels: &'static Kernels,
}

/// Code and the addresses it takes.
pub(crate) struct Linked {
    nest: Option<NestFn>,
    epilogue: Option<EpilogueFn>,
    outer: u64,
}

enum Work<C> {
    Nest {
        code: C,
        bases: Vec<*mut u8>,
    },
    /// Rows by vector steps.
    Rows {
        program: RowsProgram,
    },
    Attention {
        attention: Box<Attention>,
        buffers: AttentionBuffers,
    },
    Contract {
        conv: Contraction,
        input: *const u8,
        weights: *const u8,
        /// Of weights that are kept in fewer bits.
        scales: *const f32,
        finish: Finish<C>,
    },
    /// A convolution by tiles, with its weights transformed.
    Winograd {
        conv: Box<Winograd>,
        input: *const u8,
        finish: Finish<C>,
    },
    Depthwise {
        conv: DepthwiseConv,
        input: *const u8,
        weights: *const u8,
        finish: Finish<C>,
    },
}

/// What is done with sums.
enum Finish<C> {
    F32(FinishF32),
    Int8 { requantization: Requantization, out: *mut u8, out_pixel: usize, residual: *const u8, residual_pixel: usize, add: ResidualAdd },
    Program(EpilogueProgram),
    Code { code: C, bases: Vec<*mut u8> },
}

/// How sums are finished, and the bias that they begin with: of `f32`, of integers.
type Ending = (Finish<Code>, Vec<f32>, Vec<i32>);

/// Makes steps of kernels.
pub(crate) struct Builder<'a> {
    pub plan: &'a Plan,
    pub kernels: &'static Kernels,
    pub threads: usize,
    pub arena: *mut u8,
    pub weights: &'a [u8],
    pub jit: &'a mut Jit,
}

impl Builder<'_> {
    pub(crate) fn prepare(&mut self, kernel: &Kernel) -> Result<Pending, CompileError> {
        match &kernel.body {
            Body::Nest(nest) if let Some(program) = program::nest(self.plan, nest).and_then(|made| self.rows(made)) => {
                Ok(Pending { work: Work::Rows { program }, cost: nest_cost(nest) / 8 })
            }
            Body::Nest(nest) => {
                let code = self.jit.nest(self.plan, nest)?;
                let bases = self.bases(&code);
                Ok(Pending { work: Work::Nest { code, bases }, cost: nest_cost(nest) })
            }
            Body::Contract(contract) => self.contract(contract, &kernel.name),
            Body::Depthwise(depthwise) => self.depthwise(depthwise, &kernel.name),
            Body::Attention(attention) => self.attention(attention, &kernel.name),
            Body::Rows(rows) if let Some(program) = program::rows(self.plan, rows).and_then(|made| self.rows(made)) => {
                Ok(Pending { work: Work::Rows { program }, cost: rows_cost(rows) / 4 })
            }
            Body::Rows(rows) => {
                let code = self.jit.rows(self.plan, rows)?;
                let bases = self.bases(&code);
                Ok(Pending { work: Work::Nest { code, bases }, cost: rows_cost(rows) })
            }
        }
    }

    /// The address of a buffer. Only code that the verifier has kept from storing to weights gets those.
    fn address(&self, buffer: BufferId) -> *mut u8 {
        let start = offset(self.plan, buffer);
        match self.plan.buffers[buffer].place {
            Place::Arena { .. } => self.arena.wrapping_add(start),
            Place::Weights { .. } => self.weights.as_ptr().cast_mut().wrapping_add(start),
        }
    }

    fn bases(&self, code: &Code) -> Vec<*mut u8> {
        code.places.iter().map(|place: &jit::Place| self.start(place.buffer, place.element as usize)).collect()
    }

    fn plane<T>(&self, plane: &Plane) -> *mut T {
        self.start(plane.buffer, plane.element).cast()
    }

    fn packed(&self, weights: BufferId) -> &[u8] {
        let start = offset(self.plan, weights);
        &self.weights[start..start + self.plan.buffers[weights].bytes() as usize]
    }

    fn finish(&mut self, epilogue: &Epilogue, arithmetic: Arithmetic, window: &Window, depth: usize) -> Result<Ending, CompileError> {
        let reader = Reader {
            plan: self.plan,
            weights: self.weights,
            epilogue,
            pixels: window.pixels() as u32,
            channels: window.out_c,
            depth: depth as u64,
        };
        Ok(match reader.form(arithmetic.total()) {
            Some(Form::F32 { bias, residual, lo, hi, out }) => {
                let (source, residual_pixel, residual_cols) = residual
                    .map_or((std::ptr::null(), 0, 0), |(plane, channels)| (self.plane::<f32>(&plane).cast_const(), plane.pixel, channels));
                let finish =
                    FinishF32 { out: self.plane(&out), out_pixel: out.pixel, residual: source, residual_pixel, residual_cols, lo, hi };
                (Finish::F32(finish), bias, Vec::new())
            }
            Some(Form::Int8 { bias, requantization, residual, out }) => {
                let (source, residual_pixel, add) = residual.map_or((std::ptr::null(), 0, ResidualAdd::default()), |(plane, add)| {
                    (self.plane::<u8>(&plane).cast_const(), plane.pixel, add)
                });
                let finish =
                    Finish::Int8 { requantization, out: self.plane(&out), out_pixel: out.pixel, residual: source, residual_pixel, add };
                (finish, Vec::new(), bias)
            }
            None if let Some(program) = self.program(&reader, arithmetic.total()) => (Finish::Program(program), Vec::new(), Vec::new()),
            None => {
                let extents = [window.pixels() as u32, window.out_c as u32];
                let code = self.jit.epilogue(self.plan, epilogue, arithmetic.total(), extents)?;
                let bases = self.bases(&code);
                (Finish::Code { code, bases }, Vec::new(), Vec::new())
            }
        })
    }

    /// The epilogue as a program of vector steps, where it is one.
    fn program(&self, reader: &Reader<'_>, total: DType) -> Option<EpilogueProgram> {
        let EpilogueSteps { steps, sources, element, out } = reader.program(total)?;
        let source = |source| match source {
            Source::Channel(values) => EpilogueSource::Channel(values),
            Source::Pixel(element, plane) => EpilogueSource::Pixel(element, self.start(plane.buffer, plane.element), plane.pixel),
            Source::Each(element, plane) => EpilogueSource::Each(element, self.start(plane.buffer, plane.element), plane.pixel),
        };
        let to = (element, self.start(out.buffer, out.element), out.pixel);
        EpilogueProgram::new(&steps, sources.into_iter().map(source).collect(), reader.channels, to)
    }

    /// The address of an element of a buffer.
    fn start(&self, buffer: BufferId, element: usize) -> *mut u8 {
        self.address(buffer).wrapping_add(element * self.plan.buffers[buffer].dtype.size())
    }

    /// A kernel over rows as a program of vector steps.
    fn rows(&self, made: RowSteps) -> Option<RowsProgram> {
        let RowSteps { parallel, length, steps, sources, reductions, stores } = made;
        let place = |line: Line| {
            let Line { buffer, element, first, steps, along } = line;
            RowPlace { element, at: self.start(buffer, first), steps, along }
        };
        let sources = sources.into_iter().map(place).collect();
        let stores = stores.into_iter().map(|(line, step)| (place(line), step)).collect();
        RowsProgram::new((parallel, length), &steps, sources, &reductions, stores)
    }

    fn contract(&mut self, contract: &Contract, name: &str) -> Result<Pending, CompileError> {
        let window = window(&contract.window);
        let (finish, bias, int_bias) =
            self.finish(&contract.epilogue, contract.arithmetic, &window, window.kernel[0] * window.kernel[1] * window.in_c)?;
        let input = self.address(contract.input).cast_const();
        let stored = self.stored(contract);
        if contract.arithmetic == Arithmetic::F32
            && stored.is_none()
            && matches!(self.plan.buffers[contract.weights].place, Place::Weights { .. })
            && let Some(conv) = Winograd::new(self.kernels, window, self.packed(contract.weights), &bias, self.threads)
        {
            release(self.packed(contract.weights));
            let cost = conv.macs() / 40;
            return Ok(Pending { work: Work::Winograd { conv: Box::new(conv), input, finish }, cost });
        }
        let conv = match contract.arithmetic {
            Arithmetic::F32 => match stored {
                Some(stored) => Contraction::narrow(self.kernels, window, stored, &bias, self.threads),
                None if contract.per_image => Contraction::per_image(self.kernels, window, &bias, self.threads),
                None => Contraction::f32(self.kernels, window, &bias, self.threads),
            },
            Arithmetic::Int8 { pad_value } => {
                let signed = self.plan.buffers[contract.input].dtype == DType::I8;
                Contraction::int8(self.kernels, window, signed, pad_value, self.packed(contract.weights), &int_bias, self.threads)
            }
        };
        let conv = conv.ok_or_else(|| CompileError::Window { kernel: name.into() })?;
        if conv.has_own_weights() {
            release(self.packed(contract.weights));
        }
        let weights = self.address(contract.weights).cast_const();
        let scales = contract.scales.map_or(std::ptr::null(), |scales| self.address(scales.buffer).cast_const().cast());
        // About forty multiplications a nanosecond.
        let cost = conv.macs() / 40;
        Ok(Pending { work: Work::Contract { conv, input, weights, scales, finish }, cost })
    }

    /// How the weights of a product of floats are kept, where that is not as floats.
    fn stored(&self, contract: &Contract) -> Option<Stored> {
        self.plan.stored(contract).map(|stored| match stored {
            loops::Stored::Half => Stored::F16,
            loops::Stored::Brain => Stored::BF16,
            loops::Stored::Whole(Scales { per, bits: 4, .. }) => Stored::I4 { per: per as usize },
            loops::Stored::Whole(Scales { per, .. }) => Stored::I8 { per: per as usize },
        })
    }

    fn depthwise(&mut self, depthwise: &Depthwise, name: &str) -> Result<Pending, CompileError> {
        let window = window(&depthwise.window);
        let (finish, bias, int_bias) =
            self.finish(&depthwise.epilogue, depthwise.arithmetic, &window, window.kernel[0] * window.kernel[1])?;
        let conv = match depthwise.arithmetic {
            Arithmetic::F32 => DepthwiseConv::f32(self.kernels, window, &bias),
            Arithmetic::Int8 { pad_value } => {
                let signed = self.plan.buffers[depthwise.input].dtype == DType::I8;
                let conv = DepthwiseConv::int8(self.kernels, window, signed, pad_value, self.packed(depthwise.weights), &int_bias);
                release(self.packed(depthwise.weights));
                conv
            }
        };
        let conv = conv.ok_or_else(|| CompileError::Window { kernel: name.into() })?;
        let (input, weights) = (self.address(depthwise.input).cast_const(), self.address(depthwise.weights).cast_const());
        let cost = conv.macs() / 15;
        Ok(Pending { work: Work::Depthwise { conv, input, weights, finish }, cost })
    }

    fn attention(&mut self, a: &loops::Attention, name: &str) -> Result<Pending, CompileError> {
        let shape = AttentionShape {
            batch: a.batch as usize,
            heads: a.heads as usize,
            rows: a.rows as usize,
            keys: a.keys as usize,
            depth: a.depth as usize,
            width: a.width as usize,
            scale: a.factor(),
            guarded: a.guarded,
            query: head_strides(&a.query),
            key: head_strides(&a.key),
            value: head_strides(&a.value),
            out: head_strides(&a.out),
            mask: a.mask.map(|mask| {
                let strides = HeadStrides { batch: mask.batch as usize, head: mask.head as usize, row: mask.row as usize };
                (strides, mask.key as usize)
            }),
        };
        let attention = Attention::new(self.kernels, shape, self.threads).ok_or_else(|| CompileError::Window { kernel: name.into() })?;
        let start = |buffer: BufferId, offset: u64| self.start(buffer, offset as usize).cast::<f32>();
        let buffers = AttentionBuffers {
            query: start(a.query.buffer, a.query.offset),
            key: start(a.key.buffer, a.key.offset),
            value: start(a.value.buffer, a.value.offset),
            mask: a.mask.map_or(std::ptr::null(), |mask| start(mask.buffer, mask.offset)),
            out: start(a.out.buffer, a.out.offset),
            scratch: std::ptr::null_mut(),
        };
        let cost = attention.macs() / 25;
        Ok(Pending { work: Work::Attention { attention: Box::new(attention), buffers }, cost })
    }
}

fn head_strides(view: &Strided) -> HeadStrides {
    HeadStrides { batch: view.batch as usize, head: view.head as usize, row: view.row as usize }
}

fn window(w: &mlp_bundle::loops::Window) -> Window {
    let pair = |[a, b]: [u32; 2]| [a as usize, b as usize];
    Window {
        batch: w.batch as usize,
        in_h: w.in_h as usize,
        in_w: w.in_w as usize,
        in_c: w.in_c as usize,
        in_pixel: w.in_pixel as usize,
        in_offset: w.in_offset as usize,
        out_h: w.out_h as usize,
        out_w: w.out_w as usize,
        out_c: w.out_c as usize,
        kernel: pair(w.kernel),
        stride: pair(w.stride),
        dilation: pair(w.dilation),
        pad: pair(w.pad),
    }
}

/// A guess at a nest's nanoseconds: half of one an expression and point that is not a constant.
fn nest_cost(nest: &Nest) -> u64 {
    let points = nest.parallel.iter().fold(1_u64, |n, &extent| n.saturating_mul(u64::from(extent)));
    let inside = nest.reduce.iter().fold(1_u64, |n, extent| n.saturating_mul(u64::from(extent.max())));
    let exprs = nest.exprs.values().filter(|expr| !matches!(expr, Expr::Const(_) | Expr::Axis(_))).count() as u64;
    points.saturating_mul(inside).saturating_mul(exprs) / 2
}

/// A guess at the nanoseconds of a kernel over rows, as [`nest_cost`] guesses.
fn rows_cost(rows: &Rows) -> u64 {
    let exprs = rows.exprs.values().filter(|expr| !matches!(expr, Expr::Const(_) | Expr::Axis(_))).count() as u64;
    rows.rows().saturating_mul(u64::from(rows.length)).saturating_mul(exprs) / 4
}

impl Pending {
    /// Takes the code's final address.
    pub(crate) fn link(self, jit: &mut Jit, kernels: &'static Kernels) -> Step {
        let finish = |finish: Finish<Code>, jit: &mut Jit| match finish {
            Finish::F32(f) => Finish::F32(f),
            Finish::Int8 { requantization, out, out_pixel, residual, residual_pixel, add } => {
                Finish::Int8 { requantization, out, out_pixel, residual, residual_pixel, add }
            }
            Finish::Program(program) => Finish::Program(program),
            Finish::Code { code, bases } => {
                Finish::Code { code: Linked { nest: None, epilogue: Some(jit.epilogue_fn(&code)), outer: 0 }, bases }
            }
        };
        let work = match self.work {
            Work::Nest { code, bases } => {
                Work::Nest { code: Linked { nest: Some(jit.nest_fn(&code)), epilogue: None, outer: code.outer }, bases }
            }
            Work::Rows { program } => Work::Rows { program },
            Work::Attention { attention, buffers } => Work::Attention { attention, buffers },
            Work::Contract { conv, input, weights, scales, finish: f } => {
                Work::Contract { conv, input, weights, scales, finish: finish(f, jit) }
            }
            Work::Winograd { conv, input, finish: f } => Work::Winograd { conv, input, finish: finish(f, jit) },
            Work::Depthwise { conv, input, weights, finish: f } => Work::Depthwise { conv, input, weights, finish: finish(f, jit) },
        };
        Step { work, cost: self.cost, kernels }
    }
}

impl Step {
    /// Working memory that each thread needs.
    pub(crate) fn scratch_bytes(&self) -> usize {
        match &self.work {
            Work::Nest { .. } | Work::Rows { .. } => 0,
            Work::Attention { attention, .. } => attention.scratch_bytes(),
            Work::Contract { conv, .. } => conv.scratch_bytes(),
            Work::Winograd { conv, .. } => conv.scratch_bytes(),
            Work::Depthwise { conv, .. } => conv.scratch_bytes(),
        }
    }

    pub(crate) fn method(&self) -> &'static str {
        match &self.work {
            Work::Nest { .. } => "nest",
            Work::Rows { .. } => "steps",
            Work::Contract { finish: Finish::Code { .. }, .. } | Work::Depthwise { finish: Finish::Code { .. }, .. } => "tiles+code",
            Work::Winograd { finish: Finish::Code { .. }, .. } => "winograd+code",
            Work::Winograd { .. } => "winograd",
            Work::Contract { .. } | Work::Depthwise { .. } | Work::Attention { .. } => "tiles",
        }
    }

    /// Pieces of work, all independent.
    pub(crate) fn items(&self) -> usize {
        match &self.work {
            Work::Nest { code, .. } => code.outer as usize,
            Work::Rows { program } => program.rows(),
            Work::Attention { attention, .. } => attention.items(),
            Work::Contract { conv, .. } => conv.items(),
            Work::Winograd { conv, .. } => conv.items(),
            Work::Depthwise { conv, .. } => conv.items(),
        }
    }

    /// Estimated nanoseconds on one thread.
    pub(crate) fn cost(&self) -> u64 {
        self.cost
    }

    /// The items of one of `shares` threads.
    pub(crate) fn share(&self, index: usize, shares: usize) -> Box<dyn Iterator<Item = Range<usize>> + '_> {
        let items = self.items();
        match &self.work {
            Work::Depthwise { conv, .. } => Box::new(conv.share(index, shares)),
            _ => Box::new(std::iter::once(index * items / shares..(index + 1) * items / shares)),
        }
    }

    /// Runs some of the step's items.
    ///
    /// # Safety
    /// The program's memory is alive, no one else runs these items or writes what they read, and `scratch` is [`Step::scratch_bytes`] bytes for this thread alone.
    pub(crate) unsafe fn run_items(&self, items: Range<usize>, scratch: *mut u8, symbols: &[u32]) {
        // SAFETY: the caller's promise: addresses are of live memory, and the verifier has proved every access.
        unsafe {
            match &self.work {
                Work::Nest { code, bases } => {
                    if let Some(f) = code.nest {
                        f(bases.as_ptr(), symbols.as_ptr(), items.start as u64, items.end as u64);
                    }
                }
                Work::Rows { program } => self.kernels.run_rows(program, items),
                Work::Attention { attention, buffers } => attention.run(items, &AttentionBuffers { scratch, ..*buffers }),
                Work::Contract { conv, input, weights, scales, finish } => {
                    let buffers = ContractionBuffers { input: *input, weights: *weights, scales: *scales, scratch };
                    match finish {
                        Finish::F32(f) => conv.run_f32(items, &buffers, f),
                        Finish::Int8 { .. } => conv.run_i8(items, &buffers, &finish.int8()),
                        Finish::Program(program) => conv.run_sums(items, &buffers, |sums| self.kernels.run_program(program, &sums)),
                        Finish::Code { code, bases } => conv.run_sums(items, &buffers, |sums| code.epilogue(bases, symbols, &sums)),
                    }
                }
                Work::Winograd { conv, input, finish } => {
                    let buffers = ContractionBuffers { input: *input, weights: std::ptr::null(), scales: std::ptr::null(), scratch };
                    match finish {
                        Finish::F32(f) => conv.run_f32(items, &buffers, f),
                        Finish::Int8 { .. } => unreachable!("its sums are floats"),
                        Finish::Program(program) => conv.run_sums(items, &buffers, |sums| self.kernels.run_program(program, &sums)),
                        Finish::Code { code, bases } => conv.run_sums(items, &buffers, |sums| code.epilogue(bases, symbols, &sums)),
                    }
                }
                Work::Depthwise { conv, input, weights, finish } => {
                    let buffers = DepthwiseBuffers { input: *input, weights: *weights, scratch };
                    match finish {
                        Finish::F32(f) => conv.run_f32(items, &buffers, f),
                        Finish::Int8 { .. } => conv.run_i8(items, &buffers, &finish.int8()),
                        Finish::Program(program) => conv.run_sums(items, &buffers, |sums| self.kernels.run_program(program, &sums)),
                        Finish::Code { code, bases } => conv.run_sums(items, &buffers, |sums| code.epilogue(bases, symbols, &sums)),
                    }
                }
            }
        }
    }
}

impl Linked {
    /// Runs generated code over a block of sums.
    ///
    /// # Safety
    /// As for [`Step::run_items`].
    unsafe fn epilogue(&self, bases: &[*mut u8], symbols: &[u32], sums: &Raw) {
        let end = |first: usize, count: usize| (first + count) as u64;
        if let Some(f) = self.epilogue {
            let (m0, m1) = (sums.pixel as u64, end(sums.pixel, sums.rows));
            let (c0, c1) = (sums.channel as u64, end(sums.channel, sums.cols));
            // SAFETY: the caller's promise.
            unsafe { f(bases.as_ptr(), symbols.as_ptr(), sums.at, sums.stride as u64, m0, m1, c0, c1) }
        }
    }
}

impl Finish<Linked> {
    fn int8(&self) -> FinishI8<'_> {
        match self {
            Finish::Int8 { requantization, out, out_pixel, residual, residual_pixel, add } => FinishI8 {
                out: *out,
                out_pixel: *out_pixel,
                requantization,
                residual: *residual,
                residual_pixel: *residual_pixel,
                add: *add,
            },
            Finish::F32(_) | Finish::Program(_) | Finish::Code { .. } => unreachable!("asked of integer forms only"),
        }
    }
}
