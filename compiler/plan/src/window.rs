//! Nests over windows: pools, and convolutions that are no contraction.

use crate::draft::Draft;
use crate::group::Group;
use crate::planner::Planner;
use crate::reduce::float;
use crate::scope::Guard;
use mlp_bundle::loops::{Affine, BinaryOp, CompareOp, ExprId};
use mlp_bundle::{DType, Scalar};
use mlp_graph::Op;
use mlp_graph::op::{Layout, PoolKind, Spatial};

/// Where each window's tap lies along a spatial axis: `position * stride + tap * dilation - pad`.
fn tap(draft: &mut Draft, spatial: &Spatial, axis: usize, position: &Affine, tap: &Affine) -> Affine {
    let at = draft.scope.linear(position, spatial.strides[axis] as i64, -(spatial.pads_begin[axis] as i64));
    let step = draft.scope.scaled(tap, spatial.dilations[axis] as i64);
    draft.scope.sum(&at, &step)
}

impl Planner<'_> {
    /// Coordinates of a window's elements, for a draft whose parallel axes are the result's and whose reduction axes are the taps.
    fn window_coords(&self, draft: &mut Draft, spatial: &Spatial, layout: Layout, to: &[Affine]) -> Vec<Affine> {
        let mut from = to.to_vec();
        for axis in 0..spatial.kernel.len() {
            let at = layout.spatial_axis() + axis;
            from[at] = tap(draft, spatial, axis, &to[at], &draft.reduction(axis));
        }
        from
    }

    pub(crate) fn emit_pool(&mut self, group: &Group, kind: PoolKind, spatial: &Spatial, layout: Layout) {
        let graph = self.graph;
        let node = &graph.ops[group.frame];
        let (x, result) = (node.operands[0], node.results[0]);
        let dtype = self.dtype(x);
        let dims = self.dims(result).to_vec();
        let mut draft = Draft::reducing(&dims, &spatial.kernel);
        let to = draft.coords();
        let from = self.window_coords(&mut draft, spatial, layout, &to);
        let init = if kind == PoolKind::Max { Scalar::lowest(dtype) } else { Scalar::of(dtype, 0) };
        let padding = draft.scope.constant(init);
        let element = self.read_guarded(&mut draft.scope, x, &from, padding);
        let acc = draft.scope.acc(0, dtype.compute());
        let op = if kind == PoolKind::Max { BinaryOp::Max } else { BinaryOp::Add };
        let next = draft.scope.binary(op, acc, element);
        let total = draft.accumulate(init, next);
        let value = match kind {
            PoolKind::Max => total,
            PoolKind::MeanWithPadding => {
                let count = float(&mut draft.scope, dtype, spatial.taps() as f64);
                draft.scope.div(total, count)
            }
            PoolKind::Mean => {
                let first = layout.spatial_axis();
                let sizes = self.dims(x)[first..first + spatial.kernel.len()].to_vec();
                let windows = dims[first..first + spatial.kernel.len()].to_vec();
                let counts = tap_counts(spatial, &sizes, &windows);
                let count = self.tap_count(&mut draft, dtype, &counts, &windows, &to[first..first + windows.len()]);
                draft.scope.div(total, count)
            }
        };
        self.finish_tail(&mut draft, group, value, to);
        self.push_nest("pool", draft);
    }

    /// How many elements of the window at `at` are not padding, from a table unless that is the same everywhere.
    fn tap_count(&mut self, draft: &mut Draft, dtype: DType, counts: &[f32], windows: &[u64], at: &[Affine]) -> ExprId {
        if counts.windows(2).all(|pair| pair[0] == pair[1]) {
            return float(&mut draft.scope, dtype, counts.first().copied().unwrap_or(1.0).into());
        }
        let buffer = self.constant("window sizes", DType::F32, |file| file.extend(counts.iter().flat_map(|count| count.to_le_bytes())));
        let table = crate::location::Location::dense(buffer, DType::F32, windows);
        let count = draft.scope.load(&table, at, Guard::Clamp);
        draft.scope.cast(dtype, count)
    }

    pub(crate) fn emit_pool_indices(&mut self, group: &Group, spatial: &Spatial, column_major: bool) {
        let graph = self.graph;
        let node = &graph.ops[group.frame];
        let x = node.operands[0];
        let sizes = self.dims(x).to_vec();
        let mut draft = Draft::reducing(self.dims(node.results[0]), &spatial.kernel);
        let to = draft.coords();
        let from = self.window_coords(&mut draft, spatial, Layout::ChannelsFirst, &to);
        // The number of the element: images and channels row-major, the spatial axes either way.
        let mut strides = crate::location::strides(&sizes);
        if column_major {
            let mut step = 1;
            for axis in 2..sizes.len() {
                strides[axis] = step;
                step *= sizes[axis];
            }
        }
        let mut number = Affine::default();
        for (index, &stride) in from.iter().zip(&strides) {
            let part = draft.scope.scaled(index, stride as i64);
            number = draft.scope.sum(&number, &part);
        }
        let element = self.read(&mut draft.scope, x, &from);
        let scope = &mut draft.scope;
        let element = crate::reduce::ordered(scope, element);
        let ty = scope.ty(element);
        let (best, place, here) = (scope.acc(0, ty), scope.acc(1, DType::I32), scope.index(&number));
        let nil = scope.i32(0);
        let none = scope.compare(CompareOp::Lt, place, nil);
        let better = scope.compare(CompareOp::Lt, best, element);
        let mut take = scope.either(none, better);
        if let Some(inside) = scope.is_inside(&from, &sizes) {
            take = scope.both(take, inside);
        }
        let next_best = scope.select(take, element, best);
        let next_place = scope.select(take, here, place);
        draft.accumulate(Scalar::of(ty, 0), next_best);
        let place = draft.accumulate(Scalar::I32(-1), next_place);
        let value = draft.scope.cast(DType::I64, place);
        self.finish_tail(&mut draft, group, value, to);
        self.push_nest("pool_indices", draft);
    }

    /// A convolution of any rank, layout and element type.
    pub(crate) fn emit_conv_nest(&mut self, group: &Group, spatial: &Spatial, groups: u64, layout: Layout) {
        let graph = self.graph;
        let node = &graph.ops[group.frame];
        let (x, weights, result) = (node.operands[0], node.operands[1], node.results[0]);
        let dims = self.dims(result).to_vec();
        let (channel_axis, inputs) = (layout.channel_axis(dims.len()), self.dims(weights)[1]);
        let outputs = dims[channel_axis] / groups;
        // The channel loop is two: over groups and over the channels of one.
        let mut parallel = dims.clone();
        parallel.splice(channel_axis..=channel_axis, [groups, outputs]);
        let mut reduce = spatial.kernel.clone();
        reduce.push(inputs);
        let mut draft = Draft::reducing(&parallel, &reduce);
        let mut to = draft.coords();
        let within = to.remove(channel_axis + 1);
        let group_index = to[channel_axis].clone();
        let base = draft.scope.scaled(&group_index, outputs as i64);
        to[channel_axis] = draft.scope.sum(&base, &within);
        let mut from = self.window_coords(&mut draft, spatial, layout, &to);
        let input = draft.reduction(spatial.kernel.len());
        let base = draft.scope.scaled(&group_index, inputs as i64);
        from[channel_axis] = draft.scope.sum(&base, &input);
        let mut weight_at = vec![to[channel_axis].clone(), input];
        weight_at.extend((0..spatial.kernel.len()).map(|axis| draft.reduction(axis)));
        let padding = match node.op {
            Op::QuantizedConv { in_zero, .. } => Scalar::I32(in_zero),
            _ => Scalar::of(self.dtype(x), 0),
        };
        let ty = padding.dtype();
        let padding = draft.scope.constant(padding);
        let element = self.read_guarded(&mut draft.scope, x, &from, padding);
        let weight = self.read(&mut draft.scope, weights, &weight_at);
        let acc = draft.scope.acc(0, ty);
        let product = draft.scope.mul(element, weight);
        let next = draft.scope.add(acc, product);
        let sum = draft.accumulate(Scalar::of(ty, 0), next);
        let channel = to[channel_axis].clone();
        let value = self.after_sum(&mut draft.scope, group, sum, &channel);
        self.finish_tail(&mut draft, group, value, to);
        self.push_nest("conv", draft);
    }
}

/// How many taps of each window lie inside, row-major over the windows; at least 1, so that a window in the padding has the mean 0.
fn tap_counts(spatial: &Spatial, sizes: &[u64], windows: &[u64]) -> Vec<f32> {
    let along = |axis: usize, position: u64| {
        let inside = |tap: &u64| {
            let at = position * spatial.strides[axis] + tap * spatial.dilations[axis];
            (spatial.pads_begin[axis]..spatial.pads_begin[axis] + sizes[axis]).contains(&at)
        };
        (0..spatial.kernel[axis]).filter(inside).count() as f32
    };
    let mut counts = vec![1.0f32];
    for (axis, &count) in windows.iter().enumerate() {
        counts = counts.iter().flat_map(|before| (0..count).map(move |position| before * along(axis, position))).collect();
    }
    counts.iter().map(|count| count.max(1.0)).collect()
}
