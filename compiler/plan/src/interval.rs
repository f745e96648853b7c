//! Between which numbers an integer value lies, as far as constants tell: indices that are never negative need not be counted from the end.

use crate::planner::Planner;
use mlp_bundle::DType;
use mlp_graph::{Op, ValueId, op::BinaryOp};

/// Operations that are looked through.
const DEPTH: usize = 16;

/// Every number of 32 bits.
const ALL: (i64, i64) = (i32::MIN as i64, i32::MAX as i64);

impl Planner<'_> {
    /// The least and the greatest number that elements of a 32-bit integer or a truth value can be; none for other types.
    pub(crate) fn interval(&self, value: ValueId) -> Option<(i64, i64)> {
        self.bounds(value, DEPTH)
    }

    fn bounds(&self, value: ValueId, depth: usize) -> Option<(i64, i64)> {
        match self.dtype(value) {
            DType::Bool => Some((0, 1)),
            // What does not fit wraps.
            DType::I32 => Some(self.known(value, depth).filter(|&(low, high)| ALL.0 <= low && high <= ALL.1).unwrap_or(ALL)),
            _ => None,
        }
    }

    fn known(&self, value: ValueId, depth: usize) -> Option<(i64, i64)> {
        let depth = depth.checked_sub(1)?;
        if let Some(tensor) = self.tensor(value) {
            let numbers = tensor.as_i32()?;
            return Some((i64::from(*numbers.iter().min()?), i64::from(*numbers.iter().max()?)));
        }
        let node = self.graph.defining(value)?;
        let of = |operand: usize| self.bounds(node.operands[operand], depth);
        match node.op {
            Op::Gather { .. } | Op::Reshape | Op::Transpose { .. } | Op::Broadcast | Op::Slice { .. } | Op::Cast(_) => of(0),
            Op::Select => Some(union(of(1)?, of(2)?)),
            Op::Binary(op) => binary(op, of(0)?, of(1)?),
            _ => None,
        }
    }
}

fn union(x: (i64, i64), y: (i64, i64)) -> (i64, i64) {
    (x.0.min(y.0), x.1.max(y.1))
}

/// Of operands of 32 bits, so that nothing here leaves 64.
fn binary(op: BinaryOp, x: (i64, i64), y: (i64, i64)) -> Option<(i64, i64)> {
    let corners = |f: fn(i64, i64) -> i64| {
        let all = [f(x.0, y.0), f(x.0, y.1), f(x.1, y.0), f(x.1, y.1)];
        all.into_iter().fold((all[0], all[0]), |range, corner| union(range, (corner, corner)))
    };
    Some(match op {
        BinaryOp::Add => (x.0 + y.0, x.1 + y.1),
        BinaryOp::Sub => (x.0 - y.1, x.1 - y.0),
        BinaryOp::Mul => corners(|a, b| a * b),
        BinaryOp::Min => (x.0.min(y.0), x.1.min(y.1)),
        BinaryOp::Max => (x.0.max(y.0), x.1.max(y.1)),
        BinaryOp::And if x.0 >= 0 && y.0 >= 0 => (0, x.1.min(y.1)),
        BinaryOp::Shr if y.0 >= 0 && y.1 < 32 => corners(|a, b| a >> b),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_hold_every_result() {
        let ranges = [(-3, 4), (0, 5), (2, 2), (-7, -1), (0, 31)];
        let ops = [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Min, BinaryOp::Max, BinaryOp::And, BinaryOp::Shr];
        let mut known = 0;
        for (x, y) in ranges.iter().flat_map(|&x| ranges.map(|y| (x, y))) {
            for op in ops {
                let Some((low, high)) = binary(op, x, y) else { continue };
                known += 1;
                let mut seen = (i64::MAX, i64::MIN);
                for (a, b) in (x.0..=x.1).flat_map(|a| (y.0..=y.1).map(move |b| (a, b))) {
                    let result = match op {
                        BinaryOp::Add => a + b,
                        BinaryOp::Sub => a - b,
                        BinaryOp::Mul => a * b,
                        BinaryOp::Min => a.min(b),
                        BinaryOp::Max => a.max(b),
                        BinaryOp::And => a & b,
                        _ => a >> b,
                    };
                    seen = union(seen, (result, result));
                }
                assert!(low <= seen.0 && seen.1 <= high, "{op:?} of {x:?} and {y:?}: {seen:?} leaves {:?}", (low, high));
            }
        }
        assert!(known > 100, "{known} intervals are known");
    }
}
