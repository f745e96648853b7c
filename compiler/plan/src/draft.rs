//! A loop nest while it is made, and its tidying: dead expressions are dropped and loops that are one in every access become one.

use crate::scope::Scope;
use cranelift_entity::EntityRef;
use mlp_bundle::Scalar;
use mlp_bundle::loops::{Access, Accumulator, Affine, Bounds, Epilogue, Expr, ExprId, Exprs, Extent, Fold, Nest, Reduction, Rows, Store};

/// A nest while it is made. The axes of `scope` are the parallel loops, then the reduction loops.
pub(crate) struct Draft {
    pub(crate) scope: Scope,
    pub(crate) parallel: usize,
    /// Counts of reduction loops that are known at run time only: by axis.
    pub(crate) dynamic: Vec<(usize, ExprId)>,
    pub(crate) accs: Vec<Accumulator>,
    pub(crate) stores: Vec<Store>,
}

impl Draft {
    /// A nest of these parallel loops.
    pub(crate) fn new(parallel: &[u64]) -> Draft {
        Draft::reducing(parallel, &[])
    }

    /// A nest of these parallel and reduction loops.
    pub(crate) fn reducing(parallel: &[u64], reduce: &[u64]) -> Draft {
        let axes = parallel.iter().chain(reduce).map(|&size| size as u32).collect();
        Draft { scope: Scope::new(axes), parallel: parallel.len(), dynamic: Vec::new(), accs: Vec::new(), stores: Vec::new() }
    }

    /// The variables of the parallel loops.
    pub(crate) fn coords(&self) -> Vec<Affine> {
        (0..self.parallel).map(|axis| Affine::axis(axis as u8)).collect()
    }

    /// The variable of a reduction loop.
    pub(crate) fn reduction(&self, index: usize) -> Affine {
        Affine::axis((self.parallel + index) as u8)
    }

    /// Adds an accumulator and yields its value after the reduction. Where a reduction loop is empty, that is `init`.
    pub(crate) fn accumulate(&mut self, init: Scalar, next: ExprId) -> ExprId {
        let empty = self.scope.axes[self.parallel..].contains(&0);
        if empty {
            return self.scope.constant(init);
        }
        self.accs.push(Accumulator { init, next });
        self.scope.total((self.accs.len() - 1) as u8, init.dtype())
    }

    /// The nest; none where it has nothing to compute.
    pub(crate) fn finish(mut self) -> Option<Nest> {
        if self.scope.axes[..self.parallel].contains(&0) {
            return None;
        }
        if self.accs.is_empty() {
            self.scope.axes.truncate(self.parallel);
            self.dynamic.clear();
        }
        let mut body = Body { exprs: self.scope.exprs, stores: self.stores, accs: self.accs, dynamic: self.dynamic };
        let (mut axes, parallel) = body.tidy(self.scope.axes, self.parallel, usize::MAX);
        let extent = |(index, &max): (usize, &u32)| match body.dynamic.iter().find(|entry| entry.0 == parallel + index) {
            Some(&(_, count)) => Extent::Dynamic { count, max },
            None => Extent::Const(max),
        };
        let reduce = axes[parallel..].iter().enumerate().map(extent).collect();
        axes.truncate(parallel);
        Some(Nest { parallel: axes, reduce, exprs: body.exprs, accs: body.accs, stores: body.stores })
    }

    /// The kernel over rows whose rows lie along the one reduction loop, and whose accumulators say what the reductions, of these kinds, take in; none where it
    /// has nothing to compute.
    pub(crate) fn finish_rows(self, folds: &[Fold]) -> Option<Rows> {
        if self.scope.axes.contains(&0) {
            return None;
        }
        let mut body = Body { exprs: self.scope.exprs, stores: self.stores, accs: self.accs, dynamic: Vec::new() };
        let along = self.scope.axes.len() - 1;
        let (mut axes, _) = body.tidy(self.scope.axes, self.parallel, along);
        let length = axes.pop()?;
        let reductions = folds.iter().zip(&body.accs).map(|(&fold, acc)| Reduction { fold, value: acc.next }).collect();
        Some(Rows { parallel: axes, length, exprs: body.exprs, reductions, stores: body.stores })
    }

    /// The epilogue of a contraction whose pixels are all parallel axes but the last; none where an access does not go by pixels.
    pub(crate) fn finish_epilogue(self) -> Option<Epilogue> {
        let mut body = Body { exprs: self.scope.exprs, stores: self.stores, accs: Vec::new(), dynamic: Vec::new() };
        body.drop_dead();
        let axes = self.scope.axes;
        let pixels = axes.len() - 1;
        if body.exprs.values().any(|expr| matches!(expr, Expr::Axis(axis) if usize::from(*axis) < pixels)) {
            return None;
        }
        let mut fits = true;
        body.each_access(|access| {
            for dim in &mut access.dims {
                match by_pixel(&dim.index, &axes) {
                    Some(index) => dim.index = index,
                    None => fits = false,
                }
            }
        });
        body.each_axis(|_| 1);
        fits.then_some(Epilogue { exprs: body.exprs, stores: body.stores })
    }
}

/// An index over pixel axes and the channel axis, rewritten over axis 0 (the pixel) and axis 1 (the channel).
fn by_pixel(index: &Affine, axes: &[u32]) -> Option<Affine> {
    let pixels = axes.len() - 1;
    let (mut step, mut inner) = (None, 1i64);
    for axis in (0..pixels).rev() {
        let coefficient = index.coefficient(axis as u8);
        if axes[axis] != 1 {
            if coefficient % inner != 0 || step.is_some_and(|step| step != coefficient / inner) {
                return None;
            }
            step = Some(coefficient / inner);
        }
        inner *= i64::from(axes[axis]);
    }
    let step = step.unwrap_or(if pixels == 0 { 0 } else { index.coefficient((pixels - 1) as u8) });
    let channel = index.coefficient(pixels as u8);
    let terms = [(0, step), (1, channel)].into_iter().filter(|term| term.1 != 0).collect();
    Some(Affine { terms, ..index.clone() })
}

/// The parts of a kernel that tidying rewrites together.
struct Body {
    exprs: Exprs,
    stores: Vec<Store>,
    accs: Vec<Accumulator>,
    dynamic: Vec<(usize, ExprId)>,
}

impl Body {
    /// Drops dead expressions and loops of one iteration (but for `kept`), and makes one loop of two where every access allows: the extents that are left, and how
    /// many of them are parallel.
    fn tidy(&mut self, mut axes: Vec<u32>, mut parallel: usize, kept: usize) -> (Vec<u32>, usize) {
        self.drop_dead();
        let mut axis = axes.len();
        // Inner loops first, so that long runs of contiguous loops become one.
        while axis > 0 {
            axis -= 1;
            let is_dynamic = self.dynamic.iter().any(|entry| entry.0 == axis);
            if axes[axis] == 1 && !is_dynamic && axis != kept {
                self.remove_axis(axis, false);
            } else if axis + 1 < axes.len() && axis + 1 != parallel && self.is_one_loop(axis, axes[axis + 1]) {
                axes[axis + 1] *= axes[axis];
                self.remove_axis(axis, true);
            } else {
                continue;
            }
            axes.remove(axis);
            parallel -= usize::from(axis < parallel);
        }
        (axes, parallel)
    }

    fn each_access(&mut self, mut visit: impl FnMut(&mut Access)) {
        for expr in self.exprs.values_mut() {
            if let Expr::Load(access) = expr {
                visit(access);
            }
        }
        self.stores.iter_mut().for_each(|store| visit(&mut store.access));
    }

    /// Renames the axes that expressions read as values.
    fn each_axis(&mut self, rename: impl Fn(u8) -> u8) {
        for expr in self.exprs.values_mut() {
            if let Expr::Axis(axis) = expr {
                *axis = rename(*axis);
            }
        }
    }

    /// Whether two neighbouring loops, `axis` and the next one of that extent, are one in every access.
    fn is_one_loop(&mut self, axis: usize, inner: u32) -> bool {
        let read = |expr: &Expr| matches!(expr, Expr::Axis(read) if usize::from(*read) == axis || usize::from(*read) == axis + 1);
        let dynamic = self.dynamic.iter().any(|entry| entry.0 == axis || entry.0 == axis + 1);
        let mut fits = !dynamic && !self.exprs.values().any(read);
        self.each_access(|access| {
            let one = |index: &Affine| index.coefficient(axis as u8) == index.coefficient(axis as u8 + 1) * i64::from(inner);
            fits &= access.dims.iter().all(|dim| one(&dim.index));
        });
        fits
    }

    /// Takes an axis away: it has size 1, or (`merged`) the next axis runs over both, its coefficients saying so already.
    fn remove_axis(&mut self, axis: usize, merged: bool) {
        let axis = axis as u8;
        self.each_access(|access| {
            for dim in &mut access.dims {
                dim.index.terms.retain(|term| term.0 != axis);
                dim.index.terms.iter_mut().filter(|term| term.0 > axis).for_each(|term| term.0 -= 1);
            }
            // A dimension that no loop moves along is part of the offset.
            let fixed = |dim: &mlp_bundle::loops::AccessDim| {
                dim.index.terms.is_empty() && dim.index.dynamic.is_none() && (0..i64::from(dim.extent)).contains(&dim.index.constant)
            };
            access.offset += access.dims.iter().filter(|dim| fixed(dim)).map(|dim| dim.index.constant as u64 * dim.stride).sum::<u64>();
            access.dims.retain(|dim| !fixed(dim));
            if access.dims.is_empty() {
                access.bounds = Bounds::Inside;
            }
        });
        if !merged {
            for expr in self.exprs.values_mut().filter(|expr| matches!(expr, Expr::Axis(read) if *read == axis)) {
                *expr = Expr::Const(Scalar::I32(0));
            }
        }
        self.each_axis(|read| if read > axis { read - 1 } else { read });
        self.dynamic.iter_mut().filter(|entry| entry.0 > usize::from(axis)).for_each(|entry| entry.0 -= 1);
    }

    /// Drops expressions that nothing needs.
    fn drop_dead(&mut self) {
        let mut live = vec![false; self.exprs.len()];
        let roots = self.stores.iter().map(|store| store.value);
        let roots = roots.chain(self.accs.iter().map(|acc| acc.next)).chain(self.dynamic.iter().map(|entry| entry.1));
        roots.for_each(|root| live[root.index()] = true);
        for (id, expr) in self.exprs.iter().rev() {
            if live[id.index()] {
                expr.for_each_operand(|operand| live[operand.index()] = true);
            }
        }
        let mut renamed = vec![ExprId::new(0); self.exprs.len()];
        let mut kept = Exprs::new();
        for (id, mut expr) in std::mem::take(&mut self.exprs) {
            if live[id.index()] {
                rename_operands(&mut expr, |operand| renamed[operand.index()]);
                renamed[id.index()] = kept.push(expr);
            }
        }
        self.exprs = kept;
        self.stores.iter_mut().for_each(|store| store.value = renamed[store.value.index()]);
        self.accs.iter_mut().for_each(|acc| acc.next = renamed[acc.next.index()]);
        self.dynamic.iter_mut().for_each(|entry| entry.1 = renamed[entry.1.index()]);
    }
}

fn rename_operands(expr: &mut Expr, rename: impl Fn(ExprId) -> ExprId) {
    match expr {
        Expr::Const(_) | Expr::Axis(_) | Expr::Symbol(_) | Expr::Acc(_) | Expr::Total(_) => {}
        Expr::Load(access) => {
            for dim in &mut access.dims {
                dim.index.dynamic = dim.index.dynamic.map(&rename);
            }
        }
        Expr::Unary(_, x) | Expr::Cast(_, x) | Expr::Bitcast(_, x) => *x = rename(*x),
        Expr::Binary(_, x, y) | Expr::Compare(_, x, y) => {
            *x = rename(*x);
            *y = rename(*y);
        }
        Expr::Select(condition, x, y) => {
            *condition = rename(*condition);
            *x = rename(*x);
            *y = rename(*y);
        }
        Expr::Requantize { value, multiplier, shift: _ } => {
            *value = rename(*value);
            *multiplier = rename(*multiplier);
        }
    }
}
