//! Scaled dot-product attention in one dispatch, by a running maximum over blocks of keys: scores never lie in a buffer.
//!
//! [`alone`] gives each invocation some rows of the query, with no barrier; [`team`] gives a workgroup one row, where rows are too few for that.
//!
//! Scores that are not finite. Shader compilers may assume that no value is NaN or infinite, so nothing here follows from arithmetic on such values.
//! A mask's word is compared with the bits of `-inf` as it was read; such a key is *dead*: its score is replaced by the lowest finite number and its weight by
//! 0, whatever `exp` says. A finite mask of any size, the lowest number itself included, is added like any other number. The bits of every score are looked
//! at too: `-inf` is dead, NaN and `+inf` spoil the row. A row is good if it is not spoiled and its weights sum to more than 0, as they do where a score
//! is finite, because the greatest one has the weight 1.

mod alone;
mod operand;
mod team;

use super::binding::{Bindings, Need};
use super::helpers::Helpers;
use super::literal;
use super::module::Emitted;
use mlp_bundle::dtype::Scalar;
use mlp_bundle::loops::Attention;
use mlp_bundle::plan::Plan;
use operand::{MaskReader, Operand};

/// Rows of a head from which on each invocation takes rows of its own.
const MANY_ROWS: u32 = 16;

/// The lowest finite number, in digits that no reader takes for an overflow.
const LOWEST: &str = "(-3.4028234e38f)";

/// The bits of `-inf`.
const DEAD: &str = "0xff800000u";

/// Emits attention.
pub(super) fn emit(plan: &Plan, attention: &Attention) -> Result<Emitted, String> {
    let mut bindings = Bindings::default();
    let Attention { batch, heads, rows, keys, depth, width, .. } = *attention;
    let mut operand = |view, rows, features, need| Operand::prepare(plan, view, [batch, heads, rows, features], need, &mut bindings);
    let operands = Operands {
        query: operand(attention.query, rows, depth, false)?,
        key: operand(attention.key, keys, depth, false)?,
        value: operand(attention.value, keys, width, false)?,
        out: operand(attention.out, rows, width, true)?,
        mask: attention.mask.map(|mask| MaskReader::prepare(plan, attention, mask, &mut bindings)).transpose()?,
    };
    if rows >= MANY_ROWS { alone::emit(plan, attention, &operands, &bindings) } else { team::emit(plan, attention, &operands, &bindings) }
}

/// What attention reads and writes.
struct Operands {
    query: Operand,
    key: Operand,
    value: Operand,
    out: Operand,
    mask: Option<MaskReader>,
}

/// The factor of scores as text.
fn factor(attention: &Attention, helpers: &mut Helpers) -> String {
    let literal = literal::scalar(Scalar::F32(attention.scale));
    if literal.by_bits {
        helpers.need("fb");
    }
    literal.text
}

/// What the results of a row that is not good are.
fn otherwise(attention: &Attention, helpers: &mut Helpers) -> String {
    match attention.guarded {
        true => "0f".to_owned(),
        false => format!("{}(0x7fc00000u)", helpers.need("fb")),
    }
}

/// The type of one value a row, for so many rows at once.
fn vector(rows: u32, element: &str) -> String {
    if rows == 1 { element.to_owned() } else { format!("vec{rows}<{element}>") }
}

/// One row's part of such a value.
fn part(rows: u32, name: &str, row: u32) -> String {
    if rows == 1 { name.to_owned() } else { format!("{name}.{}", LANES[row as usize]) }
}

const LANES: [&str; 4] = ["x", "y", "z", "w"];

/// Statements that make of `s{key}`, a fresh score of each row, a finite one, note in `e{key}` whether the key is dead, and in `z` whether the row is spoiled.
/// `extra` is one more condition under which it is dead.
fn settle(rows: u32, key: &str, score: &str, mask: Option<&str>, extra: Option<&str>) -> String {
    let (float, word, truth) = (vector(rows, "f32"), vector(rows, "u32"), vector(rows, "bool"));
    let mut out = String::new();
    let mut dead = format!("i{key}");
    let sum = match mask {
        Some(mask) => {
            out += &format!("let m{key}={float}({mask});let d{key}=bitcast<{word}>(m{key})=={word}({DEAD});\n");
            dead += &format!("|d{key}");
            format!("{score}+select(m{key},{float}(),d{key})")
        }
        None => score.to_owned(),
    };
    if let Some(extra) = extra {
        dead += &format!("|{truth}({extra})");
    }
    out += &format!(
        "let r{key}={sum};let w{key}=bitcast<{word}>(r{key});let i{key}=(w{key}&{word}(0x7f800000u))=={word}(0x7f800000u);\n\
         z|=select({word}(),w{key}^{word}({DEAD}),i{key});let e{key}={dead};let s{key}=select(r{key},{float}({LOWEST}),e{key});\n"
    );
    out
}

/// Notes single elements of a buffer.
fn single(plan: &Plan, buffer: mlp_bundle::loops::BufferId, bindings: &mut Bindings) -> Result<(), String> {
    bindings.note(plan, buffer, Need::Single, false)
}
