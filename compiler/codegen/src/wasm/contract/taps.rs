//! The inner loop of depthwise convolutions: four channels of several neighbouring outputs, the taps of a row in variables.
//!
//! Eight-bit products are summed two taps at a time: two rows are interleaved channel by channel, and one `dot` multiplies and adds both. A column so
//! prepared serves all outputs whose windows it is in.

use super::{Kind, Sums, Tile};
use crate::wasm::code::{Code, Local, at};
use mlp_bundle::loops::Window;
use std::collections::BTreeMap;
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// The bytes of two vectors by turns.
const INTERLEAVE: [u8; 16] = [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23];

/// The sums of a tile of outputs in one row.
pub(crate) struct Taps {
    kind: Kind,
    /// Horizontal taps, stride and dilation.
    count: u32,
    stride: u32,
    dilation: u32,
    sums: Vec<Local>,
}

/// Where a row of taps finds its inputs.
pub(crate) struct Row {
    /// The address of the first column.
    pub(crate) start: Local,
    /// Bytes of a pixel.
    pub(crate) pixel: Local,
    /// Where columns may be outside.
    pub(crate) bounds: Option<Bounds>,
}

/// How columns that are outside are told.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// The first input column of the tile.
    pub(crate) column: Local,
    /// Input columns.
    pub(crate) in_w: Local,
    /// Whether the row is inside.
    pub(crate) row_inside: Local,
    /// What to read instead.
    pub(crate) padding: Local,
}

impl Taps {
    /// Makes the variables.
    pub(crate) fn new(code: &mut Code, kind: Kind, tile: Tile, window: &Window) -> Taps {
        let sums = (0..tile.rows).map(|_| code.local_v128()).collect();
        Taps { kind, count: window.kernel[1], stride: window.stride[1], dilation: window.dilation[1], sums }
    }

    /// Sets all sums to 0, or to `start`.
    pub(crate) fn clear(&self, code: &mut Code, start: Option<&[Local]>) {
        for &sum in &self.sums {
            match start {
                Some(start) => code.get(start[0]),
                None => code.splat_bits(0),
            }
            code.set(sum);
        }
    }

    /// The sums, a row an output.
    pub(crate) fn finish(&self) -> Sums {
        self.sums.iter().map(|&sum| vec![sum]).collect()
    }

    /// Rows of taps that are added at a time where there are so many.
    pub(crate) fn rows_at_once(&self) -> u32 {
        if matches!(self.kind, Kind::Int8 { .. }) { 2 } else { 1 }
    }

    /// Adds one row of taps, or [`Taps::rows_at_once`]; moves `weights` past it, in steps of `tap` bytes.
    pub(crate) fn rows(&self, code: &mut Code, rows: &[Row], weights: Local, tap: Local) {
        match self.kind {
            Kind::F32 { relaxed } => self.row_f32(code, &rows[0], weights, tap, relaxed),
            Kind::Int8 { signed } => self.rows_int8(code, rows, weights, tap, signed),
        }
    }

    /// The products by column, so that each column is loaded once: outputs, and the tap that the column is for them.
    fn products(&self) -> BTreeMap<u32, Vec<(usize, usize)>> {
        let mut products: BTreeMap<u32, Vec<(usize, usize)>> = BTreeMap::new();
        for output in 0..self.sums.len() {
            for tap in 0..self.count {
                products.entry(output as u32 * self.stride + tap * self.dilation).or_default().push((output, tap as usize));
            }
        }
        products
    }

    fn row_f32(&self, code: &mut Code, row: &Row, weights: Local, tap: Local, relaxed: bool) {
        let taps: Vec<Local> = (0..self.count)
            .map(|_| {
                code.get(weights);
                code.op(I::V128Load(at(0)));
                let value = code.take(ValType::V128);
                code.add_local(weights, tap);
                value
            })
            .collect();
        let mut columns = Columns::new(code, row);
        for (column, products) in self.products() {
            columns.push_address(code, column);
            code.op(I::V128Load(at(0)));
            let value = code.take(ValType::V128);
            for (output, tap) in products {
                let sum = self.sums[output];
                if relaxed && self.sums.len() >= 6 {
                    code.get(value);
                    code.get(taps[tap]);
                    code.get(sum);
                    code.op(I::F32x4RelaxedMadd);
                } else {
                    code.get(sum);
                    code.get(value);
                    code.get(taps[tap]);
                    code.ops([I::F32x4Mul, I::F32x4Add]);
                }
                code.set(sum);
            }
        }
    }

    /// Two rows, or one beside a row of zeros.
    fn rows_int8(&self, code: &mut Code, rows: &[Row], weights: Local, tap: Local, signed: bool) {
        let taps = self.taps_int8(code, rows.len(), weights, tap);
        let mut columns: Vec<Columns<'_>> = rows.iter().map(|row| Columns::new(code, row)).collect();
        for (column, products) in self.products() {
            for row in &mut columns {
                row.push_address(code, column);
                code.op(I::V128Load32Zero(at(0)));
            }
            if columns.len() == 2 {
                code.op(I::I8x16Shuffle(INTERLEAVE));
                code.op(if signed { I::I16x8ExtendLowI8x16S } else { I::I16x8ExtendLowI8x16U });
            } else if signed {
                // The upper halves are multiplied by 0.
                code.ops([I::I16x8ExtendLowI8x16S, I::I32x4ExtendLowI16x8S]);
            } else {
                code.ops([I::I16x8ExtendLowI8x16U, I::I32x4ExtendLowI16x8U]);
            }
            let value = code.take(ValType::V128);
            for (output, tap) in products {
                let sum = self.sums[output];
                code.get(sum);
                code.get(value);
                code.get(taps[tap]);
                code.ops([I::I32x4DotI16x8S, I::I32x4Add]);
                code.set(sum);
            }
        }
    }

    /// The weights of each tap, of two rows by turns or of one beside zeros.
    fn taps_int8(&self, code: &mut Code, rows: usize, weights: Local, tap: Local) -> Vec<Local> {
        let second = (rows == 2).then(|| {
            code.get(weights);
            code.get(tap);
            code.ops([I::I32Const(self.count as i32), I::I32Mul, I::I32Add]);
            code.take(ValType::I32)
        });
        let taps = (0..self.count)
            .map(|_| {
                code.get(weights);
                code.op(I::V128Load32Zero(at(0)));
                code.add_local(weights, tap);
                if let Some(second) = second {
                    code.get(second);
                    code.op(I::V128Load32Zero(at(0)));
                    code.ops([I::I8x16Shuffle(INTERLEAVE), I::I16x8ExtendLowI8x16S]);
                    code.add_local(second, tap);
                } else {
                    code.ops([I::I16x8ExtendLowI8x16S, I::I32x4ExtendLowI16x8U]);
                }
                code.take(ValType::V128)
            })
            .collect();
        if let Some(second) = second {
            code.get(second);
            code.set(weights);
        }
        taps
    }
}

/// Addresses of columns, asked for from left to right or nearly so.
struct Columns<'r> {
    row: &'r Row,
    address: Local,
    at: u32,
}

impl<'r> Columns<'r> {
    fn new(code: &mut Code, row: &'r Row) -> Columns<'r> {
        code.get(row.start);
        Columns { row, address: code.take(ValType::I32), at: 0 }
    }

    fn push_address(&mut self, code: &mut Code, column: u32) {
        let ahead = column as i32 - self.at as i32;
        self.at = column;
        if ahead == 1 {
            code.add_local(self.address, self.row.pixel);
        } else if ahead != 0 {
            code.get(self.address);
            code.get(self.row.pixel);
            code.ops([I::I32Const(ahead), I::I32Mul, I::I32Add]);
            code.set(self.address);
        }
        code.get(self.address);
        if let Some(bounds) = &self.row.bounds {
            code.get(bounds.padding);
            code.get(bounds.column);
            code.ops([I::I32Const(column as i32), I::I32Add]);
            code.get(bounds.in_w);
            code.op(I::I32LtU);
            code.get(bounds.row_inside);
            code.ops([I::I32And, I::Select]);
        }
    }
}
