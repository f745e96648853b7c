//! The inner loop of depthwise convolutions: four channels of several neighbouring outputs, the taps of a row in variables.
//!
//! Eight-bit products are summed two taps at a time: neighbouring columns are interleaved channel by channel, and one `dot` multiplies and adds both.

use super::{Kind, Sums, Tile};
use crate::wasm::code::{Code, Local, at};
use mlp_bundle::loops::Window;
use std::collections::BTreeMap;
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// Two rows of four 16-bit lanes, interleaved.
const INTERLEAVE: [u8; 16] = [0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23];

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

    /// Sets all sums to 0.
    pub(crate) fn clear(&self, code: &mut Code) {
        for &sum in &self.sums {
            code.splat_bits(0);
            code.set(sum);
        }
    }

    /// The sums, a row an output.
    pub(crate) fn finish(&self) -> Sums {
        self.sums.iter().map(|&sum| vec![sum]).collect()
    }

    /// Adds one row of taps; moves `weights` past it, in steps of `tap` bytes.
    pub(crate) fn row(&self, code: &mut Code, row: &Row, weights: Local, tap: Local) {
        match self.kind {
            Kind::F32 { relaxed } => self.row_f32(code, row, weights, tap, relaxed),
            Kind::Int8 { signed } => self.row_int8(code, row, weights, tap, signed),
        }
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
        // The products by column, so that each column is loaded once.
        let mut products: BTreeMap<u32, Vec<(usize, usize)>> = BTreeMap::new();
        for output in 0..self.sums.len() {
            for tap in 0..self.count {
                products.entry(output as u32 * self.stride + tap * self.dilation).or_default().push((output, tap as usize));
            }
        }
        let mut columns = Columns::new(code, row);
        for (column, products) in products {
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

    fn row_int8(&self, code: &mut Code, row: &Row, weights: Local, tap: Local, signed: bool) {
        let pairs = self.count.div_ceil(2);
        let taps: Vec<Local> = (0..pairs).map(|pair| self.pair_of_taps(code, weights, tap, 2 * pair + 1 < self.count)).collect();
        let mut products: BTreeMap<u32, Vec<(usize, usize)>> = BTreeMap::new();
        for output in 0..self.sums.len() {
            for pair in 0..pairs {
                products.entry(output as u32 * self.stride + 2 * pair * self.dilation).or_default().push((output, pair as usize));
            }
        }
        let mut columns = Columns::new(code, row);
        let mut loaded: BTreeMap<u32, Local> = BTreeMap::new();
        let reach = (self.sums.len() as u32 - 1) * self.stride + (self.count - 1) * self.dilation;
        for (column, products) in products {
            // A last tap without a neighbour is paired with any column, as that one's weight is 0.
            let neighbour = if column + self.dilation <= reach { column + self.dilation } else { column };
            let [first, second] = [column, neighbour].map(|column| {
                *loaded.entry(column).or_insert_with(|| {
                    columns.push_address(code, column);
                    code.op(I::V128Load32Zero(at(0)));
                    code.op(if signed { I::I16x8ExtendLowI8x16S } else { I::I16x8ExtendLowI8x16U });
                    code.take(ValType::V128)
                })
            });
            code.get(first);
            code.get(second);
            code.op(I::I8x16Shuffle(INTERLEAVE));
            let value = code.take(ValType::V128);
            for (output, pair) in products {
                let sum = self.sums[output];
                code.get(sum);
                code.get(value);
                code.get(taps[pair]);
                code.ops([I::I32x4DotI16x8S, I::I32x4Add]);
                code.set(sum);
            }
        }
    }

    fn pair_of_taps(&self, code: &mut Code, weights: Local, tap: Local, two: bool) -> Local {
        let push = |code: &mut Code| {
            code.get(weights);
            code.ops([I::V128Load32Zero(at(0)), I::I16x8ExtendLowI8x16S]);
            let value = code.take(ValType::V128);
            code.add_local(weights, tap);
            code.get(value);
        };
        push(code);
        if two {
            push(code)
        } else {
            code.splat_bits(0)
        }
        code.op(I::I8x16Shuffle(INTERLEAVE));
        code.take(ValType::V128)
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
