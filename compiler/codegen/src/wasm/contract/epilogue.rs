//! What a contraction does with its sums: the same expressions as a nest's, on sums that are still in variables.
//!
//! Ordinarily four channels at a time. Where an access does not go along the channels one by one, the sums of a pixel go through
//! bytes reserved for that, and the expressions are computed for one channel after the other.

use super::Sums;
use super::requantize::{Pattern, Requantize};
use crate::wasm::address::Address;
use crate::wasm::code::Local;
use crate::wasm::eval::{Eval, Place};
use crate::wasm::layout::Layout;
use crate::wasm::math::Library;
use crate::wasm::memory;
use cranelift_entity::EntityRef;
use mlp_bundle::DType;
use mlp_bundle::loops::{self, Expr, ExprId};
use mlp_bundle::plan::Plan;
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// The axis of output channels.
pub(crate) const CHANNEL: u8 = 1;

/// How one access goes along.
pub(crate) struct Access {
    pub(crate) address: Address,
    size: i64,
    /// The address at pixel 0 and channel 0, and the bytes from one pixel to the next where it moves along them.
    pub(crate) base: Local,
    pub(crate) pixel: Option<Local>,
    /// The address at the tile's first pixel and channel.
    pub(crate) tile: Local,
    /// The address just now.
    running: Local,
}

/// The end of a contraction under construction. It owns the function's code.
pub(crate) struct Epilogue<'a> {
    pub(crate) eval: Eval<'a>,
    stores: &'a [loops::Store],
    wanted: Vec<ExprId>,
    uses: Vec<u32>,
    /// Whether a value differs from pixel to pixel.
    by_pixel: Vec<bool>,
    accesses: Vec<Access>,
    loads: Vec<(ExprId, usize)>,
    first_store: usize,
    vector: bool,
    /// The shorter code of a usual form.
    requantize: Option<Requantize>,
    total: DType,
    /// Channels that the running addresses lie behind.
    ahead: i64,
    /// Whether it loads what it stores over.
    pub(crate) in_place: bool,
}

impl<'a> Epilogue<'a> {
    /// Starts the function of a contraction over so many pixels and channels.
    pub(crate) fn new(
        plan: &'a Plan,
        layout: &Layout,
        library: &'a mut Library,
        epilogue: &'a loops::Epilogue,
        extents: [u32; 2],
        total: DType,
    ) -> Result<Epilogue<'a>, String> {
        let mut eval = Eval::new(plan, library, &epilogue.exprs, &extents, &[], &[total])?;
        eval.constants_are_params = true;
        let wanted = below(epilogue);
        let mut made = Epilogue {
            uses: uses(epilogue, &wanted),
            by_pixel: by_pixel(&eval, &wanted),
            eval,
            stores: &epilogue.stores,
            wanted,
            accesses: Vec::new(),
            loads: Vec::new(),
            first_store: 0,
            vector: false,
            requantize: None,
            total,
            ahead: 0,
            in_place: false,
        };
        for n in 0..made.wanted.len() {
            let id = made.wanted[n];
            if let Some(address) = made.eval.addresses[id.index()].clone() {
                made.loads.push((id, made.accesses.len()));
                made.access(layout, address);
            }
        }
        made.first_store = made.accesses.len();
        for store in &epilogue.stores {
            made.access(layout, Address::of(&store.access, &extents));
        }
        let (loads, stores) = made.accesses.split_at(made.first_store);
        made.in_place = stores.iter().any(|store| loads.iter().any(|load| plan.overlap(load.address.buffer, store.address.buffer)));
        made.vector = made.fits_lanes();
        if !made.vector {
            made.eval.set_lanes(None, false);
        } else if let (false, Some(pattern)) = (made.in_place, Pattern::of(epilogue)) {
            made.requantize = pattern.prepare(&mut made.eval, &made.accesses, &made.loads);
        }
        Ok(made)
    }

    fn access(&mut self, layout: &Layout, address: Address) {
        let size = self.eval.dtype(address.buffer).size() as i64;
        let code = &mut self.eval.code;
        let base = code.param((layout.address(address.buffer) as i64 + address.base * size) as u32 as i32);
        let distance = address.distance(0) * size;
        let pixel = (distance != 0).then(|| code.param(distance as i32));
        let (tile, running) = (code.local_i32(), code.local_i32());
        self.accesses.push(Access { address, size, base, pixel, tile, running });
    }

    /// Whether a tile's end may ask for the tile once more, by a branch to the loop that it stands in.
    pub(crate) fn repeats(&self) -> bool {
        self.requantize.is_some()
    }

    /// What the sums of a tile from `channel` on start with, by vector; none is 0.
    pub(crate) fn start_of_sums(&mut self, channel: Local, vectors: usize) -> Option<Vec<Local>> {
        self.requantize.as_ref()?.start(&mut self.eval.code, &self.accesses, channel, vectors)
    }

    fn fits_lanes(&mut self) -> bool {
        self.eval.set_lanes(Some(CHANNEL), true);
        let (loads, stores) = self.accesses.split_at(self.first_store);
        let unchecked = loads.iter().all(|load| load.address.checks.is_empty() || load.address.lane_check(CHANNEL).is_some())
            && stores.iter().all(|store| store.address.checks.is_empty());
        let stores = self.accesses[self.first_store..]
            .iter()
            .all(|store| store.address.distance(CHANNEL) == 1 && memory::has_lanes(self.eval.dtype(store.address.buffer)));
        let varying = self.wanted.iter().filter(|id| self.eval.varies[id.index()]);
        unchecked && stores && varying.into_iter().all(|&id| self.eval.fits_lanes(id, CHANNEL, true))
    }

    /// Whether an axis is used for more than steps through memory.
    fn names(&self, axis: u8) -> bool {
        let named = |&id: &ExprId| {
            matches!(&self.eval.exprs[id], Expr::Axis(named) if *named == axis)
                || self.eval.addresses[id.index()].as_ref().is_some_and(|address| address.checks_axis(axis))
        };
        self.wanted.iter().any(named)
    }

    /// Ends a tile: `sums[row][vector]` are the sums of successive pixels, from pixel `pixel` and channel `channel` on; the last vector has `lanes` channels.
    pub(crate) fn tile(&mut self, pixel: Local, channel: Local, sums: &Sums, lanes: u8) {
        for access in &self.accesses {
            let code = &mut self.eval.code;
            code.get(access.base);
            if let Some(distance) = access.pixel {
                code.get(pixel);
                code.get(distance);
                code.ops([I::I32Mul, I::I32Add]);
            }
            let step = access.address.distance(CHANNEL) * access.size;
            if step != 0 {
                code.get(channel);
                code.ops([I::I32Const(step as i32), I::I32Mul, I::I32Add]);
            }
            code.set(access.tile);
        }
        match &self.requantize {
            Some(requantize) => requantize.tile(&mut self.eval.code, &self.accesses, sums, lanes),
            None if self.vector => self.vectors(pixel, channel, sums, lanes),
            None => self.singles(pixel, channel, sums, lanes),
        }
    }

    /// Makes an axis variable, where it is needed, that starts `ahead` of `from`.
    fn axis(&mut self, axis: u8, from: Local, ahead: i32) {
        if self.names(axis) {
            let code = &mut self.eval.code;
            code.get(from);
            code.ops([I::I32Const(ahead), I::I32Add]);
            self.eval.axes[usize::from(axis)] = Some(code.take(ValType::I32));
        }
    }

    fn vectors(&mut self, pixel: Local, channel: Local, sums: &Sums, lanes: u8) {
        let count = sums.first().map_or(0, Vec::len);
        for vector in 0..count {
            self.start(vector as i64 * 4);
            self.eval.forget(|_| true);
            self.axis(CHANNEL, channel, vector as i32 * 4);
            self.check_lanes();
            self.materialize(false);
            for (row, sums) in sums.iter().enumerate() {
                self.axis(0, pixel, row as i32);
                self.eval.totals = vec![sums[vector]];
                let by_pixel = self.by_pixel.clone();
                self.eval.forget(|id| by_pixel[id.index()]);
                self.materialize(true);
                self.store(if vector + 1 == count { lanes } else { 4 });
                self.next_pixel();
            }
        }
    }

    /// Which lanes of checked loads are inside.
    fn check_lanes(&mut self) {
        for n in 0..self.loads.len() {
            let (id, access) = self.loads[n];
            let size = self.accesses[access].size as usize;
            if let Some(check) = self.accesses[access].address.lane_check(CHANNEL).cloned() {
                let (distance, lanes) = self.eval.check_lanes(&check, size);
                let place = &mut self.eval.places[id.index()];
                place.checked = vec![(distance, None)];
                place.lanes_inside = Some(lanes);
            }
        }
    }

    /// One channel after the other, the sums taken from memory.
    fn singles(&mut self, pixel: Local, channel: Local, sums: &Sums, lanes: u8) {
        let count = sums.first().map_or(0, Vec::len);
        let total = self.total;
        let spilled = self.eval.code.spill();
        self.start(0);
        let pixel_variable = self.eval.code.local_i32();
        self.eval.code.get(pixel);
        self.eval.code.set(pixel_variable);
        self.eval.axes[0] = Some(pixel_variable);
        for sums in sums {
            for (vector, &sum) in sums.iter().enumerate() {
                self.eval.code.get(spilled);
                self.eval.code.get(sum);
                self.eval.code.op(I::V128Store(crate::wasm::code::at(vector as u64 * 16)));
            }
            let end = 4 * (count as i32 - 1) + i32::from(lanes);
            self.each_channel(channel, total, spilled, end);
            self.next_pixel();
            self.eval.code.add_const(pixel_variable, 1);
        }
    }

    fn each_channel(&mut self, channel: Local, total: DType, spilled: Local, end: i32) {
        let code = &mut self.eval.code;
        let (spill, channel_variable) = (code.local_i32(), code.local_i32());
        code.get(spilled);
        code.set(spill);
        code.get(channel);
        code.set(channel_variable);
        self.eval.axes[usize::from(CHANNEL)] = Some(channel_variable);
        self.eval.code.begin_loop();
        self.eval.forget(|_| true);
        self.eval.code.get(spill);
        memory::load(&mut self.eval.code, total, 0);
        let sum = self.eval.code.take(crate::wasm::scalar::val_type(total));
        self.eval.totals = vec![sum];
        for n in 0..self.loads.len() {
            self.check_load(n);
        }
        self.materialize(false);
        self.materialize(true);
        self.store(1);
        for access in &self.accesses {
            self.eval.code.add_const(access.running, (access.address.distance(CHANNEL) * access.size) as i32);
        }
        self.eval.code.add_const(channel_variable, 1);
        self.eval.code.add_const(spill, 4);
        self.eval.code.get(spill);
        self.eval.code.get(spilled);
        self.eval.code.ops([I::I32Sub, I::I32Const(4 * end), I::I32LtS, I::BrIf(0), I::End]);
        // Back to the first channel, for the next pixel.
        for access in &self.accesses {
            let back = -(access.address.distance(CHANNEL) * access.size) as i32 * end;
            self.eval.code.add_const(access.running, back);
        }
    }

    fn check_load(&mut self, n: usize) {
        let (id, access) = self.loads[n];
        let address = self.accesses[access].address.clone();
        let size = self.accesses[access].size as usize;
        self.eval.places[id.index()].checked.clear();
        for check in &address.checks {
            let variables = self.eval.check(check, size, address.otherwise.is_none());
            self.eval.places[id.index()].checked.push(variables);
        }
    }

    /// Sets the running addresses to the tile's first pixel, some channels on.
    fn start(&mut self, channels: i64) {
        for (n, access) in self.accesses.iter().enumerate() {
            self.eval.code.get(access.tile);
            self.eval.code.set(access.running);
            let offset = (channels * access.address.distance(CHANNEL) * access.size) as u64;
            if let Some(&(id, _)) = self.loads.iter().find(|load| load.1 == n) {
                self.eval.places[id.index()] = Place { pointer: Some(access.running), offset, ..Place::default() };
            }
        }
        self.ahead = channels;
    }

    fn next_pixel(&mut self) {
        for access in &self.accesses {
            if let Some(distance) = access.pixel {
                self.eval.code.add_local(access.running, distance);
            }
        }
    }

    /// Computes what is used more than once, of the values that differ by pixel or of the others.
    fn materialize(&mut self, by_pixel: bool) {
        for n in 0..self.wanted.len() {
            let id = self.wanted[n];
            if self.by_pixel[id.index()] != by_pixel {
                continue;
            }
            let leaf = matches!(self.eval.exprs[id], Expr::Axis(_) | Expr::Symbol(_) | Expr::Total(_));
            if (self.uses[id.index()] > 1 || !by_pixel) && (!leaf || self.eval.varies[id.index()]) {
                self.eval.materialize(id);
            }
            if self.vector && !by_pixel {
                self.eval.materialize_spread(id);
            }
        }
    }

    fn store(&mut self, lanes: u8) {
        if self.stores.len() > 1 {
            self.stores.iter().for_each(|store| self.eval.materialize(store.value));
        }
        for n in 0..self.stores.len() {
            let access = &self.accesses[self.first_store + n];
            let (pointer, value) = (access.running, self.stores[n].value);
            let dtype = self.eval.dtype(access.address.buffer);
            if self.vector {
                let offset = (self.ahead * access.size) as u64;
                self.eval.vector(value);
                let value = self.eval.code.take(ValType::V128);
                memory::store_lanes(&mut self.eval.code, dtype, pointer, value, offset, lanes);
            } else {
                self.eval.code.get(pointer);
                self.eval.value(value);
                memory::store(&mut self.eval.code, dtype, 0);
            }
        }
    }
}

/// The expressions that the stores need, in order.
fn below(epilogue: &loops::Epilogue) -> Vec<ExprId> {
    let mut wanted = vec![false; epilogue.exprs.len()];
    epilogue.stores.iter().for_each(|store| wanted[store.value.index()] = true);
    for (id, expr) in epilogue.exprs.iter().rev() {
        if wanted[id.index()] {
            expr.for_each_operand(|operand| wanted[operand.index()] = true);
        }
    }
    epilogue.exprs.keys().filter(|id| wanted[id.index()]).collect()
}

fn uses(epilogue: &loops::Epilogue, wanted: &[ExprId]) -> Vec<u32> {
    let mut uses = vec![0; epilogue.exprs.len()];
    epilogue.stores.iter().for_each(|store| uses[store.value.index()] += 1);
    for &id in wanted {
        epilogue.exprs[id].for_each_operand(|operand| uses[operand.index()] += 1);
    }
    uses
}

fn by_pixel(eval: &Eval<'_>, wanted: &[ExprId]) -> Vec<bool> {
    let mut result = vec![false; eval.exprs.len()];
    for &id in wanted {
        let mut differs = match &eval.exprs[id] {
            Expr::Axis(axis) => *axis == 0,
            Expr::Total(_) => true,
            Expr::Load(_) => eval.addresses[id.index()].as_ref().is_some_and(|address| address.distance(0) != 0 || address.checks_axis(0)),
            _ => false,
        };
        eval.exprs[id].for_each_operand(|operand| differs |= result[operand.index()]);
        result[id.index()] = differs;
    }
    result
}
