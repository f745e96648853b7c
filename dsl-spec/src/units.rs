//! Units of numbers. A unit belongs to one of four closed dimensions; there is no default unit and no conversion between dimensions.

use crate::suggest::closest;
use serde::Serialize;

/// What a number with a unit measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    /// Time; its base unit is the second.
    Time,
    /// Memory; its base unit is the byte.
    Bytes,
    /// Events in a time; its base unit is the hertz.
    Rate,
    /// A part of a whole; its base unit is the whole.
    Ratio,
}

impl Dimension {
    /// Its name in messages and types.
    pub fn name(self) -> &'static str {
        match self {
            Dimension::Time => "time",
            Dimension::Bytes => "bytes",
            Dimension::Rate => "rate",
            Dimension::Ratio => "ratio",
        }
    }
}

/// A unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Unit {
    /// How it is written.
    pub symbol: &'static str,
    /// What it measures.
    pub dimension: Dimension,
    /// How many base units it is.
    pub scale: f64,
}

const fn unit(symbol: &'static str, dimension: Dimension, scale: f64) -> Unit {
    Unit { symbol, dimension, scale }
}

/// Every unit there is.
pub const UNITS: &[Unit] = &[
    unit("ns", Dimension::Time, 1e-9),
    unit("us", Dimension::Time, 1e-6),
    unit("ms", Dimension::Time, 1e-3),
    unit("s", Dimension::Time, 1.0),
    unit("min", Dimension::Time, 60.0),
    unit("h", Dimension::Time, 3600.0),
    unit("d", Dimension::Time, 86400.0),
    unit("B", Dimension::Bytes, 1.0),
    unit("kB", Dimension::Bytes, 1e3),
    unit("MB", Dimension::Bytes, 1e6),
    unit("GB", Dimension::Bytes, 1e9),
    unit("KiB", Dimension::Bytes, 1024.0),
    unit("MiB", Dimension::Bytes, 1048576.0),
    unit("GiB", Dimension::Bytes, 1073741824.0),
    unit("Hz", Dimension::Rate, 1.0),
    unit("kHz", Dimension::Rate, 1e3),
    unit("MHz", Dimension::Rate, 1e6),
    unit("fps", Dimension::Rate, 1.0),
    unit("%", Dimension::Ratio, 0.01),
];

/// The unit that is written so.
pub fn find(symbol: &str) -> Option<Unit> {
    UNITS.iter().copied().find(|unit| unit.symbol == symbol)
}

/// The unit that was probably meant.
pub fn suggest(symbol: &str) -> Option<&'static str> {
    let symbols = || UNITS.iter().map(|unit| unit.symbol);
    symbols().find(|known| known.eq_ignore_ascii_case(symbol)).or_else(|| closest(symbol, symbols()))
}

/// Some units, for a message: `ms, s, MiB, ...`.
pub fn examples() -> &'static str {
    "`ms`, `s`, `h` for time, `MiB`, `MB` for memory, `Hz`, `kHz`, `fps` for rates, `%` for ratios"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_and_decimal_megabytes_differ() {
        assert_eq!(find("MiB").map(|unit| unit.scale), Some(1048576.0));
        assert_eq!(find("MB").map(|unit| unit.scale), Some(1e6));
        assert_eq!(find("mb"), None);
        assert_eq!(suggest("mib"), Some("MiB"));
        assert_eq!(suggest("khz"), Some("kHz"));
        assert_eq!(suggest("parsec"), None);
    }
}
