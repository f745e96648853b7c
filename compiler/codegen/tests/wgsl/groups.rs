//! Convolutions of several groups: one dispatch, whose results are those of the graph's reference interpreter.

use crate::harness::{Random, agree_with};
use mlp_bundle::gpu::GpuProgram;
use mlp_graph::{Graph, Tensor};
use mlp_plan::{PlanOptions, Planned};

/// The sizes of one convolution, over a picture of `size`; channels are those of a group.
#[derive(Clone, Copy, Debug)]
struct Geometry {
    batch: u64,
    size: [u64; 2],
    groups: u64,
    inputs: u64,
    outputs: u64,
    kernel: [u64; 2],
    strides: [u64; 2],
    dilations: [u64; 2],
    /// Before and behind.
    pads: [[u64; 2]; 2],
}

const BASE: Geometry = Geometry {
    batch: 1,
    size: [6, 7],
    groups: 2,
    inputs: 8,
    outputs: 16,
    kernel: [1, 1],
    strides: [1, 1],
    dilations: [1, 1],
    pads: [[0; 2]; 2],
};

impl Geometry {
    fn random(random: &mut Random) -> Geometry {
        let mut below = |n: u64| u64::from(random.next()) % n;
        let groups = [2, 3, 4, 5, 8][below(5) as usize];
        // From 16 outputs on, no groups are joined; of fewer there are pairs and more.
        let outputs = [4, 6, 9, 16, 17, 18, 19, 20, 22, 36][below(10) as usize];
        let inputs = [1, 2, 3, 4, 5, 8, 12, 18, 20, 70][below(10) as usize];
        let window = [[1, 1], [3, 3], [2, 3]][below(3) as usize];
        let geometry = Geometry {
            batch: 1 + below(2),
            size: [5 + below(5), 5 + below(4)],
            groups,
            inputs,
            outputs,
            kernel: window,
            strides: [1 + below(2), 1 + below(2)],
            dilations: [1 + below(2), 1 + below(2)],
            pads: [[below(2), below(3)], [below(2), below(2)]],
        };
        if below(3) == 0 { Geometry { kernel: [1, 1], strides: [1, 1], pads: [[0; 2]; 2], ..geometry } } else { geometry }
    }

    fn out(&self, axis: usize) -> u64 {
        let padded = self.size[axis] + self.pads[0][axis] + self.pads[1][axis];
        (padded - (self.kernel[axis] - 1) * self.dilations[axis] - 1) / self.strides[axis] + 1
    }

    fn shapes(&self) -> [[u64; 4]; 2] {
        let Geometry { batch, size, groups, .. } = *self;
        [[batch, size[0], size[1], groups * self.inputs], [batch, self.out(0), self.out(1), groups * self.outputs]]
    }

    fn attributes(&self) -> String {
        let Geometry { kernel, strides, dilations, pads, groups, .. } = self;
        let [before, behind] = pads;
        format!(
            "kernel={kernel:?}, strides={strides:?}, dilations={dilations:?}, pads_begin={before:?}, pads_end={behind:?}, groups={groups}, \
             layout=channels_last"
        )
    }

    /// Bias, a residual, a clamp; `tail` makes the output `%8` of `%7`.
    fn floats(&self, tail: &str) -> String {
        let ([x, y], attributes) = (self.shapes(), self.attributes());
        let (outputs, inputs, [kh, kw]) = (self.groups * self.outputs, self.inputs, self.kernel);
        format!(
            r#"input %0 "x": f32{x:?}
            input %1 "r": f32{y:?}
            %2 = constant noise(1): f32[{outputs}, {inputs}, {kh}, {kw}]
            %3 = constant noise(2): f32[{outputs}]
            %4 = conv %0, %2, %3 {{{attributes}}}: f32{y:?}
            %5 = add %4, %1: f32{y:?}
            %6 = constant splat(0.5): f32[]
            %7 = max %5, %6: f32{y:?}
            {tail}
            output "y" %8"#
        )
    }

    fn bytes(&self, dtype: &str) -> String {
        let ([x, y], attributes) = (self.shapes(), self.attributes());
        let (outputs, inputs, [kh, kw]) = (self.groups * self.outputs, self.inputs, self.kernel);
        let (zero, low) = if dtype == "u8" { (128, 3) } else { (-5, -120) };
        format!(
            r#"input %0 "x": {dtype}{x:?}
            %1 = constant noise(1): i8[{outputs}, {inputs}, {kh}, {kw}]
            %2 = constant noise(2): i32[{outputs}]
            %3 = constant noise(3): i32[{outputs}]
            %4 = quantized_conv %0, %1, %2, %3 {{{attributes}, in_zero={zero}, out_zero=7, shift=9, to={dtype}, lo={low}, hi=127}}: {dtype}{y:?}
            output "y" %4"#
        )
    }
}

fn graph(text: &str) -> Graph {
    let text = format!("graph \"test\" {{\n{text}\n}}\n");
    let graph = mlp_graph::text::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    mlp_graph::verify::verify(&graph).unwrap_or_else(|error| panic!("{error}\n{text}"));
    graph
}

/// Runs the plan of a graph with each variant of its kernels beside the graph itself.
fn check(text: &str, seed: u64) -> GpuProgram {
    let graph = graph(text);
    let mut random = Random::new(seed);
    let constant = |dim: &mlp_graph::Dim| dim.constant().expect("sizes are constant");
    let inputs: Vec<Tensor> = graph
        .inputs
        .iter()
        .map(|port| {
            let ty = graph.ty(port.value);
            let shape: Vec<u64> = ty.shape.0.iter().map(constant).collect();
            let bytes = random.fill(ty.dtype, shape.iter().product());
            Tensor::new(ty.dtype, shape, bytes).expect("as many bytes as elements")
        })
        .collect();
    let expected = mlp_graph::eval::run(&graph, &inputs).unwrap_or_else(|error| panic!("{error}"));
    let expected: Vec<Vec<u8>> = expected.iter().map(|tensor| tensor.bytes().to_vec()).collect();
    let Planned { plan, weights, .. } = mlp_plan::plan(&graph, &PlanOptions::all()).unwrap_or_else(|error| panic!("{error}"));
    let bytes: Vec<&[u8]> = inputs.iter().map(Tensor::bytes).collect();
    agree_with(&plan, &weights, &bytes, &[], &expected)
}

/// An output as it is.
fn plain(geometry: &Geometry) -> String {
    format!("%8 = neg %7: f32{:?}", geometry.shapes()[1])
}

fn check_types(geometry: &Geometry, seed: u64) {
    for text in [geometry.floats(&plain(geometry)), geometry.bytes("u8"), geometry.bytes("i8")] {
        assert_eq!(check(&text, seed).dispatches.len(), 1, "{geometry:?}");
    }
}

#[test]
fn every_geometry_is_one_dispatch() {
    let mut random = Random::new(11);
    for seed in 0..24 {
        check_types(&Geometry::random(&mut random), seed);
    }
}

/// Tiles of several workgroups, split sums, and what lies between; the variants are there.
#[test]
fn groups_have_all_variants() {
    let large = Geometry { size: [9, 8], groups: 3, inputs: 80, outputs: 20, ..BASE };
    let window = Geometry { kernel: [3, 3], pads: [[1; 2]; 2], ..large };
    let huge = Geometry { size: [5, 4], groups: 2, inputs: 68, outputs: 134, ..window };
    let geometries =
        [huge, large, window, Geometry { outputs: 50, ..large }, Geometry { outputs: 34, inputs: 68, strides: [2, 1], ..window }];
    for (seed, geometry) in geometries.iter().enumerate() {
        check_types(geometry, seed as u64);
        let variants = |text: &str| {
            let program = check(text, 5);
            program.variants().into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        let wide = geometry.outputs >= 128;
        let expected = |mut names: Vec<&'static str>| {
            names.extend(["split", "subgroup", "tiled"].into_iter().filter(|&name| wide || name != "subgroup"));
            names
        };
        assert_eq!(variants(&geometry.floats(&plain(geometry))), expected(vec![]), "{geometry:?}");
        assert_eq!(variants(&geometry.bytes("i8")), expected(vec!["dot"]), "{geometry:?}");
    }
    check_types(&Geometry { groups: 32, inputs: 4, outputs: 4, ..window }, 9);
    check_types(&Geometry { groups: 32, inputs: 16, outputs: 16, size: [1, 1], ..BASE }, 9);
}

/// Channels that are shuffled, moved forward, or part of a concatenation lie apart, as do the groups that make them.
#[test]
fn groups_store_where_their_channels_go() {
    let shuffled = Geometry { groups: 4, outputs: 18, ..BASE };
    let [_, [n, h, w, c]] = shuffled.shapes();
    let text = shuffled.floats(&format!(
        "%9 = reshape %7: f32[{n}, {h}, {w}, 4, 18]\n%10 = transpose %9 {{perm=[0, 1, 2, 4, 3]}}: f32[{n}, {h}, {w}, 18, 4]\n\
         %8 = reshape %10: f32[{n}, {h}, {w}, {c}]"
    ));
    // The shuffle is a copy of its own, at the output.
    assert_eq!(check(&text, 1).dispatches.len(), 2);
    let text = shuffled.floats(&format!("%8 = transpose %7 {{perm=[0, 3, 1, 2]}}: f32[{n}, {c}, {h}, {w}]"));
    assert_eq!(check(&text, 2).dispatches.len(), 2);
    let text = shuffled.floats(&format!("%8 = concat %1, %7 {{axis=3}}: f32[{n}, {h}, {w}, {}]", 2 * c));
    assert_eq!(check(&text, 3).dispatches.len(), 2);
    // The tail that a contraction cannot take is a kernel of its own, once.
    let square = Geometry { size: [6, 6], ..shuffled };
    let text =
        square.floats(&format!("%9 = transpose %1 {{perm=[0, 2, 1, 3]}}: f32[{n}, 6, 6, {c}]\n%8 = mul %7, %9: f32[{n}, 6, 6, {c}]"));
    assert_eq!(check(&text, 4).dispatches.len(), 2);
}

/// Equal weights are kept once.
#[test]
fn groups_of_equal_weights_share_them() {
    let Geometry { inputs, .. } = BASE;
    let ([x, y], attributes) = (BASE.shapes(), BASE.attributes());
    let program = check(
        &format!(
            r#"input %0 "x": f32{x:?}
            %1 = constant splat(0.25): f32[32, {inputs}, 1, 1]
            %2 = constant noise(2): f32[32]
            %3 = conv %0, %1, %2 {{{attributes}}}: f32{y:?}
            output "y" %3"#
        ),
        1,
    );
    assert_eq!(program.dispatches.len(), 1);
}
