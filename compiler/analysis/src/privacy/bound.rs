//! How far a value can move when one person's input is replaced by any other: the diameter of the set of values it can take, in three norms.
//!
//! The rules are those of a first-order sensitivity analysis (Fuzz, Duet) for values that leave one device: what bounds a value is its range, and operators that
//! never stretch distances keep it bounded. What is not known to be bounded is not.

use mlp_syntax::Location;

/// A tensor in the analysis.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    /// True where it depends on something private.
    pub(crate) private: bool,
    /// The least element it can have.
    pub(crate) low: f64,
    /// The greatest.
    pub(crate) high: f64,
    /// The greatest sum of absolute changes.
    pub(crate) l1: f64,
    /// The greatest Euclidean length of a change.
    pub(crate) l2: f64,
    /// The greatest change of one element.
    pub(crate) linf: f64,
    /// How many elements it has; infinite where that is not known.
    pub(crate) count: f64,
    /// How many rows of probabilities it is made of, where it is.
    pub(crate) rows: Option<f64>,
    /// What made it unbounded.
    pub(crate) cause: Option<(Location, String)>,
}

impl Bound {
    /// A value that tells nothing about a person.
    pub(crate) fn public(low: f64, high: f64, count: f64) -> Bound {
        Bound { private: false, low, high, l1: 0.0, l2: 0.0, linf: 0.0, count, rows: None, cause: None }
    }

    /// A private value of which nothing is known.
    pub(crate) fn unbounded(count: f64, place: Location, what: impl Into<String>) -> Bound {
        let inf = f64::INFINITY;
        let cause = Some((place, what.into()));
        Bound { private: true, low: -inf, high: inf, l1: inf, l2: inf, linf: inf, count, rows: None, cause }
    }

    /// True where all is the same but what made it unbounded.
    pub(crate) fn moves_like(&self, other: &Bound) -> bool {
        let numbers = |bound: &Bound| [bound.low, bound.high, bound.l1, bound.l2, bound.linf, bound.count];
        let kind = |bound: &Bound| (bound.private, bound.rows, bound.cause.is_some());
        kind(self) == kind(other) && numbers(self) == numbers(other)
    }

    /// A value of which its range alone is known.
    pub(crate) fn within(private: bool, low: f64, high: f64, count: f64) -> Bound {
        let inf = f64::INFINITY;
        Bound { private, low, high, l1: inf, l2: inf, linf: inf, count, rows: None, cause: None }.tightened()
    }

    /// With what its range says of its norms.
    fn tightened(mut self) -> Bound {
        if !self.private {
            (self.l1, self.l2, self.linf) = (0.0, 0.0, 0.0);
            return self;
        }
        let range = self.high - self.low;
        if range.is_finite() {
            self.linf = self.linf.min(range);
            self.l1 = self.l1.min(times(self.count, range));
            self.l2 = self.l2.min(times(self.count.sqrt(), range));
        }
        // Norms bound each other: linf <= l2 <= l1 <= sqrt(n) l2 <= n linf.
        self.l2 = self.l2.min(times(self.count.sqrt(), self.linf)).min(self.l1);
        self.l1 = self.l1.min(times(self.count.sqrt(), self.l2));
        self.linf = self.linf.min(self.l2);
        if self.linf.is_finite() {
            self.cause = self.cause.filter(|_| !self.l1.is_finite());
        }
        self
    }

    /// Every element moved into a range.
    pub(crate) fn clip(self, low: f64, high: f64) -> Bound {
        let (low, high) = (self.low.clamp(low, high), self.high.clamp(low, high));
        Bound { low, high, rows: None, ..self }.tightened()
    }

    /// Negative elements become 0.
    pub(crate) fn relu(self) -> Bound {
        Bound { low: self.low.max(0.0), high: self.high.max(0.0), rows: None, ..self }.tightened()
    }

    /// Probabilities along the last dimension, of `rows` rows. Two of them differ by 2 in sum and by the root of 2 in length at most, and never by more than half as
    /// much as the scores did, since no derivative of softmax is longer than 1/2.
    pub(crate) fn softmax(self, rows: f64) -> Bound {
        let l1 = times(rows, 2.0).min(0.5 * self.l1);
        let l2 = times(rows, 2.0).sqrt().min(0.5 * self.l2);
        let linf = 1.0_f64.min(0.5 * self.linf);
        Bound { low: 0.0, high: 1.0, l1, l2, linf, rows: Some(rows), ..self }.tightened()
    }

    /// The sum of two tensors of one shape.
    pub(crate) fn add(self, other: Bound) -> Bound {
        let cause = self.cause.or(other.cause);
        Bound {
            private: self.private || other.private,
            low: self.low + other.low,
            high: self.high + other.high,
            l1: self.l1 + other.l1,
            l2: self.l2 + other.l2,
            linf: self.linf + other.linf,
            count: self.count.min(other.count),
            rows: None,
            cause,
        }
        .tightened()
    }

    /// Times a number that is known.
    pub(crate) fn scale(self, factor: f64) -> Bound {
        let (a, b) = (times(self.low, factor), times(self.high, factor));
        let size = factor.abs();
        let (l1, l2, linf) = (times(self.l1, size), times(self.l2, size), times(self.linf, size));
        Bound { low: a.min(b), high: a.max(b), l1, l2, linf, rows: None, ..self }.tightened()
    }

    /// Plus a number that is known.
    pub(crate) fn shift(self, by: f64) -> Bound {
        Bound { low: self.low + by, high: self.high + by, rows: None, ..self }
    }

    /// The product of two tensors of one shape: `xy - x'y' = x(y - y') + y'(x - x')`.
    pub(crate) fn multiply(self, other: Bound) -> Bound {
        let ends = [self.low * other.low, self.low * other.high, self.high * other.low, self.high * other.high];
        let known = ends.iter().all(|end| end.is_finite());
        let (low, high) = if known {
            (ends.iter().copied().fold(f64::INFINITY, f64::min), ends.iter().copied().fold(f64::NEG_INFINITY, f64::max))
        } else {
            (f64::NEG_INFINITY, f64::INFINITY)
        };
        let (x, y) = (self.low.abs().max(self.high.abs()), other.low.abs().max(other.high.abs()));
        Bound {
            private: self.private || other.private,
            low,
            high,
            l1: times(x, other.l1) + times(y, self.l1),
            l2: times(x, other.l2) + times(y, self.l2),
            linf: times(x, other.linf) + times(y, self.linf),
            count: self.count.min(other.count),
            rows: None,
            cause: self.cause.or(other.cause),
        }
        .tightened()
    }

    /// One over every element; unbounded where one can be 0.
    pub(crate) fn reciprocal(self, place: Location) -> Bound {
        if self.low > 0.0 || self.high < 0.0 {
            let (low, high) = (1.0 / self.high, 1.0 / self.low);
            // No derivative of 1/x is steeper than at the end next to 0.
            let steepest = 1.0 / self.low.abs().min(self.high.abs()).powi(2);
            let (l1, l2, linf) = (times(self.l1, steepest), times(self.l2, steepest), times(self.linf, steepest));
            return Bound { low, high, l1, l2, linf, rows: None, ..self }.tightened();
        }
        if !self.private {
            return Bound::public(f64::NEG_INFINITY, f64::INFINITY, self.count);
        }
        Bound::unbounded(self.count, place, "this divides by what may be 0")
    }

    /// The sum of all elements.
    pub(crate) fn sum(self) -> Bound {
        let (low, high) = (times(self.low, self.count), times(self.high, self.count));
        Bound { low, high, l2: self.l1, linf: self.l1, count: 1.0, rows: None, ..self }.tightened()
    }

    /// The mean of all elements.
    pub(crate) fn mean(self) -> Bound {
        let change = self.linf.min(if self.count.is_finite() { self.l1 / self.count } else { f64::INFINITY });
        Bound { l1: change, l2: change, linf: change, count: 1.0, rows: None, ..self }.tightened()
    }

    /// The greatest, or the least, of all elements.
    pub(crate) fn extreme(self) -> Bound {
        Bound { l1: self.linf, l2: self.linf, count: 1.0, rows: None, ..self }.tightened()
    }

    /// A function of single elements that stays between `low` and `high` and moves no element by more than `slope` times what it moved.
    pub(crate) fn map(self, low: f64, high: f64, slope: f64) -> Bound {
        let (l1, l2, linf) = (times(self.l1, slope), times(self.l2, slope), times(self.linf, slope));
        Bound { low, high, l1, l2, linf, rows: None, ..self }.tightened()
    }

    /// The sums of `count` groups of `group` elements each.
    pub(crate) fn sums(self, group: f64, count: f64) -> Bound {
        let (low, high) = (times(self.low, group), times(self.high, group));
        let linf = times(self.linf, group).min(self.l1);
        let l2 = times(self.l2, group.sqrt()).min(self.l1);
        Bound { low, high, l2, linf, count, rows: None, ..self }.tightened()
    }

    /// Every element `many` times.
    pub(crate) fn repeated(self, many: f64) -> Bound {
        let (l1, l2) = (times(self.l1, many), times(self.l2, many.sqrt()));
        Bound { l1, l2, count: times(self.count, many), rows: None, ..self }.tightened()
    }

    /// The elements of two tensors.
    pub(crate) fn joined(self, other: Bound) -> Bound {
        Bound {
            private: self.private || other.private,
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            l1: self.l1 + other.l1,
            l2: self.l2.hypot(other.l2),
            linf: self.linf.max(other.linf),
            count: self.count + other.count,
            rows: None,
            cause: self.cause.or(other.cause),
        }
        .tightened()
    }

    /// Some of the elements, `count` of them: no norm grows.
    pub(crate) fn part(self, count: f64) -> Bound {
        Bound { count: count.min(self.count), rows: None, ..self }.tightened()
    }

    /// One of two values; `private` where the choice itself tells something.
    pub(crate) fn either(self, other: Bound, private: bool) -> Bound {
        let private_choice = private;
        let private = private || self.private || other.private;
        let (low, high) = (self.low.min(other.low), self.high.max(other.high));
        let count = self.count.max(other.count);
        let inf = f64::INFINITY;
        let rows = self.rows.zip(other.rows).map(|(a, b)| a.max(b));
        let mut joined = if private_choice {
            // The two arms may lie anywhere apart within the range of both.
            Bound { private, low, high, l1: inf, l2: inf, linf: inf, count, rows, cause: self.cause.or(other.cause) }
        } else {
            let (l1, l2, linf) = (self.l1.max(other.l1), self.l2.max(other.l2), self.linf.max(other.linf));
            Bound { private, low, high, l1, l2, linf, count, rows, cause: self.cause.or(other.cause) }
        };
        if let Some(rows) = rows {
            joined.l1 = joined.l1.min(times(rows, 2.0));
            joined.l2 = joined.l2.min(times(rows, 2.0).sqrt());
        }
        joined.tightened()
    }
}

/// A product in which nothing times anything is nothing.
fn times(a: f64, b: f64) -> f64 {
    if a == 0.0 || b == 0.0 { 0.0 } else { a * b }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any(count: f64) -> Bound {
        Bound::unbounded(count, Location::default(), "anything")
    }

    #[test]
    fn clipping_bounds_every_norm() {
        let bound = any(4.0).clip(-1.0, 2.0);
        assert_eq!((bound.low, bound.high, bound.linf, bound.l2, bound.l1), (-1.0, 2.0, 3.0, 6.0, 12.0));
        assert!(bound.cause.is_none());
    }

    #[test]
    fn the_table_of_operators_holds() {
        let clipped = || any(4.0).clip(0.0, 1.0);
        assert_eq!(any(10.0).softmax(1.0).l1, 2.0);
        assert_eq!(any(10.0).softmax(1.0).l2, 2.0_f64.sqrt());
        assert_eq!(any(10.0).softmax(1.0).linf, 1.0);
        assert_eq!(clipped().softmax(1.0).l2, 1.0, "half of what the scores moved");
        assert_eq!(clipped().sum().linf, 4.0);
        assert_eq!(clipped().mean().linf, 1.0);
        assert_eq!(clipped().extreme().l1, 1.0);
        assert_eq!(clipped().scale(-3.0).linf, 3.0);
        assert_eq!(clipped().add(clipped()).l1, 8.0);
        assert_eq!(clipped().relu().l1, 4.0);
        assert_eq!(any(10.0).softmax(1.0).extreme().linf, 1.0);
        assert!(any(4.0).relu().l1.is_infinite());
        assert!(any(4.0).mean().cause.is_some());
        let public = Bound::public(0.0, 9.0, 4.0);
        assert_eq!(clipped().multiply(public.clone()).linf, 9.0);
        assert!(!public.clone().add(public).private);
    }

    proptest! {
        /// Two inputs of random values never end further apart than the bound says, through a random chain of operators.
        #[test]
        fn values_move_no_further_than_the_bound(
            a in proptest::collection::vec(-5.0..5.0_f64, 4),
            b in proptest::collection::vec(-5.0..5.0_f64, 4),
            steps in proptest::collection::vec((0..14_u8, -3.0..3.0_f64), 1..7),
        ) {
            let mut bound = any(4.0).clip(-2.0, 3.0);
            let clip = |x: &mut Vec<f64>| x.iter_mut().for_each(|x| *x = x.clamp(-2.0, 3.0));
            let (mut a, mut b) = (a, b);
            clip(&mut a);
            clip(&mut b);
            for (step, value) in steps {
                let apply = |x: &mut Vec<f64>| match step {
                    0 => x.iter_mut().for_each(|x| *x = x.max(0.0)),
                    1 => x.iter_mut().for_each(|x| *x *= value),
                    2 => x.iter_mut().for_each(|x| *x += value),
                    3 => x.iter_mut().for_each(|x| *x *= *x),
                    4 => {
                        let most = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                        let sum: f64 = x.iter().map(|x| (x - most).exp()).sum();
                        x.iter_mut().for_each(|x| *x = (*x - most).exp() / sum);
                    }
                    5 => *x = vec![x.iter().sum::<f64>()],
                    6 => *x = vec![x.iter().sum::<f64>() / x.len() as f64],
                    7 => x.iter_mut().for_each(|x| *x = x.tanh()),
                    8 => x.iter_mut().for_each(|x| *x = x.abs()),
                    9 if x.len().is_multiple_of(2) => *x = x.chunks(2).map(|pair| pair[0] + pair[1]).collect(),
                    10 if x.len() <= 64 => *x = x.iter().flat_map(|x| [*x, *x, *x]).collect(),
                    11 if x.len() <= 64 => x.extend(x.clone()),
                    12 => x.sort_by(f64::total_cmp),
                    9..=11 => {}
                    _ => *x = vec![x.iter().copied().fold(f64::NEG_INFINITY, f64::max)],
                };
                let count = a.len();
                apply(&mut a);
                apply(&mut b);
                bound = match step {
                    0 => bound.relu(),
                    1 => bound.scale(value),
                    2 => bound.shift(value),
                    3 => bound.clone().multiply(bound),
                    4 => bound.softmax(1.0),
                    5 => bound.sum(),
                    6 => bound.mean(),
                    7 => {
                        let (low, high) = (bound.low.tanh(), bound.high.tanh());
                        bound.map(low, high, 1.0)
                    }
                    8 => {
                        let most = bound.low.abs().max(bound.high.abs());
                        bound.map(0.0, most, 1.0)
                    }
                    9 if count % 2 == 0 => bound.sums(2.0, count as f64 / 2.0),
                    10 if count <= 64 => bound.repeated(3.0),
                    11 if count <= 64 => bound.clone().joined(bound),
                    9..=12 => bound,
                    _ => bound.extreme(),
                };
                let moved: Vec<f64> = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).collect();
                let slack = 1e-9 * (1.0 + bound.high.abs().max(bound.low.abs()));
                prop_assert!(moved.iter().sum::<f64>() <= bound.l1 + slack);
                prop_assert!(moved.iter().map(|x| x * x).sum::<f64>().sqrt() <= bound.l2 + slack);
                prop_assert!(moved.iter().copied().fold(0.0, f64::max) <= bound.linf + slack);
                prop_assert!(a.iter().chain(&b).all(|x| *x >= bound.low - slack && *x <= bound.high + slack));
            }
        }
    }
}
