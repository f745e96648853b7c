//! The compiler as a page uses it, but natively; `tests/browser/playground.test.mjs` uses it in a page.

use mlp_web_compiler::Compiler;
use std::fs;
use std::path::Path;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

const LOOP: &str = "edition 2026

use std.tensor.{ relu }

pipeline Twice(x: f32[3], y: f32[3]) -> f32[3] {
  sum = x + y
  return loop z = sum at_most 2 { relu(z * x) }
}
";

fn found(compiler: &mut Compiler, path: &str, text: &str) -> String {
    compiler.edit(path, text.to_owned()).unwrap()
}

#[test]
fn diagnostics_follow_the_text_and_the_files_beside_it() {
    let mut compiler = Compiler::new();
    let text = fs::read_to_string(format!("{ROOT}/examples/objects/objects.mlp")).unwrap();
    let missing = found(&mut compiler, "/objects.mlp", &text);
    assert!(missing.contains("efficientnet_lite0.onnx") && missing.contains("there is no such file"), "{missing}");
    let mut last = String::new();
    for name in ["labels.txt", "efficientnet_lite0.onnx", "espresso.png", "chelsea.png"] {
        let bytes = fs::read(format!("{ROOT}/examples/objects/{name}")).unwrap();
        last = compiler.write(&format!("/{name}"), bytes).unwrap();
    }
    assert_eq!(last, r#"[{"path":"/objects.mlp","version":1,"diagnostics":[]}]"#);
    let broken = found(&mut compiler, "/objects.mlp", &text.replace("|> softmax", "|> softmx"));
    assert!(broken.contains(r#""start":{"line":29,"character":7},"end":{"line":29,"character":13}"#), "{broken}");
    assert!(compiler.actions("/objects.mlp").unwrap().contains("Write `softmax`"));
    let gone = compiler.remove("/labels.txt").unwrap();
    assert!(gone.contains("labels.txt"), "{gone}");
}

#[test]
fn names_with_spaces_and_accents_are_files_too() {
    let mut compiler = Compiler::new();
    let told = found(&mut compiler, "/mes modèles/a#b?.mlp", LOOP);
    assert_eq!(told, r#"[{"path":"/mes modèles/a#b?.mlp","version":1,"diagnostics":[]}]"#);
    assert!(compiler.hover("/mes modèles/a#b?.mlp", 4, 10).unwrap().contains("Twice"));
}

#[test]
fn the_typed_program_names_every_value() {
    let mut compiler = Compiler::new();
    found(&mut compiler, "/main.mlp", LOOP);
    let expected = "pipeline Twice(x: f32[3], y: f32[3]) -> f32[3]
  sum: f32[3]
    +: f32[3]
      x: f32[3]
      y: f32[3]
  return: f32[3]
    loop at_most 2: f32[3]
      sum: f32[3]
      relu: f32[3]
        *: f32[3]
          the value so far: f32[3]
          x: f32[3]

";
    assert_eq!(compiler.program("/main.mlp").unwrap(), expected);
}

#[test]
fn what_is_built_is_what_the_driver_builds() {
    let mut compiler = Compiler::new();
    found(&mut compiler, "/main.mlp", LOOP);
    let built = compiler.build("/main.mlp").unwrap();
    assert!(compiler.graph("/main.mlp").unwrap().starts_with("graph \"Twice\" {"));
    let host = mlp_driver::host::Memory([("/main.mlp".into(), LOOP.as_bytes().to_vec())].into());
    let package = mlp_driver::package::Package::check(&host, Path::new("/main.mlp"));
    let native = package.build(&host, "main", false, &|_| {}).expect("it builds");
    assert_eq!(built.names(), native.bundle.names().filter(|name| *name != "manifest.json").collect::<Vec<_>>());
    for name in built.names() {
        assert_eq!(built.file(&name).unwrap(), native.bundle.file(&name).unwrap(), "{name}");
    }
    assert_eq!((built.javascript(), built.types()), (native.typescript.js, native.typescript.dts));
    assert!(built.wgsl().contains("@compute") && built.kernels().starts_with("plan \"Twice\""));
    assert!(built.report().contains(r#""name":"Twice""#));
}

/// Whatever stands in a file, everything that does not need a sound program answers.
#[test]
fn every_corpus_file_has_a_tree_and_a_program() {
    let mut compiler = Compiler::new();
    let mut files = 0;
    for folder in ["ok", "err", "check", "fmt"] {
        for entry in fs::read_dir(format!("{ROOT}/dsl-spec/corpus/{folder}")).unwrap() {
            let Ok(text) = fs::read_to_string(entry.unwrap().path()) else { continue };
            found(&mut compiler, "/main.mlp", &text);
            compiler.program("/main.mlp").unwrap();
            compiler.syntax("/main.mlp").unwrap();
            files += 1;
        }
    }
    assert!(files >= 150, "only {files} files");
}
