//! Matrix products of two computed operands: the second one is packed as weights are, by a kernel of its own, and multiplied as those are. Where that does not
//! pay, and for element types that contractions do not take, plain nests.

use crate::contract::{MAX_SIZE, Packed};
use crate::draft::Draft;
use crate::group::Group;
use crate::planner::Planner;
use mlp_bundle::loops::{Affine, BufferId, PANEL};
use mlp_bundle::{DType, Scalar};
use mlp_graph::ValueId;

/// Rows that each packed element is multiplied with, at least: packing moves it once more.
const LEAST_ROWS: u64 = 4;

/// Multiplications of a product, at least. Below, another kernel costs more than tiles save.
const LEAST_PRODUCTS: u64 = 1 << 12;

/// The sizes of products of two computed operands, as one contraction makes them.
#[derive(Clone, Copy)]
struct Sizes {
    /// Products, each of operands of its own.
    images: u64,
    rows: u64,
    inputs: u64,
    outputs: u64,
}

impl Sizes {
    /// Sizes of a product of these shapes; none where a contraction cannot make it, or does not pay.
    fn of(left: &[u64], right: &[u64]) -> Option<Sizes> {
        let (&[ref stack @ .., rows, inputs], &[ref matrices @ .., _, outputs]) = (left, right) else { return None };
        let count = |sizes: &[u64]| sizes.iter().product::<u64>();
        let sizes = if count(matrices) == 1 {
            Sizes { images: 1, rows: rows * count(stack), inputs, outputs }
        } else if stack.len() >= matrices.len() && stack.iter().rev().zip(matrices.iter().rev()).all(|(all, own)| own == all || *own == 1) {
            Sizes { images: count(stack), rows, inputs, outputs }
        } else {
            return None;
        };
        let Sizes { images, rows, inputs, outputs } = sizes;
        let fits = [images, rows, inputs, outputs].iter().all(|size| (1..MAX_SIZE).contains(size)) && images * rows < MAX_SIZE;
        let products = images.saturating_mul(rows).saturating_mul(inputs).saturating_mul(outputs);
        (fits && rows >= LEAST_ROWS && outputs >= u64::from(PANEL / 4) && products >= LEAST_PRODUCTS).then_some(sizes)
    }
}

/// Coordinates of an operand's batch axes: aligned at the last one, sizes 1 stretched.
fn batch_coords(batch: &[Affine], dims: &[u64]) -> Vec<Affine> {
    let last = &batch[batch.len() - dims.len()..];
    last.iter().zip(dims).map(|(index, &size)| if size == 1 { Affine::default() } else { index.clone() }).collect()
}

impl Planner<'_> {
    /// NumPy's `matmul` of two computed operands.
    pub(crate) fn emit_computed_product(&mut self, group: &Group) {
        let node = &self.graph.ops[group.frame];
        let (x, y) = (node.operands[0], node.operands[1]);
        let floats = self.dtype(x) == DType::F32 && self.dtype(y) == DType::F32;
        let Some(sizes) = Sizes::of(self.dims(x), self.dims(y)).filter(|_| floats) else { return self.emit_matmul_nest(group) };
        let input = self.contraction_input(x);
        let weights = self.emit_packing(group, y, &sizes);
        let Sizes { images, rows, inputs, outputs } = sizes;
        let window = input.product([images, rows, inputs, outputs]);
        self.emit_outputs(group, "matmul", input.buffer, vec![Packed { window, weights, per_image: images > 1, scales: None, first: 0 }]);
    }

    /// Packs a computed operand `[.., K, N]` as weights of each image: `[images][ceil(N/16)][K][16]`, channels past `N` being 0.
    fn emit_packing(&mut self, group: &Group, y: ValueId, sizes: &Sizes) -> BufferId {
        let graph = self.graph;
        let dims = self.dims(y).to_vec();
        let result = self.dims(graph.ops[group.frame].results[0]).to_vec();
        let stack: &[u64] = if sizes.images > 1 { &result[..result.len() - 2] } else { &[] };
        let mut packed = stack.to_vec();
        packed.extend([sizes.outputs.div_ceil(u64::from(PANEL)), sizes.inputs, u64::from(PANEL)]);
        let mut draft = Draft::new(&packed);
        let to = draft.coords();
        let [panel, inner, lane] = [0, 1, 2].map(|axis| to[stack.len() + axis].clone());
        let batch = &dims[..dims.len() - 2];
        let mut from = match sizes.images {
            1 => vec![Affine::default(); batch.len()],
            _ => batch_coords(&to[..stack.len()], batch),
        };
        let first = draft.scope.scaled(&panel, i64::from(PANEL));
        from.extend([inner, draft.scope.sum(&first, &lane)]);
        let zero = draft.scope.constant(Scalar::of(DType::F32, 0));
        let element = self.read_guarded(&mut draft.scope, y, &from, zero);
        let location = self.dense(format!("{} (packed)", self.value_name(y)), DType::F32, &packed);
        draft.scope.note(group.frame);
        self.store(&mut draft, &location, &to, element);
        self.push_nest("pack", draft);
        location.buffer
    }

    /// NumPy's `matmul`.
    fn emit_matmul_nest(&mut self, group: &Group) {
        let graph = self.graph;
        let node = &graph.ops[group.frame];
        let (x, y, result) = (node.operands[0], node.operands[1], node.results[0]);
        let dtype = self.dtype(result);
        let (left, right) = (self.dims(x).to_vec(), self.dims(y).to_vec());
        let depth = *left.last().expect("a product's operand has an axis");
        let mut draft = Draft::reducing(self.dims(result), &[depth]);
        let to = draft.coords();
        let inner = draft.reduction(0);
        // The result's last axes are rows and columns, each missing where that operand has rank 1.
        let mut batch = to.clone();
        let column = if right.len() > 1 { batch.pop() } else { None };
        let row = if left.len() > 1 { batch.pop() } else { None };
        let mut left_at = batch_coords(&batch, &left[..left.len().saturating_sub(2)]);
        left_at.extend(row);
        left_at.push(inner.clone());
        let mut right_at = batch_coords(&batch, &right[..right.len().saturating_sub(2)]);
        right_at.push(inner);
        right_at.extend(column);
        let a = self.read(&mut draft.scope, x, &left_at);
        let b = self.read(&mut draft.scope, y, &right_at);
        let scope = &mut draft.scope;
        let product = scope.mul(a, b);
        let acc = scope.acc(0, dtype.compute());
        let next = scope.add(acc, product);
        let sum = draft.accumulate(Scalar::of(dtype, 0), next);
        let value = self.wrapped(&mut draft.scope, dtype, sum);
        self.finish_tail(&mut draft, group, value, to);
        self.push_nest("matmul", draft);
    }

    /// `x [M, K]` times weights `[K, N]` that are not constant, requantized.
    pub(crate) fn emit_quantized_matmul_nest(&mut self, group: &Group) {
        let graph = self.graph;
        let node = &graph.ops[group.frame];
        let (x, y, result) = (node.operands[0], node.operands[1], node.results[0]);
        let depth = self.dims(x)[1];
        let mut draft = Draft::reducing(self.dims(result), &[depth]);
        let to = draft.coords();
        let inner = draft.reduction(0);
        let a = self.read(&mut draft.scope, x, &[to[0].clone(), inner.clone()]);
        let b = self.read(&mut draft.scope, y, &[inner, to[1].clone()]);
        let scope = &mut draft.scope;
        let product = scope.mul(a, b);
        let acc = scope.acc(0, scope.ty(product));
        let next = scope.add(acc, product);
        let ty = draft.scope.ty(next);
        let sum = draft.accumulate(Scalar::of(ty, 0), next);
        let value = self.after_sum(&mut draft.scope, group, sum, &to[1]);
        self.finish_tail(&mut draft, group, value, to);
        self.push_nest("matmul", draft);
    }
}
