//! Where the operands of attention lie: rows of features, in quads where all of them are aligned, and the mask.

use super::super::binding::{Bindings, Need, shift};
use super::super::helpers::Helpers;
use super::single;
use mlp_bundle::loops::{Attention, BufferId, Mask, Strided};
use mlp_bundle::plan::Plan;

/// Rows of features. Indices count units: quads where `quads` holds, else elements.
pub(super) struct Operand {
    buffer: BufferId,
    features: u32,
    quads: bool,
    start: u64,
    batch: u64,
    head: u64,
    pub(super) row: u64,
}

impl Operand {
    /// Looks at an operand of extents `[batch, heads, rows, features]` and notes its accesses.
    pub(super) fn prepare(
        plan: &Plan,
        view: Strided,
        extents: [u32; 4],
        written: bool,
        bindings: &mut Bindings,
    ) -> Result<Operand, String> {
        let [batch, heads, rows, features] = extents;
        // The stride along an axis of one position means nothing.
        let stride = |extent: u32, stride: u64| if extent == 1 { 0 } else { stride };
        let start = view.offset + shift(plan, view.buffer);
        let [batch, head, row] = [stride(batch, view.batch), stride(heads, view.head), stride(rows, view.row)];
        let quads = features.is_multiple_of(4) && [start, batch, head, row].iter().all(|place| place.is_multiple_of(4));
        bindings.note(plan, view.buffer, if quads { Need::Quad } else { Need::Single }, written)?;
        let unit = if quads { 4 } else { 1 };
        Ok(Operand { buffer: view.buffer, features, quads, start: start / unit, batch: batch / unit, head: head / unit, row: row / unit })
    }

    /// Quads of a row, the last of which may be partial.
    pub(super) fn row_quads(&self) -> u32 {
        self.features.div_ceil(4)
    }

    /// Units of a quad.
    pub(super) fn unit(&self) -> u32 {
        if self.quads { 1 } else { 4 }
    }

    /// Where the first row of image `b` and head `h` starts.
    pub(super) fn head(&self) -> String {
        let mut text = self.start.to_string();
        for (name, stride) in [("b", self.batch), ("h", self.head)] {
            if stride != 0 {
                text += &format!("+{name}*{stride}");
            }
        }
        text
    }

    /// Quad `number` of the row that starts at `row`, a name; what lies beyond the features is 0.
    pub(super) fn read(&self, bindings: &Bindings, helpers: &mut Helpers, row: &str, number: u32) -> String {
        self.elements(bindings, helpers, row, number, (self.features - number * 4).min(4))
    }

    /// Four features at a place inside a row, a name. Where the row ends before, the rest is anything.
    pub(super) fn read_at(&self, bindings: &Bindings, helpers: &mut Helpers, place: &str) -> String {
        self.elements(bindings, helpers, place, 0, 4)
    }

    fn elements(&self, bindings: &Bindings, helpers: &mut Helpers, row: &str, number: u32, count: u32) -> String {
        let at = |place: u32| if place == 0 { row.to_owned() } else { format!("({row}+{place})") };
        if self.quads {
            return bindings.read_quad(helpers, self.buffer, &at(number));
        }
        let element = |n: u32| if n < count { bindings.read(self.buffer, &at(number * 4 + n)) } else { "0f".to_owned() };
        format!("vec4f({},{},{},{})", element(0), element(1), element(2), element(3))
    }

    /// Stores `value`, a name, as the quad at a place, a name. `rest`, a name, is how many features of the row lie there; none means that it is whole, or
    /// the last one of the row where `number` says so.
    pub(super) fn write(&self, bindings: &Bindings, helpers: &mut Helpers, place: &str, value: &str, count: Count<'_>) -> String {
        if self.quads {
            let text = bindings.write_quad(helpers, self.buffer, place, value);
            return match count {
                Count::Known(_) => text,
                Count::Named(rest) => format!("if({rest}>0){{{text}}}\n"),
            };
        }
        let mut element = |n: u32| bindings.write(helpers, self.buffer, &format!("({place}+{n})"), &format!("{value}[{n}]"));
        match count {
            Count::Known(count) => (0..count).map(element).collect(),
            Count::Named(rest) => (0..4).map(|n| format!("if({rest}>{n}){{{}}}\n", element(n).trim_end())).collect(),
        }
    }

    /// How many features quad `number` has.
    pub(super) fn count(&self, number: u32) -> Count<'static> {
        Count::Known((self.features - number * 4).min(4))
    }
}

/// How many features lie at a place.
pub(super) enum Count<'a> {
    /// One to four.
    Known(u32),
    /// The value of a name: four or more, fewer, or none.
    Named(&'a str),
}

/// Reads the mask.
pub(super) struct MaskReader {
    mask: Mask,
    /// Whether four neighbouring keys, the first a multiple of four, are a quad.
    quads: bool,
    start: u64,
}

impl MaskReader {
    /// Looks at a mask and notes its accesses.
    pub(super) fn prepare(plan: &Plan, attention: &Attention, mask: Mask, bindings: &mut Bindings) -> Result<MaskReader, String> {
        let Attention { batch, heads, rows, keys, .. } = *attention;
        let stride = |extent: u32, stride: u64| if extent == 1 { 0 } else { stride };
        let mask = Mask {
            batch: stride(batch, mask.batch),
            head: stride(heads, mask.head),
            row: stride(rows, mask.row),
            key: stride(keys, mask.key),
            ..mask
        };
        let start = mask.offset + shift(plan, mask.buffer);
        let quads = rows >= super::MANY_ROWS
            && mask.key == 1
            && [start, mask.batch, mask.head, mask.row].iter().all(|place| place.is_multiple_of(4));
        match quads {
            true => bindings.note(plan, mask.buffer, Need::Quad, false)?,
            false => single(plan, mask.buffer, bindings)?,
        }
        Ok(MaskReader { mask, quads, start })
    }

    /// Whether rows differ.
    pub(super) fn by_row(&self) -> bool {
        self.mask.row != 0
    }

    /// The place of the row `i`, a name, of image `b` and head `h`, before the first key.
    pub(super) fn row(&self, row: &str) -> String {
        let mut text = self.start.to_string();
        for (name, stride) in [("b", self.mask.batch), ("h", self.mask.head), (row, self.mask.row)] {
            if stride != 0 {
                text += &format!("+{name}*{stride}");
            }
        }
        text
    }

    /// Four keys from `j` on, a multiple of four, in the row at a place, a name. `last` is the last key where the four may go past it.
    pub(super) fn four(&self, bindings: &Bindings, helpers: &mut Helpers, place: &str, last: Option<u32>) -> String {
        if self.quads {
            return bindings.read_quad(helpers, self.mask.buffer, &format!("(({place}+j)>>2u)"));
        }
        if self.mask.key == 0 {
            return format!("vec4f({})", self.key(bindings, place, "0"));
        }
        let key = |n: u32| match (n, last) {
            (0, _) => self.key(bindings, place, "j"),
            (_, Some(last)) => self.key(bindings, place, &format!("min(j+{n},{last})")),
            _ => self.key(bindings, place, &format!("(j+{n})")),
        };
        format!("vec4f({},{},{},{})", key(0), key(1), key(2), key(3))
    }

    /// One key, a name or an expression in parentheses, in the row at a place, a name.
    pub(super) fn key(&self, bindings: &Bindings, place: &str, key: &str) -> String {
        match self.mask.key {
            0 => bindings.read(self.mask.buffer, place),
            1 => bindings.read(self.mask.buffer, &format!("({place}+{key})")),
            stride => bindings.read(self.mask.buffer, &format!("({place}+{key}*{stride})")),
        }
    }
}
