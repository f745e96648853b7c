//! Where a window lies in the input, and whether all of it does.

use crate::wasm::code::{Code, Local};
use mlp_bundle::loops::Window;
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// The vertical position of a line of windows and the bounds of the input.
pub(crate) struct Edges {
    /// The input row of the first tap.
    pub(crate) y: Local,
    /// Bytes of an input row.
    pub(crate) row_bytes: Local,
    /// Input rows.
    pub(crate) in_h: Local,
    /// Input columns.
    pub(crate) in_w: Local,
    /// Whether all rows of taps are inside.
    rows_inside: Local,
}

impl Edges {
    /// For the line whose first tap is in row `y`.
    pub(crate) fn new(code: &mut Code, window: &Window, y: Local, row_bytes: Local) -> Edges {
        let (in_h, in_w) = (code.param(window.in_h as i32), code.param(window.in_w as i32));
        code.get(y);
        code.ops([I::I32Const(0), I::I32GeS]);
        code.get(y);
        code.ops([I::I32Const(((window.kernel[0] - 1) * window.dilation[0]) as i32), I::I32Add]);
        code.get(in_h);
        code.ops([I::I32LtS, I::I32And]);
        let rows_inside = code.take(ValType::I32);
        Edges { y, row_bytes, in_h, in_w, rows_inside }
    }

    /// Pushes the input column of the first tap of output column `x`.
    pub(crate) fn push_column(&self, code: &mut Code, window: &Window, x: Local) {
        code.get(x);
        if window.stride[1] != 1 {
            code.ops([I::I32Const(window.stride[1] as i32), I::I32Mul]);
        }
        if window.pad[1] != 0 {
            code.ops([I::I32Const(window.pad[1] as i32), I::I32Sub]);
        }
    }

    /// Pushes whether all taps of `count` outputs from column `x` on are inside.
    pub(crate) fn push_inside(&self, code: &mut Code, window: &Window, x: Local, count: usize) {
        let last = (count as u32 - 1) * window.stride[1] + (window.kernel[1] - 1) * window.dilation[1];
        self.push_column(code, window, x);
        let column = code.take(ValType::I32);
        code.get(self.rows_inside);
        code.get(column);
        code.ops([I::I32Const(0), I::I32GeS, I::I32And]);
        code.get(column);
        code.ops([I::I32Const(last as i32), I::I32Add]);
        code.get(self.in_w);
        code.ops([I::I32LtS, I::I32And]);
    }
}
