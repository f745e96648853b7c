//! Attention where each invocation takes some rows of a head, for rows enough: query and result in registers, four keys at a time, no barrier.
//!
//! All invocations of a workgroup read the same keys and values at once.

use super::super::binding::Bindings;
use super::super::module::{self, Emitted, Module};
use super::operand::Count;
use super::{LANES, LOWEST, Operands, factor, otherwise, part, settle, vector};
use mlp_bundle::loops::Attention;
use mlp_bundle::plan::Plan;
use std::fmt::Write;

/// The most invocations in a workgroup.
const GROUP: u32 = 64;

/// Quads of query and result that an invocation keeps in registers.
const REGISTERS: u32 = 32;

/// The most quads of the result that an invocation computes.
const WIDEST: u32 = 24;

/// How the work is shared out.
struct Shape {
    /// Rows of the query an invocation.
    rows: u32,
    /// Invocations a workgroup.
    group: u32,
    /// Quads of a row of the result an invocation computes, and how many such pieces there are.
    quads: u32,
    pieces: u32,
    /// Whether the query stays in registers.
    keeps_query: bool,
}

fn shape(attention: &Attention, operands: &Operands) -> Shape {
    let (depth, width) = (operands.query.row_quads(), operands.value.row_quads());
    let pieces = width.div_ceil(WIDEST);
    let quads = width.div_ceil(pieces);
    let keeps_query = depth + quads <= 2 * WIDEST;
    let taken = quads + if keeps_query { depth } else { 0 };
    let rows = [4, 2].into_iter().find(|rows| taken * rows <= REGISTERS && attention.rows >= rows * super::MANY_ROWS).unwrap_or(1);
    Shape { rows, group: attention.rows.div_ceil(rows).next_power_of_two().min(GROUP), quads, pieces, keeps_query }
}

/// Emits attention.
pub(super) fn emit(plan: &Plan, attention: &Attention, operands: &Operands, bindings: &Bindings) -> Result<Emitted, String> {
    let shape = shape(attention, operands);
    let blocks = attention.rows.div_ceil(shape.rows * shape.group);
    let total = [attention.heads, attention.batch, shape.pieces].iter().fold(u64::from(blocks), |n, &size| n * u64::from(size));
    let groups = module::fold(total)?;
    let mut module = Module::default();
    let mut writer = Writer { attention, operands, bindings, module: &mut module, shape, out: String::new() };
    writer.score();
    writer.main(groups, total, blocks);
    let body = writer.out;
    Ok(module.finish(plan, bindings, &body, groups))
}

struct Writer<'a> {
    attention: &'a Attention,
    operands: &'a Operands,
    bindings: &'a Bindings,
    module: &'a mut Module,
    shape: Shape,
    out: String,
}

impl Writer<'_> {
    /// The function `S`: the product of each row of the query and the row of the key at `k`.
    fn score(&mut self) {
        let Operands { query, key, .. } = self.operands;
        let rows = self.shape.rows;
        let quads = key.row_quads();
        for row in 0..rows {
            let _ = match self.shape.keeps_query {
                true => writeln!(self.out, "{}", (0..quads).map(|n| format!("var<private> q{row}{n}:vec4f;")).collect::<String>()),
                false => writeln!(self.out, "var<private> i{row}:i32;"),
            };
        }
        let _ = writeln!(self.out, "fn S(k:i32)->{}{{", vector(rows, "f32"));
        let _ = writeln!(self.out, "{}", (0..rows).map(|row| format!("var d{row}=vec4f();")).collect::<String>());
        // All quads in a row of statements, or all but a partial one in a loop.
        let looped = if self.shape.keeps_query { 0 } else { self.attention.depth / 4 };
        if looped > 0 {
            let load = key.read_at(self.bindings, &mut self.module.helpers, "c");
            let _ = writeln!(self.out, "for(var n=0;n<{looped};n++){{let c=k+n*{};let x={load};", key.unit());
            for row in 0..rows {
                let load = query.read_at(self.bindings, &mut self.module.helpers, "f");
                let _ = writeln!(self.out, "{{let f=i{row}+n*{};d{row}=fma(x,{load},d{row});}}", query.unit());
            }
            self.out.push_str("}\n");
        }
        for n in looped..quads {
            let load = key.read(self.bindings, &mut self.module.helpers, "k", n);
            let _ = writeln!(self.out, "let x{n}={load};");
            for row in 0..rows {
                let other = match self.shape.keeps_query {
                    true => format!("q{row}{n}"),
                    false => query.read(self.bindings, &mut self.module.helpers, &format!("i{row}"), n),
                };
                let _ = write!(self.out, "d{row}=fma(x{n},{other},d{row});");
            }
            self.out.push('\n');
        }
        let sums: Vec<String> = (0..rows).map(|row| format!("d{row}.x+d{row}.y+d{row}.z+d{row}.w")).collect();
        let scale = factor(self.attention, &mut self.module.helpers);
        let _ = writeln!(self.out, "return {}({})*{scale};}}", vector(rows, "f32"), sums.join(","));
    }

    fn main(&mut self, groups: [u32; 3], total: u64, blocks: u32) {
        let Shape { rows, group, pieces, .. } = self.shape;
        let Attention { batch, heads, rows: all, .. } = *self.attention;
        let linear = if groups[1] == 1 { "w.x".to_owned() } else { format!("(w.x+w.y*{}u)", groups[0]) };
        let _ = writeln!(
            self.out,
            "@compute @workgroup_size({group})\nfn m(@builtin(workgroup_id) w:vec3u,@builtin(local_invocation_id) l:vec3u){{\nvar g=i32({linear});"
        );
        if u64::from(groups[0]) * u64::from(groups[1]) != total {
            let _ = writeln!(self.out, "if(g>={total}){{return;}}");
        }
        let _ = writeln!(self.out, "let i=(g%{blocks}*{group}+i32(l.x))*{rows};g/={blocks};let h=g%{heads};g/={heads};");
        let _ = match pieces {
            1 => writeln!(self.out, "let b=g;"),
            _ => writeln!(self.out, "let b=g%{batch};let o=g/{batch}*{};", self.shape.quads),
        };
        let _ = writeln!(self.out, "if(i>={all}){{return;}}");
        self.rows();
        self.keys();
        self.finish();
        self.out.push_str("}\n");
    }

    /// The rows of the query, and what is carried from block to block.
    fn rows(&mut self) {
        let Shape { rows, quads, keeps_query, .. } = self.shape;
        let Operands { query, mask, .. } = self.operands;
        let all = self.attention.rows;
        for row in 0..rows {
            let _ = match (row, all % rows) {
                (0, _) => writeln!(self.out, "let j0=i;"),
                (_, 0) => writeln!(self.out, "let j{row}=i+{row};"),
                _ => writeln!(self.out, "let j{row}=min(i+{row},{});", all - 1),
            };
            if !keeps_query {
                let _ = writeln!(self.out, "i{row}={}+j{row}*{};", query.head(), query.row);
            } else {
                let _ = writeln!(self.out, "let i{row}={}+j{row}*{};", query.head(), query.row);
                for n in 0..query.row_quads() {
                    let load = query.read(self.bindings, &mut self.module.helpers, &format!("i{row}"), n);
                    let _ = writeln!(self.out, "q{row}{n}={load};");
                }
            }
            if let Some(mask) = mask.as_ref().filter(|mask| row == 0 || mask.by_row()) {
                let _ = writeln!(self.out, "let u{row}={};", mask.row(&format!("j{row}")));
            }
            let _ = writeln!(self.out, "{}", (0..quads).map(|n| format!("var a{row}{n}=vec4f();")).collect::<String>());
        }
        let (float, word) = (vector(rows, "f32"), vector(rows, "u32"));
        let _ = writeln!(self.out, "var m={float}({LOWEST});var t={float}();var z={word}();");
    }

    /// The loop over the keys.
    fn keys(&mut self) {
        let Shape { rows, quads, pieces, .. } = self.shape;
        let Operands { key, value, mask, .. } = self.operands;
        let keys = self.attention.keys;
        let last = (!keys.is_multiple_of(4)).then_some(keys - 1);
        let piece = if pieces == 1 { String::new() } else { format!("+o*{}", value.unit()) };
        let _ = writeln!(self.out, "let kk={};let vv={}{piece};\nfor(var j=0;j<{keys};j+=4){{", key.head(), value.head());
        if let Some(mask) = mask {
            for row in 0..if mask.by_row() { rows } else { 1 } {
                let load = mask.four(self.bindings, &mut self.module.helpers, &format!("u{row}"), last);
                let _ = writeln!(self.out, "let y{row}={load};");
            }
        }
        for n in 0..4u32 {
            let index = match (n, last) {
                (0, _) => "j".to_owned(),
                (_, Some(last)) => format!("min(j+{n},{last})"),
                _ => format!("(j+{n})"),
            };
            let added = mask.as_ref().map(|mask| {
                let lane = LANES[n as usize];
                let of = |row: u32| format!("y{}.{lane}", if mask.by_row() { row } else { 0 });
                (0..rows).map(of).collect::<Vec<_>>().join(",")
            });
            let beyond = last.filter(|_| n > 0).map(|last| format!("j+{n}>{last}"));
            let _ = writeln!(self.out, "let k{n}={index};");
            let score = format!("S(kk+k{n}*{})", key.row);
            self.out += &settle(rows, &n.to_string(), &score, added.as_deref(), beyond.as_deref());
        }
        let float = vector(rows, "f32");
        self.out.push_str("let v=max(m,max(max(s0,s1),max(s2,s3)));let f=exp(m-v);m=v;\n");
        for n in 0..4 {
            let _ = writeln!(self.out, "let p{n}=select(exp(s{n}-v),{float}(),e{n});let v{n}=vv+k{n}*{};", value.row);
        }
        self.out.push_str("t=t*f+((p0+p1)+(p2+p3));\n");
        for quad in 0..quads {
            self.out.push('{');
            for n in 0..4 {
                let load = match pieces {
                    1 => value.read(self.bindings, &mut self.module.helpers, &format!("v{n}"), quad),
                    _ => {
                        let _ = write!(self.out, "let c{n}=v{n}+{};", quad * value.unit());
                        value.read_at(self.bindings, &mut self.module.helpers, &format!("c{n}"))
                    }
                };
                let _ = write!(self.out, "let x{n}={load};");
            }
            for row in 0..rows {
                let weight = |n: u32| format!("vec4f({})", part(rows, &format!("p{n}"), row));
                let _ = write!(
                    self.out,
                    "a{row}{quad}=fma(x3,{},fma(x2,{},fma(x1,{},fma(x0,{},a{row}{quad}*{}))));",
                    weight(3),
                    weight(2),
                    weight(1),
                    weight(0),
                    part(rows, "f", row)
                );
            }
            self.out.push_str("}\n");
        }
        self.out.push_str("}\n");
    }

    /// The quotients, and their stores.
    fn finish(&mut self) {
        let Shape { rows, quads, pieces, .. } = self.shape;
        let out = &self.operands.out;
        let (float, word) = (vector(rows, "f32"), vector(rows, "u32"));
        let _ = writeln!(self.out, "let e=(t>{float}())&(z=={word}());let r={float}(1)/t;");
        let other = otherwise(self.attention, &mut self.module.helpers);
        let all = self.attention.rows;
        let piece = if pieces == 1 { String::new() } else { format!("+o*{}", out.unit()) };
        for row in 0..rows {
            let guarded = row > 0 && !all.is_multiple_of(rows);
            let _ = match guarded {
                true => writeln!(self.out, "if(i+{row}<{all}){{"),
                false => writeln!(self.out, "{{"),
            };
            let _ = writeln!(self.out, "let k={}+j{row}*{}{piece};", out.head(), out.row);
            for quad in 0..quads {
                let _ = writeln!(
                    self.out,
                    "{{let y=select(vec4f({other}),a{row}{quad}*{},{});let c=k+{};",
                    part(rows, "r", row),
                    part(rows, "e", row),
                    quad * out.unit()
                );
                let count = match pieces {
                    1 => out.count(quad),
                    _ => {
                        let _ = writeln!(self.out, "let n={}-(o+{quad})*4;", self.attention.width);
                        Count::Named("n")
                    }
                };
                let text = out.write(self.bindings, &mut self.module.helpers, "c", "y", count);
                self.out += &text;
                self.out.push_str("}\n");
            }
            self.out.push_str("}\n");
        }
    }
}
