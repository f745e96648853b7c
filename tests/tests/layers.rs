//! The import table of ARCHITECTURE.md holds: a crate of the workspace imports only what its row allows.

use cargo_metadata::{CargoOpt, DependencyKind, MetadataCommand};
use std::collections::{BTreeMap, BTreeSet};

/// The rows `| crate | folder | may import |` of the table in ARCHITECTURE.md.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let text = include_str!("../../ARCHITECTURE.md");
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `mlp")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_string).collect::<BTreeSet<_>>();
        let name = names(cells[0]).into_iter().next().expect("the first cell names a crate");
        rows.insert(name, names(cells[2]));
    }
    rows
}

fn metadata() -> cargo_metadata::Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    MetadataCommand::new()
        .manifest_path(manifest)
        .features(CargoOpt::AllFeatures)
        .other_options(vec!["--locked".into()])
        .exec()
        .expect("cargo metadata runs")
}

#[test]
fn every_crate_imports_only_what_the_table_allows() {
    let (table, metadata) = (table(), metadata());
    let own: BTreeSet<String> = metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    assert_eq!(own, table.keys().cloned().collect(), "ARCHITECTURE.md has one row a crate");
    for package in metadata.workspace_packages() {
        let allowed = &table[package.name.as_str()];
        let imports =
            package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal && own.contains(&dependency.name));
        for import in imports {
            assert!(
                allowed.contains(&import.name),
                "{} imports {}, which its row in ARCHITECTURE.md does not allow",
                package.name,
                import.name
            );
        }
    }
}

/// The large libraries stay in one crate each, so that the others build in seconds.
#[test]
fn large_libraries_have_one_home() {
    let metadata = metadata();
    for (library, home) in [
        ("prost", "mlp-import"),
        ("cranelift-codegen", "mlp-native"),
        ("wgpu", "mlp-gpu"),
        ("wasmtime", "mlp-wasm"),
        ("pest", "mlp-syntax"),
        ("miette", "mlpc"),
        ("tower-lsp-server", "mlp-lsp"),
        ("wasm-bindgen", "mlp-web-compiler"),
    ] {
        let users: Vec<&str> = metadata
            .workspace_packages()
            .into_iter()
            .filter(|package| {
                package.dependencies.iter().any(|dependency| dependency.name == library && dependency.kind == DependencyKind::Normal)
            })
            .map(|package| package.name.as_str())
            .collect();
        assert_eq!(users, [home], "{library} is imported elsewhere than in {home}");
    }
}
