//! Keys and values of one head, packed.

use super::{COLUMNS, Emitter, STEP, bytes};
use crate::wasm::code::{Local, at};
use wasm_encoder::Instruction as I;
use wasm_encoder::{MemArg, ValType};

impl Emitter<'_> {
    /// Keys as columns, times the scale: four rows of features at a time become lanes. Where the keys fill no tile, the last one is repeated.
    pub(super) fn pack_keys(&mut self) {
        let attention = self.attention;
        let source = self.address(self.bases.key, attention.key, false);
        let (key, columns) = (self.code.local_i32(), attention.keys.next_multiple_of(COLUMNS));
        self.count(key, columns, 4, |emitter| {
            emitter.push_column(0, emitter.parts.key_panel, key);
            let column = emitter.code.take(ValType::I32);
            let rows: Vec<Local> = (0..4).map(|lane| emitter.key_row(source, key, lane)).collect();
            emitter.transpose(&rows, column);
        });
    }

    /// The address of a key, at most of the last one.
    fn key_row(&mut self, source: Local, key: Local, lane: u32) -> Local {
        let (keys, distance) = (self.attention.keys, bytes(self.attention.key.row));
        self.code.get(source);
        self.code.get(key);
        self.code.ops([I::I32Const(lane as i32), I::I32Add]);
        if !keys.is_multiple_of(COLUMNS) {
            let row = self.code.take(ValType::I32);
            self.code.get(row);
            self.code.i32((keys - 1) as i32);
            self.code.get(row);
            self.code.ops([I::I32Const(keys as i32), I::I32LtU, I::Select]);
        }
        self.code.ops([I::I32Const(distance), I::I32Mul, I::I32Add]);
        self.code.take(ValType::I32)
    }

    /// All features of four keys, one vector a feature.
    fn transpose(&mut self, rows: &[Local], column: Local) {
        let depth = self.attention.depth;
        let unroll = (1..=4).rev().find(|turn| depth.is_multiple_of(*turn)).unwrap_or(1);
        let feature = self.code.local_i32();
        self.count(feature, depth, unroll, |emitter| {
            for step in 0..unroll {
                emitter.code.get(column);
                emitter.push_lanes(rows, 4 * step);
                if emitter.attention.factor() != 1.0 {
                    emitter.code.splat_bits(emitter.attention.scale);
                    emitter.code.op(I::F32x4Mul);
                }
                emitter.code.op(I::V128Store(at((STEP * step).into())));
            }
            rows.iter().for_each(|&row| emitter.code.add_const(row, 4 * unroll as i32));
            emitter.code.add_const(column, (STEP * unroll) as i32);
        });
    }

    /// Pushes a vector of the elements at some bytes from each of up to four addresses, the other lanes 0.
    fn push_lanes(&mut self, rows: &[Local], offset: u32) {
        let memarg: MemArg = at(offset.into());
        self.code.get(rows[0]);
        self.code.op(I::V128Load32Zero(memarg));
        for (lane, &row) in (1u8..).zip(&rows[1..]) {
            let vector = self.code.take(ValType::V128);
            self.code.get(row);
            self.code.get(vector);
            self.code.op(I::V128Load32Lane { memarg, lane });
        }
    }

    /// Values, four columns at a time, and rows of 0 to a multiple of four keys.
    pub(super) fn pack_values(&mut self) {
        let attention = self.attention;
        let source = self.address(self.bases.value, attention.value, false);
        let (feature, rest) = (self.code.local_i32(), attention.width % 4);
        if attention.width >= 4 {
            self.count(feature, attention.width - rest, 4, |emitter| emitter.copy_column(source, feature, 4));
        }
        if rest > 0 {
            self.code.i32((attention.width - rest) as i32);
            self.code.set(feature);
            self.copy_column(source, feature, rest);
        }
    }

    fn copy_column(&mut self, source: Local, feature: Local, lanes: u32) {
        let (keys, distance) = (self.attention.keys, bytes(self.attention.value.row));
        self.push_address(source, &[(feature, 4)]);
        let value = self.code.take(ValType::I32);
        self.push_column(self.parts.values, self.parts.value_panel, feature);
        let column = self.code.take(ValType::I32);
        let key = self.code.local_i32();
        self.count(key, keys, 1, |emitter| {
            emitter.code.get(column);
            emitter.push_apart(value, 4, lanes);
            emitter.code.op(I::V128Store(at(0)));
            emitter.code.add_const(value, distance);
            emitter.code.add_const(column, STEP as i32);
        });
        for row in 0..keys.next_multiple_of(4) - keys {
            self.code.get(column);
            self.code.splat_bits(0);
            self.code.op(I::V128Store(at((STEP * row).into())));
        }
    }

    /// Pushes the first `lanes` of four elements so many bytes apart, the other lanes 0 or any.
    pub(super) fn push_apart(&mut self, address: Local, apart: u32, lanes: u32) {
        if apart == 0 || (apart == 4 && lanes == 4) {
            self.code.get(address);
            return self.code.op(if apart == 0 { I::V128Load32Splat(at(0)) } else { I::V128Load(at(0)) });
        }
        self.code.get(address);
        self.code.op(I::V128Load32Zero(at(0)));
        for lane in 1..lanes {
            let vector = self.code.take(ValType::V128);
            self.code.get(address);
            self.code.get(vector);
            self.code.op(I::V128Load32Lane { memarg: at(u64::from(apart) * u64::from(lane)), lane: lane as u8 });
        }
    }
}
