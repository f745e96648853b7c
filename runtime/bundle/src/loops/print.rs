//! The text form of plans, written. [`super::parse`] reads it back to an equal plan.

use super::{
    Access, Affine, Arithmetic, Attention, Body, Bounds, Epilogue, Expr, Exprs, Extent, Kernel, Nest, Rows, Scales, Store, Window,
};
use crate::dtype::Scalar;
use crate::plan::{Place, Plan, Port, Size};
use std::fmt::{self, Display, Formatter, Write};

/// Text in quotes, with JSON's escapes.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Items with a separator between them.
fn joined<T: Display>(items: impl IntoIterator<Item = T>, separator: &str) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(separator)
}

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan {} version {} arena {} weights {}", quoted(&self.name), self.version, self.arena_bytes, self.weights_bytes)?;
        for (id, symbol) in self.symbols.iter() {
            let formula = symbol.formula.as_ref().map(|formula| format!(" is {formula}")).unwrap_or_default();
            writeln!(f, "symbol {id} {} {} to {}{formula}", quoted(&symbol.name), symbol.min, symbol.max)?;
        }
        for (id, buffer) in self.buffers.iter() {
            let (place, offset) = match buffer.place {
                Place::Arena { offset } => ("arena", offset),
                Place::Weights { offset } => ("weights", offset),
            };
            writeln!(f, "buffer {id} {} {} x {} {place} {offset}", quoted(&buffer.name), buffer.dtype, buffer.len)?;
        }
        let port = |f: &mut Formatter<'_>, kind: &str, port: &Port| {
            let size = |size: &Size| match size {
                Size::Const(n) => n.to_string(),
                Size::Symbol(symbol) => symbol.to_string(),
            };
            writeln!(f, "{kind} {} {} [{}]", quoted(&port.name), port.buffer, joined(port.shape.iter().map(size), ", "))
        };
        self.inputs.iter().try_for_each(|input| port(f, "input", input))?;
        self.outputs.iter().try_for_each(|output| port(f, "output", output))?;
        for state in &self.states {
            writeln!(f, "state {} {} becomes {}", quoted(&state.name), state.buffer, state.next)?;
        }
        self.kernels.iter().try_for_each(|kernel| write!(f, "\n{kernel}"))
    }
}

impl Display for Kernel {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "kernel {}", self.name)?;
        for origin in &self.origin {
            write!(f, " {}", quoted(origin))?;
        }
        writeln!(f, " {{")?;
        match &self.body {
            Body::Nest(nest) => write!(f, "{nest}")?,
            Body::Contract(c) => {
                write!(f, "  contract {} {} * {}", Kind(c.arithmetic), c.input, c.weights)?;
                if let Some(Scales { buffer, per, bits }) = c.scales {
                    write!(f, " scales {buffer} per {per} bits {bits}")?;
                }
                if c.per_image {
                    write!(f, " each")?;
                }
                writeln!(f, " {}", c.window)?;
                write!(f, "{}", c.epilogue)?;
            }
            Body::Depthwise(d) => {
                writeln!(f, "  depthwise {} {} * {} {}", Kind(d.arithmetic), d.input, d.weights, d.window)?;
                write!(f, "{}", d.epilogue)?;
            }
            Body::Attention(attention) => write!(f, "{attention}")?,
            Body::Rows(rows) => write!(f, "{rows}")?,
        }
        writeln!(f, "}}")
    }
}

struct Kind(Arithmetic);

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Arithmetic::F32 => f.write_str("f32"),
            Arithmetic::Int8 { pad_value } => write!(f, "int8 pad {pad_value}"),
        }
    }
}

impl Display for Window {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "batch {} in {} x {} x {}", self.batch, self.in_h, self.in_w, self.in_c)?;
        write!(f, " pixel {} offset {}", self.in_pixel, self.in_offset)?;
        write!(f, " out {} x {} x {}", self.out_h, self.out_w, self.out_c)?;
        let pairs = [("kernel", self.kernel), ("stride", self.stride), ("dilation", self.dilation), ("pad", self.pad)];
        pairs.into_iter().try_for_each(|(name, [y, x])| write!(f, " {name} {y} x {x}"))
    }
}

impl Display for Nest {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "  nest parallel [{}]", joined(&self.parallel, ", "))?;
        if !self.reduce.is_empty() {
            let extent = |extent: &Extent| match extent {
                Extent::Const(n) => n.to_string(),
                Extent::Dynamic { count, max } => format!("{count} to {max}"),
            };
            writeln!(f, "  reduce [{}]", joined(self.reduce.iter().map(extent), ", "))?;
        }
        write_exprs(f, &self.exprs)?;
        for acc in &self.accs {
            writeln!(f, "  acc {} then {}", acc.init, acc.next)?;
        }
        write_stores(f, &self.stores)
    }
}

impl Display for Attention {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "  attention batch {} heads {} rows {} keys {}", self.batch, self.heads, self.rows, self.keys)?;
        write!(f, " depth {} width {} scale {}", self.depth, self.width, Scalar::F32(self.scale))?;
        writeln!(f, "{}", if self.guarded { " guarded" } else { "" })?;
        let views = [("query", &self.query), ("key", &self.key), ("value", &self.value)];
        for (name, view) in views.into_iter().chain([("out", &self.out)]) {
            writeln!(f, "  {name} {} at {} by [{}, {}, {}]", view.buffer, view.offset, view.batch, view.head, view.row)?;
        }
        match &self.mask {
            Some(mask) => {
                let strides = [mask.batch, mask.head, mask.row, mask.key];
                writeln!(f, "  mask {} at {} by [{}]", mask.buffer, mask.offset, joined(strides, ", "))
            }
            None => Ok(()),
        }
    }
}

impl Display for Rows {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "  rows parallel [{}] length {}", joined(&self.parallel, ", "), self.length)?;
        write_exprs(f, &self.exprs)?;
        for reduction in &self.reductions {
            writeln!(f, "  reduce {} {}", reduction.fold.name(), reduction.value)?;
        }
        write_stores(f, &self.stores)
    }
}

impl Display for Epilogue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_exprs(f, &self.exprs)?;
        write_stores(f, &self.stores)
    }
}

fn write_exprs(f: &mut Formatter<'_>, exprs: &Exprs) -> fmt::Result {
    exprs.iter().try_for_each(|(id, expr)| writeln!(f, "  {id} = {expr}"))
}

fn write_stores(f: &mut Formatter<'_>, stores: &[Store]) -> fmt::Result {
    stores.iter().try_for_each(|store| writeln!(f, "  store {} = {}", store.access, store.value))
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Const(value) => write!(f, "const {value}"),
            Expr::Axis(axis) => write!(f, "axis {axis}"),
            Expr::Symbol(symbol) => write!(f, "symbol {symbol}"),
            Expr::Acc(index) => write!(f, "acc {index}"),
            Expr::Total(index) => write!(f, "total {index}"),
            Expr::Load(access) => write!(f, "load {access}"),
            Expr::Unary(op, x) => write!(f, "{} {x}", op.name()),
            Expr::Binary(op, x, y) => write!(f, "{} {x} {y}", op.name()),
            Expr::Compare(op, x, y) => write!(f, "{} {x} {y}", op.name()),
            Expr::Select(condition, x, y) => write!(f, "select {condition} {x} {y}"),
            Expr::Cast(to, x) => write!(f, "cast {to} {x}"),
            Expr::Bitcast(to, x) => write!(f, "bitcast {to} {x}"),
            Expr::Requantize { value, multiplier, shift } => write!(f, "requantize {value} {multiplier} {shift}"),
        }
    }
}

impl Display for Access {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {} [", self.buffer, self.offset)?;
        for (i, dim) in self.dims.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{} of {} by {}", dim.index, dim.extent, dim.stride)?;
        }
        f.write_char(']')?;
        match self.bounds {
            Bounds::Inside => Ok(()),
            Bounds::Clamp => f.write_str(" clamp"),
            Bounds::Else(value) => write!(f, " else {value}"),
        }
    }
}

impl Display for Affine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.terms.iter().map(|(axis, coefficient)| format!("{coefficient}*i{axis}")).collect();
        parts.extend(self.dynamic.map(|dynamic| dynamic.to_string()));
        if self.constant != 0 || parts.is_empty() {
            parts.push(self.constant.to_string());
        }
        f.write_str(&parts.join(" + "))
    }
}

impl Display for Scalar {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Scalar::Bool(x) => write!(f, "bool {x}"),
            Scalar::I32(x) => write!(f, "i32 {x}"),
            Scalar::U32(x) => write!(f, "u32 {x}"),
            Scalar::I64(x) => write!(f, "i64 {x}"),
            Scalar::U64(x) => write!(f, "u64 {x}"),
            Scalar::F32(bits) if f32::from_bits(bits).is_finite() => write!(f, "f32 {:?}", f32::from_bits(bits)),
            Scalar::F32(bits) => write!(f, "f32 bits:{bits:x}"),
            Scalar::F64(bits) if f64::from_bits(bits).is_finite() => write!(f, "f64 {:?}", f64::from_bits(bits)),
            Scalar::F64(bits) => write!(f, "f64 bits:{bits:x}"),
        }
    }
}
