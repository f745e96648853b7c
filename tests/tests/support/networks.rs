//! Small networks of the kinds that people run, with noise for weights.
#![allow(dead_code)] // Each test file uses a part.

use crate::build::{FLOAT, INT64, bytes, float, floats_tensor, int, ints, longs_tensor, model, node, port};
use mlp_import::onnx::proto::{
    AttributeProto, FunctionProto, NodeProto, OperatorSetIdProto, SparseTensorProto, StringStringEntryProto, TensorProto,
};

/// Numbers between -0.5 and 0.5.
pub(crate) struct Noise(pub(crate) u32);

impl Noise {
    pub(crate) fn take(&mut self, count: usize) -> Vec<f32> {
        let mut next = || {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 17;
            self.0 ^= self.0 << 5;
            (f64::from(self.0) / f64::from(u32::MAX) - 0.5) as f32
        };
        (0..count).map(|_| next()).collect()
    }
}

/// A network with the parts of a mobile one: strided, depthwise and pointwise convolutions, a residual, pools, a classifier.
pub(crate) fn network(noise: &mut Noise) -> Vec<u8> {
    let mut weight = |name: &str, dims: &[i64]| floats_tensor(name, dims, &noise.take(dims.iter().product::<i64>() as usize));
    let weights = vec![
        weight("w0", &[12, 3, 3, 3]),
        weight("b0", &[12]),
        weight("w1", &[12, 1, 5, 5]),
        weight("w2", &[12, 12, 1, 1]),
        weight("w3", &[20, 12, 3, 3]),
        weight("w4", &[20, 10]),
        weight("b4", &[10]),
        weight("scale", &[12]),
        weight("shift", &[12]),
        weight("mean", &[12]),
        floats_tensor("variance", &[12], &[0.7; 12]),
    ];
    let nodes = vec![
        node(
            "Conv",
            &["x", "w0", "b0"],
            &["c0"],
            vec![ints("strides", &[2, 2]), ints("pads", &[1, 1, 1, 1]), ints("kernel_shape", &[3, 3])],
        ),
        node("Relu", &["c0"], &["r0"], vec![]),
        node("Conv", &["r0", "w1"], &["c1"], vec![int("group", 12), ints("pads", &[2, 2, 2, 2]), ints("kernel_shape", &[5, 5])]),
        node("BatchNormalization", &["c1", "scale", "shift", "mean", "variance"], &["n1"], vec![]),
        node("Conv", &["n1", "w2"], &["c2"], vec![ints("kernel_shape", &[1, 1])]),
        node("Add", &["c2", "r0"], &["a"], vec![]),
        node("MaxPool", &["a"], &["m"], vec![ints("kernel_shape", &[3, 3]), ints("strides", &[2, 2]), ints("pads", &[1, 1, 0, 0])]),
        node("Conv", &["m", "w3"], &["c3"], vec![ints("dilations", &[2, 2]), ints("kernel_shape", &[3, 3])]),
        node("GlobalAveragePool", &["c3"], &["g"], vec![]),
        node("Flatten", &["g"], &["f"], vec![]),
        node("Gemm", &["f", "w4", "b4"], &["l"], vec![]),
        node("Softmax", &["l"], &["y"], vec![int("axis", 1)]),
    ];
    bytes(&model(13, vec![port("x", FLOAT, &[1, 3, 29, 31])], weights, named(nodes), &["y"]))
}

/// An encoder layer as exporters write it out: embedded ids of an open number, attention of four heads over a batch of two, normalization, a feed-forward network.
pub(crate) fn encoder(noise: &mut Noise) -> Vec<u8> {
    let (width, wide) = (32, 64);
    let mut weights = vec![longs_tensor("heads", &[0, 0, 4, 8]), longs_tensor("joined", &[0, 0, width])];
    let mut weight = |name: &str, dims: &[i64]| {
        weights.push(floats_tensor(name, dims, &noise.take(dims.iter().product::<i64>() as usize)));
    };
    weight("words", &[50, width]);
    weight("scale", &[]);
    for (name, from, to) in
        [("q", width, width), ("k", width, width), ("v", width, width), ("o", width, width), ("up", width, wide), ("down", wide, width)]
    {
        weight(&format!("{name}.weight"), &[from, to]);
        weight(&format!("{name}.bias"), &[to]);
    }
    for name in ["first", "second"] {
        weight(&format!("{name}.scale"), &[width]);
        weight(&format!("{name}.shift"), &[width]);
    }
    let mut nodes = Nodes(vec![node("Gather", &["words", "ids"], &["x"], vec![])]);
    for (name, perm) in [("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])] {
        nodes.linear("x", name);
        nodes.add("Reshape", &[&format!("{name}.out"), "heads"], &format!("{name}.split"), vec![]);
        nodes.add("Transpose", &[&format!("{name}.split")], &format!("{name}.heads"), vec![ints("perm", &perm)]);
    }
    nodes.add("MatMul", &["q.heads", "k.heads"], "scores", vec![]);
    nodes.add("Mul", &["scores", "scale"], "scaled", vec![]);
    nodes.add("Softmax", &["scaled"], "probabilities", vec![int("axis", -1)]);
    nodes.add("MatMul", &["probabilities", "v.heads"], "mixed", vec![]);
    nodes.add("Transpose", &["mixed"], "mixed.rows", vec![ints("perm", &[0, 2, 1, 3])]);
    nodes.add("Reshape", &["mixed.rows", "joined"], "attended", vec![]);
    let normalized = || vec![int("axis", -1), float("epsilon", 1e-5)];
    nodes.linear("attended", "o");
    nodes.add("Add", &["o.out", "x"], "first.sum", vec![]);
    nodes.add("LayerNormalization", &["first.sum", "first.scale", "first.shift"], "first.out", normalized());
    nodes.linear("first.out", "up");
    nodes.add("Erf", &["up.out"], "erf", vec![]);
    nodes.add("Mul", &["up.out", "erf"], "active", vec![]);
    nodes.linear("active", "down");
    nodes.add("Add", &["down.out", "first.out"], "second.sum", vec![]);
    nodes.add("LayerNormalization", &["second.sum", "second.scale", "second.shift"], "y", normalized());
    bytes(&model(17, vec![port("ids", INT64, &[2, -1])], weights, named(nodes.0), &["y"]))
}

/// A model that says things in short: a function that calls another, a sparse tensor, weights of four bits, and one in a file that is not there.
pub(crate) fn in_short(noise: &mut Noise) -> Vec<u8> {
    let set = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
    let call = |name: &str, x: &str, y: &str| NodeProto { domain: "own".into(), ..node(name, &[x], &[y], vec![float("slope", 0.25)]) };
    let function = |name: &str, inner: NodeProto| FunctionProto {
        name: name.into(),
        domain: "own".into(),
        input: vec!["v".into()],
        output: vec!["w".into()],
        attribute: vec!["slope".into()],
        node: vec![inner],
        opset_import: vec![set("", 21), set("own", 1)],
        ..Default::default()
    };
    let leaky = NodeProto {
        attribute: vec![AttributeProto { name: "alpha".into(), ref_attr_name: "slope".into(), r#type: 1, ..Default::default() }],
        ..node("LeakyRelu", &["v"], &["w"], vec![])
    };
    let packed =
        TensorProto { name: "four".into(), data_type: 22, dims: vec![4, 6], raw_data: vec![0x7f; 12].into(), ..Default::default() };
    let location = StringStringEntryProto { key: "location".into(), value: "weights.bin".into() };
    let outside = TensorProto {
        name: "far".into(),
        data_type: FLOAT,
        dims: vec![6],
        data_location: 1,
        external_data: vec![location],
        ..Default::default()
    };
    let nodes = vec![
        call("outer", "x", "a"),
        node("DequantizeLinear", &["four", "scale"], &["w"], vec![]),
        node("MatMul", &["a", "w"], &["b"], vec![]),
        node("Add", &["b", "sparse"], &["y"], vec![]),
        node("Add", &["b", "far"], &["unused"], vec![]),
    ];
    let mut message = model(21, vec![port("x", FLOAT, &[2, 4])], vec![packed, outside, floats_tensor("scale", &[], &[0.5])], nodes, &["y"]);
    message.opset_import.push(set("own", 1));
    message.functions = vec![function("inner", leaky), function("outer", NodeProto { attribute: vec![], ..call("inner", "v", "w") })];
    let sparse = SparseTensorProto {
        values: Some(floats_tensor("sparse", &[2], &noise.take(2))),
        indices: Some(longs_tensor("", &[1, 4])),
        dims: vec![6],
    };
    message.graph.as_mut().expect("a graph").sparse_initializer.push(sparse);
    bytes(&message)
}

/// Nodes of one output each.
struct Nodes(Vec<NodeProto>);

impl Nodes {
    fn add(&mut self, op: &str, inputs: &[&str], output: &str, attributes: Vec<AttributeProto>) {
        self.0.push(node(op, inputs, &[output], attributes));
    }

    /// The product of `x` and the weights of that name, and their bias.
    fn linear(&mut self, x: &str, name: &str) {
        self.add("MatMul", &[x, &format!("{name}.weight")], &format!("{name}.product"), vec![]);
        self.add("Add", &[&format!("{name}.product"), &format!("{name}.bias")], &format!("{name}.out"), vec![]);
    }
}

/// Names each node, as diagnostics and reports tell them apart.
fn named(mut nodes: Vec<NodeProto>) -> Vec<NodeProto> {
    nodes.iter_mut().enumerate().for_each(|(index, node)| node.name = format!("node{index}"));
    nodes
}
