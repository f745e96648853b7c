//! Indices that may leave their extent, checked while a module runs.

use super::address::Check;
use super::code::{Code, Local};
use super::eval::Eval;
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

impl Eval<'_> {
    /// The bytes that a checked index adds, and whether it is inside.
    pub(crate) fn check(&mut self, check: &Check, size: usize, clamps: bool) -> (Local, Option<Local>) {
        let wide = check.index.dynamic.is_some() && (check.index.constant != 0 || !check.index.terms.is_empty());
        self.push_index(check, wide);
        let ty = if wide { ValType::I64 } else { ValType::I32 };
        let index = self.code.take(ty);
        let code = &mut self.code;
        let constant = |code: &mut Code, value: u32| code.op(if wide { I::I64Const(value.into()) } else { I::I32Const(value as i32) });
        let mut inside = None;
        if clamps {
            for (limit, beyond) in
                [(0, if wide { I::I64LtS } else { I::I32LtS }), (check.extent - 1, if wide { I::I64GtS } else { I::I32GtS })]
            {
                constant(code, limit);
                code.get(index);
                code.get(index);
                constant(code, limit);
                code.ops([beyond, I::Select]);
                code.set(index);
            }
        } else {
            code.get(index);
            constant(code, check.extent);
            code.op(if wide { I::I64LtU } else { I::I32LtU });
            inside = Some(code.take(ValType::I32));
        }
        code.get(index);
        if wide {
            code.op(I::I32WrapI64);
        }
        let bytes = check.stride * size as u64;
        if bytes != 1 {
            code.ops([I::I32Const(bytes as u32 as i32), I::I32Mul]);
        }
        (code.take(ValType::I32), inside)
    }

    /// The bytes that a checked index adds at the first of four lanes that go along it, whether some lane is inside, and which are. The axis' variable has
    /// the first lane's position.
    pub(crate) fn check_lanes(&mut self, check: &Check, size: usize) -> (Local, (Local, Local)) {
        self.push_index(check, false);
        let index = self.code.take(ValType::I32);
        let code = &mut self.code;
        code.get(index);
        code.ops([I::I32Const(3), I::I32Add, I::I32Const((check.extent + 3) as i32), I::I32LtU]);
        let any = code.take(ValType::I32);
        code.get(index);
        code.ops([I::I32x4Splat, I::V128Const((1 << 32) | 2 << 64 | 3 << 96), I::I32x4Add]);
        code.splat_bits(check.extent);
        code.op(I::I32x4LtU);
        let inside = code.take(ValType::V128);
        code.get(index);
        code.ops([I::I32Const(size as i32), I::I32Mul]);
        (code.take(ValType::I32), (any, inside))
    }

    /// Pushes an index; 64 bits wide where a dynamic part is added to, so that it cannot wrap.
    fn push_index(&mut self, check: &Check, wide: bool) {
        let mut pushed = false;
        let add = |code: &mut Code, pushed: &mut bool| {
            if std::mem::replace(pushed, true) {
                code.op(I::I32Add);
            }
        };
        if check.index.constant != 0 || (check.index.terms.is_empty() && check.index.dynamic.is_none()) {
            self.code.i32(check.index.constant as i32);
            add(&mut self.code, &mut pushed);
        }
        for &(axis, coefficient) in &check.index.terms {
            if let Some(variable) = self.axes[usize::from(axis)] {
                self.code.get(variable);
                if coefficient != 1 {
                    self.code.ops([I::I32Const(coefficient as i32), I::I32Mul]);
                }
            } else {
                self.code.i32(0);
            }
            add(&mut self.code, &mut pushed);
        }
        if let Some(dynamic) = check.index.dynamic {
            if wide {
                self.code.op(I::I64ExtendI32S);
            }
            self.value(dynamic);
            if wide {
                self.code.ops([I::I64ExtendI32S, I::I64Add]);
            }
        }
    }
}
