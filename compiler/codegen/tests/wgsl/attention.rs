//! Attention of many shapes, layouts and masks.

use crate::harness::{Random, agree_on, parse};
use mlp_bundle::dtype::DType;
use std::fmt::Write;

/// What the mask distinguishes.
#[derive(Clone, Copy, PartialEq)]
enum Masked {
    No,
    Keys,
    RowsAndKeys,
    /// One number an image.
    Images,
    Everything,
}

/// One attention: operands lie in one packed buffer `[batch, row, 3, head, feature]` or in buffers `[batch, head, row, feature]` of their own.
#[derive(Clone, Copy)]
struct Case {
    batch: u32,
    heads: u32,
    rows: u32,
    keys: u32,
    depth: u32,
    width: u32,
    packed: bool,
    mask: Masked,
    guarded: bool,
    /// Elements before each operand but the result.
    before: u32,
}

const BASE: Case =
    Case { batch: 1, heads: 2, rows: 20, keys: 20, depth: 8, width: 8, packed: true, mask: Masked::Keys, guarded: true, before: 0 };

impl Case {
    fn mask_len(&self) -> u32 {
        self.before
            + match self.mask {
                Masked::No | Masked::Keys => self.keys,
                Masked::Images => self.batch,
                Masked::RowsAndKeys => self.rows * self.keys,
                Masked::Everything => self.batch * self.heads * self.rows * self.keys,
            }
    }

    fn mask_strides(&self) -> [u32; 4] {
        let (rows, keys) = (self.rows, self.keys);
        match self.mask {
            Masked::No | Masked::Keys => [0, 0, 0, 1],
            Masked::Images => [1, 0, 0, 0],
            Masked::RowsAndKeys => [0, 0, keys, 1],
            // Keys are the outermost axis but for images.
            Masked::Everything => [self.heads * rows * keys, rows, 1, self.heads * rows],
        }
    }

    fn text(&self) -> String {
        let Case { batch, heads, rows, keys, depth, width, before, .. } = *self;
        let lens = match self.packed {
            // Depth and width, rows and keys are the same then.
            true => [before + batch * rows * 3 * heads * depth, 1, 1],
            false => [before + batch * heads * rows * depth, before + batch * heads * keys * depth, before + batch * heads * keys * width],
        };
        let out = batch * rows * heads * width;
        let mut text = String::new();
        let mut at = 0;
        for (n, (name, len)) in [("q", lens[0]), ("k", lens[1]), ("v", lens[2]), ("mask", self.mask_len()), ("out", out)].iter().enumerate()
        {
            let _ = writeln!(text, "buffer b{n} \"{name}\" f32 x {len} arena {at}");
            at += (len * 4).next_multiple_of(64);
        }
        for (n, (name, len)) in [("q", lens[0]), ("k", lens[1]), ("v", lens[2]), ("mask", self.mask_len())].iter().enumerate() {
            let _ = writeln!(text, "input \"{name}\" b{n} [{len}]");
        }
        let _ = writeln!(text, "output \"out\" b4 [{out}]\nkernel k {{");
        let guarded = if self.guarded { " guarded" } else { "" };
        let _ = writeln!(
            text,
            "attention batch {batch} heads {heads} rows {rows} keys {keys} depth {depth} width {width} scale f32 0.75{guarded}"
        );
        if self.packed {
            let row = 3 * heads * depth;
            for (part, name) in ["query", "key", "value"].iter().enumerate() {
                let _ = writeln!(text, "{name} b0 at {} by [{}, {depth}, {row}]", before + part as u32 * heads * depth, rows * row);
            }
        } else {
            for (n, name, rows, features) in [(0, "query", rows, depth), (1, "key", keys, depth), (2, "value", keys, width)] {
                let _ = writeln!(text, "{name} b{n} at {before} by [{}, {}, {features}]", heads * rows * features, rows * features);
            }
        }
        let _ = writeln!(text, "out b4 at 0 by [{}, {width}, {}]", rows * heads * width, heads * width);
        if self.mask != Masked::No {
            let [b, h, i, j] = self.mask_strides();
            let _ = writeln!(text, "mask b3 at {before} by [{b}, {h}, {i}, {j}]");
        }
        format!("plan \"case\" version 1 arena {} weights 64\n{text}}}\n", at + 64)
    }

    /// Runs the case; `spoil` may change the inputs: query, key, value, mask.
    fn check(&self, seed: u64, spoil: impl Fn(&mut [Vec<f32>])) {
        let plan = parse(&self.text());
        let mut random = Random::new(seed);
        let mut inputs: Vec<Vec<f32>> = plan
            .inputs
            .iter()
            .map(|port| {
                let bytes = random.fill(DType::F32, plan.buffers[port.buffer].len);
                bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four bytes"))).collect()
            })
            .collect();
        spoil(&mut inputs);
        let bytes: Vec<Vec<u8>> = inputs.iter().map(|values| values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
        agree_on(&plan, &[0; 64], &bytes, &[]);
    }
}

#[test]
fn shapes() {
    let apart = Case { packed: false, ..BASE };
    let cases = [
        BASE,
        Case { heads: 12, rows: 128, keys: 128, depth: 32, width: 32, ..BASE },
        Case { batch: 3, heads: 3, rows: 17, keys: 17, depth: 64, width: 64, before: 3, ..BASE },
        Case { batch: 2, rows: 33, keys: 33, depth: 5, width: 5, before: 4, ..BASE },
        Case { batch: 2, rows: 70, keys: 9, depth: 12, width: 20, ..apart },
        Case { rows: 65, keys: 1, depth: 1, width: 1, ..apart },
        Case { rows: 16, keys: 30, depth: 200, width: 100, ..apart },
        Case { rows: 19, keys: 6, depth: 70, width: 271, before: 1, ..apart },
        Case { rows: 18, keys: 7, depth: 3, width: 300, mask: Masked::No, ..apart },
        Case { batch: 40, heads: 30, rows: 150, keys: 3, depth: 2, width: 2, ..apart },
        // Few rows.
        Case { rows: 1, keys: 100, depth: 64, width: 64, ..apart },
        Case { batch: 2, heads: 3, rows: 5, keys: 1, depth: 7, width: 9, before: 1, ..apart },
        Case { batch: 2, rows: 2, keys: 2500, depth: 16, width: 24, mask: Masked::RowsAndKeys, ..apart },
        Case { rows: 3, keys: 1024, depth: 9, width: 300, mask: Masked::No, ..apart },
        Case { rows: 1, keys: 50, depth: 4, width: 515, before: 2, ..apart },
        Case { rows: 7, keys: 7, depth: 6, width: 6, batch: 2, ..BASE },
    ];
    for (seed, case) in (1..).zip(cases) {
        case.check(seed, |_| {});
    }
}

#[test]
fn more_rows_than_one_dimension_of_workgroups() {
    Case { batch: 400, heads: 200, rows: 1, keys: 2, depth: 2, width: 1, packed: false, ..BASE }.check(1, |_| {});
    Case { batch: 300, heads: 250, rows: 16, keys: 1, depth: 1, width: 1, packed: false, ..BASE }.check(2, |_| {});
}

#[test]
fn masks_of_any_strides() {
    for mask in [Masked::No, Masked::Keys, Masked::RowsAndKeys, Masked::Images, Masked::Everything] {
        for (rows, keys) in [(36, 12), (37, 13), (3, 90)] {
            for before in [0, 3] {
                Case { batch: 2, rows, keys, mask, before, packed: false, ..BASE }.check(7, |_| {});
            }
        }
    }
}

/// The places of rows that have no sum of weights, rows that have lost all keys but one, and rows like any other.
#[test]
fn dead_keys_and_spoiled_rows() {
    const DEAD: f32 = f32::NEG_INFINITY;
    for guarded in [true, false] {
        for (rows, keys) in [(24, 24), (23, 9), (4, 70), (5, 1300)] {
            let case = Case { rows, keys, packed: false, guarded, mask: Masked::RowsAndKeys, ..BASE };
            let keys = keys as usize;
            case.check(11, |inputs| {
                let mask = &mut inputs[3];
                mask[..keys].fill(DEAD);
                // The first finite score comes late, and one is alone.
                mask[keys..2 * keys - 1].fill(DEAD);
                mask[2 * keys..2 * keys + keys / 2].fill(DEAD);
                mask[3 * keys..4 * keys].fill(f32::MIN);
            });
            case.check(12, |inputs| {
                let mask = &mut inputs[3];
                mask[1] = f32::NAN;
                mask[keys + 2] = f32::INFINITY;
                mask[2 * keys..3 * keys].fill(DEAD);
                mask[2 * keys + 3] = f32::NAN;
                mask[3 * keys..4 * keys].fill(-1e9);
                mask[3 * keys + 5] = 0.0;
            });
            case.check(13, |inputs| {
                inputs[0][0] = f32::NAN;
                inputs[0][9] = f32::INFINITY;
                inputs[0][17] = 1e38;
            });
            Case { mask: Masked::No, ..case }.check(14, |inputs| inputs[0][0] = f32::NAN);
            Case { mask: Masked::Keys, ..case }.check(15, |inputs| inputs[3].fill(DEAD));
            Case { mask: Masked::Keys, ..case }.check(16, |inputs| inputs[3].fill(f32::MIN));
            Case { mask: Masked::Keys, ..case }.check(17, |inputs| inputs[3][..7].fill(DEAD));
        }
    }
}

#[test]
fn large_scores_do_not_overflow() {
    for (rows, keys) in [(20, 20), (3, 1100)] {
        Case { rows, keys, packed: false, mask: Masked::No, ..BASE }.check(18, |inputs| inputs[0].iter_mut().for_each(|x| *x *= 1000.0));
        // Rising scores: each block of keys has a new greatest one.
        Case { rows, keys, packed: false, ..BASE }
            .check(19, |inputs| inputs[3].iter_mut().zip(0u16..).for_each(|(x, n)| *x += f32::from(n)));
    }
}

#[test]
fn constant_masks_lie_in_the_weights() {
    let case = Case { rows: 20, keys: 18, packed: false, ..BASE };
    let text = case
        .text()
        .replace("input \"mask\" b3 [18]\n", "")
        .replace(" weights 64\n", " weights 1024\n")
        .lines()
        .map(|line| if line.starts_with("buffer b3") { "buffer b3 \"mask\" f32 x 18 weights 320".to_owned() } else { line.to_owned() })
        .collect::<Vec<_>>()
        .join("\n");
    let plan = parse(&text);
    let mut random = Random::new(20);
    let inputs: Vec<Vec<u8>> = plan.inputs.iter().map(|port| random.fill(DType::F32, plan.buffers[port.buffer].len)).collect();
    let mut weights = random.fill(DType::F32, 256);
    weights[324..328].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    agree_on(&plan, &weights, &inputs, &[]);
}
