//! What the intrinsic pipelines of the standard library become, one file a family.

mod audio;
mod boxes;
mod make;
mod maps;
mod movement;
mod reduce;
mod tables;
mod tabular;
mod text;
mod vision;

use crate::append::Append;
use crate::body::Lowered;
use make::Make;
use mlp_analysis::{Intrinsic, Value};
use mlp_graph::{Graph, Origin, ValueId};

/// What a family makes of an intrinsic: nothing where it is not one of its own, or the arguments are not what it takes.
type Found = Option<Result<Lowered, String>>;

/// Appends the operations of an intrinsic; the error says what its arguments lack.
pub(crate) fn lower(graph: &mut Graph, intrinsic: Intrinsic, args: &[Lowered], origin: &Origin) -> Result<Lowered, String> {
    let mut make = Make { graph, origin };
    let families = [maps::lower, reduce::lower, movement::lower, vision::lower, boxes::lower, audio::lower, tabular::lower, text::lower];
    let found = families.into_iter().find_map(|family| family(&mut make, intrinsic, args));
    found.unwrap_or_else(|| Err("the arguments are not what it takes".to_owned()))
}

/// A value as a tensor.
fn tensor(value: Result<ValueId, String>) -> Found {
    Some(value.map(Lowered::Tensor))
}

/// A number that is known when compiling.
fn number(value: &Lowered) -> Option<f64> {
    match value {
        Lowered::Constant(Value::Number(number, _)) => Some(*number),
        _ => None,
    }
}

/// A number as a count or a position.
fn whole(name: &str, number: f64) -> Result<u64, String> {
    if number >= 0.0 && number <= f64::from(u32::MAX) && number.fract() == 0.0 {
        return Ok(number as u64);
    }
    Err(format!("`{name}` is {number}; write a whole number from 0"))
}

/// A word that is known when compiling.
fn word(value: &Lowered) -> Option<&str> {
    match value {
        Lowered::Constant(Value::Choice(word)) => Some(word),
        _ => None,
    }
}
