//! Matrix products of two computed operands, or of element types that contractions do not take: plain nests.

use crate::draft::Draft;
use crate::group::Group;
use crate::planner::Planner;
use mlp_bundle::Scalar;
use mlp_bundle::loops::Affine;

/// Coordinates of an operand's batch axes: aligned at the last one, sizes 1 stretched.
fn batch_coords(batch: &[Affine], dims: &[u64]) -> Vec<Affine> {
    let last = &batch[batch.len() - dims.len()..];
    last.iter().zip(dims).map(|(index, &size)| if size == 1 { Affine::default() } else { index.clone() }).collect()
}

impl Planner<'_> {
    /// NumPy's `matmul`.
    pub(crate) fn emit_matmul_nest(&mut self, group: &Group) {
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
