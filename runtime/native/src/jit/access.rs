//! Loads and stores.

use super::emit::{Emitter, LANES, Val};
use super::math::little;
use super::scalar_type;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use mlp_bundle::DType;
use mlp_bundle::loops::{Access, AccessDim, Bounds, Store};

/// An access that does not fault (the verifier has proved it, or indices are clamped), of any alignment.
pub(crate) const fn plain() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

/// A load whose memory nothing stores to while the code runs: it may be moved out of loops.
pub(crate) const fn fixed() -> MemFlagsData {
    MemFlagsData::new().with_notrap().with_readonly().with_can_move()
}

/// How the lanes of an access lie.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pattern {
    /// All lanes at one place.
    Same,
    /// Lanes one after another.
    Adjacent,
    /// Anywhere.
    Scattered,
}

impl Emitter<'_, '_, '_> {
    /// Whether the index of a dimension stays inside over all loops.
    fn is_inside(&self, access: &Access, dim: &AccessDim) -> bool {
        access.bounds == Bounds::Inside
            || (dim.index.dynamic.is_none()
                && dim.index.interval(&self.extents).is_some_and(|(low, high)| low >= 0 && high < i64::from(dim.extent)))
    }

    fn pattern(&mut self, access: &Access) -> Pattern {
        let Some(axis) = self.vector else { return Pattern::Same };
        let mut step = 0_i64;
        for dim in &access.dims {
            if let Some(dynamic) = dim.index.dynamic
                && matches!(self.value(dynamic), Val::Lanes(_))
            {
                return Pattern::Scattered;
            }
            let coefficient = dim.index.coefficient(axis);
            if coefficient != 0 && !self.is_inside(access, dim) {
                return Pattern::Scattered;
            }
            step += coefficient.wrapping_mul(dim.stride as i64);
        }
        match step {
            0 => Pattern::Same,
            1 => Pattern::Adjacent,
            _ => Pattern::Scattered,
        }
    }

    /// The value of an axis in lane `lane`.
    fn axis_at(&mut self, axis: u8, lane: i64) -> Value {
        let value = self.axes[usize::from(axis)];
        if lane > 0 && self.vector == Some(axis) { self.b.ins().iadd_imm_s(value, lane) } else { value }
    }

    /// The address of an access's element (in lane `lane`), and whether all its indices are inside where that is not known.
    fn address(&mut self, access: &Access, lane: i64) -> (Value, Option<Value>, i32) {
        let size = self.kinds[access.buffer.as_u32() as usize].size() as i64;
        let mut constant = access.offset as i64 * size;
        let mut address = self.bases[access.buffer.as_u32() as usize];
        let mut inside: Option<Value> = None;
        // Axes whose index needs no check, each once, the outermost first: what does not change in a loop is then computed before it.
        let mut steps = vec![0_i64; self.axes.len()];
        let mut checked = Vec::new();
        for dim in &access.dims {
            if self.is_inside(access, dim) {
                let bytes = dim.stride as i64 * size;
                constant += dim.index.constant * bytes;
                dim.index.terms.iter().for_each(|&(axis, coefficient)| steps[usize::from(axis)] += coefficient * bytes);
            } else {
                checked.push(dim);
            }
        }
        for dim in checked {
            let (index, within) = self.index(access, dim, lane);
            let bytes = self.int(dim.stride as i64 * size);
            let offset = self.b.ins().imul(index, bytes);
            address = self.b.ins().iadd(address, offset);
            if let Some(within) = within {
                inside = Some(match inside {
                    Some(others) => self.b.ins().band(others, within),
                    None => within,
                });
            }
        }
        for (axis, &bytes) in steps.iter().enumerate() {
            if bytes != 0 {
                let value = self.axis_at(axis as u8, lane);
                let offset = if bytes == 1 { value } else { self.b.ins().imul_imm_s(value, bytes) };
                address = self.b.ins().iadd(address, offset);
            }
        }
        match i32::try_from(constant) {
            Ok(offset) => (address, inside, offset),
            Err(_) => (self.b.ins().iadd_imm_s(address, constant), inside, 0),
        }
    }

    /// The index of a dimension (in lane `lane`), wherever it lies.
    pub(crate) fn raw_index(&mut self, dim: &AccessDim, lane: i64) -> Value {
        let mut index = self.int(dim.index.constant);
        for &(axis, coefficient) in &dim.index.terms {
            let value = self.axis_at(axis, lane);
            let term = self.b.ins().imul_imm_s(value, coefficient);
            index = self.b.ins().iadd(index, term);
        }
        if let Some(dynamic) = dim.index.dynamic {
            let value = self.value(dynamic);
            let value = self.scalar(value, DType::I32, lane);
            let value = self.b.ins().sextend(types::I64, value);
            index = self.b.ins().iadd(index, value);
        }
        index
    }

    /// A clamped index that is one value a lane, clamped in all lanes at once: every lane asks for the same instructions, which are shared.
    fn clamped_lane(&mut self, access: &Access, dim: &AccessDim, lane: i64) -> Option<Value> {
        let dynamic =
            dim.index.dynamic.filter(|_| access.bounds == Bounds::Clamp && dim.index.terms.is_empty() && dim.index.constant == 0)?;
        let Val::Lanes(lanes) = self.value(dynamic) else { return None };
        let (zero, last) = (self.int_lanes(0), self.int_lanes(i32::try_from(i64::from(dim.extent) - 1).ok()?));
        let lanes = self.b.ins().smax(lanes, zero);
        let lanes = self.b.ins().smin(lanes, last);
        let one = self.b.ins().extractlane(lanes, lane as u8);
        Some(self.b.ins().uextend(types::I64, one))
    }

    /// An index that may leave its extent, brought inside; with [`Bounds::Else`], also whether it was.
    fn index(&mut self, access: &Access, dim: &AccessDim, lane: i64) -> (Value, Option<Value>) {
        if let Some(index) = self.clamped_lane(access, dim, lane) {
            return (index, None);
        }
        let index = self.raw_index(dim, lane);
        let zero = self.int(0);
        if let Bounds::Else(_) = access.bounds {
            let extent = self.int(i64::from(dim.extent));
            let within = self.b.ins().icmp(IntCC::UnsignedLessThan, index, extent);
            return (self.b.ins().select(within, index, zero), Some(within));
        }
        let last = self.int(i64::from(dim.extent) - 1);
        let index = self.b.ins().smax(index, zero);
        (self.b.ins().smin(index, last), None)
    }

    pub(crate) fn load(&mut self, access: &Access, dtype: DType) -> Val {
        match self.pattern(access) {
            Pattern::Same => Val::One(self.load_scalar(access, dtype, 0)),
            Pattern::Scattered => Val::Lanes(self.gather(dtype, |e, lane| e.load_scalar(access, dtype, lane))),
            Pattern::Adjacent => {
                let (address, inside, offset) = self.address(access, 0);
                let value = self.load_lanes(access, address, offset);
                let Some(inside) = inside else { return Val::Lanes(value) };
                let other = self.other(access);
                let other = self.lanes(Val::One(other), dtype);
                Val::Lanes(self.b.ins().select(inside, value, other))
            }
        }
    }

    fn other(&mut self, access: &Access) -> Value {
        match access.bounds {
            Bounds::Else(other) => self.constant(other),
            Bounds::Inside | Bounds::Clamp => unreachable!("only an access with another value is conditional"),
        }
    }

    fn flags(&self, access: &Access) -> MemFlagsData {
        if self.stored[access.buffer.as_u32() as usize] { plain() } else { fixed() }
    }

    fn load_scalar(&mut self, access: &Access, dtype: DType, lane: i64) -> Value {
        let (address, inside, offset) = self.address(access, lane);
        let flags = self.flags(access);
        let b = self.b.ins();
        let value = match self.kinds[access.buffer.as_u32() as usize] {
            DType::Bool => {
                let byte = b.load(types::I8, flags, address, offset);
                self.b.ins().icmp_imm_s(IntCC::NotEqual, byte, 0)
            }
            DType::U8 => b.uload8(types::I32, flags, address, offset),
            DType::I8 => b.sload8(types::I32, flags, address, offset),
            DType::U16 => b.uload16(types::I32, flags, address, offset),
            DType::I16 => b.sload16(types::I32, flags, address, offset),
            DType::F16 => {
                let bits = b.uload16(types::I32, flags, address, offset);
                self.call("mlp_widen_f16", types::I32, &[bits], types::F32)
            }
            DType::BF16 => {
                let bits = b.uload16(types::I32, flags, address, offset);
                let bits = self.b.ins().ishl_imm_u(bits, 16);
                self.b.ins().bitcast(types::F32, MemFlagsData::new(), bits)
            }
            _ => b.load(scalar_type(dtype), flags, address, offset),
        };
        let Some(inside) = inside else { return value };
        let other = self.other(access);
        self.b.ins().select(inside, value, other)
    }

    /// Four adjacent elements. Narrow ones are read eight bytes at a time: past a buffer's end lie as many readable ones.
    fn load_lanes(&mut self, access: &Access, address: Value, offset: i32) -> Value {
        let flags = self.flags(access);
        let b = self.b.ins();
        match self.kinds[access.buffer.as_u32() as usize] {
            DType::Bool => {
                let words = b.uload8x8(flags, address, offset);
                let wide = self.b.ins().uwiden_low(words);
                let zero = self.int_lanes(0);
                self.b.ins().icmp(IntCC::NotEqual, wide, zero)
            }
            DType::U8 => {
                let words = b.uload8x8(flags, address, offset);
                self.b.ins().uwiden_low(words)
            }
            DType::I8 => {
                let words = b.sload8x8(flags, address, offset);
                self.b.ins().swiden_low(words)
            }
            DType::U16 => b.uload16x4(flags, address, offset),
            DType::I16 => b.sload16x4(flags, address, offset),
            DType::BF16 => {
                let bits = b.uload16x4(flags, address, offset);
                let places = self.b.ins().iconst(types::I32, 16);
                let bits = self.b.ins().ishl(bits, places);
                self.b.ins().bitcast(types::F32X4, little(), bits)
            }
            DType::F32 => b.load(types::F32X4, flags, address, offset),
            _ => b.load(types::I32X4, flags, address, offset),
        }
    }

    pub(crate) fn store(&mut self, store: &Store) {
        let value = self.value(store.value);
        let dtype = self.dtypes[store.value.as_u32() as usize];
        if self.vector.is_some()
            && self.pattern(&store.access) == Pattern::Adjacent
            && self.kinds[store.access.buffer.as_u32() as usize] != DType::BF16
        {
            let value = self.lanes(value, dtype);
            self.store_lanes(&store.access, value);
            return;
        }
        let lanes = if self.vector.is_some() { LANES } else { 1 };
        for lane in 0..lanes {
            let one = self.scalar(value, dtype, lane);
            self.store_scalar(&store.access, one, lane);
        }
    }

    fn store_scalar(&mut self, access: &Access, value: Value, lane: i64) {
        let (address, _, offset) = self.address(access, lane);
        match self.kinds[access.buffer.as_u32() as usize] {
            DType::U8 | DType::I8 => self.b.ins().istore8(plain(), value, address, offset),
            DType::U16 | DType::I16 => self.b.ins().istore16(plain(), value, address, offset),
            DType::F16 => {
                let bits = self.call("mlp_narrow_f16", types::F32, &[value], types::I32);
                self.b.ins().istore16(plain(), bits, address, offset)
            }
            DType::BF16 => {
                let bits = self.call("mlp_narrow_bf16", types::F32, &[value], types::I32);
                self.b.ins().istore16(plain(), bits, address, offset)
            }
            _ => self.b.ins().store(plain(), value, address, offset),
        };
    }

    /// Stores four lanes side by side, and no byte beside them.
    fn store_lanes(&mut self, access: &Access, value: Value) {
        let (address, _, offset) = self.address(access, 0);
        let mask = match self.kinds[access.buffer.as_u32() as usize] {
            DType::Bool => 1,
            DType::U8 | DType::I8 => 0xff,
            DType::U16 | DType::I16 => 0xffff,
            _ => {
                self.b.ins().store(plain(), value, address, offset);
                return;
            }
        };
        let mask_lanes = self.int_lanes(mask);
        let low = self.b.ins().band(value, mask_lanes);
        let words = self.b.ins().unarrow(low, low);
        let whole = if mask == 0xffff {
            let pairs = self.b.ins().bitcast(types::I64X2, little(), words);
            self.b.ins().extractlane(pairs, 0)
        } else {
            let bytes = self.b.ins().unarrow(words, words);
            let quads = self.b.ins().bitcast(types::I32X4, little(), bytes);
            self.b.ins().extractlane(quads, 0)
        };
        self.b.ins().store(plain(), whole, address, offset);
    }
}
