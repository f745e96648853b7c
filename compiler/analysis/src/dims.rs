//! Arithmetic on sizes. A size is kept as a polynomial in one normal form, so that two ways of writing one size are equal.

use crate::types::Dim;
use std::collections::BTreeMap;
use std::fmt;

/// The most terms of a formula; what is longer is refused.
const MAX_TERMS: usize = 32;
/// The most factors of a term, and the most divisions inside one another.
const MAX_DEPTH: usize = 8;

/// A size that is computed from others: the sum of products of [`Atom`]s with whole coefficients.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Formula {
    /// The coefficient of each product; none is 0. The empty product is the constant term.
    terms: BTreeMap<Vec<Atom>, i64>,
}

/// What a formula is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Atom {
    /// A symbol of the signature.
    Symbol(String),
    /// A number parameter.
    Param(String),
    /// The width of a size parameter.
    Width(String),
    /// The height of a size parameter.
    Height(String),
    /// A division that is not exact for every size; rounded down.
    Quotient(Box<Formula>, Box<Formula>),
}

/// Why a size cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SizeError {
    /// It is divided by nothing.
    DivisionByZero,
    /// It is 0 or negative.
    NotPositive(i64),
    /// Its numbers are too large, or it has too many parts.
    TooLarge,
}

impl SizeError {
    /// In the words of a label.
    pub(crate) fn remark(self) -> String {
        match self {
            SizeError::DivisionByZero => "this divides by 0".to_owned(),
            SizeError::NotPositive(value) => format!("this is {value}; a dimension has at least 1 element"),
            SizeError::TooLarge => "this is too large".to_owned(),
        }
    }
}

impl Formula {
    fn constant(value: i64) -> Formula {
        Formula { terms: BTreeMap::from([(Vec::new(), value)]).into_iter().filter(|(_, value)| *value != 0).collect() }
    }

    fn atom(atom: Atom) -> Formula {
        Formula { terms: BTreeMap::from([(vec![atom], 1)]) }
    }

    /// The formula of a dimension; none for any number of dimensions.
    pub(crate) fn of(dim: &Dim) -> Option<Formula> {
        Some(match dim {
            Dim::Const(size) => Formula::constant(i64::try_from(*size).ok()?),
            Dim::Symbol(name) => Formula::atom(Atom::Symbol(name.clone())),
            Dim::Param(name) => Formula::atom(Atom::Param(name.clone())),
            Dim::Width(name) => Formula::atom(Atom::Width(name.clone())),
            Dim::Height(name) => Formula::atom(Atom::Height(name.clone())),
            Dim::Formula(formula) => formula.clone(),
            Dim::Rest(_) => return None,
        })
    }

    /// The simplest dimension that is this size.
    pub(crate) fn dim(self) -> Result<Dim, SizeError> {
        if let Some(value) = self.value() {
            return if value > 0 { Ok(Dim::Const(value as u64)) } else { Err(SizeError::NotPositive(value)) };
        }
        if let [(product, 1)] = self.terms.iter().collect::<Vec<_>>().as_slice()
            && let [atom] = product.as_slice()
        {
            match atom {
                Atom::Symbol(name) => return Ok(Dim::Symbol(name.clone())),
                Atom::Param(name) => return Ok(Dim::Param(name.clone())),
                Atom::Width(name) => return Ok(Dim::Width(name.clone())),
                Atom::Height(name) => return Ok(Dim::Height(name.clone())),
                Atom::Quotient(..) => {}
            }
        }
        Ok(Dim::Formula(self))
    }

    /// The value, where it depends on nothing.
    fn value(&self) -> Option<i64> {
        match self.terms.iter().next() {
            None => Some(0),
            Some((product, value)) if product.is_empty() && self.terms.len() == 1 => Some(*value),
            _ => None,
        }
    }

    /// `self + sign * other`
    fn plus(&self, other: &Formula, sign: i64) -> Result<Formula, SizeError> {
        let mut terms = self.terms.clone();
        for (product, value) in &other.terms {
            let entry = terms.entry(product.clone()).or_insert(0);
            *entry = value.checked_mul(sign).and_then(|value| entry.checked_add(value)).ok_or(SizeError::TooLarge)?;
        }
        terms.retain(|_, value| *value != 0);
        if terms.len() > MAX_TERMS { Err(SizeError::TooLarge) } else { Ok(Formula { terms }) }
    }

    /// `self + other`
    pub(crate) fn add(&self, other: &Formula) -> Result<Formula, SizeError> {
        self.plus(other, 1)
    }

    /// `self - other`
    pub(crate) fn sub(&self, other: &Formula) -> Result<Formula, SizeError> {
        self.plus(other, -1)
    }

    /// `self * other`
    pub(crate) fn mul(&self, other: &Formula) -> Result<Formula, SizeError> {
        let mut sum = Formula::default();
        for (a, x) in &self.terms {
            for (b, y) in &other.terms {
                let mut product = [a.as_slice(), b.as_slice()].concat();
                product.sort();
                let value = x.checked_mul(*y).ok_or(SizeError::TooLarge)?;
                if product.len() > MAX_DEPTH {
                    return Err(SizeError::TooLarge);
                }
                sum = sum.add(&Formula { terms: BTreeMap::from([(product, value)]) })?;
            }
        }
        Ok(sum)
    }

    /// `self / other`, rounded down.
    pub(crate) fn div(&self, other: &Formula) -> Result<Formula, SizeError> {
        if self == other && self.value() != Some(0) {
            return Ok(Formula::constant(1));
        }
        let Some(divisor) = other.value() else {
            return self.quotient(other);
        };
        if divisor == 0 {
            return Err(SizeError::DivisionByZero);
        }
        if divisor < 0 {
            return Formula::default().sub(self)?.div(&Formula::constant(divisor.checked_neg().ok_or(SizeError::TooLarge)?));
        }
        // What every term has as a multiple of the divisor comes out of the rounding: (2 W + 5) / 2 is W + 2.
        let whole = self.terms.iter().map(|(product, value)| (product.clone(), value.div_euclid(divisor)));
        let whole = Formula { terms: whole.filter(|(_, value)| *value != 0).collect() };
        let rest = self.terms.iter().map(|(product, value)| (product.clone(), value.rem_euclid(divisor)));
        let rest = Formula { terms: rest.filter(|(_, value)| *value != 0).collect() };
        if rest.value().is_some() {
            return Ok(whole);
        }
        whole.add(&rest.quotient(other)?)
    }

    fn quotient(&self, other: &Formula) -> Result<Formula, SizeError> {
        let depth = self.depth().max(other.depth()) + 1;
        if depth > MAX_DEPTH {
            return Err(SizeError::TooLarge);
        }
        Ok(Formula::atom(Atom::Quotient(Box::new(self.clone()), Box::new(other.clone()))))
    }

    /// How many divisions are inside one another.
    fn depth(&self) -> usize {
        let atoms = self.terms.keys().flatten().map(|atom| match atom {
            Atom::Quotient(a, b) => 1 + a.depth().max(b.depth()),
            _ => 0,
        });
        atoms.max().unwrap_or(0)
    }

    /// The formula with every atom replaced; the outer error is of arithmetic, the inner none where an atom has no replacement.
    pub(crate) fn substitute(&self, replace: &dyn Fn(&Dim) -> Option<Dim>) -> Result<Option<Formula>, SizeError> {
        let mut sum = Formula::default();
        for (product, value) in &self.terms {
            let mut term = Formula::constant(*value);
            for atom in product {
                let Some(factor) = atom.substitute(replace)? else { return Ok(None) };
                term = term.mul(&factor)?;
            }
            sum = sum.add(&term)?;
        }
        Ok(Some(sum))
    }

    /// Its value where every symbol has one; none where one has none, or where the value is no size.
    pub(crate) fn size(&self, sizes: &dyn Fn(&str) -> Option<u64>) -> Option<u64> {
        let replaced = self.substitute(&|dim| match dim {
            Dim::Symbol(name) => sizes(name).map(Dim::Const),
            _ => None,
        });
        match replaced.ok()??.dim().ok()? {
            Dim::Const(size) => Some(size),
            _ => None,
        }
    }

    /// Whether it depends on symbols alone.
    pub(crate) fn is_of_symbols(&self) -> bool {
        self.terms.keys().flatten().all(|atom| match atom {
            Atom::Symbol(_) => true,
            Atom::Quotient(a, b) => a.is_of_symbols() && b.is_of_symbols(),
            Atom::Param(_) | Atom::Width(_) | Atom::Height(_) => false,
        })
    }

    /// Every symbol that it depends on.
    pub(crate) fn symbols(&self, found: &mut Vec<String>) {
        for atom in self.terms.keys().flatten() {
            match atom {
                Atom::Symbol(name) => found.push(name.clone()),
                Atom::Quotient(a, b) => {
                    a.symbols(found);
                    b.symbols(found);
                }
                Atom::Param(_) | Atom::Width(_) | Atom::Height(_) => {}
            }
        }
    }

    /// The symbol that makes this formula `found`, where exactly one is missing and it stands alone in its term: `2 * N + 1 = 9` gives `N = 4`.
    pub(crate) fn solve(&self, found: &Dim, replace: &dyn Fn(&Dim) -> Option<Dim>) -> Option<(String, Dim)> {
        let is_missing = |name: &String| replace(&Dim::Symbol(name.clone())).is_none();
        let mut missing = Vec::new();
        self.symbols(&mut missing);
        missing.retain(is_missing);
        let [name] = missing.as_slice() else { return None };
        let factor = *self.terms.get(&vec![Atom::Symbol(name.clone())])?;
        let rest = self.terms.iter().filter(|(product, _)| **product != [Atom::Symbol(name.clone())]);
        let rest = Formula { terms: rest.map(|(product, value)| (product.clone(), *value)).collect() };
        let rest = rest.substitute(replace).ok()??;
        let left = Formula::of(found)?.sub(&rest).ok()?;
        if factor == 0 || left.terms.values().any(|value| value % factor != 0) {
            return None;
        }
        let solution = Formula { terms: left.terms.into_iter().map(|(product, value)| (product, value / factor)).collect() };
        Some((name.clone(), solution.dim().ok()?))
    }
}

impl Atom {
    fn substitute(&self, replace: &dyn Fn(&Dim) -> Option<Dim>) -> Result<Option<Formula>, SizeError> {
        let dim = match self {
            Atom::Symbol(name) => Dim::Symbol(name.clone()),
            Atom::Param(name) => Dim::Param(name.clone()),
            Atom::Width(name) => Dim::Width(name.clone()),
            Atom::Height(name) => Dim::Height(name.clone()),
            Atom::Quotient(a, b) => {
                let (Some(a), Some(b)) = (a.substitute(replace)?, b.substitute(replace)?) else { return Ok(None) };
                return a.div(&b).map(Some);
            }
        };
        Ok(replace(&dim).and_then(|dim| Formula::of(&dim)))
    }
}

impl fmt::Display for Formula {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The constant term is the least of all keys and is read best at the end.
        let terms = self.terms.iter().skip_while(|(product, _)| product.is_empty());
        let constant = self.terms.get(&Vec::new()).map(|value| (&[] as &[Atom], *value));
        let all = terms.map(|(product, value)| (product.as_slice(), *value)).chain(constant);
        for (index, (product, value)) in all.enumerate() {
            match (index, value < 0) {
                (0, true) => f.write_str("-")?,
                (0, false) => {}
                (_, true) => f.write_str(" - ")?,
                (_, false) => f.write_str(" + ")?,
            }
            let mut factors: Vec<String> = product.iter().map(ToString::to_string).collect();
            if value.unsigned_abs() != 1 || product.is_empty() {
                factors.insert(0, value.unsigned_abs().to_string());
            }
            f.write_str(&factors.join(" * "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = |formula: &Formula| match formula.terms.iter().next() {
            Some((product, value)) if formula.terms.len() == 1 && (product.is_empty() || (*value == 1 && product.len() == 1)) => {
                formula.to_string()
            }
            _ => format!("({formula})"),
        };
        match self {
            Atom::Symbol(name) | Atom::Param(name) => f.write_str(name),
            Atom::Width(name) => write!(f, "{name}.width"),
            Atom::Height(name) => write!(f, "{name}.height"),
            Atom::Quotient(a, b) => write!(f, "{} / {}", group(a), group(b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn n() -> Formula {
        Formula::atom(Atom::Symbol("N".to_owned()))
    }

    fn c(value: i64) -> Formula {
        Formula::constant(value)
    }

    #[test]
    fn two_ways_of_writing_one_size_are_equal() {
        let doubled = n().add(&n()).unwrap();
        assert_eq!(doubled, c(2).mul(&n()).unwrap());
        assert_eq!(doubled.add(&c(5)).unwrap().div(&c(2)).unwrap(), n().add(&c(2)).unwrap());
        assert_eq!(n().sub(&n()).unwrap(), c(0));
        assert_eq!(n().div(&n()).unwrap(), c(1));
        assert_eq!(n().add(&c(1)).unwrap().div(&c(2)).unwrap().to_string(), "(N + 1) / 2");
        assert_eq!(c(7).div(&c(2)).unwrap(), c(3));
        assert_eq!(c(-7).div(&c(-2)).unwrap(), c(3));
        assert_eq!(n().div(&c(0)), Err(SizeError::DivisionByZero));
    }

    /// Normalizing first and counting afterwards is counting at once, with division rounded down.
    #[test]
    fn formulas_count_as_whole_numbers_do() {
        for size in 1..40_u64 {
            let set = |dim: &Dim| (*dim == Dim::Symbol("N".to_owned())).then_some(Dim::Const(size));
            for (k, stride, padding) in [(3, 2, 1), (3, 1, 0), (7, 2, 3), (1, 4, 0), (2, 2, 5)] {
                let formula = n().add(&c(2 * padding)).unwrap().sub(&c(k)).unwrap().div(&c(stride)).unwrap().add(&c(1)).unwrap();
                let counted = (size as i64 + 2 * padding - k).div_euclid(stride) + 1;
                assert_eq!(formula.substitute(&set).unwrap().unwrap(), c(counted), "{formula} of {size}");
            }
        }
    }

    #[test]
    fn one_missing_symbol_is_found() {
        let none = |_: &Dim| None;
        let formula = c(2).mul(&n()).unwrap().add(&c(1)).unwrap();
        assert_eq!(formula.solve(&Dim::Const(9), &none), Some(("N".to_owned(), Dim::Const(4))));
        assert_eq!(formula.solve(&Dim::Const(8), &none), None);
        assert_eq!(formula.solve(&Dim::Const(1), &none), None);
        assert_eq!(n().div(&c(2)).unwrap().solve(&Dim::Const(4), &none), None);
    }

    #[test]
    fn sizes_that_grow_without_end_are_refused() {
        let mut sum = n();
        for index in 0..64 {
            let atom = Formula::atom(Atom::Symbol(format!("S{index}")));
            match sum.add(&atom) {
                Ok(next) => sum = next,
                Err(error) => return assert_eq!(error, SizeError::TooLarge),
            }
        }
        panic!("{sum}");
    }
}
