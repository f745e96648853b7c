//! Attention: odd sizes, every kind of mask, operands apart and in one buffer, rows without a finite score.

use crate::support::{Random, check_beside};
use mlp_bundle::plan::Plan;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Masks {
    No,
    /// `[keys]`, in the weights.
    Keys,
    /// `[rows, keys]`.
    Pairs,
    /// `[batch, heads, keys, rows]`.
    Turned,
    /// `[batch, rows]`, for all keys of a row alike.
    Rows,
}

#[derive(Clone, Debug)]
struct Case {
    batch: u32,
    heads: u32,
    rows: u32,
    keys: u32,
    depth: u32,
    width: u32,
    mask: Masks,
    guarded: bool,
    /// How many of eight mask values are `-inf`.
    hidden: u64,
}

impl Case {
    fn sizes(&self) -> [u32; 4] {
        let Case { batch, heads, rows, keys, depth, width, .. } = *self;
        [batch * rows * heads * depth, batch * keys * heads * (depth + width), batch * rows * heads * width, batch * heads * rows * keys]
    }

    /// Keys and values share a buffer; the query and the result have rows of all heads.
    fn plan(&self) -> String {
        let Case { batch, heads, rows, keys, depth, width, mask, .. } = *self;
        let [query, both, out, masks] = self.sizes();
        let both_row = heads * (depth + width);
        let mut place = 0;
        let mut arena = |count: u32| {
            let start = place;
            place += (count * 4).next_multiple_of(64) + 64;
            start
        };
        let [query_at, both_at, out_at, masks_at] = [query, both, out, masks].map(&mut arena);
        let (strides, buffer) = match mask {
            Masks::No => ([0; 4], None),
            Masks::Keys => ([0, 0, 0, 1], Some("b4")),
            Masks::Pairs => ([0, 0, keys, 1], Some("b3")),
            Masks::Turned => ([heads * rows * keys, rows * keys, 1, rows], Some("b3")),
            Masks::Rows => ([rows, 0, 1, 0], Some("b3")),
        };
        let masked = buffer.map_or(String::new(), |buffer| format!("  mask {buffer} at 0 by {strides:?}\n"));
        format!(
            r#"
plan "attention" version 1 arena {place} weights {}
buffer b0 "query" f32 x {query} arena {query_at}
buffer b1 "both" f32 x {both} arena {both_at}
buffer b2 "out" f32 x {out} arena {out_at}
buffer b3 "mask" f32 x {masks} arena {masks_at}
buffer b4 "fixed" f32 x {keys} weights 0
input "query" b0 [{query}]
input "both" b1 [{both}]
input "mask" b3 [{masks}]
output "out" b2 [{out}]

kernel attention {{
  attention batch {batch} heads {heads} rows {rows} keys {keys} depth {depth} width {width} scale f32 0.375{}
  query b0 at 0 by [{}, {depth}, {}]
  key b1 at 0 by [{}, {depth}, {both_row}]
  value b1 at {} by [{}, {width}, {both_row}]
  out b2 at 0 by [{}, {width}, {}]
{masked}}}
"#,
            (keys * 4).next_multiple_of(64) + 64,
            if self.guarded { " guarded" } else { "" },
            rows * heads * depth,
            heads * depth,
            keys * both_row,
            heads * depth,
            keys * both_row,
            rows * heads * width,
            heads * width,
        )
    }

    fn check(&self, seed: u64) {
        let text = self.plan();
        let plan: Plan = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut random = Random(seed | 1);
        let [query, both, _, masks] = self.sizes();
        let mut floats = |count: u32| -> Vec<u8> { (0..count).flat_map(|_| random.unit().to_le_bytes()).collect() };
        let (query, both) = (floats(query), floats(both));
        let mut mask = |count: u32| -> Vec<u8> {
            (0..count)
                .flat_map(|_| if random.next() % 8 < self.hidden { f32::NEG_INFINITY } else { random.unit() * 4.0 }.to_le_bytes())
                .collect()
        };
        let masks = mask(masks);
        let mut weights = mask(self.keys);
        weights.resize(plan.weights_bytes as usize, 0);
        check_beside(&plan, &weights, &[&query, &both, &masks], &[], 1.0);
    }
}

fn masks() -> impl Strategy<Value = Masks> {
    prop_oneof![Just(Masks::No), Just(Masks::Keys), Just(Masks::Pairs), Just(Masks::Turned), Just(Masks::Rows)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_sizes(
        (batch, heads, rows, keys) in (1..3u32, 1..4u32, 1..15u32, 1..40u32),
        (depth, width, mask, guarded) in (1..14u32, 1..22u32, masks(), any::<bool>()),
        hidden in prop_oneof![Just(0u64), Just(3), Just(7), Just(8)],
        seed in any::<u64>(),
    ) {
        Case { batch, heads, rows, keys, depth, width, mask, guarded, hidden }.check(seed);
    }
}

/// Sizes at which models run.
#[test]
fn sizes_of_models() {
    for (rows, keys, depth, mask) in
        [(128, 128, 32, Masks::Keys), (50, 50, 64, Masks::No), (77, 77, 64, Masks::Pairs), (1, 197, 64, Masks::No)]
    {
        Case { batch: 1, heads: 2, rows, keys, depth, width: depth, mask, guarded: true, hidden: 1 }.check(7);
    }
}

/// Scores that differ by more than an exponent holds, and inputs that are no numbers.
#[test]
fn unusual_scores() {
    for guarded in [false, true] {
        let case = Case { batch: 1, heads: 1, rows: 9, keys: 6, depth: 4, width: 5, mask: Masks::Pairs, guarded, hidden: 0 };
        let plan: Plan = case.plan().parse().unwrap();
        let [query, both, _, masks] = case.sizes().map(|count| count as usize);
        let mut random = Random(99);
        let mut query: Vec<f32> = (0..query).map(|_| random.unit()).collect();
        let both: Vec<f32> = (0..both).map(|_| random.unit()).collect();
        let mut mask: Vec<f32> = (0..masks).map(|_| random.unit()).collect();
        // A NaN whose lowest bits are set, an infinite score, great and small ones, rows of nothing, and one key alone.
        query[4] = f32::from_bits(0x7fc0_0155);
        mask[2 * 6 + 3] = f32::INFINITY;
        mask[3 * 6..4 * 6].copy_from_slice(&[1e30, -1e30, 1e30, 0.0, -200.0, 5.0]);
        mask[4 * 6..5 * 6].copy_from_slice(&[-3e38; 6]);
        mask[5 * 6..6 * 6].copy_from_slice(&[f32::NEG_INFINITY; 6]);
        mask[6 * 6..7 * 6].copy_from_slice(&[f32::NEG_INFINITY; 6]);
        mask[6 * 6 + 5] = -1e6;
        mask[7 * 6..8 * 6].copy_from_slice(&[0.0, -80.0, -85.0, -87.0, -100.0, -120.0]);
        mask[8 * 6 + 1] = f32::NAN;
        let bytes = |values: &[f32]| -> Vec<u8> { values.iter().flat_map(|value| value.to_le_bytes()).collect() };
        check_beside(&plan, &vec![0; plan.weights_bytes as usize], &[&bytes(&query), &bytes(&both), &bytes(&mask)], &[], 1.0);
    }
}
