//! Which axes a reshape joins and splits, so that it can be done in another order of axes.

use crate::shape::{Dim, Shape};

/// Axes before and after a reshape that hold the same elements: successive, with one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    /// Axes of the operand.
    pub(super) from: Vec<u32>,
    /// Axes of the result.
    pub(super) to: Vec<u32>,
}

/// The finest division of a reshape into groups; none where sizes are symbolic in a way that cannot be matched, or 0.
pub(super) fn groups(from: &Shape, to: &Shape) -> Option<Vec<Group>> {
    let mut found: Vec<Group> = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < from.rank() && j < to.rank() {
        let (start_i, start_j) = (i, j);
        if from.0[i] == to.0[j] {
            (i, j) = (i + 1, j + 1);
        } else {
            let (mut left, mut right) = (size(from.0[i])?, size(to.0[j])?);
            (i, j) = (i + 1, j + 1);
            while left != right {
                if left < right {
                    left = left.checked_mul(size(*from.0.get(i)?)?)?;
                    i += 1;
                } else {
                    right = right.checked_mul(size(*to.0.get(j)?)?)?;
                    j += 1;
                }
            }
        }
        found.push(Group { from: (start_i as u32..i as u32).collect(), to: (start_j as u32..j as u32).collect() });
    }
    // What is left over has size 1 and goes with the last group.
    let units = |dims: &[Dim]| dims.iter().all(|&dim| dim == Dim::Const(1));
    if !units(&from.0[i..]) || !units(&to.0[j..]) {
        return None;
    }
    match found.last_mut() {
        Some(last) => {
            last.from.extend(i as u32..from.rank() as u32);
            last.to.extend(j as u32..to.rank() as u32);
        }
        None if i < from.rank() || j < to.rank() => return None,
        None => {}
    }
    Some(found)
}

fn size(dim: Dim) -> Option<u64> {
    dim.constant().filter(|&size| size > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshapes_fall_into_groups() {
        let of = |from: &[u64], to: &[u64]| {
            let pairs = groups(&Shape::fixed(from), &Shape::fixed(to));
            pairs.map(|pairs| pairs.into_iter().map(|group| (group.from, group.to)).collect::<Vec<_>>())
        };
        let split = vec![(vec![0], vec![0]), (vec![1], vec![1, 2]), (vec![2], vec![3])];
        assert_eq!(of(&[2, 12, 7], &[2, 3, 4, 7]), Some(split));
        assert_eq!(of(&[2, 3, 4, 7], &[24, 7]), Some(vec![(vec![0, 1, 2], vec![0]), (vec![3], vec![1])]));
        assert_eq!(of(&[6, 4], &[4, 6]), Some(vec![(vec![0, 1], vec![0, 1])]));
        assert_eq!(of(&[5, 1, 1], &[5]), Some(vec![(vec![0, 1, 2], vec![0])]));
        assert_eq!(of(&[0, 3], &[3, 0]), None);
        assert_eq!(of(&[], &[1]), None);
        assert_eq!(of(&[], &[]), Some(vec![]));
    }
}
