//! Functions that generated code calls, and the exponential that it computes itself.

use super::emit::Emitter;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Value, types};
use mlp_bundle::loops::{UnaryOp, scalar};
use mlp_kernels::{ERF_DENOMINATOR, ERF_NUMERATOR, TANH, TANH_NEAR};

/// An address of code, which is fine to share.
pub(crate) struct Address(pub *const u8);

// SAFETY: functions are immutable.
unsafe impl Sync for Address {}

macro_rules! symbols {
    ($($name:ident($($x:ident: $ty:ty),*) -> $result:ty = $body:expr;)*) => {
        $(extern "C" fn $name($($x: $ty),*) -> $result { $body })*
        /// Every function by its name.
        pub(crate) static SYMBOLS: &[(&str, Address)] = &[$((stringify!($name), Address($name as *const u8))),*];
    };
}

symbols! {
    mlp_expf(x: f32) -> f32 = x.exp();
    mlp_logf(x: f32) -> f32 = x.ln();
    mlp_tanhf(x: f32) -> f32 = x.tanh();
    mlp_erff(x: f32) -> f32 = erf(x);
    mlp_sinf(x: f32) -> f32 = x.sin();
    mlp_cosf(x: f32) -> f32 = x.cos();
    mlp_powf(x: f32, y: f32) -> f32 = x.powf(y);
    mlp_remf(x: f32, y: f32) -> f32 = x % y;
    mlp_exp(x: f64) -> f64 = x.exp();
    mlp_log(x: f64) -> f64 = x.ln();
    mlp_tanh(x: f64) -> f64 = x.tanh();
    mlp_erf(x: f64) -> f64 = scalar::erf(x);
    mlp_sin(x: f64) -> f64 = x.sin();
    mlp_cos(x: f64) -> f64 = x.cos();
    mlp_pow(x: f64, y: f64) -> f64 = x.powf(y);
    mlp_rem(x: f64, y: f64) -> f64 = x % y;
    mlp_widen_f16(bits: u32) -> f32 = scalar::f16_to_f32(bits as u16);
    mlp_narrow_f16(x: f32) -> u32 = u32::from(scalar::f32_to_f16(x));
    mlp_narrow_bf16(x: f32) -> u32 = u32::from(scalar::f32_to_bf16(x));
}

/// The function of a unary operation that no instruction computes: for `f32`, and for `f64`.
pub(crate) fn unary_call(op: UnaryOp) -> Option<[&'static str; 2]> {
    Some(match op {
        UnaryOp::Exp => ["mlp_expf", "mlp_exp"],
        UnaryOp::Log => ["mlp_logf", "mlp_log"],
        UnaryOp::Tanh => ["mlp_tanhf", "mlp_tanh"],
        UnaryOp::Erf => ["mlp_erff", "mlp_erf"],
        UnaryOp::Sin => ["mlp_sinf", "mlp_sin"],
        UnaryOp::Cos => ["mlp_cosf", "mlp_cos"],
        _ => return None,
    })
}

/// The error function to `f32` accuracy: a Maclaurin series near 0, elsewhere `1 - t(poly) * e^(-x^2)` after Numerical Recipes' Chebyshev fit, in `f64`.
fn erf(x: f32) -> f32 {
    let a = f64::from(x).abs();
    if a.is_nan() {
        return x;
    }
    if a > 4.0 {
        return 1.0_f32.copysign(x);
    }
    let value = if a < 0.5 {
        let s = a * a;
        let series = 1.0 - s / 3.0 + s * s / 10.0 - s * s * s / 42.0 + s.powi(4) / 216.0 - s.powi(5) / 1320.0 + s.powi(6) / 9360.0;
        a * series * std::f64::consts::FRAC_2_SQRT_PI
    } else {
        let t = 1.0 / (1.0 + 0.5 * a);
        let fit = [
            -1.265_512_23,
            1.000_023_68,
            0.374_091_96,
            0.096_784_18,
            -0.186_288_06,
            0.278_868_07,
            -1.135_203_98,
            1.488_515_87,
            -0.822_152_23,
            0.170_872_77,
        ];
        let power = fit.iter().rev().fold(0.0, |sum, c| sum * t + c);
        1.0 - t * (-a * a + power).exp()
    };
    (value as f32).copysign(x)
}

/// `ln 2` in two parts, the first short enough for `n * LN2_HIGH` to be exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

impl Emitter<'_, '_, '_> {
    /// `e^x` of four lanes: `2^n * p(r)` with `x = n ln 2 + r`, within two units in the last place.
    pub(crate) fn exp_lanes(&mut self, x: Value) -> Value {
        let (low, high) = (self.float_lanes(-104.0), self.float_lanes(89.0));
        let x = self.b.ins().fmax(x, low);
        let x = self.b.ins().fmin(x, high);
        let scale = self.float_lanes(std::f32::consts::LOG2_E);
        let n = self.b.ins().fmul(x, scale);
        let n = self.b.ins().nearest(n);
        let mut r = x;
        for part in [LN2_HIGH, LN2_LOW] {
            let part = self.float_lanes(part);
            let product = self.b.ins().fmul(n, part);
            r = self.b.ins().fsub(r, product);
        }
        // 1/k! for k = 7..=0: what is left out is below 2^-27 at |r| <= ln(2)/2.
        let mut p = self.float_lanes(1.0 / 5040.0);
        for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            let c = self.float_lanes(c);
            p = self.b.ins().fmul(p, r);
            p = self.b.ins().fadd(p, c);
        }
        // 2^n in two factors, so that results near both ends of the range come out.
        let n = self.b.ins().fcvt_to_sint_sat(types::I32X4, n);
        let one = self.b.ins().iconst(types::I32, 1);
        let half = self.b.ins().sshr(n, one);
        let rest = self.b.ins().isub(n, half);
        for part in [half, rest] {
            let bias = self.int_lanes(127);
            let biased = self.b.ins().iadd(part, bias);
            let place = self.b.ins().iconst(types::I32, 23);
            let bits = self.b.ins().ishl(biased, place);
            let factor = self.b.ins().bitcast(types::F32X4, little(), bits);
            p = self.b.ins().fmul(p, factor);
        }
        p
    }

    /// The error function of four lanes: `x * P(x^2) / Q(x^2)` on `-4..=4`, where it reaches 1 in `f32`; its error is below 4.2e-7,
    /// absolute and relative.
    pub(crate) fn erf_lanes(&mut self, x: Value) -> Value {
        let (low, high) = (self.float_lanes(-4.0), self.float_lanes(4.0));
        let x = self.b.ins().fmax(x, low);
        let x = self.b.ins().fmin(x, high);
        let s = self.b.ins().fmul(x, x);
        let [p, q] = [&ERF_NUMERATOR[..], &ERF_DENOMINATOR[..]].map(|coefficients| {
            let mut sum = self.float_lanes(coefficients[0]);
            for &c in &coefficients[1..] {
                let c = self.float_lanes(c);
                sum = self.b.ins().fmul(sum, s);
                sum = self.b.ins().fadd(sum, c);
            }
            sum
        });
        let p = self.b.ins().fmul(x, p);
        self.b.ins().fdiv(p, q)
    }

    /// The hyperbolic tangent of four lanes: an odd polynomial near 0, elsewhere `1 - 2 / (e^2|x| + 1)` with the sign of `x`; within 3e-7 of its value.
    pub(crate) fn tanh_lanes(&mut self, x: Value) -> Value {
        let s = self.b.ins().fmul(x, x);
        let mut near = self.float_lanes(TANH[TANH.len() - 1]);
        for &c in TANH[..TANH.len() - 1].iter().rev() {
            let c = self.float_lanes(c);
            near = self.b.ins().fmul(near, s);
            near = self.b.ins().fadd(near, c);
        }
        let near = self.b.ins().fmul(near, x);
        let (one, two) = (self.float_lanes(1.0), self.float_lanes(2.0));
        let magnitude = self.b.ins().fabs(x);
        let twice = self.b.ins().fmul(magnitude, two);
        let power = self.exp_lanes(twice);
        let power = self.b.ins().fadd(power, one);
        let rest = self.b.ins().fdiv(two, power);
        let far = self.b.ins().fsub(one, rest);
        // It is not negative, and takes the sign of `x`.
        let (far, sign) = [far, x].map(|value| self.b.ins().bitcast(types::I32X4, little(), value)).into();
        let mask = self.int_lanes(i32::MIN);
        let sign = self.b.ins().band(sign, mask);
        let far = self.b.ins().bor(far, sign);
        let far = self.b.ins().bitcast(types::F32X4, little(), far);
        let limit = self.float_lanes(TANH_NEAR);
        let is_near = self.b.ins().fcmp(FloatCC::LessThan, s, limit);
        let is_near = self.b.ins().bitcast(types::F32X4, little(), is_near);
        self.b.ins().bitselect(is_near, near, far)
    }

    /// `saturate_i32(round_half_even(value * multiplier / 2^shift))` of scalars.
    pub(crate) fn requantize(&mut self, value: Value, multiplier: Value, shift: u8) -> Value {
        let value = self.b.ins().sextend(types::I64, value);
        let multiplier = self.b.ins().sextend(types::I64, multiplier);
        let t = self.b.ins().imul(value, multiplier);
        let places = self.b.ins().iconst(types::I64, i64::from(shift));
        let floor = self.b.ins().sshr(t, places);
        let one = self.b.ins().iconst(types::I64, 1);
        let odd = self.b.ins().band(floor, one);
        let half = self.b.ins().iconst(types::I64, (1_i64 << (shift - 1)) - 1);
        let t = self.b.ins().iadd(t, half);
        let t = self.b.ins().iadd(t, odd);
        let rounded = self.b.ins().sshr(t, places);
        let (low, high) = (self.b.ins().iconst(types::I64, i64::from(i32::MIN)), self.b.ins().iconst(types::I64, i64::from(i32::MAX)));
        let rounded = self.b.ins().smax(rounded, low);
        let rounded = self.b.ins().smin(rounded, high);
        self.b.ins().ireduce(types::I32, rounded)
    }

    /// Integer quotient or remainder with the loop IR's answers for a zero divisor and for the least number by -1.
    pub(crate) fn divide(&mut self, x: Value, y: Value, signed: bool, remainder: bool) -> Value {
        let ty = self.b.func.dfg.value_type(x);
        let zero = self.b.ins().iconst(ty, 0);
        let one = self.b.ins().iconst(ty, 1);
        let none = self.b.ins().icmp(IntCC::Equal, y, zero);
        let mut safe = self.b.ins().select(none, one, y);
        if signed {
            let least = self.b.ins().iconst(ty, if ty == types::I64 { i64::MIN } else { i64::from(i32::MIN) });
            let minus = self.b.ins().iconst(ty, -1);
            let is_least = self.b.ins().icmp(IntCC::Equal, x, least);
            let by_minus = self.b.ins().icmp(IntCC::Equal, y, minus);
            let overflow = self.b.ins().band(is_least, by_minus);
            safe = self.b.ins().select(overflow, one, safe);
        }
        let result = match (signed, remainder) {
            (true, false) => self.b.ins().sdiv(x, safe),
            (true, true) => self.b.ins().srem(x, safe),
            (false, false) => self.b.ins().udiv(x, safe),
            (false, true) => self.b.ins().urem(x, safe),
        };
        self.b.ins().select(none, zero, result)
    }
}

/// The flags of a reinterpretation between vector types.
pub(crate) fn little() -> MemFlagsData {
    MemFlagsData::new().with_endianness(cranelift_codegen::ir::Endianness::Little)
}
