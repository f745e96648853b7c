//! The example in the tree, and the standard library, check without a remark.

mod world;

use mlp_analysis::{Dim, ExprKind, Labels, STD_MODULES, Type, check};
use world::TestWorld;

#[test]
fn the_objects_example_checks() {
    let source = include_str!("../../../examples/objects/objects.mlp");
    let digest = source.split("sha256 = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or("");
    let world = TestWorld::new()
        .file("objects.mlp", source)
        .file("labels.txt", include_str!("../../../examples/objects/labels.txt"))
        .file("espresso.png", "")
        .file("chelsea.png", "")
        .model("efficientnet_lite0.onnx", digest, "input f32[N, 3, 224, 224]", "logits f32[N, 1000]");
    let analysis = check(&world, "objects.mlp");
    assert_eq!(analysis.diagnostics(), [], "{:#?}", analysis.diagnostics());
    let program = analysis.program();
    let entries: Vec<&str> = program.entries().map(|(_, pipeline)| pipeline.name.as_str()).collect();
    assert_eq!(entries, ["Classify"]);
    let (_, classify) = program.entries().next().unwrap();
    let Type::Record(fields) = &classify.result else { panic!("{:?}", classify.result) };
    assert!(matches!(&fields[0].1, Type::Ranking { labels: Labels::Of(_), count: Dim::Const(5) }), "{fields:?}");
    let mlp_analysis::Body::Steps { locals, result, .. } = &classify.body else { panic!() };
    assert!(matches!(&locals[0].value.ty, Type::Tensor(tensor) if tensor.dims == [Dim::Const(1000)]), "{:?}", locals[0].value.ty);
    assert!(matches!(result.kind, ExprKind::Record(_)));
    assert_eq!(program.tests.len(), 2);
    assert_eq!(program.hooks[0].name, "useClassify");
    assert!(analysis.into_checked().is_ok());
}

#[test]
fn the_standard_library_checks() {
    for module in STD_MODULES {
        let starts = ["pipeline ", "layer ", "intrinsic pipeline ", "intrinsic layer "];
        let named = |line: &'static str| starts.iter().find_map(|start| line.strip_prefix(start)).and_then(|rest| rest.split('(').next());
        let names: Vec<&str> = module.source.lines().filter_map(named).collect();
        assert!(!names.is_empty());
        let source = format!("edition 2026\nuse {}.{{ {} }}\n", module.name, names.join(", "));
        let analysis = check(&TestWorld::new().file("main.mlp", &source), "main.mlp");
        let errors: Vec<_> = analysis.diagnostics().iter().filter(|diagnostic| diagnostic.is_error()).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}
