//! The storage buffers of one module: which element type each is declared with, and how elements are read and written.
//!
//! WGSL has no memory narrower than 32 bits, so a buffer of bytes or halves is an array of words. A word is stored whole wherever four
//! neighbouring elements belong to one invocation; where they do not, the array is atomic and each element is set by an `and` and an `or`,
//! which no neighbour's store can undo.

use super::helpers::Helpers;
use super::literal::type_name;
use mlp_bundle::dtype::DType;
use mlp_bundle::loops::BufferId;
use mlp_bundle::plan::{Place, Plan};
use std::fmt::Write;

/// Bytes to which WebGPU aligns the start of a binding.
pub(super) const BINDING_ALIGN: u64 = 256;

/// Elements from the start of a buffer's binding to the buffer's start.
pub(super) fn shift(plan: &Plan, buffer: BufferId) -> u64 {
    match plan.buffers[buffer].place {
        Place::Weights { offset } => (offset % BINDING_ALIGN) / plan.buffers[buffer].dtype.size() as u64,
        Place::Arena { .. } => 0,
    }
}

/// What one access asks of its buffer's declaration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Four elements at a multiple of four.
    Quad,
    /// Sixteen bytes at a multiple of sixteen, of a byte buffer.
    Sixteen,
    /// Single elements.
    Single,
    /// Stores of single elements narrower than a word.
    Narrow,
}

/// How a buffer is declared.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// `array<T>` of one compute type.
    Scalars,
    /// `array<vec4<T>>`.
    Quads,
    /// `array<u32>` over narrower elements.
    Words,
    /// `array<vec4u>` over bytes.
    WordQuads,
    /// `array<atomic<u32>>` over narrower elements.
    Atomic,
    /// `array<vec2u>` over 64-bit integers.
    Pairs,
}

/// One buffer bound to the module.
pub(super) struct Bound {
    pub(super) buffer: BufferId,
    pub(super) dtype: DType,
    pub(super) written: bool,
    /// Elements from the binding's start to the buffer's start.
    pub(super) shift: u64,
    needs: Vec<Need>,
}

impl Bound {
    pub(super) fn view(&self) -> View {
        let all = |need| self.needs.iter().all(|&n| n == need);
        match self.dtype.size() {
            8 => View::Pairs,
            4 if all(Need::Quad) => View::Quads,
            4 => View::Scalars,
            _ if self.needs.contains(&Need::Narrow) => View::Atomic,
            _ if all(Need::Sixteen) => View::WordQuads,
            _ => View::Words,
        }
    }
}

/// All buffers of a module, in the order of their bindings.
#[derive(Default)]
pub(super) struct Bindings {
    bound: Vec<Bound>,
}

impl Bindings {
    /// Notes an access before any code is made.
    pub(super) fn note(&mut self, plan: &Plan, buffer: BufferId, need: Need, written: bool) -> Result<(), String> {
        if let Some(bound) = self.bound.iter_mut().find(|bound| bound.buffer == buffer) {
            bound.needs.push(need);
            bound.written |= written;
            return Ok(());
        }
        let declared = &plan.buffers[buffer];
        if declared.dtype == DType::F64 {
            return Err(format!("buffer `{}` holds f64, which WebGPU has not; use f32", declared.name));
        }
        let shift = shift(plan, buffer);
        if declared.len + shift > i32::MAX as u64 {
            return Err(format!("buffer `{}` has {} elements; a kernel addresses at most 2147483647", declared.name, declared.len));
        }
        self.bound.push(Bound { buffer, dtype: declared.dtype, written, shift, needs: vec![need] });
        Ok(())
    }

    pub(super) fn all(&self) -> &[Bound] {
        &self.bound
    }

    /// The buffer's binding; it was noted before.
    pub(super) fn get(&self, buffer: BufferId) -> &Bound {
        &self.bound[self.number(buffer)]
    }

    fn number(&self, buffer: BufferId) -> usize {
        self.bound.iter().position(|bound| bound.buffer == buffer).expect("every buffer is noted before code reads it")
    }

    /// The buffer's name in the module.
    pub(super) fn name(&self, buffer: BufferId) -> String {
        format!("b{}", self.number(buffer))
    }

    /// The declarations.
    pub(super) fn declarations(&self) -> String {
        let mut out = String::new();
        for (number, bound) in self.bound.iter().enumerate() {
            let mode = if bound.written { "read_write" } else { "read" };
            let element = match bound.view() {
                View::Scalars => type_name(bound.dtype, false),
                View::Quads => type_name(bound.dtype, true),
                View::Words => "u32",
                View::WordQuads => "vec4u",
                View::Atomic => "atomic<u32>",
                View::Pairs => "vec2u",
            };
            let _ = writeln!(out, "@group(0) @binding({number}) var<storage,{mode}> b{number}:array<{element}>;");
        }
        out
    }

    /// Reads one element at an index that is a name or a number.
    pub(super) fn read(&self, buffer: BufferId, index: &str) -> String {
        let bound = self.get(buffer);
        let name = self.name(buffer);
        let per_word = 4 / bound.dtype.size().min(4);
        let word = match bound.view() {
            View::Scalars | View::Pairs => return format!("{name}[{index}]"),
            View::Quads => return format!("{name}[{index}>>2u][{index}&3]"),
            View::Words => format!("{name}[{index}>>{}u]", per_word / 2),
            View::WordQuads => format!("{name}[{index}>>4u][({index}>>2u)&3]"),
            View::Atomic => format!("atomicLoad(&{name}[{index}>>{}u])", per_word / 2),
        };
        let bits = 32 / per_word;
        let shift = format!("u32({index}&{})*{bits}u", per_word - 1);
        match bound.dtype {
            DType::Bool => format!("(extractBits({word},{shift},8u)!=0u)"),
            DType::U8 | DType::U16 => format!("i32(extractBits({word},{shift},{bits}u))"),
            DType::I8 | DType::I16 => format!("extractBits(bitcast<i32>({word}),{shift},{bits}u)"),
            DType::F16 => format!("unpack2x16float({word})[{index}&1]"),
            _ => format!("bitcast<f32>(({word}>>({shift}))<<16u)"),
        }
    }

    /// Reads four elements; `quad` is their index divided by four, a name or a number.
    pub(super) fn read_quad(&self, helpers: &mut Helpers, buffer: BufferId, quad: &str) -> String {
        let bound = self.get(buffer);
        let name = self.name(buffer);
        let word = |n: usize| match (bound.view(), bound.dtype.size()) {
            (_, 1) => self.read_word(buffer, quad),
            (View::Atomic, _) => format!("atomicLoad(&{name}[{quad}*2+{n}])"),
            (_, _) => format!("{name}[{quad}*2+{n}]"),
        };
        match bound.dtype {
            DType::U8 => format!("{}({})", helpers.need("u4"), word(0)),
            DType::I8 => format!("{}({})", helpers.need("sx"), word(0)),
            DType::Bool => format!("({}({})!=vec4i(0))", helpers.need("u4"), word(0)),
            DType::F16 => format!("vec4f(unpack2x16float({}),unpack2x16float({}))", word(0), word(1)),
            DType::BF16 => {
                let (a, b) = (word(0), word(1));
                format!("bitcast<vec4f>((vec2u({a},{b}).xxyy<<vec4u(16,0,16,0))&vec4u(4294901760u))")
            }
            DType::U16 => format!("bitcast<vec4i>((vec2u({},{}).xxyy>>vec4u(0,16,0,16))&vec4u(65535))", word(0), word(1)),
            DType::I16 => format!("(bitcast<vec4i>(vec2u({},{}).xxyy<<vec4u(16,0,16,0))>>vec4u(16))", word(0), word(1)),
            _ if bound.view() == View::Quads => format!("{name}[{quad}]"),
            dtype => {
                let element = |n| format!("{name}[{quad}*4+{n}]");
                format!("{}({},{},{},{})", type_name(dtype, true), element(0), element(1), element(2), element(3))
            }
        }
    }

    /// Reads four bytes as their word; `quad` is their index divided by four, a name or a number.
    pub(super) fn read_word(&self, buffer: BufferId, quad: &str) -> String {
        let name = self.name(buffer);
        match self.get(buffer).view() {
            View::WordQuads => format!("{name}[{quad}>>2u][{quad}&3]"),
            View::Atomic => format!("atomicLoad(&{name}[{quad}])"),
            _ => format!("{name}[{quad}]"),
        }
    }

    /// Stores one value, a name, at an index that is a name or a number.
    pub(super) fn write(&self, helpers: &mut Helpers, buffer: BufferId, index: &str, value: &str) -> String {
        let bound = self.get(buffer);
        let name = self.name(buffer);
        match bound.view() {
            View::Quads => return format!("{name}[{index}>>2u][{index}&3]={value};\n"),
            View::Scalars | View::Pairs => return format!("{name}[{index}]={value};\n"),
            View::Words | View::WordQuads | View::Atomic => {}
        }
        let size = bound.dtype.size();
        let (by, mask) = if size == 1 { (2, 255) } else { (1, 65535) };
        let bits = narrow(helpers, bound.dtype, value);
        let shift = format!("(u32({index}&{})*{}u)", 4 / size - 1, 8 * size);
        let word = format!("&{name}[{index}>>{by}u]");
        format!("atomicAnd({word},~({mask}u<<{shift}));\natomicOr({word},({bits}&{mask}u)<<{shift});\n")
    }

    /// Stores four values, a name; `quad` is their index divided by four, a name or a number.
    pub(super) fn write_quad(&self, helpers: &mut Helpers, buffer: BufferId, quad: &str, value: &str) -> String {
        let bound = self.get(buffer);
        let name = self.name(buffer);
        let set = |target: String, word: String| match bound.view() {
            View::Atomic => format!("atomicStore(&{target},{word});\n"),
            _ => format!("{target}={word};\n"),
        };
        match (bound.dtype, bound.view()) {
            (DType::U8 | DType::I8, _) => set(format!("{name}[{quad}]"), format!("{}({value})", helpers.need("p4"))),
            (DType::Bool, _) => set(format!("{name}[{quad}]"), format!("{}(vec4i({value}))", helpers.need("p4"))),
            (dtype, _) if dtype.size() == 2 => (0..2)
                .map(|half| {
                    let low = narrow(helpers, dtype, &format!("{value}[{}]", half * 2));
                    let high = narrow(helpers, dtype, &format!("{value}[{}]", half * 2 + 1));
                    set(format!("{name}[{quad}*2+{half}]"), format!("({low}&65535u)|({high}<<16u)"))
                })
                .collect(),
            (_, View::Quads) => set(format!("{name}[{quad}]"), value.to_owned()),
            _ => (0..4).map(|lane| set(format!("{name}[{quad}*4+{lane}]"), format!("{value}[{lane}]"))).collect(),
        }
    }
}

/// The low bits of a word that hold a value of a narrow type; higher bits are anything.
fn narrow(helpers: &mut Helpers, dtype: DType, value: &str) -> String {
    match dtype {
        DType::F16 => format!("{}({value})", helpers.need("hf")),
        DType::BF16 => format!("{}({value})", helpers.need("bf")),
        _ => format!("u32({value})"),
    }
}
