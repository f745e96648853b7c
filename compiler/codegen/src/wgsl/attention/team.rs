//! Attention where a workgroup takes one row, or a piece of its result: for few rows, of any size.
//!
//! A block of keys at a time: each invocation computes scores of its own, the greatest is found together, the weights lie in workgroup memory, and then each
//! invocation sums a quad of the result over a part of the keys. What differs between workgroups is only which row they take, so barriers are reached by all.

use super::super::binding::Bindings;
use super::super::module::{self, Emitted, Module};
use super::operand::Count;
use super::{DEAD, LOWEST, Operands, factor, otherwise, settle};
use mlp_bundle::loops::Attention;
use mlp_bundle::plan::Plan;
use std::fmt::Write;

/// Invocations in a workgroup.
const GROUP: u32 = 64;

/// Keys whose weights lie in workgroup memory at once.
const BLOCK: u32 = 1024;

/// Values that one invocation folds for all.
const BRANCH: u32 = 8;

/// How the work is shared out.
struct Shape {
    /// Keys of a block.
    block: u32,
    /// Quads of the result in a piece, and pieces of a row.
    quads: u32,
    pieces: u32,
    /// Invocations that sum different quads, a power of two; their number of copies sum different keys.
    across: u32,
}

/// Emits attention.
pub(super) fn emit(plan: &Plan, attention: &Attention, operands: &Operands, bindings: &Bindings) -> Result<Emitted, String> {
    let width = operands.value.row_quads();
    let pieces = width.div_ceil(GROUP);
    let quads = width.div_ceil(pieces);
    let shape = Shape { block: attention.keys.min(BLOCK), quads, pieces, across: quads.next_power_of_two() };
    let Attention { batch, heads, rows, .. } = *attention;
    let total = [heads, rows, pieces].iter().fold(u64::from(batch), |n, &size| n.saturating_mul(u64::from(size)));
    let groups = module::fold(total)?;
    let mut module = Module::default();
    let mut writer = Writer { attention, operands, bindings, module: &mut module, shape, out: String::new() };
    writer.memory();
    writer.score();
    writer.main(groups, total);
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
    /// Workgroup memory: weights `p` by their bits, sums `a`, and `x` and `y` to fold scalars. The function `M` finds the greatest of all invocations' values.
    fn memory(&mut self) {
        let heads = GROUP / BRANCH;
        let _ = writeln!(
            self.out,
            "var<workgroup> p:array<u32,{}>;var<workgroup> a:array<vec4f,{GROUP}>;var<workgroup> x:array<f32,{GROUP}>;\
             var<workgroup> y:array<f32,{heads}>;\n\
             fn M(t:i32,f:f32)->f32{{x[t]=f;workgroupBarrier();\n\
             if(t<{heads}){{var v=x[t];for(var k=1;k<{BRANCH};k++){{v=max(v,x[t+k*{heads}]);}}y[t]=v;}}\nworkgroupBarrier();\n\
             var v=y[0];for(var k=1;k<{heads};k++){{v=max(v,y[k]);}}return v;}}",
            self.shape.block
        );
    }

    /// The function `S`: the product of the rows of query and key at these places.
    fn score(&mut self) {
        let Operands { query, key, .. } = self.operands;
        let whole = self.attention.depth / 4;
        let helpers = &mut self.module.helpers;
        let (load, other) = (key.read_at(self.bindings, helpers, "c"), query.read_at(self.bindings, helpers, "f"));
        let _ = writeln!(
            self.out,
            "fn S(i:i32,k:i32)->f32{{var d=vec4f();\nfor(var n=0;n<{whole};n++){{let c=k+n*{};let f=i+n*{};d=fma({load},{other},d);}}",
            key.unit(),
            query.unit()
        );
        if !self.attention.depth.is_multiple_of(4) {
            let (load, other) = (key.read(self.bindings, helpers, "k", whole), query.read(self.bindings, helpers, "i", whole));
            let _ = writeln!(self.out, "d=fma({load},{other},d);");
        }
        let scale = factor(self.attention, helpers);
        let _ = writeln!(self.out, "return (d.x+d.y+d.z+d.w)*{scale};}}");
    }

    fn main(&mut self, groups: [u32; 3], total: u64) {
        let Attention { batch, heads, rows, keys, .. } = *self.attention;
        let Operands { query, key, value, mask, .. } = self.operands;
        let Shape { block, quads, pieces, across } = self.shape;
        let linear = if groups[1] == 1 { "w.x".to_owned() } else { format!("min(w.x+w.y*{}u,{}u)", groups[0], total - 1) };
        let _ = writeln!(
            self.out,
            "@compute @workgroup_size({GROUP})\nfn m(@builtin(workgroup_id) w:vec3u,@builtin(local_invocation_id) l:vec3u){{\n\
             let t=i32(l.x);let q=t%{across};var g=i32({linear});let i=g%{rows};g/={rows};let h=g%{heads};g/={heads};"
        );
        let _ = match pieces {
            1 => writeln!(self.out, "let b=g;let n=q;"),
            _ => writeln!(self.out, "let b=g%{batch};let n=g/{batch}*{quads}+q;"),
        };
        let _ =
            writeln!(self.out, "let qq={}+i*{};let kk={};let vv={}+n*{};", query.head(), query.row, key.head(), value.head(), value.unit());
        if let Some(mask) = mask {
            let _ = writeln!(self.out, "let u={};", mask.row("i"));
        }
        let _ = writeln!(self.out, "var m={LOWEST};var s=0f;var z=0u;var o=vec4f();");
        let _ = match keys > block {
            true => writeln!(self.out, "for(var g=0;g<{keys};g+={block}){{let e=min({block},{keys}-g);"),
            false => writeln!(self.out, "{{let g=0;let e={keys};"),
        };
        self.weights();
        self.sums();
        if keys > block {
            self.out.push_str("workgroupBarrier();\n");
        }
        self.out.push_str("}\n");
        self.finish();
        self.out.push_str("}\n");
    }

    /// The scores of a block, their greatest `m`, and their weights.
    fn weights(&mut self) {
        let Operands { key, mask, .. } = self.operands;
        let _ = writeln!(self.out, "var v=m;\nfor(var j=t;j<e;j+={GROUP}){{let k=g+j;");
        let added = mask.as_ref().map(|mask| mask.key(self.bindings, "u", "k"));
        let score = format!("S(qq,kk+k*{})", key.row);
        self.out += &settle(1, "0", &score, added.as_deref(), None);
        let _ = writeln!(
            self.out,
            "v=max(v,s0);p[j]=select(bitcast<u32>(s0),{DEAD},e0);}}\nv=M(t,v);let f=exp(m-v);m=v;s*=f;o*=f;\n\
             for(var j=t;j<e;j+={GROUP}){{let d=p[j];let c=select(exp(bitcast<f32>(d)-v),0f,d=={DEAD});s+=c;p[j]=bitcast<u32>(c);}}\n\
             workgroupBarrier();"
        );
    }

    /// The block's part of this invocation's quad, over its part of the keys.
    fn sums(&mut self) {
        let Shape { quads, across, pieces, .. } = self.shape;
        let value = &self.operands.value;
        let load = value.read_at(self.bindings, &mut self.module.helpers, "c");
        let body = format!(
            "for(var j=t/{across};j<e;j+={}){{let c=vv+(g+j)*{};o=fma(vec4f(bitcast<f32>(p[j])),{load},o);}}",
            GROUP / across,
            value.row
        );
        let _ = match quads * pieces == across {
            true => writeln!(self.out, "{body}"),
            false => writeln!(self.out, "if(q<{quads}&&n<{}){{{body}}}", value.row_quads()),
        };
    }

    /// The parts together, the quotient, and its store.
    fn finish(&mut self) {
        let Shape { quads, across, .. } = self.shape;
        let Operands { out, value, .. } = self.operands;
        let other = otherwise(self.attention, &mut self.module.helpers);
        // A spoiled sum is far below 0, whatever others add to it.
        let _ = writeln!(
            self.out,
            "a[t]=o;x[t]=select(-1e30f,s,z==0u);workgroupBarrier();\nif(t<{quads}&&n<{}){{\nvar r=a[t];var f=x[0];\n\
             for(var k=t+{across};k<{GROUP};k+={across}){{r+=a[k];}}\nfor(var k=1;k<{GROUP};k++){{f+=x[k];}}\n\
             let v=select(vec4f({other}),r/f,f>0f);let c={}+i*{}+n*{};let d={}-n*4;",
            value.row_quads(),
            out.head(),
            out.row,
            out.unit(),
            self.attention.width
        );
        let text = out.write(self.bindings, &mut self.module.helpers, "c", "v", Count::Named("d"));
        self.out += &text;
        self.out.push_str("}\n");
    }
}
