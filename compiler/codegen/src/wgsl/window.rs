//! What convolutions share: four successive channels of an input pixel as a `vec4f`, wherever they lie.

use super::binding::{Bindings, Need};
use super::helpers::Helpers;
use mlp_bundle::dtype::DType;
use mlp_bundle::loops::{Arithmetic, BufferId, Window};
use mlp_bundle::plan::Plan;

/// What an input is read by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Four channels, where they are aligned.
    Quad,
    /// One channel of floats; bytes by four.
    Float,
}

/// The input of a contraction.
pub(super) struct Source {
    pub(super) buffer: BufferId,
    pub(super) dtype: DType,
    /// Whether every pixel's channels start at a multiple of four elements.
    pub(super) aligned: bool,
    /// What a padded element reads.
    pub(super) pad: i32,
}

impl Source {
    /// Looks at an input, whose first channel moves by `step` from group to group, and notes its access.
    pub(super) fn prepare(
        plan: &Plan,
        (window, step): (&Window, u32),
        arithmetic: Arithmetic,
        buffer: BufferId,
        unit: Unit,
        bindings: &mut Bindings,
    ) -> Result<Source, String> {
        let dtype = plan.buffers[buffer].dtype;
        let pad = match arithmetic {
            Arithmetic::F32 if dtype == DType::F32 => 0,
            Arithmetic::Int8 { pad_value } if matches!(dtype, DType::U8 | DType::I8) => pad_value,
            _ => return Err(format!("its input is {dtype}; cast it to f32, u8 or i8 first")),
        };
        let shift = super::binding::shift(plan, buffer);
        let quads = unit == Unit::Quad || dtype != DType::F32;
        let aligned =
            quads && window.in_pixel.is_multiple_of(4) && step.is_multiple_of(4) && (u64::from(window.in_offset) + shift).is_multiple_of(4);
        bindings.note(plan, buffer, if aligned { Need::Quad } else { Need::Single }, false)?;
        Ok(Source { buffer, dtype, aligned, pad })
    }

    /// The units that indices count: quads where pixels are aligned, else elements.
    pub(super) fn unit(&self) -> u32 {
        if self.aligned { 4 } else { 1 }
    }

    /// Units from one pixel to the next, and to the first channel of the first one.
    pub(super) fn layout(&self, bindings: &Bindings, window: &Window) -> (u32, u64) {
        let start = u64::from(window.in_offset) + bindings.get(self.buffer).shift;
        (window.in_pixel / self.unit(), start / u64::from(self.unit()))
    }

    /// Four channels from a quad or element index (a name), as floats.
    pub(super) fn quad(&self, bindings: &Bindings, helpers: &mut Helpers, index: &str) -> String {
        match (self.dtype, self.aligned) {
            (DType::F32, true) => bindings.read_quad(helpers, self.buffer, index),
            (DType::F32, false) => {
                let read = |n: u32| bindings.read(self.buffer, &if n == 0 { index.to_owned() } else { format!("({index}+{n})") });
                format!("vec4f({},{},{},{})", read(0), read(1), read(2), read(3))
            }
            (_, true) => format!("vec4f({})", bindings.read_quad(helpers, self.buffer, index)),
            (_, false) => {
                let unpack = helpers.need(if self.dtype == DType::U8 { "u4" } else { "sx" });
                format!("vec4f({unpack}({}))", self.word(bindings, helpers, index))
            }
        }
    }

    /// Whether elements are unsigned bytes.
    pub(super) fn is_unsigned(&self) -> bool {
        self.dtype == DType::U8
    }

    /// Four channels of bytes from a quad or element index (a name), as their word.
    pub(super) fn word(&self, bindings: &Bindings, helpers: &mut Helpers, index: &str) -> String {
        if self.aligned {
            return bindings.read_word(self.buffer, index);
        }
        let name = bindings.name(self.buffer);
        format!("{}({name}[{index}>>2u],{name}[({index}>>2u)+1],{index})", helpers.need("wd"))
    }

    /// Four padded channels of bytes as their word.
    pub(super) fn padding_word(&self) -> String {
        format!("{}u", u32::from_ne_bytes([self.pad as u8; 4]))
    }

    /// Four padded channels.
    pub(super) fn padding(&self) -> String {
        if self.pad == 0 { "vec4f()".to_owned() } else { format!("vec4f({})", self.pad) }
    }
}

/// True if some tap of some output pixel lies outside the input.
pub(super) fn is_padded(window: &Window) -> bool {
    let beyond = |out: u32, n: usize, size: u32| {
        let last = u64::from(out.saturating_sub(1)) * u64::from(window.stride[n])
            + u64::from(window.kernel[n] - 1) * u64::from(window.dilation[n]);
        last >= u64::from(size) + u64::from(window.pad[n])
    };
    window.pad != [0, 0] || beyond(window.out_h, 0, window.in_h) || beyond(window.out_w, 1, window.in_w)
}
