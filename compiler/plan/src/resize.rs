//! A photo of any size, resampled: `ImageResize`.
//!
//! Positions are exact integers. Along an axis where `made` elements are made of `count` from `start`, in units of `1 / (2 * made)` of a source
//! element: element `i` of the result has its centre at `c = 2 * start * made + (2 * i + 1) * count`, the triangle reaches `s = 2 * max(count, made)` to either side,
//! and source element `p` weighs `max(0, s - |(2 * p + 1) * made - c|)`, divided by the sum of all weights.
//!
//! One kernel an axis finds the first source element, how many there are and the sum of weights; one writes the table of weights; then each pixel
//! sums over its rectangle of the photo. No kernel runs over the photo's greatest size.

use crate::PlanError;
use crate::draft::Draft;
use crate::group::Group;
use crate::location::Location;
use crate::planner::Planner;
use crate::scope::{Guard, Scope};
use mlp_bundle::loops::{Access, AccessDim, Affine, Bounds, Expr, ExprId, UnaryOp};
use mlp_bundle::{DType, Scalar};
use mlp_graph::op::Fit;
use mlp_graph::{Dim, ValueId};

/// Products of sizes stay below this, so that positions fit in 32 bits.
const MAX_PRODUCT: u64 = 1 << 28;

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
    pub(crate) fn emit_resize(&mut self, group: &Group, height: u64, width: u64, fit: Fit) -> Result<(), PlanError> {
        let graph = self.graph;
        let x = graph.ops[group.frame].operands[0];
        let photo = self.home(x);
        let greatest = self.dims(x).to_vec();
        let most = greatest[0].max(greatest[1]).max(height).max(width);
        if most * height.max(width) * 4 > MAX_PRODUCT {
            let place = format!("the photo of `{}`", graph.origin_name(group.frame));
            return Err(PlanError::TooLarge { place, elements: most * height.max(width) * 4, max: MAX_PRODUCT });
        }
        let axes = [(0, height), (1, width)].map(|(index, made)| {
            let size = greatest[index];
            Axis { index, made, taps: (2 * size.div_ceil(made) + 1).min(size).max(1) }
        });
        let target = [height, width];
        let rows = self.resize_tables(group, x, axes[0], target, fit);
        let columns = self.resize_tables(group, x, axes[1], target, fit);
        self.emit_samples(group, x, &photo, axes, [&rows, &columns]);
        Ok(())
    }

    /// A size of the photo in this run.
    fn photo_size(&mut self, scope: &mut Scope, x: ValueId, axis: usize) -> ExprId {
        match self.graph.ty(x).shape.0[axis] {
            Dim::Const(size) => scope.i32(size as i32),
            Dim::Symbol(symbol) => {
                let symbol = self.symbol_of[symbol].expect("the symbols of inputs are known");
                scope.symbol(symbol)
            }
        }
    }

    fn part(&mut self, scope: &mut Scope, x: ValueId, axis: usize, target: [u64; 2], fit: Fit) -> Part {
        let size = self.photo_size(scope, x, axis);
        let nil = scope.i32(0);
        if fit == Fit::Stretch {
            return Part { size, start: nil, count: size };
        }
        // As long as the other axis allows at the target's aspect ratio.
        let other = self.photo_size(scope, x, 1 - axis);
        let (mine, others) = (scope.i32(target[axis] as i32), scope.i32(target[1 - axis] as i32));
        let scaled = scope.mul(other, mine);
        let scaled = scope.div(scaled, others);
        let count = scope.min(size, scaled);
        let one = scope.i32(1);
        let count = scope.max(count, one);
        let rest = scope.sub(size, count);
        let two = scope.i32(2);
        Part { size, start: scope.div(rest, two), count }
    }

    /// The centre of element `index` and the triangle's reach, in the units of the module's documentation.
    fn centre(scope: &mut Scope, part: &Part, made: u64, index: &Affine) -> (ExprId, ExprId) {
        let (made, twice_made) = (scope.i32(made as i32), scope.i32(2 * made as i32));
        let odd = scope.linear(index, 2, 1);
        let odd = scope.index(&odd);
        let within = scope.mul(odd, part.count);
        let before = scope.mul(part.start, twice_made);
        let reach = scope.max(part.count, made);
        let two = scope.i32(2);
        (scope.add(before, within), scope.mul(reach, two))
    }

    /// The integer weight of source element `position`.
    fn weight(scope: &mut Scope, made: u64, centre: ExprId, reach: ExprId, position: ExprId) -> ExprId {
        let (two, made) = (scope.i32(2), scope.i32(made as i32));
        let odd = scope.mul(position, two);
        let odd = scope.add_i32(odd, 1);
        let at = scope.mul(odd, made);
        let distance = scope.sub(at, centre);
        let distance = scope.unary(UnaryOp::Abs, distance);
        let weight = scope.sub(reach, distance);
        let nil = scope.i32(0);
        scope.max(weight, nil)
    }

    fn resize_tables(&mut self, group: &Group, x: ValueId, axis: Axis, target: [u64; 2], fit: Fit) -> Tables {
        let origin = self.graph.origin_name(group.frame);
        let name = format!("{origin} ({})", ["rows", "columns"][axis.index]);
        let [first, count, sum] = ["first", "count", "sum"].map(|what| self.dense(format!("{name} {what}"), DType::I32, &[axis.made]));
        self.emit_spans(group, x, axis, target, fit, [&first, &count, &sum]);

        let made = axis.made;
        let weights = self.dense(format!("{name} weights"), DType::F32, &[made, axis.taps]);
        let mut draft = Draft::new(&[made, axis.taps]);
        draft.scope.note(group.frame);
        let coords = draft.coords();
        let scope = &mut draft.scope;
        let part = self.part(scope, x, axis.index, target, fit);
        let (centre, reach) = Self::centre(scope, &part, made, &coords[0]);
        let begin = scope.load(&first, &coords[..1], Guard::Clamp);
        let step = scope.index(&coords[1]);
        let position = scope.add(begin, step);
        let weight = Self::weight(scope, made, centre, reach, position);
        let total = scope.load(&sum, &coords[..1], Guard::Clamp);
        let (weight, total) = (scope.cast(DType::F32, weight), scope.cast(DType::F32, total));
        let weight = scope.div(weight, total);
        self.store(&mut draft, &weights, &coords, weight);
        self.push_nest("resize_weights", draft);
        Tables { first, count, weights }
    }

    /// The first source element, the number of them and the sum of their weights, for each element of the result.
    fn emit_spans(&mut self, group: &Group, x: ValueId, axis: Axis, target: [u64; 2], fit: Fit, to: [&Location; 3]) {
        let made = axis.made;
        let mut draft = Draft::reducing(&[made], &[axis.taps]);
        draft.scope.note(group.frame);
        let coords = draft.coords();
        let tap = draft.reduction(0);
        let scope = &mut draft.scope;
        let part = self.part(scope, x, axis.index, target, fit);
        let (centre, reach) = Self::centre(scope, &part, made, &coords[0]);
        // The source elements with a weight above 0: floor((c - s + made) / (2 made)) up to floor((c + s + made - 1) / (2 made)), inside the photo.
        let (half, whole, nil) = (scope.i32(made as i32), scope.i32(2 * made as i32), scope.i32(0));
        let low = scope.sub(centre, reach);
        let low = scope.add(low, half);
        let low = scope.max(low, nil);
        let begin = scope.div(low, whole);
        let high = scope.add(centre, reach);
        let high = scope.add_i32(high, made as i32 - 1);
        let end = scope.div(high, whole);
        let end = scope.min(end, part.size);
        let taps = scope.sub(end, begin);
        let step = scope.index(&tap);
        let position = scope.add(begin, step);
        let weight = Self::weight(scope, made, centre, reach, position);
        let acc = scope.acc(0, DType::I32);
        let next = scope.add(acc, weight);
        draft.dynamic.push((1, taps));
        let total = draft.accumulate(Scalar::I32(0), next);
        for (place, value) in to.into_iter().zip([begin, taps, total]) {
            self.store(&mut draft, place, &coords, value);
        }
        self.push_nest("resize_span", draft);
    }

    /// Each pixel's sum over its rectangle, three channels at once.
    fn emit_samples(&mut self, group: &Group, x: ValueId, photo: &Location, axes: [Axis; 2], tables: [&Tables; 2]) {
        let mut draft = Draft::reducing(&axes.map(|axis| axis.made), &axes.map(|axis| axis.taps));
        let coords = draft.coords();
        let taps = [draft.reduction(0), draft.reduction(1)];
        let mut starts = Vec::new();
        let mut weights = Vec::new();
        for axis in 0..2 {
            let scope = &mut draft.scope;
            let at = &coords[axis..=axis];
            let count = scope.load(&tables[axis].count, at, Guard::Clamp);
            starts.push(scope.load(&tables[axis].first, at, Guard::Clamp));
            weights.push(scope.load(&tables[axis].weights, &[coords[axis].clone(), taps[axis].clone()], Guard::Clamp));
            draft.dynamic.push((2 + axis, count));
        }
        let columns = self.photo_size(&mut draft.scope, x, 1);
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
            let mut at = coords.clone();
            at.push(Affine::constant(channel as i64));
            self.finish_tail(&mut draft, group, sum, at);
        }
        self.push_nest("resize", draft);
    }
}
