//! Products whose images have weights of their own, which kernels before have packed, as plans: for the tests of both code generators.

/// Sizes that fill panels, tiles and blocks or do not: images, rows, inputs, outputs, elements of a pixel before and after its channels, and whether the results of
/// an image are stored beside those of others.
const SIZES: [(u32, u32, u32, u32, [u32; 2], bool); 8] = [
    (2, 3, 4, 9, [0, 0], false),
    (3, 1, 20, 17, [1, 2], true),
    (5, 7, 16, 16, [0, 0], true),
    (4, 33, 24, 48, [0, 8], false),
    (6, 12, 64, 5, [4, 0], true),
    (2, 130, 36, 144, [0, 0], false),
    (17, 5, 9, 33, [0, 3], false),
    (1, 40, 8, 20, [0, 0], false),
];

/// The plans: an input, weights that are an input too, a bias, and a clamp.
pub(crate) fn plans() -> Vec<String> {
    SIZES.into_iter().map(plan).collect()
}

fn plan((images, rows, inputs, outputs, [first, last], beside): (u32, u32, u32, u32, [u32; 2], bool)) -> String {
    let pixel = first + inputs + last;
    let (x, w, results) = (images * rows * pixel, images * outputs.div_ceil(16) * inputs * 16, images * rows * outputs);
    let room = |elements: u32| (elements * 4).next_multiple_of(64) + 64;
    let (at_w, at_y) = (room(x), room(x) + room(w));
    // Pixels lie one after the other in any case: rows of results may have space between them.
    let step = if beside { outputs + 3 } else { outputs };
    let y = if beside { (images * rows - 1) * step + outputs } else { results };
    format!(
        r#"
plan "images" version 1 arena {arena} weights {end}
buffer b0 "x" f32 x {x} arena 0
buffer b1 "w" f32 x {w} arena {at_w}
buffer b2 "y" f32 x {y} arena {at_y}
buffer b3 "bias" f32 x {outputs} weights 0
input "x" b0 [{x}]
input "w" b1 [{w}]
output "y" b2 [{y}]

kernel product {{
  contract f32 b0 * b1 each batch {images} in 1 x {rows} x {inputs} pixel {pixel} offset {first} out 1 x {rows} x {outputs} kernel 1 x 1 stride 1 x 1 dilation 1 x 1 pad 0 x 0
  v0 = total 0
  v1 = load b3 at 0 [1*i1 of {outputs} by 1]
  v2 = add v0 v1
  v3 = const f32 4.0
  v4 = min v2 v3
  store b2 at 0 [1*i0 of {pixels} by {step}, 1*i1 of {outputs} by 1] = v4
}}
"#,
        pixels = images * rows,
        arena = at_y + room(y),
        end = room(outputs),
    )
}
