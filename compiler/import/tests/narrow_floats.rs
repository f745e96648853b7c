//! Casts to floats of few bits, against a search through all their values.

#[path = "support/build.rs"]
mod build;

use build::*;
use mlp_graph::{Tensor, eval, passes};
use mlp_import::onnx::proto::ModelProto;
use mlp_import::onnx::{ImportOptions, import};

/// A float type: ONNX's code, its bits of exponent and mantissa, the bias, and whether its greatest codes are an infinity and NaN, or one NaN, or none.
struct Kind {
    code: i32,
    exponent: u32,
    mantissa: u32,
    bias: i32,
    /// How many codes at the end of the magnitudes are no numbers.
    special: u32,
    /// What is beyond all values where nothing saturates.
    beyond: f32,
}

const KINDS: [Kind; 5] = [
    Kind { code: 17, exponent: 4, mantissa: 3, bias: 7, special: 1, beyond: f32::NAN },
    Kind { code: 18, exponent: 4, mantissa: 3, bias: 8, special: 0, beyond: f32::NAN },
    Kind { code: 19, exponent: 5, mantissa: 2, bias: 15, special: 4, beyond: f32::INFINITY },
    Kind { code: 20, exponent: 5, mantissa: 2, bias: 16, special: 0, beyond: f32::NAN },
    Kind { code: 23, exponent: 2, mantissa: 1, bias: 1, special: 0, beyond: 6.0 },
];

impl Kind {
    /// The values that are not negative, ascending; their places are their codes.
    fn values(&self) -> Vec<f64> {
        let count = (1 << (self.exponent + self.mantissa)) - self.special;
        let value = |code: u32| {
            let (exponent, mantissa) = (code >> self.mantissa, f64::from(code & ((1 << self.mantissa) - 1)));
            let part = mantissa / f64::from(1 << self.mantissa);
            if exponent == 0 { part * 2f64.powi(1 - self.bias) } else { (1.0 + part) * 2f64.powi(exponent as i32 - self.bias) }
        };
        (0..count).map(value).collect()
    }

    /// The nearest value, of two the one with an even code; one more step beyond the greatest is too large.
    fn nearest(&self, x: f32, saturate: bool) -> f32 {
        let values = self.values();
        let size = f64::from(x.abs());
        let greatest = values[values.len() - 1];
        let step = greatest - values[values.len() - 2];
        // A tie with what would be the next value goes to the even one of both.
        let tie = greatest + step / 2.0;
        let stays = size < tie || size == tie && (values.len() - 1).is_multiple_of(2);
        let found = if size > greatest && !saturate && !stays {
            f64::from(self.beyond)
        } else {
            let above = values.partition_point(|value| *value < size).min(values.len() - 1);
            let below = above.saturating_sub(1);
            let (up, down) = (values[above] - size, size - values[below]);
            if up < down || up == down && above.is_multiple_of(2) { values[above] } else { values[below] }
        };
        (found as f32).copysign(x)
    }
}

fn cast(to: i32, saturate: bool, from: i32, count: usize) -> ModelProto {
    let node = node("Cast", &["x"], &["y"], vec![int("to", to.into()), int("saturate", saturate.into())]);
    model(19, vec![port("x", from, &[count as i64])], vec![], vec![node], &["y"])
}

/// Every value, what lies half way to the next, and what lies right beside both.
fn places(kind: &Kind) -> Vec<f32> {
    let values = kind.values();
    let mut places: Vec<f32> = Vec::new();
    for (index, &value) in values.iter().enumerate() {
        let next = values.get(index + 1).copied().unwrap_or(2.0 * value);
        for at in [value as f32, ((value + next) / 2.0) as f32] {
            places.extend([at, at.next_up(), at.next_down()].into_iter().filter(|at| at.is_finite() && *at >= 0.0));
        }
    }
    places.extend([1e6, f32::MAX, 1e-30, f32::MIN_POSITIVE, 3e-42]);
    places.iter().flat_map(|&place| [place, -place]).collect()
}

fn run(model: &ModelProto, x: &Tensor) -> Vec<f64> {
    let mut graph = import(&bytes(model), &ImportOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    passes::optimize(&mut graph).unwrap_or_else(|error| panic!("{error}"));
    eval::run(&graph, std::slice::from_ref(x)).unwrap_or_else(|error| panic!("{error}"))[0].to_f64()
}

#[test]
fn every_value_and_tie_rounds_as_it_should() {
    for kind in &KINDS {
        let places = places(kind);
        let x = Tensor::from_f32(&[places.len() as u64], &places).unwrap();
        for saturate in [true, false] {
            let found = run(&cast(kind.code, saturate, FLOAT, places.len()), &x);
            for (&place, found) in places.iter().zip(found) {
                let wanted = kind.nearest(place, saturate);
                let same = f64::from(wanted) == found || wanted.is_nan() && found.is_nan();
                assert!(same, "{place:e} becomes {found:e} as type {} (saturate {saturate}), not {wanted:e}", kind.code);
            }
        }
    }
}

#[test]
fn what_is_no_number_stays_none() {
    let x = Tensor::from_f32(&[3], &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]).unwrap();
    for kind in &KINDS {
        let greatest = *kind.values().last().unwrap();
        let saturated = run(&cast(kind.code, true, FLOAT, 3), &x);
        assert!(if kind.code == 23 { saturated[0] == 0.0 } else { saturated[0].is_nan() }, "type {}", kind.code);
        assert_eq!(saturated[1..], [greatest, -greatest], "type {}", kind.code);
        let open = run(&cast(kind.code, false, FLOAT, 3), &x);
        let beyond = f64::from(kind.beyond);
        assert!(open[1] == beyond || open[1].is_nan() && beyond.is_nan(), "type {}: {}", kind.code, open[1]);
    }
}

/// The powers of two that ONNX's reference finds, with its words for how it rounds.
#[test]
fn powers_of_two_are_rounded_as_asked() {
    let least = 2f32.powi(-127);
    let x = [0.0, 1.0, 1.1, 1.5, 1.75, -3.0, 6.0, least, 1.1 * least, f32::MAX, f32::INFINITY, f32::NAN];
    let top = 2f64.powi(127);
    let none = f64::NAN;
    let least = f64::from(least);
    for (mode, saturate, wanted) in [
        ("up", 1, [least, 1.0, 2.0, 2.0, 2.0, 4.0, 8.0, 2.0 * least, 2.0 * least, top, none, none]),
        ("up", 0, [least, 1.0, 2.0, 2.0, 2.0, 4.0, 8.0, 2.0 * least, 2.0 * least, none, none, none]),
        ("down", 1, [least, 1.0, 1.0, 1.0, 1.0, 2.0, 4.0, least, least, top, none, none]),
        ("nearest", 1, [least, 1.0, 1.0, 2.0, 2.0, 4.0, 8.0, least, 2.0 * least, top, none, none]),
        ("nearest", 0, [least, 1.0, 1.0, 2.0, 2.0, 4.0, 8.0, least, 2.0 * least, none, none, none]),
    ] {
        let attributes = vec![int("to", 24), int("saturate", saturate), string("round_mode", mode)];
        let model = model(24, vec![port("x", FLOAT, &[x.len() as i64])], vec![], vec![node("Cast", &["x"], &["y"], attributes)], &["y"]);
        let found = run(&model, &Tensor::from_f32(&[x.len() as u64], &x).unwrap());
        for ((x, found), wanted) in x.iter().zip(&found).zip(&wanted) {
            assert!(found == wanted || found.is_nan() && wanted.is_nan(), "{x:e} becomes {found:e} {mode}, not {wanted:e}");
        }
    }
}

#[test]
fn doubles_are_cast_to_float_first() {
    let refused = import(&bytes(&cast(17, true, 11, 1)), &ImportOptions::default()).map(|graph| graph.order.len()).expect_err("a refusal");
    assert!(refused.to_string().contains("cast to float first"), "{refused}");
}
