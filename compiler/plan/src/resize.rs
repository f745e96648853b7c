//! A photo of any size, resampled: `ImageResize`.
//!
//! Positions are exact integers. Along an axis where `made` elements are made of `count` from `start`, in units of `1 / (2 * made)` of a source
//! element: element `i` of the result has its centre at `c = 2 * start * made + (2 * i + 1) * count`, the filter's unit is `u = 2 * max(count, made)`,
//! and source element `p` has the weight of the filter at `|(2 * p + 1) * made - c| / u`, divided by the sum of all weights. The triangle's weights are
//! integers too, `u` times as large. An element whose centre lies outside the photo reads nothing.
//!
//! One kernel an axis finds the first source element, how many there are and the sum of weights; one writes the table of weights; then each pixel
//! sums over its rectangle of the photo. No kernel runs over the photo's greatest size.

use crate::PlanError;
use crate::draft::Draft;
use crate::filters;
use crate::group::Group;
use crate::location::Location;
use crate::planner::Planner;
use crate::scope::{Guard, Scope};
use mlp_bundle::loops::{Access, AccessDim, Affine, Bounds, CompareOp, Expr, ExprId, UnaryOp};
use mlp_bundle::{DType, Scalar};
use mlp_graph::ValueId;
use mlp_graph::op::{Filter, Fit};

/// Products of sizes stay below this, so that positions fit in 32 bits.
const MAX_PRODUCT: u64 = 1 << 28;

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    /// Rows and columns of the result.
    pub(crate) target: [u64; 2],
    /// How the aspect ratio is met.
    pub(crate) fit: Fit,
    /// How source elements are weighed.
    pub(crate) filter: Filter,
    /// What stands around the photo.
    pub(crate) fill: f32,
}

/// One axis of the photo.
#[derive(Clone, Copy)]
struct Axis {
    /// 0 for rows, 1 for columns.
    index: usize,
    /// Elements of the result.
    made: u64,
    /// The most source elements that one element of the result may read.
    taps: u64,
}

/// The tables of one axis.
struct Tables {
    /// The first source element, for each element of the result.
    first: Location,
    /// How many source elements.
    count: Location,
    /// Their weights.
    weights: Location,
}

/// Which part of the photo is resampled, and by what: all of one axis, as expressions.
struct Part {
    size: ExprId,
    start: ExprId,
    count: ExprId,
}

impl Planner<'_> {
    pub(crate) fn emit_resize(&mut self, group: &Group, request: Request) -> Result<(), PlanError> {
        let graph = self.graph;
        let x = graph.ops[group.frame].operands[0];
        let photo = self.home(x);
        let greatest = self.dims(x).to_vec();
        let target = request.target;
        // What may be fitted to the result, beyond the photo where it is letterboxed.
        let canvas = [0, 1].map(|axis| match request.fit {
            Fit::Letterbox => greatest[axis].max(greatest[1 - axis].saturating_mul(target[axis]) / target[1 - axis] + 1),
            Fit::CropCenter | Fit::Stretch => greatest[axis],
        });
        let longest = target[0].max(target[1]);
        let most = canvas[0].max(canvas[1]).max(longest).saturating_mul(longest).saturating_mul(4);
        if most > MAX_PRODUCT {
            let place = format!("the photo of `{}`", graph.origin_name(group.frame));
            return Err(PlanError::TooLarge { place, elements: most, max: MAX_PRODUCT });
        }
        let axes = [0, 1].map(|index| {
            let made = target[index];
            let taps = (2 * request.filter.reach() * canvas[index].div_ceil(made) + 1).min(greatest[index]).max(1);
            Axis { index, made, taps }
        });
        let rows = self.resize_tables(group, x, axes[0], request);
        let columns = self.resize_tables(group, x, axes[1], request);
        self.emit_samples(group, x, &photo, axes, [&rows, &columns], request);
        Ok(())
    }

    /// The height and the width of a photo.
    pub(crate) fn emit_image_size(&mut self, group: &Group) {
        let x = self.graph.ops[group.frame].operands[0];
        let mut draft = Draft::new(&[2]);
        let coords = draft.coords();
        let (height, width) = (self.size_in_run(&mut draft.scope, x, 0), self.size_in_run(&mut draft.scope, x, 1));
        let scope = &mut draft.scope;
        let (at, nil) = (scope.index(&coords[0]), scope.i32(0));
        let is_height = scope.compare(CompareOp::Eq, at, nil);
        let size = scope.select(is_height, height, width);
        self.finish_tail(&mut draft, group, size, coords);
        self.push_nest("image_size", draft);
    }

    fn part(&mut self, scope: &mut Scope, x: ValueId, axis: usize, request: Request) -> Part {
        let size = self.size_in_run(scope, x, axis);
        let nil = scope.i32(0);
        if request.fit == Fit::Stretch {
            return Part { size, start: nil, count: size };
        }
        // As long as the other axis asks for at the target's aspect ratio.
        let other = self.size_in_run(scope, x, 1 - axis);
        let (mine, others) = (scope.i32(request.target[axis] as i32), scope.i32(request.target[1 - axis] as i32));
        let scaled = scope.mul(other, mine);
        let scaled = scope.div(scaled, others);
        let two = scope.i32(2);
        if request.fit == Fit::Letterbox {
            let count = scope.max(size, scaled);
            let beyond = scope.sub(count, size);
            let before = scope.div(beyond, two);
            return Part { size, start: scope.sub(nil, before), count };
        }
        let count = scope.min(size, scaled);
        let one = scope.i32(1);
        let count = scope.max(count, one);
        let rest = scope.sub(size, count);
        Part { size, start: scope.div(rest, two), count }
    }

    /// The centre of element `index` and the filter's unit, in the units of the module's documentation.
    fn centre(scope: &mut Scope, part: &Part, made: u64, index: &Affine) -> (ExprId, ExprId) {
        let (made, twice_made) = (scope.i32(made as i32), scope.i32(2 * made as i32));
        let odd = scope.linear(index, 2, 1);
        let odd = scope.index(&odd);
        let within = scope.mul(odd, part.count);
        let before = scope.mul(part.start, twice_made);
        let unit = scope.max(part.count, made);
        let two = scope.i32(2);
        (scope.add(before, within), scope.mul(unit, two))
    }

    /// The weight of source element `position`: `I32` of a triangle, `F32` of other filters.
    fn weight(scope: &mut Scope, filter: Filter, made: u64, [centre, unit, position]: [ExprId; 3]) -> ExprId {
        let (two, made) = (scope.i32(2), scope.i32(made as i32));
        let odd = scope.mul(position, two);
        let odd = scope.add_i32(odd, 1);
        let at = scope.mul(odd, made);
        let distance = scope.sub(at, centre);
        let distance = scope.unary(UnaryOp::Abs, distance);
        match filter {
            Filter::Nearest => scope.f32(1.0),
            Filter::Triangle => {
                let weight = scope.sub(unit, distance);
                let nil = scope.i32(0);
                scope.max(weight, nil)
            }
            Filter::Cubic | Filter::Lanczos => {
                let (far, near) = (scope.cast(DType::F32, distance), scope.cast(DType::F32, unit));
                let x = scope.div(far, near);
                if filter == Filter::Cubic { filters::cubic(scope, x) } else { filters::lanczos(scope, x) }
            }
        }
    }

    fn resize_tables(&mut self, group: &Group, x: ValueId, axis: Axis, request: Request) -> Tables {
        let origin = self.graph.origin_name(group.frame);
        let name = format!("{origin} ({})", ["rows", "columns"][axis.index]);
        let sums = if request.filter == Filter::Triangle { DType::I32 } else { DType::F32 };
        let [first, count] = ["first", "count"].map(|what| self.dense(format!("{name} {what}"), DType::I32, &[axis.made]));
        let sum = self.dense(format!("{name} sum"), sums, &[axis.made]);
        self.emit_spans(group, x, axis, request, [&first, &count, &sum]);

        let made = axis.made;
        let weights = self.dense(format!("{name} weights"), DType::F32, &[made, axis.taps]);
        let mut draft = Draft::new(&[made, axis.taps]);
        draft.scope.note(group.frame);
        let coords = draft.coords();
        let scope = &mut draft.scope;
        let part = self.part(scope, x, axis.index, request);
        let (centre, unit) = Self::centre(scope, &part, made, &coords[0]);
        let begin = scope.load(&first, &coords[..1], Guard::Clamp);
        let step = scope.index(&coords[1]);
        let position = scope.add(begin, step);
        let weight = Self::weight(scope, request.filter, made, [centre, unit, position]);
        let total = scope.load(&sum, &coords[..1], Guard::Clamp);
        let (weight, total) = (scope.cast(DType::F32, weight), scope.cast(DType::F32, total));
        let weight = scope.div(weight, total);
        self.store(&mut draft, &weights, &coords, weight);
        self.push_nest("resize_weights", draft);
        Tables { first, count, weights }
    }

    /// The first source element and the one after the last, for an element of the result with that centre.
    fn span(scope: &mut Scope, part: &Part, axis: Axis, request: Request, [centre, unit]: [ExprId; 2]) -> [ExprId; 2] {
        let made = axis.made as i32;
        let (half, whole, nil) = (scope.i32(made), scope.i32(2 * made), scope.i32(0));
        if request.filter == Filter::Nearest {
            let begin = scope.max(centre, nil);
            let begin = scope.div(begin, whole);
            return [begin, scope.add_i32(begin, 1)];
        }
        // The source elements with a weight above 0: floor((c - s + made) / (2 made)) up to floor((c + s + made - 1) / (2 made)), inside the photo.
        let reach = scope.i32(request.filter.reach() as i32);
        let reach = scope.mul(unit, reach);
        let low = scope.sub(centre, reach);
        let low = scope.add(low, half);
        let low = scope.max(low, nil);
        let begin = scope.div(low, whole);
        let high = scope.add(centre, reach);
        let high = scope.add_i32(high, made - 1);
        let end = scope.div(high, whole);
        [begin, scope.min(end, part.size)]
    }

    /// The first source element, the number of them and the sum of their weights, for each element of the result.
    fn emit_spans(&mut self, group: &Group, x: ValueId, axis: Axis, request: Request, to: [&Location; 3]) {
        let made = axis.made;
        let mut draft = Draft::reducing(&[made], &[axis.taps]);
        draft.scope.note(group.frame);
        let coords = draft.coords();
        let tap = draft.reduction(0);
        let scope = &mut draft.scope;
        let part = self.part(scope, x, axis.index, request);
        let (centre, unit) = Self::centre(scope, &part, made, &coords[0]);
        let [begin, end] = Self::span(scope, &part, axis, request, [centre, unit]);
        let mut taps = scope.sub(end, begin);
        if request.fit == Fit::Letterbox {
            // A centre outside the photo reads nothing.
            let (nil, whole) = (scope.i32(0), scope.i32(2 * made as i32));
            let beyond = scope.mul(part.size, whole);
            let (starts, ends) = (scope.compare(CompareOp::Le, nil, centre), scope.compare(CompareOp::Lt, centre, beyond));
            let inside = scope.both(starts, ends);
            taps = scope.select(inside, taps, nil);
        }
        let step = scope.index(&tap);
        let position = scope.add(begin, step);
        let weight = Self::weight(scope, request.filter, made, [centre, unit, position]);
        let dtype = scope.ty(weight);
        let acc = scope.acc(0, dtype);
        let next = scope.add(acc, weight);
        draft.dynamic.push((1, taps));
        let nothing = if dtype == DType::I32 { Scalar::I32(0) } else { Scalar::f32(0.0) };
        let total = draft.accumulate(nothing, next);
        for (place, value) in to.into_iter().zip([begin, taps, total]) {
            self.store(&mut draft, place, &coords, value);
        }
        self.push_nest("resize_span", draft);
    }

    /// Each pixel's sum over its rectangle, three channels at once.
    fn emit_samples(&mut self, group: &Group, x: ValueId, photo: &Location, axes: [Axis; 2], tables: [&Tables; 2], request: Request) {
        let mut draft = Draft::reducing(&axes.map(|axis| axis.made), &axes.map(|axis| axis.taps));
        let coords = draft.coords();
        let taps = [draft.reduction(0), draft.reduction(1)];
        let mut starts = Vec::new();
        let mut counts = Vec::new();
        let mut weights = Vec::new();
        for axis in 0..2 {
            let scope = &mut draft.scope;
            let at = &coords[axis..=axis];
            let count = scope.load(&tables[axis].count, at, Guard::Clamp);
            starts.push(scope.load(&tables[axis].first, at, Guard::Clamp));
            weights.push(scope.load(&tables[axis].weights, &[coords[axis].clone(), taps[axis].clone()], Guard::Clamp));
            counts.push(count);
            draft.dynamic.push((2 + axis, count));
        }
        let columns = self.size_in_run(&mut draft.scope, x, 1);
        let scope = &mut draft.scope;
        let weight = scope.mul(weights[0], weights[1]);
        let row = scope.index(&taps[0]);
        let row = scope.add(starts[0], row);
        let pixel = scope.mul(row, columns);
        let pixel = scope.add(pixel, starts[1]);
        let four = scope.i32(4);
        let element = scope.mul(pixel, four);
        let mut sums = Vec::new();
        for channel in 0..3 {
            let scope = &mut draft.scope;
            // Four bytes a pixel; rows are as long as the photo is wide in this run, so the index is one number.
            let terms = taps[1].terms.iter().map(|term| (term.0, 4)).collect();
            let index = Affine { constant: channel, terms, dynamic: Some(element) };
            let len = self.buffers[photo.buffer].len;
            let dims = vec![AccessDim { index, extent: len as u32, stride: 1 }];
            let access = Access { buffer: photo.buffer, offset: 0, dims, bounds: Bounds::Clamp };
            let byte = scope.push(Expr::Load(access), DType::I32);
            let byte = scope.cast(DType::F32, byte);
            let product = scope.mul(weight, byte);
            let acc = scope.acc(channel as u8, DType::F32);
            let next = scope.add(acc, product);
            sums.push(draft.accumulate(Scalar::f32(0.0), next));
        }
        for (channel, sum) in sums.into_iter().enumerate() {
            let sum = Self::sample(&mut draft.scope, sum, [counts[0], counts[1]], request);
            let mut at = coords.clone();
            at.push(Affine::constant(channel as i64));
            self.finish_tail(&mut draft, group, sum, at);
        }
        self.push_nest("resize", draft);
    }

    /// A sum as a sample: within the range of bytes where the filter overshoots, and what stands around the photo where nothing was read.
    fn sample(scope: &mut Scope, mut sum: ExprId, counts: [ExprId; 2], request: Request) -> ExprId {
        if matches!(request.filter, Filter::Cubic | Filter::Lanczos) {
            let (least, greatest) = (scope.f32(0.0), scope.f32(255.0));
            sum = scope.max(sum, least);
            sum = scope.min(sum, greatest);
        }
        if request.fit == Fit::Letterbox {
            let (nil, fill) = (scope.i32(0), scope.f32(request.fill));
            let read = scope.mul(counts[0], counts[1]);
            let inside = scope.compare(CompareOp::Lt, nil, read);
            sum = scope.select(inside, sum, fill);
        }
        sum
    }
}
