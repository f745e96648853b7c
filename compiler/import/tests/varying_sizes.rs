//! Operators over sizes that vary: what the one graph gives at each size is what the model imported for that size gives.

#[path = "support/build.rs"]
mod build;

use build::*;
use mlp_graph::dynamic::{DynamicError, Varying, join};
use mlp_graph::{DType, Graph, Tensor, eval, passes};
use mlp_import::ImportError;
use mlp_import::onnx::proto::{ModelProto, NodeProto, TensorProto};
use mlp_import::onnx::{FamilySizes, ImportOptions, import};

const MOST: [u64; 2] = [7, 5];

fn at(model: &[u8], sizes: &[u64], family: Option<&FamilySizes>) -> Result<Graph, ImportError> {
    let dims = sizes.iter().enumerate().map(|(index, &size)| (format!("d{index}"), size)).collect();
    let mut graph = import(model, &ImportOptions { dims, family: family.cloned() })?;
    passes::optimize(&mut graph).expect("it is optimized");
    Ok(graph)
}

/// The graph for all sizes; `computed` where what follows from sizes is computed when the model runs.
fn joined(model: &[u8], most: &[u64], computed: bool) -> Result<Graph, DynamicError<ImportError>> {
    let varying: Vec<Varying> = most.iter().enumerate().map(|(index, &most)| Varying::new(format!("d{index}"), most)).collect();
    let family = if computed { FamilySizes::computed() } else { FamilySizes::default() };
    let mut graph = join(&varying, &mut |sizes: &[u64]| at(model, sizes, Some(&family)))?;
    passes::optimize(&mut graph).expect("it is optimized");
    Ok(graph)
}

/// Runs a model at all sizes, both ways. `inputs` makes its inputs at a size.
fn check(what: &str, model: &ModelProto, most: &[u64], computed: bool, inputs: impl Fn(&[u64]) -> Vec<Tensor>) {
    let model = bytes(model);
    let graph = joined(&model, most, computed).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut point = vec![1; most.len()];
    loop {
        let given = inputs(&point);
        let expected = eval::run(&at(&model, &point, None).unwrap(), &given).unwrap();
        let found = eval::run(&graph, &given).unwrap_or_else(|error| panic!("{what} at {point:?}: {error}"));
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.shape(), expected.shape(), "{what} at {point:?}");
            let far = found.to_f64().iter().zip(expected.to_f64()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(far < 1e-5, "{what} at {point:?}: {far}");
        }
        let Some(next) = (0..most.len()).find(|&symbol| point[symbol] < most[symbol]) else { return };
        point[next] += 1;
        point[..next].fill(1);
    }
}

fn image(point: &[u64]) -> Vec<Tensor> {
    vec![Tensor::noise(DType::F32, &[1, 2, point[0], point[1]], 3 + point[0]).unwrap()]
}

fn of_image(nodes: Vec<NodeProto>, stored: Vec<TensorProto>) -> ModelProto {
    model(17, vec![port("x", FLOAT, &[1, 2, -1, -2])], stored, nodes, &["y"])
}

#[test]
fn images_are_resampled_by_scales_and_to_sizes() {
    for mode in ["linear", "cubic"] {
        for coordinates in ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"] {
            for scale in [2.0, 1.5, 0.6] {
                let attributes = || vec![string("mode", mode), string("coordinate_transformation_mode", coordinates)];
                let scales = floats_tensor("scales", &[4], &[1.0, 1.0, scale, 3.0]);
                let by_scales = node("Resize", &["x", "", "scales"], &["y"], attributes());
                // A size of 1 times 0.6 is none.
                if scale > 1.0 {
                    check(&format!("{mode} {coordinates} {scale}"), &of_image(vec![by_scales], vec![scales]), &MOST, false, image);
                }
                let stored = vec![longs_tensor("start", &[0]), longs_tensor("two", &[2]), longs_tensor("more", &[3, 1])];
                let to_sizes = vec![
                    node("Shape", &["x"], &["whole"], vec![]),
                    node("Slice", &["whole", "start", "two"], &["kept"], vec![]),
                    node("Slice", &["whole", "two", "four"], &["sides"], vec![]),
                    node("Add", &["sides", "more"], &["wider"], vec![]),
                    node("Concat", &["kept", "wider"], &["sizes"], vec![int("axis", 0)]),
                    node("Resize", &["x", "", "", "sizes"], &["y"], attributes()),
                ];
                let stored = [stored, vec![longs_tensor("four", &[4])]].concat();
                check(&format!("{mode} {coordinates} to sizes"), &of_image(to_sizes, stored), &MOST, false, image);
            }
        }
    }
}

#[test]
fn images_that_keep_their_proportions_are_resampled_by_one_scale() {
    let attributes = vec![string("mode", "linear"), string("keep_aspect_ratio_policy", "not_larger"), ints("axes", &[2, 3])];
    let resized = node("Resize", &["x", "", "", "sizes"], &["y"], attributes);
    let model = model(19, vec![port("x", FLOAT, &[-1, 2, 3, 5])], vec![longs_tensor("sizes", &[7, 9])], vec![resized], &["y"]);
    check("not larger", &model, &[4], false, |point| vec![Tensor::noise(DType::F32, &[point[0], 2, 3, 5], 5).unwrap()]);
}

#[test]
fn edges_are_padded_by_what_lies_near_them() {
    for mode in ["edge", "wrap", "reflect"] {
        let padded = node("Pad", &["x", "pads"], &["y"], vec![string("mode", mode)]);
        let pads = longs_tensor("pads", &[0, 0, 2, 3, 0, 0, 1, 4]);
        check(mode, &of_image(vec![padded], vec![pads]), &MOST, false, image);
    }
}

#[test]
fn running_sums_go_either_way() {
    for (reverse, exclusive) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let sums = node("CumSum", &["x", "axis"], &["y"], vec![int("reverse", reverse), int("exclusive", exclusive)]);
        check(&format!("{reverse} {exclusive}"), &of_image(vec![sums], vec![longs_tensor("axis", &[2])]), &MOST, false, image);
    }
}

#[test]
fn rows_are_selected_from_as_many_as_there_are() {
    let nodes = vec![
        node("Greater", &["x", "zero"], &["mask"], vec![]),
        node("Compress", &["x", "mask"], &["kept"], vec![int("axis", 0)]),
        node("ReduceSum", &["kept"], &["sum"], vec![int("keepdims", 0)]),
        node("ReduceMax", &["kept"], &["most"], vec![int("keepdims", 0)]),
        node("Size", &["kept"], &["size"], vec![]),
    ];
    let stored = vec![floats_tensor("zero", &[1], &[0.0])];
    let model = model(18, vec![port("x", FLOAT, &[-1])], stored, nodes, &["sum", "most", "size"]);
    check("a selection", &model, &[9], false, |point| {
        let values: Vec<f32> = (0..point[0]).map(|index| ((index * 37 + 11) % 13) as f32 - 5.0).collect();
        vec![Tensor::from_f32(&[point[0]], &values).unwrap()]
    });
}

#[test]
fn channels_are_normalized_over_what_there_is() {
    let stored = vec![floats_tensor("scale", &[2], &[1.5, 0.5]), floats_tensor("bias", &[2], &[0.25, -1.0])];
    let normal = node("InstanceNormalization", &["x", "scale", "bias"], &["y"], vec![float("epsilon", 1e-3)]);
    check("instance normalization", &of_image(vec![normal], stored), &MOST, false, image);
}

#[test]
fn elements_are_gathered_along_an_axis_beside_one_that_varies() {
    let inputs = vec![port("x", FLOAT, &[-1, -2, 3]), port("i", INT64, &[-1, -2, 2])];
    let gathered = node("GatherElements", &["x", "i"], &["y"], vec![int("axis", 2)]);
    check("GatherElements", &model(17, inputs, vec![], vec![gathered], &["y"]), &MOST, false, |point| {
        let count = point[0] * point[1] * 2;
        let indices: Vec<i64> = (0..count as i64).map(|at| at * 7 % 3).collect();
        vec![Tensor::noise(DType::F32, &[point[0], point[1], 3], 5).unwrap(), Tensor::from_i64(&[point[0], point[1], 2], &indices).unwrap()]
    });
}

/// The centres of an image's cells, side by side, added to what there is in each: as detectors are exported.
fn anchors() -> ModelProto {
    let stored = vec![
        longs_tensor("2", &[2]),
        longs_tensor("3", &[3]),
        floats_tensor("zero", &[], &[0.0]),
        floats_tensor("one", &[], &[1.0]),
        floats_tensor("half", &[], &[0.5]),
        longs_tensor("column", &[-1, 1]),
        longs_tensor("flat", &[1, 1, -1]),
        longs_tensor("cells", &[1, 2, -1]),
        longs_tensor("none", &[]),
    ];
    let scalar = |index: &str, name: &str| {
        vec![
            node("Gather", &["shape", index], &[&format!("{name}1")], vec![]),
            node("Reshape", &[&format!("{name}1"), "none"], &[name], vec![]),
            node("Cast", &[name], &[&format!("{name}f")], vec![int("to", 1)]),
            node("Range", &["zero", &format!("{name}f"), "one"], &[&format!("{name}s")], vec![]),
            node("Add", &[&format!("{name}s"), "half"], &[&format!("{name}c")], vec![]),
        ]
    };
    let mut nodes = vec![node("Shape", &["x"], &["shape"], vec![])];
    nodes.extend(scalar("2", "h"));
    nodes.extend(scalar("3", "w"));
    nodes.extend([
        node("Gather", &["shape", "2"], &["rows"], vec![]),
        node("Gather", &["shape", "3"], &["columns"], vec![]),
        node("Concat", &["rows", "columns"], &["grid"], vec![int("axis", 0)]),
        node("Reshape", &["hc", "column"], &["down"], vec![]),
        node("Expand", &["down", "grid"], &["ys"], vec![]),
        node("Expand", &["wc", "grid"], &["xs"], vec![]),
        node("Reshape", &["ys", "flat"], &["yf"], vec![]),
        node("Reshape", &["xs", "flat"], &["xf"], vec![]),
        node("Concat", &["xf", "yf"], &["centres"], vec![int("axis", 1)]),
        node("Reshape", &["x", "cells"], &["values"], vec![]),
        node("Add", &["values", "centres"], &["y"], vec![]),
    ]);
    of_image(nodes, stored)
}

#[test]
fn anchors_of_detectors_are_computed_of_the_sizes() {
    let refused = joined(&bytes(&anchors()), &MOST, false).unwrap_err().to_string();
    assert!(refused.contains("its numbers are others at other sizes"), "{refused}");
    check("anchors", &anchors(), &MOST, true, image);
}

#[test]
fn positions_go_on_after_a_past() {
    let stored = vec![
        longs_tensor("0", &[0]),
        longs_tensor("none", &[]),
        longs_tensor("last", &[1]),
        floats_tensor("table", &[12, 2], &(0..24).map(|value| value as f32).collect::<Vec<_>>()),
    ];
    let part = |x: &str, name: &str| {
        vec![
            node("Shape", &[x], &[&format!("{name}shape")], vec![]),
            node("Gather", &[&format!("{name}shape"), "0"], &[&format!("{name}1")], vec![]),
            node("Reshape", &[&format!("{name}1"), "none"], &[name], vec![]),
        ]
    };
    let mut nodes = [part("past", "p"), part("x", "n")].concat();
    nodes.extend([
        node("Add", &["p", "n"], &["total"], vec![]),
        node("Reshape", &["last", "none"], &["one"], vec![]),
        node("Range", &["p", "total", "one"], &["positions"], vec![]),
        node("Gather", &["table", "positions"], &["embedded"], vec![]),
        node("Add", &["x", "embedded"], &["sum"], vec![]),
        node("Concat", &["past", "sum"], &["y"], vec![int("axis", 0)]),
    ]);
    let decoder = model(17, vec![port("past", FLOAT, &[-1, 2]), port("x", FLOAT, &[-2, 2])], stored, nodes, &["y"]);
    check("positions", &decoder, &MOST, true, |point| {
        point.iter().map(|&size| Tensor::noise(DType::F32, &[size, 2], size).unwrap()).collect()
    });
}

#[test]
fn constants_that_are_one_by_chance_are_told_apart() {
    // At the greatest sizes, which are equal, both axes have the same positions.
    let nodes = vec![
        node("Shape", &["x"], &["shape"], vec![]),
        node("ConstantOfShape", &["shape"], &["ones"], vec![tensor_attribute("value", floats_tensor("", &[1], &[1.0]))]),
        node("CumSum", &["ones", "2"], &["ys"], vec![]),
        node("CumSum", &["ones", "3"], &["xs"], vec![]),
        node("Mul", &["ys", "xs"], &["yx"], vec![]),
        node("Add", &["x", "yx"], &["y"], vec![]),
    ];
    check("chance", &of_image(nodes, vec![longs_tensor("2", &[2]), longs_tensor("3", &[3])]), &[5, 5], false, image);
}
