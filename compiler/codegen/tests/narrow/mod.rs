//! Products whose weights are kept in fewer bits, as plans: for the tests of both code generators.

/// A product of `rows` pixels of `inputs` channels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    /// `f16`, `bf16`, or the bits of whole numbers: `8`, `4`.
    pub(crate) form: &'static str,
    pub(crate) rows: u32,
    pub(crate) inputs: u32,
    pub(crate) outputs: u32,
    /// Inputs that share a scale.
    pub(crate) per: u32,
    /// Elements of a pixel before and after its channels.
    pub(crate) spare: [u32; 2],
    /// Bytes of other constants before the weights.
    pub(crate) before: u32,
}

impl Product {
    /// Every form over sizes that fill panels and blocks or do not, some of many blocks of pixels.
    pub(crate) fn all() -> Vec<Product> {
        let sizes = [(1, 64, 48, 32), (2, 36, 17, 12), (7, 40, 8, 40), (130, 48, 33, 16), (5, 300, 20, 100), (64, 128, 144, 64)];
        let of_form = |form| {
            sizes.into_iter().enumerate().map(move |(n, (rows, inputs, outputs, per))| {
                let odd = n as u32 % 2;
                Product { form, rows, inputs, outputs, per, spare: [3 * odd, 2 * odd], before: 64 * (n as u32 % 3) }
            })
        };
        ["f16", "bf16", "8", "4"].into_iter().flat_map(of_form).collect()
    }

    /// The plan: its weights are buffer `b1`, scales `b2`, a bias `b4`, and what comes out of a clamp `b3`.
    pub(crate) fn text(&self) -> String {
        let Product { form, rows, inputs, outputs, per, spare: [first, last], before } = *self;
        let panels = outputs.div_ceil(16);
        let (dtype, elements, bytes) = match form {
            "8" => ("i8", panels * inputs * 16, 1),
            "4" => ("u8", panels * inputs * 8, 1),
            _ => (form, panels * inputs * 16, 2),
        };
        let scales = before + (elements * bytes).next_multiple_of(64) + 64;
        let bias = scales + (panels * (inputs / per) * 64) + 64;
        let pixel = first + inputs + last;
        let y = (rows * pixel * 4).next_multiple_of(64) + 64;
        let scaled = if matches!(form, "4" | "8") { format!("scales b2 per {per} bits {form} ") } else { String::new() };
        format!(
            r#"
plan "narrow" version 1 arena {arena} weights {end}
buffer b0 "x" f32 x {x} arena 0
buffer b1 "w" {dtype} x {elements} weights {before}
buffer b2 "scales" f32 x {factors} weights {scales}
buffer b3 "y" f32 x {results} arena {y}
buffer b4 "bias" f32 x {outputs} weights {bias}
input "x" b0 [{x}]
output "y" b3 [{results}]

kernel product {{
  contract f32 b0 * b1 {scaled}batch 1 in 1 x {rows} x {inputs} pixel {pixel} offset {first} out 1 x {rows} x {outputs} kernel 1 x 1 stride 1 x 1 dilation 1 x 1 pad 0 x 0
  v0 = total 0
  v1 = load b4 at 0 [1*i1 of {outputs} by 1]
  v2 = add v0 v1
  store b3 at 0 [1*i0 of {rows} by {outputs}, 1*i1 of {outputs} by 1] = v2
}}
"#,
            x = rows * pixel,
            factors = panels * (inputs / per) * 16,
            results = rows * outputs,
            arena = y + (rows * outputs * 4).next_multiple_of(64) + 64,
            end = bias + (outputs * 4).next_multiple_of(64) + 64,
        )
    }

    /// Makes the scales of a file of weights small, so that sums of whole numbers are of a size with those of floats; `unit` gives numbers below 1.
    pub(crate) fn scale(&self, weights: &mut [u8], at: usize, mut unit: impl FnMut() -> f32) {
        let count = self.outputs.div_ceil(16) * (self.inputs / self.per) * 16;
        for scale in weights[at..][..count as usize * 4].chunks_exact_mut(4) {
            scale.copy_from_slice(&(0.01 + 0.005 * unit()).to_le_bytes());
        }
    }
}
