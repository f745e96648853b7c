//! Scaled dot-product attention.
//!
//! For each head, keys and values are packed into scratch as a contraction's weights are: 16 columns a panel. A column of the first product is a key, one of
//! the second a feature. Then, for some rows of the query at a time: all their scores into scratch ([`Products`]), each row's softmax over them
//! ([`softmax`]) without its last division, and their product with the values, each row multiplied by the inverse of its sum.
//!
//! The function is one for all layers of a shape: addresses are parameters, sizes and distances are in the code.

mod pack;
mod softmax;

use super::code::{Code, Local, Range, at};
use super::contract::products::Products;
use super::contract::{Kind, Tile};
use super::layout::Layout;
use super::math::Library;
use super::memory;
use super::module::Call;
use mlp_bundle::DType;
use mlp_bundle::loops::{Attention, BufferId, Mask, PANEL, Strided};
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// Columns of a tile.
const COLUMNS: u32 = 8;

/// Bytes of one step through a panel.
const STEP: u32 = 4 * PANEL;

/// Bytes for each row of what its results are multiplied by, and of which lanes of them to keep.
const FACTOR: u32 = 32;

/// Where the parts of the scratch are, in bytes from its start.
struct Parts {
    /// Bytes of a panel of keys.
    key_panel: u32,
    /// The packed values.
    values: u32,
    /// Bytes of a panel of values.
    value_panel: u32,
    /// The scores of a block of rows.
    scores: u32,
    /// Bytes of a row of scores.
    score_row: u32,
    /// What rows are multiplied by.
    factors: u32,
}

/// The parts of the scratch, and all its bytes; none where they exceed 32 bits.
fn parts(attention: &Attention, rows: u32) -> Option<(Parts, u32)> {
    let panels = |count: u32, panel: u32| count.div_ceil(PANEL).checked_mul(panel);
    let key_panel = attention.depth.checked_mul(STEP)?;
    let value_panel = attention.keys.next_multiple_of(4).checked_mul(STEP)?;
    let score_row = (attention.keys.next_multiple_of(COLUMNS) * 4).checked_add(STEP)?;
    let values = panels(attention.keys, key_panel)?;
    let scores = values.checked_add(panels(attention.width, value_panel)?)?;
    let factors = scores.checked_add(rows.checked_mul(score_row)?)?;
    let end = factors.checked_add(rows * FACTOR)?;
    Some((Parts { key_panel, values, value_panel, scores, score_row, factors }, end))
}

/// Bytes of scratch; more than any memory has where they exceed 32 bits.
pub(crate) fn scratch(attention: &Attention) -> u64 {
    [true, false]
        .map(|relaxed| parts(attention, block(attention.rows, relaxed)).map_or(1 << 32, |(_, end)| u64::from(end)))
        .into_iter()
        .fold(0, u64::max)
}

/// Rows at a time: those with the fewest instructions, as the last block overlaps the one before it.
fn block(rows: u32, relaxed: bool) -> u32 {
    let products = if relaxed { 2 } else { 4 };
    (4..=6).rev().min_by_key(|block| rows.div_ceil(*block) * (2 + (1 + products) * block)).unwrap_or(4).min(rows)
}

/// The function of attention, called with the addresses of this one.
pub(crate) fn emit(layout: &Layout, library: &mut Library, attention: &Attention) -> Result<Call, String> {
    let rows = block(attention.rows, library.relaxed);
    attention.batch.checked_mul(attention.heads).ok_or("it has more than 2^32 heads")?;
    let (parts, _) = parts(attention, rows).ok_or("its packed keys, values and scores exceed 4 GiB; use a shorter sequence")?;
    let mut code = Code::default();
    let bases = Bases::new(&mut code, layout, attention);
    let [batch, head, row] = [(); 3].map(|()| code.local_i32());
    let mut emitter = Emitter { attention, code, relaxed: library.relaxed, rows, parts, bases, batch, head, row };
    emitter.run();
    let code = emitter.code;
    Ok(Call::new(library, &code))
}

/// First bytes, in parameters.
struct Bases {
    query: Local,
    key: Local,
    value: Local,
    mask: Option<Local>,
    out: Local,
    scratch: Local,
}

impl Bases {
    fn new(code: &mut Code, layout: &Layout, attention: &Attention) -> Bases {
        let mut start = |buffer: BufferId, offset: u64| code.param((layout.address(buffer) + 4 * offset) as u32 as i32);
        let mut view = |view: Strided| start(view.buffer, view.offset);
        let [query, key, value, out] = [attention.query, attention.key, attention.value, attention.out].map(&mut view);
        let mask = attention.mask.map(|mask| start(mask.buffer, mask.offset));
        Bases { query, key, value, mask, out, scratch: code.scratch() }
    }
}

struct Emitter<'a> {
    attention: &'a Attention,
    code: Code,
    relaxed: bool,
    /// Rows of a block.
    rows: u32,
    parts: Parts,
    bases: Bases,
    /// The image, the head and the first row of the block.
    batch: Local,
    head: Local,
    row: Local,
}

/// Bytes of so many elements. Distances along an axis of one position are never gone, and may be any number.
fn bytes(elements: u64) -> i32 {
    elements.wrapping_mul(4) as u32 as i32
}

impl Emitter<'_> {
    /// All heads of all images, one after the other.
    fn run(&mut self) {
        let (batch, head, heads) = (self.batch, self.head, self.attention.heads as i32);
        let all = self.attention.batch * self.attention.heads;
        let (first, last) = self.code.range(Range { bounds: (0, all), unit: 1, ragged: true });
        self.code.get(first);
        let next = self.code.take(ValType::I32);
        self.code.begin_loop();
        for (variable, part) in [(batch, I::I32DivU), (head, I::I32RemU)] {
            self.code.get(next);
            self.code.ops([I::I32Const(heads), part]);
            self.code.set(variable);
        }
        self.pack_keys();
        self.pack_values();
        self.blocks();
        self.code.add_const(next, 1);
        self.code.get(next);
        self.code.get(last);
        self.code.ops([I::I32LtU, I::BrIf(0)]);
        self.code.end();
    }

    /// A loop that counts a variable from 0 to `end`, which it passes at least once.
    fn count(&mut self, variable: Local, end: u32, step: u32, body: impl FnOnce(&mut Self)) {
        self.code.i32(0);
        self.code.set(variable);
        self.code.begin_loop();
        body(self);
        self.code.add_const(variable, step as i32);
        self.code.get(variable);
        self.code.i32(end as i32);
        self.code.ops([I::I32LtU, I::BrIf(0)]);
        self.code.end();
    }

    /// Pushes `base + variable * distance + ..`.
    fn push_address(&mut self, base: Local, terms: &[(Local, i32)]) {
        self.code.get(base);
        for &(variable, distance) in terms.iter().filter(|term| term.1 != 0) {
            self.code.get(variable);
            self.code.ops([I::I32Const(distance), I::I32Mul, I::I32Add]);
        }
    }

    /// The address of a view's first row in this image and head; of the block's first row where `rows` says so.
    fn address(&mut self, base: Local, view: Strided, rows: bool) -> Local {
        let row = if rows { bytes(view.row) } else { 0 };
        self.push_address(base, &[(self.batch, bytes(view.batch)), (self.head, bytes(view.head)), (self.row, row)]);
        self.code.take(ValType::I32)
    }

    /// Pushes the address of a column of a packed matrix.
    fn push_column(&mut self, part: u32, panel: u32, column: Local) {
        let scratch = self.bases.scratch;
        self.code.get(scratch);
        self.code.get(column);
        self.code.ops([I::I32Const(4), I::I32ShrU, I::I32Const(panel as i32), I::I32Mul, I::I32Add]);
        self.code.get(column);
        self.code.ops([I::I32Const(15), I::I32And, I::I32Const(2), I::I32Shl, I::I32Add]);
        if part != 0 {
            self.code.ops([I::I32Const(part as i32), I::I32Add]);
        }
    }

    /// A variable with the address of a part of the scratch.
    fn part(&mut self, part: u32) -> Local {
        let scratch = self.bases.scratch;
        self.code.get(scratch);
        self.code.ops([I::I32Const(part as i32), I::I32Add]);
        self.code.take(ValType::I32)
    }

    /// All rows, some at a time. The last block overlaps the one before it where the rows are no multiple.
    fn blocks(&mut self) {
        let (row, rows, all) = (self.row, self.rows, self.attention.rows);
        self.code.i32(0);
        self.code.set(row);
        self.code.begin_loop();
        self.scores();
        self.softmax();
        self.results();
        self.code.add_const(row, rows as i32);
        self.code.get(row);
        self.code.i32((all - rows) as i32);
        self.code.ops([I::I32LeU, I::BrIf(0)]);
        if !all.is_multiple_of(rows) {
            self.code.get(row);
            self.code.i32(all as i32);
            self.code.op(I::I32LtU);
            self.code.begin_if();
            self.code.i32((all - rows) as i32);
            self.code.set(row);
            self.code.ops([I::Br(1), I::End]);
        }
        self.code.end();
    }

    fn products(&mut self, vectors: usize) -> Products {
        let tile = Tile { rows: self.rows as usize, vectors, lanes: 4 };
        Products::new(&mut self.code, Kind::F32 { relaxed: self.relaxed }, tile)
    }

    /// The scores of a block, in columns of keys; those past the last key are of no meaning.
    fn scores(&mut self) {
        let (attention, columns) = (self.attention, self.attention.keys.next_multiple_of(COLUMNS));
        let first = self.address(self.bases.query, attention.query, true);
        let starts = self.spread(first, bytes(attention.query.row));
        let products = self.products(2);
        let column = self.code.local_i32();
        self.count(column, columns, COLUMNS, |emitter| {
            emitter.push_column(0, emitter.parts.key_panel, column);
            let sums = emitter.tile(&products, &starts, attention.depth);
            let (part, row) = (emitter.parts.scores, emitter.parts.score_row);
            emitter.push_address(emitter.bases.scratch, &[(column, 4)]);
            let address = emitter.code.take(ValType::I32);
            for (n, sums) in sums.iter().enumerate() {
                for (vector, &sum) in sums.iter().enumerate() {
                    emitter.code.get(address);
                    emitter.code.get(sum);
                    emitter.code.op(I::V128Store(at(u64::from(part) + n as u64 * u64::from(row) + 16 * vector as u64)));
                }
            }
        });
    }

    /// Weighted sums of the values.
    fn results(&mut self) {
        let width = self.attention.width;
        let scores = self.part(self.parts.scores);
        let starts = self.spread(scores, self.parts.score_row as i32);
        let out = self.address(self.bases.out, self.attention.out, true);
        let column = self.code.local_i32();
        let rest = width % COLUMNS;
        if width >= COLUMNS {
            self.count(column, width - rest, COLUMNS, |emitter| emitter.columns(&starts, out, column, COLUMNS));
        }
        if rest > 0 {
            self.code.i32((width - rest) as i32);
            self.code.set(column);
            self.columns(&starts, out, column, rest);
        }
    }

    /// The results in up to a tile's columns.
    fn columns(&mut self, starts: &[Local], out: Local, column: Local, count: u32) {
        let products = self.products(count.div_ceil(4) as usize);
        self.push_column(self.parts.values, self.parts.value_panel, column);
        // Past the last key scores and values are 0.
        let sums = self.tile(&products, starts, self.attention.keys.next_multiple_of(4));
        self.push_address(out, &[(column, 4)]);
        let address = self.code.take(ValType::I32);
        let factors = self.part(self.parts.factors);
        for (row, sums) in (0u32..).zip(&sums) {
            for (vector, &sum) in (0u32..).zip(sums) {
                self.code.get(sum);
                self.code.get(factors);
                self.code.ops([I::V128Load(at((row * FACTOR).into())), I::F32x4Mul]);
                if self.attention.guarded {
                    self.code.get(factors);
                    self.code.ops([I::V128Load(at((row * FACTOR + 16).into())), I::V128And]);
                }
                let value = self.code.take(ValType::V128);
                let offset = u64::from(bytes(u64::from(row).wrapping_mul(self.attention.out.row)) as u32) + u64::from(16 * vector);
                memory::store_lanes(&mut self.code, DType::F32, address, value, offset, (count - 4 * vector).min(4) as u8);
            }
        }
    }

    /// A tile's sums over `count` steps, from the popped address of its first column and a row that starts at each of `starts`.
    fn tile(&mut self, products: &Products, starts: &[Local], count: u32) -> Vec<Vec<Local>> {
        let code = &mut self.code;
        let column = code.take(ValType::I32);
        let rows: Vec<Local> = starts
            .iter()
            .map(|&start| {
                code.get(start);
                code.take(ValType::I32)
            })
            .collect();
        products.clear(code, None);
        code.i32(count as i32);
        let steps = code.take(ValType::I32);
        products.run(code, &rows, column, steps, products.unroll(count));
        products.finish()
    }

    /// A pointer to each row of a block.
    fn spread(&mut self, first: Local, distance: i32) -> Vec<Local> {
        let mut rows = vec![first];
        for row in 1..self.rows as i32 {
            self.code.get(first);
            self.code.ops([I::I32Const(distance.wrapping_mul(row)), I::I32Add]);
            rows.push(self.code.take(ValType::I32));
        }
        rows
    }
}

/// The bytes from one key's mask to the next.
fn key_bytes(mask: &Mask) -> u32 {
    bytes(mask.key) as u32
}
