//! Loop nests: operators, element types, indices.

use crate::harness::agree;
use std::fmt::Write;

/// A plan of one elementwise kernel over inputs of the given types and 37 elements; `lines` follow the loads.
fn elementwise(inputs: &[&str], output: &str, lines: &[&str], len: u32) -> String {
    let mut text = format!("plan \"case\" version 1 arena {} weights 64\n", (inputs.len() as u32 + 1) * 4096 + 64);
    for (n, dtype) in inputs.iter().chain([&output]).enumerate() {
        let _ = writeln!(text, "buffer b{n} \"x{n}\" {dtype} x {len} arena {}", n * 4096);
    }
    for n in 0..inputs.len() {
        let _ = writeln!(text, "input \"x{n}\" b{n} [{len}]");
    }
    let _ = writeln!(text, "output \"y\" b{} [{len}]\nkernel k {{ nest parallel [{len}]", inputs.len());
    for n in 0..inputs.len() {
        let _ = writeln!(text, "v{n} = load b{n} at 0 [1*i0 of {len} by 1]");
    }
    for (n, line) in lines.iter().enumerate() {
        let _ = writeln!(text, "v{} = {line}", inputs.len() + n);
    }
    let _ = writeln!(text, "store b{} at 0 [1*i0 of {len} by 1] = v{} }}", inputs.len(), inputs.len() + lines.len() - 1);
    text
}

#[test]
fn float_operators() {
    for op in ["add", "sub", "mul", "div", "min", "max", "pow"] {
        agree(&elementwise(&["f32", "f32"], "f32", &[&format!("{op} v0 v1")], 37), &[], 1);
    }
    for op in ["neg", "abs", "round_even", "floor", "ceil", "trunc", "exp", "tanh", "erf", "sin", "cos"] {
        agree(&elementwise(&["f32"], "f32", &[&format!("{op} v0")], 64), &[], 2);
    }
    for op in ["sqrt", "log"] {
        agree(&elementwise(&["f32"], "f32", &["abs v0", &format!("{op} v1")], 64), &[], 3);
    }
    agree(&elementwise(&["f32"], "f32", &["const f32 40.0", "mul v0 v1", "tanh v2"], 64), &[], 3);
    agree(&elementwise(&["f32"], "f32", &["const f32 3.0", "mul v0 v1", "erf v2"], 1000), &[], 3);
}

#[test]
fn integer_operators() {
    for dtype in ["i32", "u32", "i64", "u64"] {
        for op in ["add", "sub", "mul", "div", "rem", "min", "max", "and", "or", "xor", "shl", "shr"] {
            agree(&elementwise(&[dtype, dtype], dtype, &[&format!("{op} v0 v1")], 203), &[], 4);
        }
        for op in ["eq", "ne", "lt", "le"] {
            agree(&elementwise(&[dtype, dtype], "bool", &[&format!("{op} v0 v1")], 99), &[], 5);
        }
        for (op, constant) in [("div", 0), ("div", 7), ("rem", 7), ("shl", 33), ("shr", 5)] {
            agree(&elementwise(&[dtype], dtype, &[&format!("const {dtype} {constant}"), &format!("{op} v0 v1")], 64), &[], 6);
        }
        agree(&elementwise(&[dtype], dtype, &["not v0"], 64), &[], 7);
    }
    for dtype in ["i32", "i64"] {
        agree(&elementwise(&[dtype], dtype, &["neg v0"], 64), &[], 8);
        agree(&elementwise(&[dtype], dtype, &["abs v0"], 64), &[], 8);
        agree(&elementwise(&[dtype], dtype, &[&format!("const {dtype} -1"), "div v0 v1"], 64), &[], 9);
    }
    for op in ["add", "mul", "and", "or", "xor"] {
        agree(&elementwise(&["bool", "bool"], "bool", &[&format!("{op} v0 v1")], 64), &[], 10);
    }
    for op in ["eq", "ne", "lt", "le"] {
        agree(&elementwise(&["f32", "f32"], "bool", &[&format!("{op} v0 v1")], 99), &[], 11);
    }
    agree(&elementwise(&["bool", "f32", "f32"], "f32", &["select v0 v1 v2"], 99), &[], 12);
}

#[test]
fn conversions() {
    for from in ["bool", "i32", "u32", "i64", "u64", "f32"] {
        for to in ["bool", "i32", "u32", "i64", "u64", "f32"] {
            agree(&elementwise(&[from], to, &[&format!("cast {to} v0")], 200), &[], 13);
        }
    }
    for to in ["i32", "u32", "i64", "u64"] {
        // Beyond both ends, and not a number.
        agree(&elementwise(&["f32"], to, &["const f32 3e9", "mul v0 v1", &format!("cast {to} v2")], 64), &[], 14);
        agree(&elementwise(&["f32"], to, &["const f32 1e19", "mul v0 v1", &format!("cast {to} v2")], 64), &[], 14);
        agree(&elementwise(&["f32"], to, &["sub v0 v0", "div v1 v1", &format!("cast {to} v2")], 64), &[], 14);
    }
    agree(&elementwise(&["f32"], "i32", &["bitcast i32 v0"], 64), &[], 15);
    agree(&elementwise(&["u32"], "i32", &["bitcast i32 v0"], 64), &[], 15);
    agree(&elementwise(&["f32"], "f32", &["const f32 bits:7f800000", "div v0 v1"], 64), &[], 16);
    agree(&elementwise(&["f32"], "f32", &["const f32 bits:ff800000", "max v1 v0"], 64), &[], 16);
}

#[test]
fn narrow_elements() {
    for dtype in ["u8", "i8", "u16", "i16"] {
        for len in [64, 37] {
            agree(&elementwise(&[dtype, dtype], dtype, &["mul v0 v1"], len), &[], 17);
            agree(&elementwise(&[dtype], "i32", &["neg v0"], len), &[], 17);
            agree(&elementwise(&["i32"], dtype, &["not v0"], len), &[], 17);
        }
    }
    for dtype in ["f16", "bf16"] {
        for len in [64, 37] {
            agree(&elementwise(&[dtype], "f32", &["neg v0"], len), &[], 18);
            agree(&elementwise(&["f32"], dtype, &["const f32 1e-5", "mul v0 v1"], len), &[], 18);
            agree(&elementwise(&["f32"], dtype, &["const f32 40000.0", "mul v0 v1"], len), &[], 18);
        }
    }
}

#[test]
fn requantization_is_exact() {
    for shift in [1, 2, 15, 31, 32, 33, 40, 62] {
        agree(&elementwise(&["i32", "i32"], "i32", &[&format!("requantize v0 v1 {shift}")], 1000), &[], u64::from(shift as u32));
        // Factors of few bits make ties frequent.
        let few = ["const i32 15", "and v1 v2", &format!("requantize v0 v3 {shift}")];
        agree(&elementwise(&["i32", "i32"], "i32", &few, 1000), &[], u64::from(shift as u32));
    }
}

/// A plan with buffers of any shape: `(type, elements)`, the last one the output; each of the others an input.
fn shaped(buffers: &[(&str, u32)], symbols: &str, kernel: &str) -> String {
    let mut text = format!("plan \"case\" version 1 arena {} weights 64\n{symbols}", buffers.len() as u32 * 65536 + 64);
    for (n, (dtype, len)) in buffers.iter().enumerate() {
        let _ = writeln!(text, "buffer b{n} \"x{n}\" {dtype} x {len} arena {}", n * 65536);
    }
    for (n, (_, len)) in buffers.iter().enumerate() {
        let kind = if n + 1 == buffers.len() { "output" } else { "input" };
        let _ = writeln!(text, "{kind} \"x{n}\" b{n} [{len}]");
    }
    format!("{text}kernel k {{ {kernel} }}\n")
}

#[test]
fn transposes_and_concatenations() {
    for dtype in ["f32", "u8", "i16", "i64"] {
        let transpose = "nest parallel [6, 10]\nv0 = load b0 at 0 [1*i1 of 10 by 6, 1*i0 of 6 by 1]\nstore b1 at 0 [1*i0 of 6 by 10, 1*i1 of 10 by 1] = v0";
        agree(&shaped(&[(dtype, 60), (dtype, 60)], "", transpose), &[], 19);
        for (start, channels) in [(4, 8), (3, 5), (1, 4)] {
            let part = format!(
                "nest parallel [9, {channels}]\nv0 = load b0 at 0 [1*i0 of 9 by {channels}, 1*i1 of {channels} by 1]\n\
                 store b1 at {start} [1*i0 of 9 by 16, 1*i1 of {channels} by 1] = v0"
            );
            // What the kernel leaves alone is 0 on both sides.
            agree(&shaped(&[(dtype, 9 * channels), (dtype, 9 * 16)], "", &part), &[], 20);
        }
    }
}

#[test]
fn borders_are_checked() {
    for dtype in ["f32", "u8"] {
        let zero = if dtype == "f32" { "f32 1.5" } else { "i32 9" };
        let pad = format!(
            "nest parallel [8, 9, 4]\nv0 = load b0 at 0 [1*i0 + -2 of 5 by 24, 1*i1 + -1 of 6 by 4, 1*i2 of 4 by 1] else {zero}\n\
             store b1 at 0 [1*i0 of 8 by 36, 1*i1 of 9 by 4, 1*i2 of 4 by 1] = v0"
        );
        agree(&shaped(&[(dtype, 120), (dtype, 288)], "", &pad), &[], 21);
        let along =
            format!("nest parallel [40]\nv0 = load b0 at 0 [1*i0 + -5 of 30 by 1] else {zero}\nstore b1 at 0 [1*i0 of 40 by 1] = v0");
        agree(&shaped(&[(dtype, 30), (dtype, 40)], "", &along), &[], 22);
        let edge = "nest parallel [40]\nv0 = load b0 at 0 [2*i0 + -5 of 30 by 1] clamp\nstore b1 at 0 [1*i0 of 40 by 1] = v0";
        agree(&shaped(&[(dtype, 30), (dtype, 40)], "", edge), &[], 22);
    }
}

#[test]
fn gathers_at_run_time_indices() {
    let rows = "nest parallel [7, 8]\nv0 = load b0 at 0 [1*i0 of 7 by 1]\nv1 = cast i32 v0\nv2 = const i32 10\nv3 = rem v1 v2\n\
                v4 = load b1 at 0 [v3 of 10 by 8, 1*i1 of 8 by 1] else f32 -1.0\nstore b2 at 0 [1*i0 of 7 by 8, 1*i1 of 8 by 1] = v4";
    agree(&shaped(&[("i64", 7), ("f32", 80), ("f32", 56)], "", rows), &[], 23);
    let each = "nest parallel [64]\nv0 = load b0 at 0 [1*i0 of 64 by 1]\nv2 = load b1 at 0 [v0 of 100 by 1] clamp\nstore b2 at 0 [1*i0 of 64 by 1] = v2"
        .replace("v2", "v1");
    agree(&shaped(&[("u8", 64), ("u8", 100), ("u8", 64)], "", &each), &[], 24);
}

#[test]
fn reductions() {
    let mean = "nest parallel [2, 12]\nreduce [5, 3]\nv0 = load b0 at 0 [1*i0 of 2 by 180, 1*i2 of 5 by 36, 1*i3 of 3 by 12, 1*i1 of 12 by 1]\nv1 = acc 0\n\
                v2 = add v1 v0\nv3 = acc 1\nv4 = max v3 v0\nv5 = total 0\nv6 = total 1\nv7 = mul v5 v6\nacc f32 0.0 then v2\nacc f32 bits:ff800000 then v4\n\
                store b1 at 0 [1*i0 of 2 by 12, 1*i1 of 12 by 1] = v7";
    agree(&shaped(&[("f32", 360), ("f32", 24)], "", mean), &[], 25);
    let rows = "nest parallel [6]\nreduce [50]\nv0 = load b0 at 0 [1*i0 of 6 by 50, 1*i1 of 50 by 1]\nv1 = acc 0\nv2 = acc 1\nv3 = axis 1\nv4 = lt v1 v0\n\
                v5 = select v4 v0 v1\nv6 = select v4 v3 v2\nv7 = total 1\nv8 = cast i64 v7\nacc f32 bits:ff800000 then v5\nacc i32 0 then v6\n\
                store b1 at 0 [1*i0 of 6 by 1] = v8";
    agree(&shaped(&[("f32", 300), ("i64", 6)], "", rows), &[], 26);
    let bytes = "nest parallel [11]\nreduce [30]\nv0 = load b0 at 0 [1*i1 of 30 by 11, 1*i0 of 11 by 1]\nv1 = acc 0\nv2 = add v1 v0\nv3 = total 0\n\
                 acc i32 0 then v2\nstore b1 at 0 [1*i0 of 11 by 1] = v3";
    agree(&shaped(&[("i8", 330), ("i32", 11)], "", bytes), &[], 27);
}

#[test]
fn long_reductions_are_shared_out() {
    // Along the channels in quads, with two accumulators; over rows of a length that no workgroup divides; of integers, exactly.
    let pooled = "nest parallel [2, 8]\nreduce [45, 13]\nv0 = load b0 at 0 [1*i0 of 2 by 4680, 1*i2 of 45 by 104, 1*i3 of 13 by 8, 1*i1 of 8 by 1]\nv1 = acc 0\n\
                  v2 = add v1 v0\nv3 = acc 1\nv4 = max v3 v0\nv5 = total 0\nv6 = total 1\nv7 = mul v5 v6\nacc f32 0.0 then v2\nacc f32 bits:ff800000 then v4\n\
                  store b1 at 0 [1*i0 of 2 by 8, 1*i1 of 8 by 1] = v7";
    let rows = "nest parallel [3]\nreduce [1031]\nv0 = load b0 at 0 [1*i0 of 3 by 1031, 1*i1 of 1031 by 1]\nv1 = mul v0 v0\nv2 = acc 0\nv3 = add v2 v1\n\
                v4 = total 0\nacc f32 0.0 then v3\nstore b1 at 0 [1*i0 of 3 by 1] = v4";
    let bytes = "nest parallel [5]\nreduce [3000]\nv0 = load b0 at 0 [1*i1 of 3000 by 5, 1*i0 of 5 by 1]\nv1 = acc 0\nv2 = add v1 v0\nv3 = total 0\n\
                 acc i32 0 then v2\nstore b1 at 0 [1*i0 of 5 by 1] = v3";
    let least = bytes.replace("add v1 v0", "min v1 v0").replace("i32 0", "i32 90");
    // The greatest of floats is not left to a subgroup.
    for (buffers, kernel, seed, expected) in [
        ([("f32", 9360), ("f32", 16)], pooled, 31, vec!["team"]),
        ([("f32", 9360), ("f32", 16)], &pooled.replace("max v3", "add v3").replace("bits:ff800000", "0.0"), 35, vec!["team", "subgroup"]),
        ([("f32", 3093), ("f32", 3)], rows, 32, vec!["team", "subgroup"]),
        ([("i8", 15000), ("i32", 5)], bytes, 33, vec!["team", "subgroup"]),
        ([("i8", 15000), ("i32", 5)], &least, 36, vec!["team", "subgroup"]),
    ] {
        let text = shaped(&buffers, "", kernel);
        agree(&text, &[], seed);
        assert_eq!(variants(&text), expected);
    }
    // What an accumulator is told by itself cannot be taken apart, nor can one that does not begin with nothing.
    let greatest = "nest parallel [6]\nreduce [2500]\nv0 = load b0 at 0 [1*i0 of 6 by 2500, 1*i1 of 2500 by 1]\nv1 = acc 0\nv2 = acc 1\nv3 = axis 1\nv4 = lt v1 v0\n\
                v5 = select v4 v0 v1\nv6 = select v4 v3 v2\nv7 = total 1\nv8 = cast i64 v7\nacc f32 bits:ff800000 then v5\nacc i32 0 then v6\n\
                store b1 at 0 [1*i0 of 6 by 1] = v8";
    let begun = rows.replace("acc f32 0.0", "acc f32 1.0");
    for (buffers, kernel) in [([("f32", 15000), ("i64", 6)], greatest), ([("f32", 3093), ("f32", 3)], &begun)] {
        let text = shaped(&buffers, "", kernel);
        agree(&text, &[], 34);
        assert_eq!(variants(&text), Vec::<String>::new());
    }
}

/// The variants of the one kernel of a plan.
fn variants(text: &str) -> Vec<String> {
    let program = mlp_codegen::wgsl::emit(&crate::harness::parse(text)).expect("the plan has code");
    program.dispatches[0].variants.iter().map(|variant| program.modules[variant.module as usize].variant.clone()).collect()
}

#[test]
fn swapped_accumulators_are_updated_at_once() {
    let fibonacci = "nest parallel [4]\nreduce [v0 to 9]\nv0 = axis 0\nv1 = acc 0\nv2 = acc 1\nv3 = add v1 v2\nv4 = total 0\nacc i32 0 then v2\nacc i32 1 then v3\n\
                     store b1 at 0 [1*i0 of 4 by 1] = v4";
    agree(&shaped(&[("f32", 4), ("i32", 4)], "", fibonacci), &[], 28);
}

#[test]
fn sizes_known_at_run_time() {
    let kernel = "nest parallel [4, 4]\nreduce [v0 to 64]\nv0 = symbol s1\nv1 = axis 0\nv2 = symbol s0\nv3 = mul v1 v2\nv4 = axis 1\nv5 = add v3 v4\n\
                  v6 = load b0 at 0 [v5 + 3*i2 of 64 by 1] clamp\nv7 = cast f32 v6\nv8 = acc 0\nv9 = add v8 v7\nv10 = total 0\nacc f32 0.0 then v9\n\
                  store b1 at 0 [1*i0 of 4 by 4, 1*i1 of 4 by 1] = v10";
    let symbols = "symbol s0 \"height\" 1 to 16\nsymbol s1 \"width\" 0 to 80\n";
    for values in [[4, 3], [16, 80], [1, 0]] {
        agree(&shaped(&[("u8", 64), ("f32", 16)], symbols, kernel), &values, 29);
    }
}

#[test]
fn grids_beyond_one_dimension() {
    let n = 65_536 * 64 + 128;
    let text = format!(
        "plan \"big\" version 1 arena {} weights 64\nbuffer b0 \"x\" i64 x 8 arena 0\nbuffer b1 \"y\" i64 x {n} arena 64\ninput \"x\" b0 [8]\noutput \"y\" b1 [{n}]\n\
         kernel k {{ nest parallel [{n}]\nv0 = axis 0\nv1 = cast i64 v0\nstore b1 at 0 [1*i0 of {n} by 1] = v1 }}\n",
        n * 8 + 128
    );
    agree(&text, &[], 30);
}
