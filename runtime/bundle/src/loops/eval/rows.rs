//! Kernels over rows, walk by walk; sums in binary64.

use super::{Machine, Point, Values, below, store_roots};
use crate::dtype::Scalar;
use crate::loops::{ExprId, Fold, Rows};

impl Machine<'_> {
    pub(super) fn rows(&mut self, rows: &Rows) {
        let walks: Vec<Vec<ExprId>> = rows.reductions.iter().map(|reduction| below(&rows.exprs, [reduction.value].into_iter())).collect();
        let after = below(&rows.exprs, store_roots(&rows.stores));
        let mut values = Values::with_default(Scalar::Bool(false));
        let along = rows.parallel.len();
        let mut axes = vec![0i64; along + 1];
        for row in 0..rows.rows() {
            let mut rest = row;
            for (axis, &extent) in rows.parallel.iter().enumerate().rev() {
                axes[axis] = (rest % u64::from(extent)) as i64;
                rest /= u64::from(extent);
            }
            let mut totals: Vec<Scalar> = Vec::new();
            for (reduction, walk) in rows.reductions.iter().zip(&walks) {
                let mut total = f64::from(reduction.fold.start());
                for element in 0..rows.length {
                    axes[along] = i64::from(element);
                    self.evaluate(&rows.exprs, walk, &Point { axes: &axes, accs: &[], totals: &totals }, &mut values);
                    total = fold(reduction.fold, total, values[reduction.value]);
                }
                totals.push(Scalar::f32(total as f32));
            }
            for element in 0..rows.length {
                axes[along] = i64::from(element);
                let point = Point { axes: &axes, accs: &[], totals: &totals };
                self.evaluate(&rows.exprs, &after, &point, &mut values);
                self.store_all(&rows.stores, &point, &values);
            }
        }
    }
}

fn fold(fold: Fold, total: f64, value: Scalar) -> f64 {
    let Scalar::F32(bits) = value else { unreachable!("the verifier has typed the reductions") };
    let value = f64::from(f32::from_bits(bits));
    match fold {
        Fold::Sum => total + value,
        Fold::Max if total < value => value,
        Fold::Min if value < total => value,
        Fold::Max | Fold::Min => total,
    }
}
