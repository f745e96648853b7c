//! Convolutions and products with constant weights as [`Contract`] and [`Depthwise`] kernels.

use crate::draft::Draft;
use crate::group::Group;
use crate::location::Location;
use crate::map::{requantized, result_range};
use crate::narrow::{self, Narrow};
use crate::pack;
use crate::planner::Planner;
use crate::scope::{Guard, Scope};
use mlp_bundle::DType;
use mlp_bundle::loops::{Affine, Arithmetic, Body, BufferId, Contract, Depthwise, Epilogue, ExprId, PANEL, Scales, Window};
use mlp_graph::op::{Layout, Spatial};
use mlp_graph::{Op, Tensor, ValueId};

/// Groups above this count become a nest rather than one kernel each.
const MAX_GROUPS: u64 = 64;

/// Outputs that a group has at least, where groups can be joined for it: those of a panel of weights.
const GROUP_OUTPUTS: u64 = 16;

/// Sizes that a window may have.
pub(crate) const MAX_SIZE: u64 = 1 << 24;

/// The input of a contraction, as its window addresses it.
#[derive(Clone, Copy)]
pub(crate) struct Input {
    pub(crate) buffer: BufferId,
    /// Elements from pixel to pixel.
    pixel: u64,
    /// The first channel's place in a pixel.
    offset: u64,
}

/// A contraction to be emitted: its window, packed weights, and the frame's first channel that it makes.
pub(crate) struct Packed {
    pub(crate) window: Window,
    pub(crate) weights: BufferId,
    /// Whether each image has weights of its own.
    pub(crate) per_image: bool,
    pub(crate) scales: Option<Scales>,
    pub(crate) first: u64,
}

/// What follows a contraction's sum before the group's tail.
#[derive(Clone, Copy)]
struct After {
    bias: Option<ValueId>,
    /// Multiplier, shift, zero point and bounds of an integer contraction that requantizes.
    requantize: Option<(ValueId, u8, i32, (i32, i32))>,
}

impl Input {
    /// The window of so many products, each of `[rows, inputs]` and `[inputs, outputs]`.
    pub(crate) fn product(&self, [images, rows, inputs, outputs]: [u64; 4]) -> Window {
        Window {
            batch: images as u32,
            in_h: 1,
            in_w: rows as u32,
            in_c: inputs as u32,
            in_pixel: self.pixel as u32,
            in_offset: self.offset as u32,
            out_h: 1,
            out_w: rows as u32,
            out_c: outputs as u32,
            kernel: [1, 1],
            stride: [1, 1],
            dilation: [1, 1],
            pad: [0, 0],
        }
    }
}

impl Planner<'_> {
    /// A convolution: depthwise, one contraction a group, or a nest.
    pub(crate) fn emit_conv(&mut self, group: &Group) {
        let graph = self.graph;
        let node = &graph.ops[group.frame];
        let (spatial, groups, layout) = match &node.op {
            Op::Conv { spatial, groups, layout } | Op::QuantizedConv { spatial, groups, layout, .. } => (spatial, *groups, *layout),
            other => unreachable!("{} is no convolution", other.name()),
        };
        let weights = self.tensor(node.operands[1]);
        let fits = layout == Layout::ChannelsLast && spatial.kernel.len() <= 2 && self.contracts(node.operands[0], weights.as_ref());
        let Some(weights) = weights.filter(|_| fits) else {
            return self.emit_conv_nest(group, spatial, groups, layout);
        };
        let (channels, outputs) = (weights.shape()[1] * groups, weights.shape()[0]);
        let depthwise = groups == channels && groups == outputs && groups > 1;
        // Joined groups multiply zeros, in lanes that would idle.
        let narrow = |joined: &u64| joined * (outputs / groups) >= GROUP_OUTPUTS;
        let joined = (1..=groups).filter(|joined| groups.is_multiple_of(*joined)).find(narrow).unwrap_or(groups);
        let kernels = groups / joined;
        if kernels > MAX_GROUPS && !depthwise {
            return self.emit_conv_nest(group, spatial, groups, layout);
        }
        let input = self.contraction_input(node.operands[0]);
        let window = self.conv_window(group, spatial, input, channels);
        if depthwise {
            self.emit_depthwise(group, window, input.buffer, &weights);
        } else {
            self.emit_groups(group, window, kernels, input.buffer, &pack::joined(&weights, groups, joined));
        }
    }

    /// Whether element types and sizes are those of contractions.
    fn contracts(&self, x: ValueId, weights: Option<&Tensor>) -> bool {
        let Some(weights) = weights else { return false };
        let types = match self.dtype(x) {
            DType::F32 => weights.dtype() == DType::F32,
            DType::U8 | DType::I8 => weights.dtype() == DType::I8,
            _ => false,
        };
        types && self.dims(x).iter().chain(weights.shape()).all(|&size| (1..MAX_SIZE).contains(&size))
    }

    /// Where the pixels of a channels-last value lie; a copy where they are not dense over one stride.
    pub(crate) fn contraction_input(&mut self, value: ValueId) -> Input {
        if let Some(input) = self.view(value).and_then(|location| self.pixels(&location)) {
            return input;
        }
        let copy = self.copied(value);
        self.pixels(&copy).expect("a dense tensor has dense pixels")
    }

    /// A dense copy of a value, made once.
    pub(crate) fn copied(&mut self, value: ValueId) -> Location {
        if let Some(copy) = &self.copies[value] {
            return copy.clone();
        }
        let dims = self.dims(value).to_vec();
        let copy = self.dense(format!("{} (dense)", self.value_name(value)), self.dtype(value), &dims);
        self.emit_copy(value, &copy, None);
        self.copies[value] = Some(copy.clone());
        copy
    }

    fn pixels(&self, location: &Location) -> Option<Input> {
        let (channel, rank) = (location.dims.last()?, location.dims.len());
        let channels = channel.extent;
        if channels != 1 && channel.stride != 1 {
            return None;
        }
        let input = match location.pixel_stride(rank - 1) {
            Some(0) => return None,
            Some(pixel) => Input { buffer: location.buffer, pixel, offset: location.offset },
            None => Input { buffer: location.buffer, pixel: location.offset + channels, offset: location.offset },
        };
        let pixels: u64 = location.dims[..rank - 1].iter().map(|dim| dim.extent).product();
        let fits = input.offset + channels <= input.pixel && input.pixel * pixels <= self.buffers[location.buffer].len;
        (fits && input.pixel < MAX_SIZE).then_some(input)
    }

    fn conv_window(&self, group: &Group, spatial: &Spatial, input: Input, channels: u64) -> Window {
        let node = &self.graph.ops[group.frame];
        let (x, y) = (self.dims(node.operands[0]), self.dims(node.results[0]));
        // A row of a one-dimensional convolution is the only row of a picture.
        let pair = |sizes: &[u64], fill: u64| match *sizes {
            [width] => [fill as u32, width as u32],
            [height, width] => [height as u32, width as u32],
            _ => [fill as u32; 2],
        };
        let [in_h, in_w] = pair(&x[1..x.len() - 1], 1);
        let [out_h, out_w] = pair(&y[1..y.len() - 1], 1);
        Window {
            batch: x[0] as u32,
            in_h,
            in_w,
            in_c: channels as u32,
            in_pixel: input.pixel as u32,
            in_offset: input.offset as u32,
            out_h,
            out_w,
            out_c: y[y.len() - 1] as u32,
            kernel: pair(&spatial.kernel, 1),
            stride: pair(&spatial.strides, 1),
            dilation: pair(&spatial.dilations, 1),
            pad: pair(&spatial.pads_begin, 0),
        }
    }

    fn emit_depthwise(&mut self, group: &Group, window: Window, input: BufferId, weights: &Tensor) {
        let name = self.value_name(self.graph.ops[group.frame].operands[1]);
        let weights = self.constant(&name, weights.dtype(), |file| pack::depthwise(weights, file));
        let arithmetic = self.arithmetic(group);
        self.emit_contraction(group, "depthwise", 0, u64::from(window.out_c), |epilogue| {
            Body::Depthwise(Depthwise { window, arithmetic, input, weights, epilogue })
        });
    }

    fn emit_groups(&mut self, group: &Group, window: Window, groups: u64, input: BufferId, weights: &Tensor) {
        let (inputs, outputs) = (weights.shape()[1], weights.shape()[0] / groups);
        let taps = weights.shape()[2..].iter().product();
        // The weights of all groups lie side by side, for backends that compute groups together.
        let mut parts = Vec::new();
        for index in 0..groups {
            let matrix = pack::Weights { outputs, inputs, taps, first: index * outputs * inputs * taps, strides: [inputs * taps, taps, 1] };
            let in_offset = window.in_offset + (index * inputs) as u32;
            let window = Window { in_c: inputs as u32, in_offset, ..window };
            parts.append(&mut self.pack_outputs(group, window, (weights, matrix), index * outputs));
        }
        self.emit_outputs(group, "conv", input, parts);
    }

    /// Packs the weights of contractions that make the outputs of `matrix`, the frame's channels from `first`: one, or as many as their weights ask for.
    fn pack_outputs(&mut self, group: &Group, window: Window, (weights, matrix): (&Tensor, pack::Weights), first: u64) -> Vec<Packed> {
        let name = self.value_name(self.graph.ops[group.frame].operands[1]);
        let step = match self.options.kernel_weights {
            Some(most) => pack::outputs_within(most, &matrix, weights.dtype()),
            None => matrix.outputs,
        };
        let mut parts = Vec::new();
        for from in (0..matrix.outputs).step_by(step as usize) {
            let part = pack::Weights { outputs: step.min(matrix.outputs - from), first: matrix.first + from * matrix.strides[0], ..matrix };
            let window = Window { out_c: part.outputs as u32, ..window };
            let (weights, scales) = match self.options.narrow_weights.then(|| narrow_panels(weights, &part, &window)).flatten() {
                Some(narrow) => self.narrow_constant(&name, narrow),
                None => (self.constant(&name, weights.dtype(), |file| pack::panels(weights, &part, file)), None),
            };
            parts.push(Packed { window, weights, per_image: false, scales, first: first + from });
        }
        parts
    }

    /// The buffers of weights in fewer bits, and of their factors.
    fn narrow_constant(&mut self, name: &str, narrow: Narrow) -> (BufferId, Option<Scales>) {
        let weights = self.constant(name, narrow.dtype, |file| file.extend(narrow.bytes));
        let scales = narrow.scales.map(|factors| {
            let bytes = factors.values.iter().flat_map(|value| value.to_le_bytes());
            let buffer = self.constant(&format!("{name} (scales)"), DType::F32, |file| file.extend(bytes));
            Scales { buffer, per: factors.per, bits: factors.bits }
        });
        (weights, scales)
    }

    /// Contractions of packed weights. All must fuse alike: the first one that cannot take the tail makes all others store the frame.
    pub(crate) fn emit_outputs(&mut self, group: &Group, what: &str, input: BufferId, parts: Vec<Packed>) {
        let arithmetic = self.arithmetic(group);
        for Packed { window, weights, per_image, scales, first } in parts {
            self.emit_contraction(group, what, first, u64::from(window.out_c), |epilogue| {
                Body::Contract(Contract { window, arithmetic, input, weights, per_image, scales, epilogue })
            });
        }
    }

    fn arithmetic(&self, group: &Group) -> Arithmetic {
        match self.graph.ops[group.frame].op {
            Op::QuantizedConv { in_zero, .. } => Arithmetic::Int8 { pad_value: in_zero },
            Op::QuantizedMatMul { .. } => Arithmetic::Int8 { pad_value: 0 },
            _ => Arithmetic::F32,
        }
    }

    fn after(&self, group: &Group) -> After {
        let node = &self.graph.ops[group.frame];
        match node.op {
            Op::QuantizedConv { out_zero, shift, dtype, lo, hi, .. } | Op::QuantizedMatMul { out_zero, shift, dtype, lo, hi } => After {
                bias: Some(node.operands[2]),
                requantize: node.operands.get(3).map(|&multiplier| (multiplier, shift, out_zero, result_range(dtype, lo, hi))),
            },
            Op::Conv { .. } => After { bias: node.operands.get(2).copied(), requantize: None },
            _ => After { bias: None, requantize: None },
        }
    }

    /// One contraction that makes `channels` channels of the frame from `first`, its epilogue taking the tail if it can.
    fn emit_contraction(&mut self, group: &Group, what: &str, first: u64, channels: u64, body: impl Fn(Epilogue) -> Body) {
        let frame = self.graph.ops[group.frame].results[0];
        if self.frames[frame].is_none() {
            let (mut draft, value, coords) = self.contraction_draft(group, first, channels);
            self.finish_tail(&mut draft, group, value, coords);
            let origins = draft.scope.origins.clone();
            if let Some(epilogue) = draft.finish_epilogue() {
                return self.push_kernel(what, &origins, body(epilogue));
            }
        }
        let rows = self.frame_location(frame);
        let (mut draft, value, coords) = self.contraction_draft(group, first, channels);
        self.store(&mut draft, &rows, &coords, value);
        draft.scope.note(group.frame);
        let origins = draft.scope.origins.clone();
        let epilogue = draft.finish_epilogue().expect("a dense frame goes by pixels");
        self.push_kernel(what, &origins, body(epilogue));
        if first + channels == *self.dims(frame).last().unwrap_or(&1) || self.is_vector_product(group) {
            self.emit_tail(group, &rows);
        }
    }

    /// Memory for a frame whose tail is a kernel of its own: a contraction stores by pixels, and the tail or its place may not go by them.
    fn frame_location(&mut self, frame: ValueId) -> Location {
        if let Some(location) = &self.frames[frame] {
            return location.clone();
        }
        let name = format!("{} (sum)", self.value_name(frame));
        let dims = self.dims(frame).to_vec();
        let location = self.dense(name, self.dtype(frame), &dims);
        self.frames[frame] = Some(location.clone());
        location
    }

    /// The sum, its bias and requantization, over the axes of the frame: the last one the channels from `first`.
    fn contraction_draft(&mut self, group: &Group, first: u64, channels: u64) -> (Draft, ExprId, Vec<Affine>) {
        let graph = self.graph;
        let node = &graph.ops[group.frame];
        let dims = self.dims(node.results[0]).to_vec();
        let vector = self.is_vector_product(group);
        let mut axes = if vector { dims.clone() } else { dims[..dims.len() - 1].to_vec() };
        axes.push(channels);
        let mut draft = Draft::new(&axes);
        let mut coords = draft.coords();
        let mut channel = coords.pop().expect("there is a channel axis");
        channel.constant = first as i64;
        if !vector {
            coords.push(channel.clone());
        }
        let scope = &mut draft.scope;
        let arithmetic = self.arithmetic(group);
        let mut value = scope.total(0, arithmetic.total());
        let after = self.after(group);
        if let Some(bias) = after.bias {
            let bias = self.read_channel(scope, bias, &channel);
            value = scope.add(value, bias);
        }
        if let Some((multiplier, shift, zero, range)) = after.requantize {
            let multiplier = self.read_channel(scope, multiplier, &channel);
            value = requantized(scope, value, multiplier, shift, zero, range);
        }
        (draft, value, coords)
    }

    /// Whether the frame lacks a channel axis: a product with a vector.
    fn is_vector_product(&self, group: &Group) -> bool {
        let node = &self.graph.ops[group.frame];
        node.op == Op::MatMul && self.dims(node.operands[1]).len() == 1
    }

    /// A number a channel, always from memory: backends know a load of it for what it is.
    fn read_channel(&mut self, scope: &mut Scope, value: ValueId, channel: &Affine) -> ExprId {
        match self.tensor(value) {
            Some(tensor) => {
                let location = self.constant_tensor(&self.value_name(value), &tensor);
                scope.load(&location, std::slice::from_ref(channel), Guard::Clamp)
            }
            None => self.read(scope, value, std::slice::from_ref(channel)),
        }
    }

    /// `x [.., M, K]` times constant weights `[K, N]`.
    pub(crate) fn emit_matmul(&mut self, group: &Group) {
        let graph = self.graph;
        let node = &graph.ops[group.frame];
        let weights = self.tensor(node.operands[1]).filter(|weights| weights.shape().len() <= 2);
        let rows: u64 = self.shapes.elements(node.operands[0]) / (*self.dims(node.operands[0]).last().unwrap_or(&1)).max(1);
        let float = self.dtype(node.operands[0]) == DType::F32;
        match weights.filter(|weights| float && rows < MAX_SIZE && self.contracts(node.operands[0], Some(weights))) {
            Some(weights) => self.emit_product(group, rows, &weights),
            None => self.emit_computed_product(group),
        }
    }

    /// As [`emit_matmul`](Planner::emit_matmul) for integers.
    pub(crate) fn emit_quantized_matmul(&mut self, group: &Group) {
        let node = &self.graph.ops[group.frame];
        let weights = self.tensor(node.operands[1]);
        let rows = self.dims(node.operands[0])[0];
        match weights.filter(|weights| self.contracts(node.operands[0], Some(weights))) {
            Some(weights) => self.emit_product(group, rows, &weights),
            None => self.emit_quantized_matmul_nest(group),
        }
    }

    fn emit_product(&mut self, group: &Group, rows: u64, weights: &Tensor) {
        let node = &self.graph.ops[group.frame];
        let input = self.contraction_input(node.operands[0]);
        let (inputs, outputs) = (weights.shape()[0], weights.shape().get(1).copied().unwrap_or(1));
        let matrix = pack::Weights { outputs, inputs, taps: 1, first: 0, strides: [1, outputs, 0] };
        let window = input.product([1, rows, inputs, outputs]);
        let parts = self.pack_outputs(group, window, (weights, matrix), 0);
        self.emit_outputs(group, "matmul", input.buffer, parts);
    }

    /// What follows a sum of products in a nest that stands in for a contraction.
    pub(crate) fn after_sum(&mut self, scope: &mut Scope, group: &Group, sum: ExprId, channel: &Affine) -> ExprId {
        let after = self.after(group);
        let mut value = sum;
        if let Some(bias) = after.bias {
            let bias = self.read(scope, bias, std::slice::from_ref(channel));
            value = scope.add(value, bias);
        }
        if let Some((multiplier, shift, zero, range)) = after.requantize {
            let multiplier = self.read(scope, multiplier, std::slice::from_ref(channel));
            value = requantized(scope, value, multiplier, shift, zero, range);
        }
        value
    }
}

/// The packed weights of a product in fewer bits, where they have such a form and it pays.
fn narrow_panels(weights: &Tensor, part: &pack::Weights, window: &Window) -> Option<Narrow> {
    let bytes = part.outputs * part.inputs * DType::F32.size() as u64;
    if weights.dtype() != DType::F32 || !window.is_product() || bytes < narrow::LEAST_BYTES {
        return None;
    }
    let floats = |part: &pack::Weights| {
        let mut file = Vec::new();
        pack::panels(weights, part, &mut file);
        file.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect::<Vec<f32>>()
    };
    let first = floats(&pack::Weights { outputs: part.outputs.min(u64::from(PANEL)), ..*part });
    narrow::narrow(part.inputs as usize, &first, || floats(part))
}
