//! Sizes that are worked out of others when a run starts.

use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};

/// `floor(sum(coefficient * product of factors) / divisor)` over symbols of some kind: what a size becomes by steps, padding, joining and flattening.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Formula<S> {
    /// What is added up.
    pub terms: Vec<Term<S>>,
    /// What the sum is divided by, at least 1.
    pub divisor: u32,
}

/// A multiple of a product of symbols; of 1 where there are no factors.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Term<S> {
    /// How many times.
    pub coefficient: i64,
    /// What is multiplied; a square has its symbol twice.
    pub factors: Vec<S>,
}

impl<S: Copy> Formula<S> {
    /// The formula's value; none where a symbol has none, or where a number leaves 64 bits.
    pub fn value(&self, mut symbol: impl FnMut(S) -> Option<i64>) -> Option<i64> {
        let mut sum = 0i64;
        for term in &self.terms {
            let product = term.factors.iter().try_fold(term.coefficient, |product, &factor| product.checked_mul(symbol(factor)?))?;
            sum = sum.checked_add(product)?;
        }
        sum.checked_div_euclid(i64::from(self.divisor))
    }

    /// The same formula over other symbols.
    pub fn map<T>(&self, mut symbol: impl FnMut(S) -> T) -> Formula<T> {
        let term =
            |term: &Term<S>| Term { coefficient: term.coefficient, factors: term.factors.iter().map(|&factor| symbol(factor)).collect() };
        Formula { terms: self.terms.iter().map(term).collect(), divisor: self.divisor }
    }

    /// The symbol of a formula `coefficient * symbol + constant` and the value it has where the formula's is `value`; none of any other formula, or where no whole
    /// number of at least 0 fits.
    pub fn solve(&self, value: i64) -> Option<(S, i64)> {
        let mut found = None;
        let mut rest = value;
        for term in &self.terms {
            match term.factors[..] {
                [] => rest = rest.checked_sub(term.coefficient)?,
                [symbol] if found.is_none() => found = Some((symbol, term.coefficient)),
                _ => return None,
            }
        }
        let (symbol, coefficient) = found?;
        let fits = self.divisor == 1 && coefficient != 0 && rest % coefficient == 0 && rest / coefficient >= 0;
        fits.then(|| (symbol, rest / coefficient))
    }
}

/// `2 s0 and 1 over 3` for `(2 * s0 + 1) / 3`.
impl<S: Display> Display for Formula<S> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            write!(f, "{}{}", if index > 0 { " and " } else { "" }, term.coefficient)?;
            term.factors.iter().try_for_each(|factor| write!(f, " {factor}"))?;
        }
        write!(f, " over {}", self.divisor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formula(terms: &[(i64, &[u8])], divisor: u32) -> Formula<u8> {
        let terms = terms.iter().map(|&(coefficient, factors)| Term { coefficient, factors: factors.to_vec() }).collect();
        Formula { terms, divisor }
    }

    #[test]
    fn values_are_floored() {
        let halves = formula(&[(1, &[0]), (-3, &[])], 2);
        let at = |n: i64| halves.value(|_| Some(n));
        assert_eq!([at(3), at(4), at(5), at(2)], [Some(0), Some(0), Some(1), Some(-1)]);
        let area = formula(&[(4, &[0, 1])], 1);
        assert_eq!(area.value(|symbol| Some(i64::from(symbol) + 2)), Some(24));
        assert_eq!(area.value(|_| Some(i64::MAX)), None);
        assert_eq!(area.value(|symbol| (symbol == 0).then_some(1)), None);
    }

    #[test]
    fn lines_are_solved() {
        let line = formula(&[(32, &[5]), (8, &[])], 1);
        assert_eq!(line.solve(72), Some((5, 2)));
        assert_eq!([line.solve(71), line.solve(0)], [None, None]);
        assert_eq!(formula(&[(1, &[0])], 2).solve(4), None);
        assert_eq!(formula(&[(1, &[0, 0])], 1).solve(4), None);
        assert_eq!(line.to_string(), "32 5 and 8 over 1");
    }
}
