//! What many releases cost together. Every bound here is sound; the least of them is taken.
//!
//! Sources: basic composition (Dwork and others 2006); advanced composition in the form of Kairouz, Oh and Viswanath 2015; Rényi divergences (Mironov 2017; the
//! conversion to epsilon and delta is that of Canonne, Kamath and Steinke 2020, proposition 12); the exact curve of the Gaussian mechanism (Balle and Wang 2018).

use libm::erfc;

/// Results are rounded up by this part, which is more than what floating point loses on the way.
const ROUNDING: f64 = 1e-12;

/// One release, by what is known about how well it tells two inputs apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Release {
    /// Any mechanism with this loss at most.
    Pure {
        /// The loss.
        epsilon: f64,
    },
    /// Randomized response among some labels.
    Response {
        /// The loss.
        epsilon: f64,
        /// How many labels there are.
        labels: u64,
    },
    /// Laplace noise.
    Laplace {
        /// The loss.
        epsilon: f64,
    },
    /// A choice by the exponential mechanism, whose losses lie in a range of `epsilon`.
    Choice {
        /// The loss.
        epsilon: f64,
    },
    /// Gaussian noise.
    Gaussian {
        /// The standard deviation over the sensitivity.
        noise: f64,
    },
}

/// How a total was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The sum of the losses.
    Basic,
    /// Advanced composition.
    Advanced,
    /// Rényi divergences.
    Renyi,
    /// The exact curve of Gaussian noise.
    Gaussian,
}

impl Method {
    /// In the words of a message.
    pub fn name(self) -> &'static str {
        match self {
            Method::Basic => "the sum of the losses",
            Method::Advanced => "advanced composition",
            Method::Renyi => "Rényi divergences",
            Method::Gaussian => "the exact curve of Gaussian noise",
        }
    }
}

/// The loss of many releases.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Total {
    /// The loss; infinite where `delta` allows no bound.
    pub epsilon: f64,
    /// How it was found.
    pub method: Method,
}

impl Release {
    /// The loss that is never exceeded; infinite for Gaussian noise.
    pub fn pure(self) -> f64 {
        match self {
            Release::Pure { epsilon } | Release::Response { epsilon, .. } | Release::Laplace { epsilon } | Release::Choice { epsilon } => {
                epsilon
            }
            Release::Gaussian { .. } => f64::INFINITY,
        }
    }

    /// The Rényi divergence of order `alpha` above 1 between what two inputs release, at most.
    pub fn renyi(self, alpha: f64) -> f64 {
        let divergence = match self {
            Release::Gaussian { noise } => return alpha / (2.0 * noise * noise),
            Release::Pure { epsilon } => response(alpha, epsilon, 2.0),
            Release::Response { epsilon, labels } => response(alpha, epsilon, (labels as f64).max(2.0)),
            Release::Choice { epsilon } => response(alpha, epsilon, 2.0).min(alpha * epsilon * epsilon / 8.0),
            Release::Laplace { epsilon } => {
                let near = (alpha / (2.0 * alpha - 1.0)).ln() + (alpha - 1.0) * epsilon;
                let far = ((alpha - 1.0) / (2.0 * alpha - 1.0)).ln() - alpha * epsilon;
                log_sum(&[near, far]) / (alpha - 1.0)
            }
        };
        divergence.clamp(0.0, self.pure())
    }
}

/// The divergence of randomized response among `labels`: the truth has the chance `p`, every other label `q`, and `p = e^epsilon q`.
fn response(alpha: f64, epsilon: f64, labels: f64) -> f64 {
    let q = -log_sum(&[epsilon, (labels - 1.0).ln()]);
    let p = q + epsilon;
    let mut parts = vec![alpha * p + (1.0 - alpha) * q, alpha * q + (1.0 - alpha) * p];
    if labels > 2.0 {
        parts.push((labels - 2.0).ln() + q);
    }
    log_sum(&parts) / (alpha - 1.0)
}

/// The logarithm of a sum of exponentials.
fn log_sum(parts: &[f64]) -> f64 {
    let most = parts.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if most.is_infinite() { most } else { most + parts.iter().map(|part| (part - most).exp()).sum::<f64>().ln() }
}

/// The loss of all releases together, each as often as its number says, except with a chance of `delta`.
pub fn total(releases: &[(Release, u64)], delta: f64) -> Total {
    let used: Vec<(Release, f64)> =
        releases.iter().filter(|(_, count)| *count > 0).map(|(release, count)| (*release, *count as f64)).collect();
    let basic = used.iter().map(|(release, count)| release.pure() * count).sum();
    let mut best = Total { epsilon: basic, method: Method::Basic };
    if delta > 0.0 && !used.is_empty() {
        let others =
            [(advanced(&used, delta), Method::Advanced), (renyi(&used, delta), Method::Renyi), (gaussian(&used, delta), Method::Gaussian)];
        for (epsilon, method) in others {
            if epsilon < best.epsilon {
                best = Total { epsilon, method };
            }
        }
    }
    Total { epsilon: best.epsilon * (1.0 + ROUNDING), ..best }
}

fn advanced(used: &[(Release, f64)], delta: f64) -> f64 {
    let mean: f64 = used.iter().map(|(release, count)| count * release.pure() * (release.pure() / 2.0).tanh()).sum();
    let spread: f64 = used.iter().map(|(release, count)| count * release.pure().powi(2)).sum();
    mean + (2.0 * (1.0 / delta).ln() * spread).sqrt()
}

fn renyi(used: &[(Release, f64)], delta: f64) -> f64 {
    // Any order gives a sound bound, so that the search needs to find the best one only nearly.
    let bound = |log: f64| {
        let order = log.exp();
        let alpha = 1.0 + order;
        let divergence: f64 = used.iter().map(|(release, count)| count * release.renyi(alpha)).sum();
        let epsilon = divergence + (alpha * (-1.0 / alpha).ln_1p() - order.ln() - delta.ln()) / order;
        if epsilon.is_nan() { f64::INFINITY } else { epsilon.max(0.0) }
    };
    let (from, to, steps) = (-6.0, 14.0, 200);
    let at = |step: usize| from + (to - from) * step as f64 / f64::from(steps);
    let best = (0..=steps as usize).min_by(|a, b| bound(at(*a)).total_cmp(&bound(at(*b)))).unwrap_or(0);
    let (mut low, mut high) = (at(best.saturating_sub(1)), at(best + 1));
    for _ in 0..80 {
        let (a, b) = (low + (high - low) / 3.0, high - (high - low) / 3.0);
        if bound(a) < bound(b) { high = b } else { low = a }
    }
    bound((low + high) / 2.0).min(bound(at(best)))
}

/// Gaussian noises add up to one, whose curve is known exactly; infinite where anything else is released.
fn gaussian(used: &[(Release, f64)], delta: f64) -> f64 {
    let mut precision = 0.0;
    for (release, count) in used {
        let Release::Gaussian { noise } = release else { return f64::INFINITY };
        precision += count / (noise * noise);
    }
    gaussian_epsilon(precision.sqrt().recip(), delta)
}

/// The chance that the loss of Gaussian noise exceeds `epsilon`; `noise` is the standard deviation over the sensitivity.
pub fn gaussian_delta(noise: f64, epsilon: f64) -> f64 {
    let (near, far) = (0.5 / noise - epsilon * noise, -0.5 / noise - epsilon * noise);
    let tail = normal(far);
    // e^epsilon may be infinite where the tail is 0.
    let far = if tail > 0.0 { (epsilon + tail.ln()).exp() } else { 0.0 };
    (normal(near) - far).max(0.0)
}

/// The part of a normal distribution below `x`.
fn normal(x: f64) -> f64 {
    0.5 * erfc(-x / std::f64::consts::SQRT_2)
}

/// The loss of Gaussian noise, except with a chance of `delta`.
pub fn gaussian_epsilon(noise: f64, delta: f64) -> f64 {
    if gaussian_delta(noise, 0.0) <= delta {
        return 0.0;
    }
    let mut high = 1.0;
    while gaussian_delta(noise, high) > delta {
        high *= 2.0;
        if high > 1e9 {
            return f64::INFINITY;
        }
    }
    let mut low = 0.0;
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if gaussian_delta(noise, middle) > delta { low = middle } else { high = middle }
    }
    high
}

/// The least noise, in standard deviations over the sensitivity, of a release that costs `epsilon` except with a chance of `delta`.
pub fn gaussian_noise(epsilon: f64, delta: f64) -> f64 {
    let (mut low, mut high) = (-40.0_f64, 40.0_f64);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if gaussian_delta(middle.exp(), epsilon) > delta { low = middle } else { high = middle }
    }
    high.exp()
}

/// The greatest number of releases of the last kind, up to `most`, with which the total stays within `epsilon`.
pub fn largest_count(others: &[(Release, u64)], last: Release, most: u64, epsilon: f64, delta: f64) -> u64 {
    let fits = |count: u64| {
        let mut all = others.to_vec();
        all.push((last, count));
        total(&all, delta).epsilon <= epsilon * (1.0 + 2.0 * ROUNDING)
    };
    if fits(most) {
        return most;
    }
    let (mut low, mut high) = (0, most);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if fits(middle) { low = middle } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(found: f64, wanted: f64, tolerance: f64) {
        assert!((found - wanted).abs() <= tolerance * wanted.abs(), "{found} is not {wanted}");
    }

    /// Golden values of dp-accounting 0.6.0.
    #[test]
    fn gaussian_noise_is_calibrated_as_the_reference_does() {
        let golden = [
            (0.1, 1e-5, 30.749_566_131_977_69),
            (0.5, 1e-5, 7.031_826_675_582_5),
            (1.0, 1e-5, 3.730_631_634_815_937_4),
            (1.0, 1e-6, 4.224_678_889_326_822),
            (2.0, 1e-6, 2.230_476_271_186_417_2),
            (4.0, 1e-6, 1.193_518_587_157_984_5),
            (8.0, 1e-6, 0.652_935_384_358_215_6),
        ];
        for (epsilon, delta, noise) in golden {
            close(gaussian_noise(epsilon, delta), noise, 1e-9);
            close(gaussian_epsilon(noise, delta), epsilon, 1e-9);
        }
        for (noise, delta, epsilon) in [
            (1.0, 1e-5, 4.377_178_095_681_137),
            (2.0, 1e-5, 1.993_091_404_415_119_8),
            (4.0, 1e-6, 1.060_701_862_328_273_3),
            (10.0, 1e-6, 0.396_857_377_644_083_2),
        ] {
            close(gaussian_epsilon(noise, delta), epsilon, 1e-9);
        }
    }

    #[test]
    fn totals_are_those_of_the_reference() {
        let gaussians = [(Release::Gaussian { noise: 10.0 }, 100)];
        let found = total(&gaussians, 1e-6);
        assert_eq!(found.method, Method::Gaussian);
        close(found.epsilon, 4.886_554_117, 1e-9);
        let used = [(Release::Gaussian { noise: 10.0 }, 100.0)];
        close(renyi(&used, 1e-6), 5.221_534_444_530_169, 1e-7);
        // A hundred and a thousand releases of Laplace noise: basic 10, advanced 5.756 and 1.712, Rényi 4.984 and 1.466.
        for (count, epsilon, kov, rdp) in [(100.0, 0.1, 5.756, 4.984), (1000.0, 0.01, 1.712, 1.466)] {
            let used = [(Release::Laplace { epsilon }, count)];
            assert!((advanced(&used, 1e-6) - kov).abs() < 1e-3, "{}", advanced(&used, 1e-6));
            assert!((renyi(&used, 1e-6) - rdp).abs() < 1e-3, "{}", renyi(&used, 1e-6));
        }
        assert_eq!(total(&[(Release::Laplace { epsilon: 0.1 }, 100)], 0.0).method, Method::Basic);
        close(total(&[(Release::Laplace { epsilon: 0.1 }, 100)], 0.0).epsilon, 10.0, 1e-11);
        assert_eq!(total(&[], 1e-6).epsilon, 0.0);
        assert_eq!(total(&gaussians, 0.0).epsilon, f64::INFINITY);
    }

    #[test]
    fn the_largest_count_fits_and_the_next_does_not() {
        let release = Release::Response { epsilon: 0.1, labels: 10 };
        let others = [(Release::Gaussian { noise: 20.0 }, 5)];
        let most = largest_count(&others, release, 1 << 40, 1.0, 1e-6);
        let with = |count| total(&[others[0], (release, count)], 1e-6).epsilon;
        assert!(with(most) <= 1.0 && with(most + 1) > 1.0, "{most}: {} {}", with(most), with(most + 1));
        assert_eq!(largest_count(&[], Release::Pure { epsilon: 0.02 }, 1 << 40, 1.0, 0.0), 50);
        assert_eq!(largest_count(&[], Release::Pure { epsilon: 2.0 }, 7, 1.0, 0.0), 0);
        assert_eq!(largest_count(&[], Release::Pure { epsilon: 0.02 }, 48, 1.0, 1e-6), 48);
    }

    /// The chance that the loss of `count` responses among `labels` exceeds `total`, by all ways they can come out.
    fn exact_delta(epsilon: f64, labels: u64, count: u64, total: f64) -> f64 {
        let q = 1.0 / (epsilon.exp() + labels as f64 - 1.0);
        let p = epsilon.exp() * q;
        let rest = (labels as f64 - 2.0) * q;
        let ways = |n: u64, k: u64| (0..k).fold(1.0, |product, i| product * (n - i) as f64 / (i + 1) as f64);
        let mut sum = 0.0;
        for truths in 0..=count {
            for others in 0..=count - truths {
                let silent = count - truths - others;
                let chance = ways(count, truths)
                    * ways(count - truths, others)
                    * p.powi(truths as i32)
                    * q.powi(others as i32)
                    * rest.powi(silent as i32);
                let loss = (truths as f64 - others as f64) * epsilon;
                sum += chance * (1.0 - (total - loss).exp()).max(0.0);
            }
        }
        sum
    }

    proptest! {
        /// No total is below what the exact distribution of losses needs.
        #[test]
        fn no_total_is_below_the_exact_one(epsilon in 0.01..2.0_f64, labels in 2..40_u64, count in 1..24_u64, exponent in 1.0..9.0_f64) {
            let delta = 10_f64.powf(-exponent);
            let release = if labels == 2 { Release::Pure { epsilon } } else { Release::Response { epsilon, labels } };
            let found = total(&[(release, count)], delta).epsilon;
            prop_assert!(exact_delta(epsilon, labels, count, found) <= delta * (1.0 + 1e-9), "{} > {delta} at {found}", exact_delta(epsilon, labels, count, found));
        }

        /// More releases never cost less, and a looser chance never more.
        #[test]
        fn totals_grow_with_what_is_released(epsilon in 0.01..2.0_f64, noise in 0.5..50.0_f64, count in 1..200_u64, exponent in 1.0..12.0_f64) {
            let delta = 10_f64.powf(-exponent);
            let with = |count, delta| total(&[(Release::Laplace { epsilon }, count), (Release::Gaussian { noise }, count)], delta).epsilon;
            prop_assert!(with(count, delta) <= with(count + 1, delta) * (1.0 + 1e-9));
            prop_assert!(with(count, delta) <= with(count, delta / 10.0) * (1.0 + 1e-9));
            let alone = total(&[(Release::Gaussian { noise }, count)], delta).epsilon;
            prop_assert!(alone <= with(count, delta) * (1.0 + 1e-9));
        }
    }
}
