//! Formulas out of values at some sizes.

use super::Varying;
use mlp_bundle::plan::{Formula, Term};

/// The longest steps in which a size may grow with a symbol.
pub(super) const MOST_STEPS: u64 = 32;

/// The sizes at which a family has members: the greatest of all, several of each with the others at their greatest, and a few of all.
pub(super) struct Points {
    greatest: Vec<u64>,
    all: Vec<Vec<u64>>,
}

impl Points {
    pub(super) fn new(varying: &[Varying]) -> Points {
        let greatest: Vec<u64> = varying.iter().map(Varying::steps).collect();
        let mut points = Points { all: vec![greatest.clone()], greatest };
        for symbol in 0..varying.len() {
            let most = points.greatest[symbol];
            let sizes = [
                most.saturating_sub(1),
                most.saturating_sub(2),
                most.saturating_sub(3),
                most.saturating_sub(4),
                most / 2,
                most / 3 + 1,
                5,
                3,
                2,
                1,
            ];
            sizes.into_iter().for_each(|size| points.add(symbol, size));
        }
        for step in 1..=3 {
            points.all.push(points.greatest.iter().map(|&most| most.saturating_sub(step).max(1)).collect());
        }
        points.all.push(points.greatest.iter().map(|&most| (most / 2).max(1)).collect());
        let mut seen = Vec::new();
        points.all.retain(|point| {
            !seen.contains(point) && {
                seen.push(point.clone());
                true
            }
        });
        points
    }

    fn add(&mut self, symbol: usize, size: u64) {
        let mut point = self.greatest.clone();
        if (1..=point[symbol]).contains(&size) {
            point[symbol] = size;
            if !self.all.contains(&point) {
                self.all.push(point);
            }
        }
    }

    pub(super) fn all(&self) -> &[Vec<u64>] {
        &self.all
    }

    /// Adds values in a row of a symbol, down from the greatest; false where there are too many, or none that are new.
    pub(super) fn lengthen(&mut self, symbol: usize, run: u64) -> bool {
        let before = self.all.len();
        if run <= 2 * MOST_STEPS {
            (1..=run).for_each(|step| self.add(symbol, self.greatest[symbol].saturating_sub(step)));
        }
        self.all.len() > before
    }
}

/// Why values have no formula.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// None of those that are tried fits.
    None,
    /// Several fit: this many values in a row of a symbol decide.
    Ambiguous {
        /// The symbol.
        symbol: usize,
        /// How many.
        run: u64,
    },
}

/// The one formula over the symbols that has these values at these points, the greatest first: a multiple of each symbol and a constant, products of symbols among them, or
/// steps of one symbol.
pub(crate) fn formula(points: &[Vec<u64>], values: &[i64]) -> Result<Formula<usize>, Fit> {
    let line = bilinear(points, values).filter(|formula| fits(formula, points, values));
    match line.or_else(|| monomial(points, values)) {
        Some(formula) => Ok(formula),
        None => steps(points, values),
    }
}

fn fits(formula: &Formula<usize>, points: &[Vec<u64>], values: &[i64]) -> bool {
    let at = |point: &[u64]| formula.value(|symbol| i64::try_from(point[symbol]).ok());
    points.iter().zip(values).all(|(point, &value)| at(point) == Some(value))
}

fn term(coefficient: i64, factors: &[usize]) -> Term<usize> {
    Term { coefficient, factors: factors.to_vec() }
}

/// The value at the greatest point with `lowered` symbols one lower.
fn below(points: &[Vec<u64>], values: &[i64], lowered: &[usize]) -> Option<i64> {
    let mut point = points[0].clone();
    lowered.iter().for_each(|&symbol| point[symbol] = point[symbol].saturating_sub(1));
    points.iter().position(|known| *known == point).map(|index| values[index])
}

/// A constant, a multiple of each symbol, and for two symbols one of their product, by differences at the greatest point.
fn bilinear(points: &[Vec<u64>], values: &[i64]) -> Option<Formula<usize>> {
    let (count, top) = (points[0].len(), values[0]);
    let most = |symbol: usize| i64::try_from(points[0][symbol]).ok();
    let mut terms = Vec::new();
    let mut constant = top;
    let product = match count {
        2 if points[0].iter().all(|&most| most > 1) => {
            let (first, second) = (below(points, values, &[0])?, below(points, values, &[1])?);
            top.checked_sub(first)?.checked_sub(second)?.checked_add(below(points, values, &[0, 1])?)?
        }
        _ => 0,
    };
    for symbol in 0..count {
        if points[0][symbol] == 1 {
            continue;
        }
        let across = if count == 2 { product.checked_mul(most(1 - symbol)?)? } else { 0 };
        let slope = top.checked_sub(below(points, values, &[symbol])?)?.checked_sub(across)?;
        constant = constant.checked_sub(slope.checked_mul(most(symbol)?)?)?;
        terms.push(term(slope, &[symbol]));
    }
    if product != 0 {
        constant = constant.checked_sub(product.checked_mul(most(0)?)?.checked_mul(most(1)?)?)?;
        terms.push(term(product, &[0, 1]));
    }
    terms.push(term(constant, &[]));
    terms.retain(|term| term.coefficient != 0);
    Some(Formula { terms, divisor: 1 })
}

/// A multiple of the product of some of the symbols.
fn monomial(points: &[Vec<u64>], values: &[i64]) -> Option<Formula<usize>> {
    let count = points[0].len();
    (1..1u32 << count.min(8)).find_map(|chosen| {
        let factors: Vec<usize> = (0..count).filter(|symbol| chosen >> symbol & 1 == 1).collect();
        let product = factors.iter().try_fold(1i64, |product, &symbol| product.checked_mul(i64::try_from(points[0][symbol]).ok()?))?;
        let formula = Formula { terms: vec![term(values[0] / product, &factors)], divisor: 1 };
        fits(&formula, points, values).then_some(formula)
    })
}

/// `floor((a * symbol + c) / d)` with the least `d` that fits, once two of its periods in a row are among the points (or all sizes that there are).
fn steps(points: &[Vec<u64>], values: &[i64]) -> Result<Formula<usize>, Fit> {
    let mut ambiguous = None;
    for symbol in 0..points[0].len() {
        let along: Vec<(i64, i64)> = points.iter().zip(values).map(|(point, &value)| (point[symbol] as i64, value)).collect();
        let row = (1..=along[0].0).take_while(|step| along.iter().any(|(size, _)| *size == along[0].0 + 1 - step)).count() as i64;
        for divisor in 2..=MOST_STEPS as i64 {
            let Some((slope, constant)) = line(&along, divisor) else { continue };
            let enough = (2 * divisor).min(along[0].0);
            if row < enough {
                ambiguous.get_or_insert(Fit::Ambiguous { symbol, run: enough as u64 });
                break;
            }
            return Ok(Formula { terms: vec![term(slope, &[symbol]), term(constant, &[])], divisor: divisor as u32 });
        }
    }
    Err(ambiguous.unwrap_or(Fit::None))
}

/// The slope, which has no divisor in common with `divisor`, and a constant of steps through all of these points.
fn line(along: &[(i64, i64)], divisor: i64) -> Option<(i64, i64)> {
    let ((least, lowest), (greatest, highest)) = (*along.iter().min()?, along[0]);
    if least == greatest {
        return None;
    }
    let about = ((highest - lowest) * divisor).div_euclid(greatest - least);
    (about - 1..=about + 1).filter(|&slope| common_divisor(slope, divisor) == 1).find_map(|slope| {
        // One constant for all points: each allows as many as the divisor is.
        let constants = along.iter().map(|&(size, value)| value * divisor - slope * size);
        let (low, high) = (constants.clone().max()?, constants.min()? + divisor - 1);
        (low <= high).then_some((slope, low))
    })
}

fn common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a.abs() } else { common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(most: &[u64]) -> Points {
        let varying: Vec<Varying> = most.iter().map(|&max| Varying::new("n", max)).collect();
        Points::new(&varying)
    }

    /// The formula of a function, which must be the function everywhere.
    fn found(most: &[u64], function: impl Fn(&[u64]) -> i64) -> Formula<usize> {
        let mut points = points(most);
        loop {
            let values: Vec<i64> = points.all().iter().map(|point| function(point)).collect();
            match formula(points.all(), &values) {
                Ok(formula) => {
                    let mut point = vec![1; most.len()];
                    loop {
                        assert_eq!(formula.value(|symbol| Some(point[symbol] as i64)), Some(function(&point)), "{formula} at {point:?}");
                        let Some(axis) = (0..most.len()).find(|&axis| point[axis] < most[axis]) else { return formula };
                        point[..axis].fill(1);
                        point[axis] += 1;
                    }
                }
                Err(Fit::Ambiguous { symbol, run }) => assert!(points.lengthen(symbol, run)),
                Err(Fit::None) => panic!("no formula"),
            }
        }
    }

    #[test]
    fn lines_products_and_steps_are_found() {
        assert_eq!(found(&[128], |at| at[0] as i64).to_string(), "1 0 over 1");
        assert_eq!(found(&[9], |at| 3 * at[0] as i64 - 2).to_string(), "3 0 and -2 over 1");
        assert_eq!(found(&[8, 128], |at| (at[0] * at[1]) as i64).to_string(), "1 0 1 over 1");
        assert_eq!(found(&[8, 128], |at| (12 * at[0] * at[1] + at[1] + 7) as i64).to_string(), "1 1 and 12 0 1 and 7 over 1");
        assert_eq!(found(&[4, 5, 6], |at| (2 * at[0] * at[1] * at[2]) as i64).to_string(), "2 0 1 2 over 1");
        assert_eq!(found(&[100], |at| at[0].div_ceil(2) as i64).divisor, 2);
        assert_eq!(found(&[4, 200], |at| at[1].div_ceil(32) as i64).divisor, 32);
        assert_eq!(found(&[50], |at| (at[0] * 3 / 7) as i64).divisor, 7);
    }

    #[test]
    fn what_is_no_formula_is_none() {
        let points = points(&[64]);
        let values: Vec<i64> = points.all().iter().map(|point| (point[0] as i64).pow(3)).collect();
        assert_eq!(formula(points.all(), &values), Err(Fit::None));
    }
}
