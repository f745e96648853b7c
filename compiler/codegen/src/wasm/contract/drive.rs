//! The loops around a tile: over images, rows, columns of weights and pixels.

mod matrices;

use super::edges::Edges;
use super::epilogue::Epilogue;
use super::panels::Panels;
use super::products::Products;
use super::taps::{Bounds, Row, Taps};
use super::widen::{Block, Rows, Widening};
use super::{Job, Kind, Part, reaches_outside};
use crate::wasm::code::{Arg, Code, Local, Range};
use crate::wasm::layout::Layout;
use crate::wasm::math::Library;
use crate::wasm::module::Call;
use mlp_bundle::loops::{Arithmetic, PANEL, Window};
use mlp_bundle::plan::Plan;
use wasm_encoder::Instruction as I;
use wasm_encoder::ValType;

/// A call that fills the row which stands for padding.
pub(crate) fn fill(library: &mut Library, address: u64, value: i32, bytes: u32) -> Call {
    let (mut code, params) = Code::with_params(&[ValType::I32; 3]);
    params.into_iter().for_each(|param| code.get(param));
    code.op(I::MemoryFill(0));
    let args = vec![Arg::I32(address as u32 as i32), Arg::I32(value), Arg::I32(bytes as i32)];
    Call { function: library.functions.intern(&code, &[]), args, ranges: Vec::new() }
}

/// The function that computes a part of the outputs, and its call.
pub(super) fn function(plan: &Plan, layout: &Layout, library: &mut Library, job: &Job<'_>, part: Part) -> Result<Call, String> {
    let extents = [job.window.pixels(), job.window.out_c];
    let epilogue = Epilogue::new(plan, layout, library, job.epilogue, extents, job.arithmetic.total())?;
    let driver = Driver::new(layout, job, part, epilogue);
    let code = driver.run();
    Ok(Call::new(library, &code))
}

/// Sizes that the loops use, in parameters.
struct Sizes {
    /// First byte of the input's first channel.
    input: Local,
    /// First byte of the weights.
    weights: Local,
    /// Bytes of the weights of one panel of 16 channels.
    panel: Local,
    /// Bytes of an input pixel.
    pixel: Local,
    /// Bytes from the input of one output to that of the next.
    stride: Local,
}

/// What sums a tile's products.
enum Inner {
    /// Over input channels.
    Dense(Products),
    /// Of each channel by itself; with the bytes from one tap's weights to the next.
    Depthwise(Taps, Local),
}

struct Driver<'a> {
    window: Window,
    kind: Kind,
    /// Whether each image has weights of its own.
    per_image: bool,
    part: Part,
    epilogue: Epilogue<'a>,
    inner: Inner,
    sizes: Sizes,
    /// Steps of a run of channels.
    steps: u32,
    /// First byte of what is read as padding.
    padding: u64,
    /// How inputs are widened, for products of bytes.
    widening: Option<Widening>,
    /// How panels of weights are widened, where they are kept in fewer bits.
    panels: Option<Panels>,
}

impl<'a> Driver<'a> {
    fn new(layout: &Layout, job: &Job<'_>, part: Part, mut epilogue: Epilogue<'a>) -> Driver<'a> {
        let window = job.window;
        let (size, steps) = match job.kind {
            Kind::F32 { .. } => (4, window.in_c),
            Kind::Int8 { .. } => (1, window.in_c.div_ceil(4)),
        };
        let padding = match job.arithmetic {
            Arithmetic::Int8 { pad_value } if pad_value != 0 => layout.filled,
            _ => layout.zeros,
        };
        let code = &mut epilogue.eval.code;
        let inner = if job.depthwise {
            let taps = Taps::new(code, job.kind, part.tile, &window);
            Inner::Depthwise(taps, code.param((window.out_c.next_multiple_of(PANEL) * size) as i32))
        } else {
            Inner::Dense(Products::new(code, job.kind, part.tile))
        };
        let pixel = window.in_pixel * size;
        let panel = window.kernel[0] * window.kernel[1] * steps * 64;
        let line = part.pixels.1 - part.pixels.0;
        let widening = match (job.kind, job.arithmetic) {
            (Kind::Int8 { signed }, Arithmetic::Int8 { pad_value }) if !job.depthwise => {
                let block = Block::new(&window, line, part.tile.rows as u32);
                Some(Widening::new(&mut epilogue.eval, &window, block, signed, pad_value))
            }
            _ => None,
        };
        let panels = job.stored.map(|stored| Panels::new(&mut epilogue.eval, layout, job, stored));
        let stride = widening.as_ref().map_or(pixel * window.stride[1], |widening| widening.block.pixel * widening.block.stride);
        let code = &mut epilogue.eval.code;
        let sizes = Sizes {
            input: code.param((layout.address(job.input) + u64::from(window.in_offset * size)) as u32 as i32),
            weights: code.param(layout.address(job.weights) as u32 as i32),
            panel: code.param(panel as i32),
            pixel: code.param(pixel as i32),
            stride: code.param(stride as i32),
        };
        let per_image = job.per_image;
        Driver { window, kind: job.kind, per_image, part, epilogue, inner, sizes, steps, padding, widening, panels }
    }

    fn code(&mut self) -> &mut Code {
        &mut self.epilogue.eval.code
    }

    fn run(mut self) -> Code {
        if self.per_image {
            self.images()
        } else if self.window.is_product() {
            self.product()
        } else {
            self.convolution()
        }
        self.epilogue.eval.code
    }

    /// A loop over the blocks of the outputs between two, each with its first output and the end of it.
    fn blocks(&mut self, (begin, end): (Local, Local), size: u32, body: impl FnOnce(&mut Self, Local, Local)) {
        let rows = self.part.tile.rows as u32;
        let code = self.code();
        let size = code.param(size as i32);
        code.get(begin);
        let from = code.take(ValType::I32);
        let to = code.local_i32();
        code.begin_loop();
        code.get(from);
        code.get(size);
        code.op(I::I32Add);
        code.tee(to);
        code.get(end);
        code.get(to);
        code.get(end);
        code.ops([I::I32LtS, I::Select]);
        code.set(to);
        if rows > 1 {
            // The last block may have fewer pixels than a tile, and starts within the one before it.
            code.get(from);
            code.get(to);
            code.ops([I::I32Const(rows as i32), I::I32Sub]);
            code.get(from);
            code.get(to);
            code.ops([I::I32Const(rows as i32), I::I32Sub, I::I32LtS, I::Select]);
            code.set(from);
        }
        body(self, from, to);
        let code = self.code();
        code.get(to);
        code.tee(from);
        code.get(end);
        code.ops([I::I32LtS, I::BrIf(0), I::End]);
    }

    /// All rows of all images, one after the other.
    fn convolution(&mut self) {
        let window = self.window;
        let row_bytes = window.in_w * window.in_pixel * self.size();
        let input = self.sizes.input;
        let code = self.code();
        let (first, last) = code.range(Range { bounds: (0, window.batch * window.out_h), unit: 1, ragged: true });
        let row_bytes = code.param(row_bytes as i32);
        let (row, y) = (code.local_i32(), code.local_i32());
        let (image_start, line_pixel) = (code.local_i32(), code.local_i32());
        let next_image = [I::I32Const(window.in_h as i32), I::I32Mul];
        code.get(input);
        if window.batch > 1 {
            code.get(first);
            code.ops([I::I32Const(window.out_h as i32), I::I32DivU]);
            code.get(row_bytes);
            code.ops(next_image.clone());
            code.ops([I::I32Mul, I::I32Add]);
        }
        code.set(image_start);
        code.get(first);
        if window.batch > 1 {
            code.ops([I::I32Const(window.out_h as i32), I::I32RemU]);
            code.tee(row);
        }
        code.ops([I::I32Const(window.stride[0] as i32), I::I32Mul, I::I32Const(window.pad[0] as i32), I::I32Sub]);
        code.set(y);
        code.get(first);
        code.ops([I::I32Const(window.out_w as i32), I::I32Mul]);
        code.set(line_pixel);
        code.get(last);
        code.get(first);
        code.op(I::I32Sub);
        let left = code.take(ValType::I32);
        code.begin_loop();
        match &self.widening {
            Some(widening) => {
                let size = widening.block.outputs;
                let (first, last) = self.part.pixels;
                let code = self.code();
                let columns = (code.param(first as i32), code.param(last as i32));
                self.blocks(columns, size, |driver, from, to| driver.widened(image_start, Some((y, row_bytes)), from, to, line_pixel));
            }
            None => self.line(image_start, y, row_bytes, line_pixel),
        }
        let code = self.code();
        code.add_const(line_pixel, window.out_w as i32);
        code.add_const(y, window.stride[0] as i32);
        if window.batch > 1 {
            code.add_const(row, 1);
            code.get(row);
            code.ops([I::I32Const(window.out_h as i32), I::I32Eq]);
            code.begin_if();
            code.i32(0);
            code.set(row);
            code.i32(-(window.pad[0] as i32));
            code.set(y);
            code.get(image_start);
            code.get(row_bytes);
            code.ops(next_image);
            code.op(I::I32Add);
            code.set(image_start);
            code.end();
        }
        end_count(code, left);
    }

    /// One row of outputs, its windows read where they lie.
    fn line(&mut self, image_start: Local, y: Local, row_bytes: Local, line_pixel: Local) {
        let window = self.window;
        let pixel = self.sizes.pixel;
        let (first, last) = self.part.pixels;
        let code = self.code();
        let (from, to) = (code.param(first as i32), code.param(last as i32));
        // The address of the window's first tap at column 0, which may lie outside.
        code.get(image_start);
        code.get(y);
        code.get(row_bytes);
        code.ops([I::I32Mul, I::I32Add]);
        code.get(pixel);
        code.ops([I::I32Const(window.pad[1] as i32), I::I32Mul, I::I32Sub]);
        let start = code.take(ValType::I32);
        let inside = reaches_outside(&window).then(|| Edges::new(self.code(), &window, y, row_bytes));
        self.columns(Line { from, to, first_pixel: line_pixel, input: start, inside });
    }

    /// One block of outputs, its inputs widened first. `rows` has the input row of the first tap and the bytes of a row; without it, pixels are one run.
    fn widened(&mut self, start: Local, rows: Option<(Local, Local)>, from: Local, to: Local, line_pixel: Local) {
        let window = self.window;
        let pixel = self.sizes.pixel;
        let Some(widening) = &self.widening else { return };
        let code = &mut self.epilogue.eval.code;
        let scratch = code.scratch();
        code.get(to);
        code.get(from);
        code.op(I::I32Sub);
        let outputs = code.take(ValType::I32);
        code.get(line_pixel);
        code.get(from);
        code.op(I::I32Add);
        let first_pixel = code.take(ValType::I32);
        match rows {
            None => widening.run(code, start, pixel, scratch, from, outputs),
            Some((y, row_bytes)) => widening.lines(code, &window, Rows { start, y, row_bytes, pixel }, scratch, from, outputs),
        }
        let zero = code.local_i32();
        self.columns(Line { from: zero, to: outputs, first_pixel, input: scratch, inside: None });
    }

    /// All columns of the weights against one line of pixels.
    fn columns(&mut self, line: Line) {
        let (first, last) = self.part.channels;
        let tile = self.part.tile;
        let code = self.code();
        let (first, last) = code.range(Range { bounds: (first, last), unit: PANEL, ragged: true });
        code.get(first);
        let channel = code.take(ValType::I32);
        code.begin_loop();
        self.push_column(channel, first);
        let code = self.code();
        let column = code.take(ValType::I32);
        code.get(line.from);
        let x = code.take(ValType::I32);
        code.begin_loop();
        self.tile(&line, x, channel, column);
        self.next_tile(&line, x);
        let code = self.code();
        code.end();
        code.get(channel);
        code.ops([I::I32Const(4 * tile.vectors as i32), I::I32Add]);
        code.tee(channel);
        code.get(last);
        code.ops([I::I32LtS, I::BrIf(0), I::End]);
    }

    /// Goes to the next tile of the line; a last one that would stick out starts earlier.
    fn next_tile(&mut self, line: &Line, x: Local) {
        let rows = self.part.tile.rows as i32;
        let code = self.code();
        code.add_const(x, rows);
        code.get(x);
        if rows > 1 {
            code.ops([I::I32Const(rows), I::I32Add]);
        }
        code.get(line.to);
        code.ops([if rows > 1 { I::I32LeS } else { I::I32LtS }, I::BrIf(0)]);
        if rows > 1 {
            code.get(x);
            code.get(line.to);
            code.op(I::I32LtS);
            code.begin_if();
            code.get(line.to);
            code.ops([I::I32Const(rows), I::I32Sub]);
            code.set(x);
            code.ops([I::Br(1), I::End]);
        }
    }

    /// Pushes the address of a channel's weights at the first tap; `first` is the first channel of all.
    fn push_column(&mut self, channel: Local, first: Local) {
        let (weights, panel, size) = (self.sizes.weights, self.sizes.panel, self.size());
        if let Some(panels) = &self.panels {
            let code = &mut self.epilogue.eval.code;
            panels.widen(code, weights, channel, first);
            return panels.push_column(code, channel);
        }
        let depthwise = matches!(self.inner, Inner::Depthwise(..));
        let code = self.code();
        code.get(weights);
        code.get(channel);
        if depthwise {
            return code.ops([I::I32Const(size as i32), I::I32Mul, I::I32Add]);
        }
        // The panel, and the vector within each of its steps.
        code.ops([I::I32Const(4), I::I32ShrU]);
        code.get(panel);
        code.ops([I::I32Mul, I::I32Add]);
        code.get(channel);
        code.ops([I::I32Const(15), I::I32And, I::I32Const(2), I::I32Shl, I::I32Add]);
    }

    fn tile(&mut self, line: &Line, x: Local, channel: Local, column: Local) {
        let (stride, rows, size) = (self.sizes.stride, self.part.tile.rows, self.size());
        let repeats = self.epilogue.repeats();
        let code = &mut self.epilogue.eval.code;
        if repeats {
            code.begin_loop();
        }
        let start = self.epilogue.start_of_sums(channel, self.part.tile.vectors);
        let code = &mut self.epilogue.eval.code;
        code.get(column);
        let weights = code.take(ValType::I32);
        code.get(line.input);
        code.get(x);
        code.get(stride);
        code.ops([I::I32Mul, I::I32Add]);
        match &self.inner {
            Inner::Dense(products) => products.clear(code, start.as_deref()),
            Inner::Depthwise(taps, _) => {
                code.get(channel);
                code.ops([I::I32Const(size as i32), I::I32Mul, I::I32Add]);
                taps.clear(code, start.as_deref());
            }
        }
        let start = code.take(ValType::I32);
        if let Some(edges) = &line.inside {
            edges.push_inside(code, &self.window, x, rows);
            code.begin_if();
        }
        self.run_inside(start, weights);
        if let Some(edges) = &line.inside {
            self.code().op(I::Else);
            self.run_checked(edges, x, channel, start, weights);
            self.code().end();
        }
        let sums = match &self.inner {
            Inner::Dense(products) => products.finish(),
            Inner::Depthwise(taps, _) => taps.finish(),
        };
        let code = &mut self.epilogue.eval.code;
        code.get(line.first_pixel);
        code.get(x);
        code.op(I::I32Add);
        let pixel = code.take(ValType::I32);
        self.epilogue.tile(pixel, channel, &sums, self.part.tile.lanes);
        if repeats {
            self.code().end();
        }
    }

    /// All taps, none of which is padding.
    fn run_inside(&mut self, start: Local, weights: Local) {
        if let Inner::Depthwise(..) = self.inner {
            self.rows_of_taps(start, weights, None);
        } else {
            let pixels = self.spread_pixels(start);
            self.dense_inside(&pixels, weights);
        }
    }

    /// All taps, each read from the row of padding where it is outside.
    fn run_checked(&mut self, edges: &Edges, x: Local, channel: Local, start: Local, weights: Local) {
        if let Inner::Depthwise(..) = self.inner {
            let (window, size, padding) = (self.window, self.size(), self.padding);
            let code = self.code();
            let padding = code.param(padding as u32 as i32);
            code.get(padding);
            code.get(channel);
            code.ops([I::I32Const(size as i32), I::I32Mul, I::I32Add]);
            let padding = code.take(ValType::I32);
            edges.push_column(code, &window, x);
            let column = code.take(ValType::I32);
            code.get(edges.y);
            let y = code.take(ValType::I32);
            let row_inside = code.local_i32();
            let bounds = Bounds { column, in_w: edges.in_w, row_inside, padding };
            self.rows_of_taps(start, weights, Some((bounds, y, edges.in_h)));
        } else {
            self.dense_checked(edges, x, start, weights);
        }
    }

    /// Depthwise: one row of taps after the other, or two at a time. `bounds` has what tells columns outside, the first row and the number of rows.
    fn rows_of_taps(&mut self, start: Local, weights: Local, bounds: Option<(Bounds, Local, Local)>) {
        let window = self.window;
        let row_bytes = window.dilation[0] * window.in_w * window.in_pixel * self.size();
        let pixel = self.sizes.pixel;
        let Inner::Depthwise(taps, tap) = &self.inner else { return };
        let code = &mut self.epilogue.eval.code;
        let row_bytes = code.param(row_bytes as i32);
        code.get(start);
        let address = code.take(ValType::I32);
        let turn = |code: &mut Code, count: u32| {
            let rows: Vec<Row> = (0..count)
                .map(|_| {
                    code.get(address);
                    let start = code.take(ValType::I32);
                    code.add_local(address, row_bytes);
                    let bounds = bounds.as_ref().map(|(bounds, y, in_h)| {
                        code.get(*y);
                        code.get(*in_h);
                        code.op(I::I32LtU);
                        let row_inside = code.take(ValType::I32);
                        code.add_const(*y, window.dilation[0] as i32);
                        Bounds { row_inside, ..*bounds }
                    });
                    Row { start, pixel, bounds }
                })
                .collect();
            taps.rows(code, &rows, weights, *tap);
        };
        let at_once = taps.rows_at_once();
        for (turns, rows) in [(window.kernel[0] / at_once, at_once), (window.kernel[0] % at_once, 1)] {
            if turns > 0 {
                let count = begin_count(code, turns);
                turn(code, rows);
                end_count(code, count);
            }
        }
    }

    /// A pointer to each pixel of a tile.
    fn spread_pixels(&mut self, start: Local) -> Vec<Local> {
        let stride = self.sizes.stride;
        let rows = self.part.tile.rows;
        let code = self.code();
        let mut pixels: Vec<Local> = Vec::new();
        for _ in 0..rows {
            code.get(pixels.last().copied().unwrap_or(start));
            if !pixels.is_empty() {
                code.get(stride);
                code.op(I::I32Add);
            }
            pixels.push(code.take(ValType::I32));
        }
        pixels
    }

    fn dense_inside(&mut self, pixels: &[Local], weights: Local) {
        let Inner::Dense(products) = &self.inner else { return };
        let window = self.window;
        let [taps_y, taps_x] = window.kernel;
        // Bytes from one tap to the next, and from one row of taps to the next.
        let (dense, tap_bytes, row_bytes) = match &self.widening {
            Some(widening) => (true, window.dilation[1] * widening.block.pixel, widening.block.pitch),
            None => {
                let pixel = window.in_pixel * self.size();
                (window.in_pixel == window.in_c, window.dilation[1] * pixel, window.dilation[0] * window.in_w * pixel)
            }
        };
        // Taps whose input lies in one run are one run.
        let merged = taps_x == 1 || (window.dilation[1] == 1 && dense);
        let (runs, steps) = if merged { (1, taps_x * self.steps) } else { (taps_x, self.steps) };
        let run_bytes = steps * products.step_bytes();
        let row_skip = i64::from(row_bytes) - i64::from(if merged { run_bytes } else { runs * tap_bytes });
        let unroll = products.unroll(steps);
        let code = &mut self.epilogue.eval.code;
        let steps_local = code.param(steps as i32);
        let rows = (taps_y > 1).then(|| begin_count(code, taps_y));
        let row_skip = (taps_y > 1).then(|| code.param(row_skip as i32));
        let columns = (runs > 1).then(|| begin_count(code, runs));
        let tap_skip = (runs > 1).then(|| code.param((i64::from(tap_bytes) - i64::from(run_bytes)) as i32));
        products.run(code, pixels, weights, steps_local, unroll);
        for (count, skip) in [(columns, tap_skip), (rows, row_skip)] {
            if let (Some(count), Some(skip)) = (count, skip) {
                pixels.iter().for_each(|&pixel| code.add_local(pixel, skip));
                end_count(code, count);
            }
        }
    }

    fn size(&self) -> u32 {
        if matches!(self.kind, Kind::F32 { .. }) { 4 } else { 1 }
    }

    fn dense_checked(&mut self, edges: &Edges, x: Local, start: Local, weights: Local) {
        let Inner::Dense(products) = &self.inner else { return };
        let window = self.window;
        let rows = self.part.tile.rows;
        let (stride, pixel, padding) = (self.sizes.stride, self.sizes.pixel, self.padding);
        let unroll = products.unroll(self.steps);
        let steps = self.steps;
        let code = &mut self.epilogue.eval.code;
        let padding = code.param(padding as u32 as i32);
        let steps = code.param(steps as i32);
        let (tap, row) = (code.local_i32(), code.local_i32());
        code.get(start);
        code.set(row);
        code.get(edges.y);
        let y = code.take(ValType::I32);
        let vertical = begin_count(code, window.kernel[0]);
        code.get(row);
        code.set(tap);
        edges.push_column(code, &window, x);
        let column = code.take(ValType::I32);
        let horizontal = begin_count(code, window.kernel[1]);
        let mut pixels: Vec<Local> = Vec::new();
        let (address, position) = (code.local_i32(), code.local_i32());
        code.get(tap);
        code.set(address);
        code.get(column);
        code.set(position);
        for _ in 0..rows {
            code.get(address);
            code.get(padding);
            code.get(y);
            code.get(edges.in_h);
            code.op(I::I32LtU);
            code.get(position);
            code.get(edges.in_w);
            code.ops([I::I32LtU, I::I32And, I::Select]);
            pixels.push(code.take(ValType::I32));
            code.add_local(address, stride);
            code.add_const(position, window.stride[1] as i32);
        }
        products.run(code, &pixels, weights, steps, unroll);
        code.add_const(column, window.dilation[1] as i32);
        code.get(tap);
        code.get(pixel);
        code.ops([I::I32Const(window.dilation[1] as i32), I::I32Mul, I::I32Add]);
        code.set(tap);
        end_count(code, horizontal);
        code.add_const(y, window.dilation[0] as i32);
        code.get(row);
        code.get(edges.row_bytes);
        code.ops([I::I32Const(window.dilation[0] as i32), I::I32Mul, I::I32Add]);
        code.set(row);
        end_count(code, vertical);
    }
}

/// A run of pixels whose windows follow each other at one distance.
pub(super) struct Line {
    /// The columns.
    from: Local,
    to: Local,
    /// The number of the pixel at column 0.
    first_pixel: Local,
    /// The address of the first tap at column 0.
    input: Local,
    /// Where windows may reach outside.
    inside: Option<Edges>,
}

/// Opens a loop of a constant number of turns.
pub(crate) fn begin_count(code: &mut Code, count: u32) -> Local {
    code.i32(count as i32);
    let left = code.take(ValType::I32);
    code.begin_loop();
    left
}

/// Closes such a loop.
pub(crate) fn end_count(code: &mut Code, left: Local) {
    code.get(left);
    code.ops([I::I32Const(1), I::I32Sub]);
    code.tee(left);
    code.ops([I::BrIf(0), I::End]);
}
