//! Models whose layers are written in the language: what is left of them, and what is said of those that do not fit their files.

mod world;

use mlp_analysis::{Analysis, Dim, LayerIntrinsic, Network, NetworkOp, NetworkValue, Operand, Value, check};
use mlp_syntax::Code;
use world::TestWorld;

fn network(analysis: &Analysis) -> &Network {
    assert_eq!(analysis.diagnostics(), [], "{:#?}", analysis.diagnostics());
    analysis.program().models[0].network.as_ref().expect("the model has layers")
}

/// The keys of torchvision's MobileNetV2, by its own description: `t, c, n, s` of each stage.
fn mobilenet_keys() -> String {
    let mut keys = Vec::new();
    let mut convolution = |path: &str, next: &str, out: u64, into: u64, kernel: u64| {
        keys.push(format!("{path}.weight f32[{out}, {into}, {kernel}, {kernel}]"));
        for name in ["weight", "bias", "running_mean", "running_var"] {
            keys.push(format!("{next}.{name} f32[{out}]"));
        }
        keys.push(format!("{next}.num_batches_tracked i64[]"));
    };
    convolution("features.0.0", "features.0.1", 32, 3, 3);
    let (mut index, mut channels) = (1, 32);
    for (expand, out, count) in [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)] {
        for _ in 0..count {
            let path = format!("features.{index}.conv");
            let inner = channels * expand;
            let mut part = 0;
            if expand > 1 {
                convolution(&format!("{path}.0.0"), &format!("{path}.0.1"), inner, channels, 1);
                part = 1;
            }
            convolution(&format!("{path}.{part}.0"), &format!("{path}.{part}.1"), inner, 1, 3);
            convolution(&format!("{path}.{}", part + 1), &format!("{path}.{}", part + 2), out, inner, 1);
            (index, channels) = (index + 1, out);
        }
    }
    convolution("features.18.0", "features.18.1", 1280, 320, 1);
    keys.push("classifier.1.weight f32[1000, 1280]".to_owned());
    keys.push("classifier.1.bias f32[1000]".to_owned());
    keys.join("; ")
}

#[test]
fn mobilenet_reads_every_weight_of_torchvision() {
    let source = include_str!("../../../tests/data/layers/mobilenet_v2.mlp");
    let world = TestWorld::new().file("main.mlp", source).weights("mobilenet_v2.safetensors", "", &mobilenet_keys());
    let analysis = check(&world, "main.mlp");
    let network = network(&analysis);
    let count = |wanted: LayerIntrinsic| network.nodes.iter().filter(|node| node.op == NetworkOp::Layer(wanted)).count();
    assert_eq!((count(LayerIntrinsic::Conv), count(LayerIntrinsic::BatchNorm), count(LayerIntrinsic::Dense)), (52, 52, 1));
    let additions = network.nodes.iter().filter(|node| matches!(node.op, NetworkOp::Arithmetic(_))).count();
    assert_eq!(additions, 10, "residuals stand where a block keeps its channels and its size");
    let last = network.nodes.iter().rfind(|node| node.op == NetworkOp::Layer(LayerIntrinsic::Conv)).unwrap();
    assert_eq!(last.ty.dims, [Dim::Symbol("N".to_owned()), Dim::Const(1280), Dim::Const(7), Dim::Const(7)]);
    assert_eq!(last.name, "features.18.0 conv");
    let third = network.nodes.iter().find(|node| node.name == "features.3.conv.1.0 conv").expect("a depthwise convolution");
    assert_eq!(third.operand("groups"), Some(&Operand::Constant(Value::Number(144.0, None))));
}

#[test]
fn minilm_reads_every_weight_but_those_it_names() {
    let mut keys = vec![
        "embeddings.position_ids i64[1, 512]".to_owned(),
        "embeddings.word_embeddings.weight f32[30522, 384]".to_owned(),
        "embeddings.token_type_embeddings.weight f32[2, 384]".to_owned(),
        "embeddings.position_embeddings.weight f32[512, 384]".to_owned(),
        "pooler.dense.weight f32[384, 384]".to_owned(),
        "pooler.dense.bias f32[384]".to_owned(),
    ];
    let mut pair = |path: String, out: u64, columns: Option<u64>| {
        keys.push(columns.map_or(format!("{path}.weight f32[{out}]"), |columns| format!("{path}.weight f32[{out}, {columns}]")));
        keys.push(format!("{path}.bias f32[{out}]"));
    };
    pair("embeddings.LayerNorm".to_owned(), 384, None);
    for layer in 0..6 {
        let path = format!("encoder.layer.{layer}");
        for name in ["attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"] {
            pair(format!("{path}.{name}"), 384, Some(384));
        }
        pair(format!("{path}.intermediate.dense"), 1536, Some(384));
        pair(format!("{path}.output.dense"), 384, Some(1536));
        pair(format!("{path}.attention.output.LayerNorm"), 384, None);
        pair(format!("{path}.output.LayerNorm"), 384, None);
    }
    let source = include_str!("../../../examples/transformer/minilm.mlp");
    let digest = source.split("sha256 = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("");
    let world = TestWorld::new()
        .file("minilm.mlp", source)
        .file("bert.mlp", include_str!("../../../examples/transformer/bert.mlp"))
        .weights("minilm.safetensors", digest, &keys.join("; "));
    let analysis = check(&world, "minilm.mlp");
    let network = network(&analysis);
    assert_eq!(network.outputs.len(), 2);
    let attention = network.nodes.iter().filter(|node| node.op == NetworkOp::Layer(LayerIntrinsic::Attention)).count();
    assert_eq!(attention, 6);
    let model = &analysis.program().models[0];
    assert_eq!(model.sizes.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["N", "S"]);
    assert_eq!(analysis.program().entries().count(), 1);
}

/// A model of `x: f32[N, 8]` over `blocks.safetensors`, with these items around it.
fn blocks(items: &str, layers: &str) -> Analysis {
    let source = format!(
        "edition 2026\nuse std.nn.{{ dense, layer_norm }}\nuse std.tensor.{{ argmax, relu }}\n{items}\nmodel M {{\n  source = safetensors(\"./blocks.safetensors\")\n  input x: f32[N, 8]\n  output y: f32[N, 8]\n  layers {{\n{layers}\n  }}\n}}\n"
    );
    check(&TestWorld::new().with_weights().file("main.mlp", &source), "main.mlp")
}

const BLOCK: &str = "layer Block(x: f32[N, D], hidden: number, path: string) -> f32[N, D] {
  wide  = x |> dense(hidden, weights = \"in\") |> relu
  mixed = x + dense(wide, D, weights = \"out\")
  return mixed |> layer_norm(weights = path)
}";

fn errors(analysis: &Analysis) -> Vec<(Code, String)> {
    analysis.diagnostics().iter().filter(|found| found.is_error()).map(|found| (found.code, found.message.clone())).collect()
}

#[test]
fn loops_and_paths_are_evaluated() {
    let analysis =
        blocks(BLOCK, "return loop y = x at_most 2 counting i { Block(y, hidden = 16, path = \"norm\", weights = \"blocks.{i}\") }");
    let unused = |found: &&mlp_analysis::Diagnostic| found.code != Code::E0109;
    assert_eq!(analysis.diagnostics().iter().filter(unused).count(), 0, "{:#?}", analysis.diagnostics());
    let network = analysis.program().models[0].network.as_ref().unwrap();
    let keys: Vec<&str> = network.nodes.iter().flat_map(|node| &node.weights).map(|weight| weight.key.as_str()).collect();
    assert_eq!(keys.len(), 12);
    assert_eq!(&keys[..3], ["blocks.0.in.weight", "blocks.0.in.bias", "blocks.0.out.weight"]);
    assert_eq!(keys[11], "blocks.1.norm.bias");
    assert_eq!(network.outputs, [NetworkValue::Node(network.nodes.len() as u32 - 1)]);
}

#[test]
fn a_message_names_the_calls_that_led_there() {
    let analysis = blocks(BLOCK, "return Block(x, hidden = 12, path = \"norm\", weights = \"blocks.1\")");
    let found = analysis.diagnostics().iter().find(|found| found.code == Code::E0306).expect("a shape that differs");
    assert!(found.message.contains("`blocks.1.in.weight` is f32[16, 8]") && found.message.contains("[12, 8]"), "{found:#?}");
    assert!(found.labels.iter().any(|label| label.text.contains("`Block` is called here, with weights at `blocks.1`")), "{found:#?}");
}

#[test]
fn missing_keys_come_with_the_closest_one() {
    let analysis = blocks(BLOCK, "return Block(x, hidden = 16, path = \"norms\", weights = \"blocks.1\")");
    let found = analysis.diagnostics().iter().find(|found| found.code == Code::E0305).expect("a key that is not there");
    assert!(found.labels[0].text.contains("did you mean `blocks.1.norm.weight`?"), "{found:#?}");
    let analysis = blocks(BLOCK, "return Block(x, hidden = 16, path = \"norm\", weights = \"blocks.7\")");
    let found = analysis.diagnostics().iter().find(|found| found.code == Code::E0305).expect("a key that is not there");
    assert!(found.help.as_ref().is_some_and(|help| help.contains("below `blocks` the file has")), "{found:#?}");
}

#[test]
fn what_is_wrong_in_layers_is_said_once_and_precisely() {
    for (items, layers, code, words) in [
        ("", "return x |> dense(8, weights = \"blocks.0.{}\")", Code::E0201, "no path of weights"),
        ("", "return x |> dense(8, weights = \"blocks.{1 / 2}\")", Code::E0211, "whole numbers"),
        ("", "return x |> dense(8, weights = \"blocks.{j}\")", Code::E0101, "no `j`"),
        ("", "return x |> dense(N, weights = \"blocks.0.in\")", Code::E0211, "`N` is not known when compiling"),
        ("", "return x |> dense(8, weight = \"blocks.0.in\")", Code::E0205, "no parameter `weight`"),
        ("", "return x |> dense(8, bias = maybe)", Code::E0201, "`maybe` is none of the words"),
        ("", "return x |> dens(8)", Code::E0101, "no `dens`"),
        ("", "return x |> conv(8, kernel = 3x3)", Code::E0101, "no `conv`"),
        ("", "return x |> layer_norm(epsilon = 0, weights = \"blocks.0.norm\")", Code::E0211, "`epsilon` is not above 0"),
        ("", "return x |> dense(2.5, weights = \"blocks.0.in\")", Code::E0211, "a whole number for `out`"),
        ("", "return x |> dense(16, weights = \"blocks.0.in\")", Code::E0202, "the output `y` is declared"),
        ("", "return argmax(x)", Code::E0202, "`scores` of `argmax`"),
        ("", "return when x == x { x } else { x }", Code::E0208, "does not compare"),
        ("", "return { y = x }", Code::E0201, "the layers return a record"),
        ("", "return 3", Code::E0201, "but the layers return `number`"),
        ("", "y = x |> relu", Code::E0209, "`M` returns nothing"),
        ("", "return x\n  y = x", Code::E0209, "nothing runs after"),
        ("", "return x[0]", Code::E0009, "an index"),
        ("", "return loop y = x at_most 2 until y == y { relu(y) }", Code::E0009, "`until`"),
        ("", "return loop y = x at_most 1.5 { relu(y) }", Code::E0211, "how often this loop runs"),
        ("", "return loop y = x at_most 2 { dense(y, 16, weights = \"blocks.0.in\") }", Code::E0202, "keeps its type"),
        ("", "return x + relu", Code::E0201, "`relu` is a pipeline"),
        ("", "return M(x)", Code::E0207, "`M` cannot be called in layers"),
        ("", "return x.max()", Code::E0207, "only layers are called here"),
        ("", "return x @cache(entries = 4)", Code::E0107, "no attribute `@cache`"),
        (
            "layer A(x: f32[N, D]) -> f32[N, D] {\n  return B(x)\n}\nlayer B(x: f32[N, D]) -> f32[N, D] {\n  return A(x)\n}",
            "return A(x)",
            Code::E0106,
            "circle",
        ),
        ("layer A(x: f32[N, D]) -> f32[N, 4] {\n  return x\n}", "return A(x)", Code::E0202, "`A` returns `f32[N, 8]`"),
        ("layer A(x: f32[N, D], weights: string) -> f32[N, D] {\n  return x\n}", "return relu(x)", Code::E0102, "`weights`"),
        ("layer A(x: f32[N, D], p: image<rgb>) -> f32[N, D] {\n  return x\n}", "return relu(x)", Code::E0201, "a layer takes tensors"),
        ("layer A(x: f32[N, D]) -> f32[N, E] {\n  return x\n}", "return relu(x)", Code::E0212, "no parameter says"),
        ("intrinsic layer swish(x: f32[N, D]) -> f32[N, D]", "return relu(x)", Code::E0009, "intrinsic layers"),
        ("layer A(x: f32[N <= 4, D]) -> f32[N, D] {\n  return x\n}", "return A(x)", Code::E0215, "at most 4"),
        (
            "pipeline P(x: f32[1, 8]) -> f32[1, 8] {\n  return dense(x, 8)\n}",
            "return relu(x)",
            Code::E0207,
            "`dense` cannot be called here",
        ),
    ] {
        let analysis = blocks(items, layers);
        let found = errors(&analysis);
        assert!(found.iter().any(|(one, message)| *one == code && message.contains(words)), "{items}\n{layers}: {found:#?}");
        assert_eq!(found.len(), 1, "{items}\n{layers}: {found:#?}");
        for diagnostic in analysis.diagnostics() {
            assert!(!diagnostic.labels.is_empty() && (diagnostic.help.is_some() || diagnostic.fix.is_some()), "{diagnostic:#?}");
        }
    }
}

#[test]
fn shapes_of_images_are_computed() {
    for (call, expected) in [
        ("image |> conv(16, kernel = 5x3, weights = \"c\")", "f32[N, 16, 26, 24]"),
        ("image |> max_pool(3x3, stride = 2, padding = 1)", "f32[N, 1, 14, 14]"),
        ("image |> conv_transpose(4, kernel = 4x4, stride = 2, padding = 1, weights = \"t\")", "f32[N, 4, 56, 56]"),
    ] {
        let source = format!(
            "edition 2026\nuse std.nn.{{ conv, conv_transpose, max_pool }}\nmodel M {{\n  source = safetensors(\"./w.safetensors\")\n  unused = [\"c\", \"t\"]\n  input image: f32[N, 1, 28, 28]\n  output y: {expected}\n  layers {{ return {call} }}\n}}\n"
        );
        let keys = "c.weight f32[16, 1, 3, 5]; c.bias f32[16]; t.weight f32[1, 4, 4, 4]; t.bias f32[4]";
        let analysis = check(&TestWorld::new().file("main.mlp", &source).weights("w.safetensors", "", keys), "main.mlp");
        assert_eq!(errors(&analysis), [], "{call}");
    }
    for (call, code, words) in [
        ("image |> conv(16, kernel = 31x31, weights = \"c\")", Code::E0216, "would make nothing"),
        ("image |> conv(16, kernel = 3x3, stride = 0, weights = \"c\")", Code::E0216, "would make nothing"),
        ("image |> conv(16, kernel = 3x3, groups = 3, weights = \"c\")", Code::E0202, "3 groups do not divide"),
        ("image |> conv(16, kernel = 3x3, padding = -1, weights = \"c\")", Code::E0211, "whole number"),
        ("image |> max_pool(3x3, stride = 1, padding = 2)", Code::E0202, "more than half"),
    ] {
        let source = format!(
            "edition 2026\nuse std.nn.{{ conv, max_pool }}\nmodel M {{\n  source = safetensors(\"./w.safetensors\")\n  input image: f32[N, 1, 28, 28]\n  output y: f32[N, 1]\n  layers {{ return {call} }}\n}}\n"
        );
        let analysis = check(&TestWorld::new().file("main.mlp", &source).weights("w.safetensors", "", "c.weight f32[1]"), "main.mlp");
        let found = errors(&analysis);
        assert!(matches!(found.as_slice(), [(one, message)] if *one == code && message.contains(words)), "{call}: {found:#?}");
    }
}

/// Calls that call others twice are many, though no layer is long.
#[test]
fn layers_that_grow_without_end_are_refused() {
    let mut items = "layer L0(x: f32[N, D]) -> f32[N, D] {\n  return relu(x)\n}\n".to_owned();
    for index in 1..40 {
        let before = index - 1;
        items += &format!("layer L{index}(x: f32[N, D]) -> f32[N, D] {{\n  return x |> L{before} |> L{before}\n}}\n");
    }
    let found = errors(&blocks(&items, "return L39(x)"));
    assert!(matches!(found.as_slice(), [(Code::E0005, _)]), "{found:#?}");
}

#[test]
fn a_file_of_layers_needs_none() {
    let source = "edition 2026\nmodel M {\n  source = onnx(\"./m.onnx\")\n  input x: f32[N, 8]\n  output y: f32[N, 8]\n  unused = [\"a\"]\n  layers { return x }\n}\n";
    let world = TestWorld::new().file("main.mlp", source).model("m.onnx", "", "x f32[N, 8]", "y f32[N, 8]");
    let codes: Vec<Code> = errors(&check(&world, "main.mlp")).into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, [Code::E0107, Code::E0308]);
}
