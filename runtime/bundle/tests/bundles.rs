//! Bundles written, read back, damaged and refused.

use mlp_bundle::Bundle;
use mlp_bundle::manifest::{Capabilities, FORMAT_VERSION, Manifest};
use std::collections::BTreeMap;
use std::io::Cursor;

fn bundle() -> Bundle {
    let manifest = Manifest {
        format: FORMAT_VERSION,
        name: "sample".into(),
        compiler: semver::Version::new(0, 1, 0),
        edition: 2026,
        pipelines: Vec::new(),
        files: BTreeMap::new(),
        capabilities: Capabilities::default(),
        provenance: Vec::new(),
    };
    let mut bundle = Bundle::new(manifest);
    bundle.add("weights", "bin", vec![1, 2, 3]);
    bundle.add("labels", "txt", b"cat\ndog\n".to_vec());
    bundle
}

#[test]
fn a_folder_and_an_archive_hold_the_same() {
    let (bundle, folder) = (bundle(), tempfile::tempdir().unwrap());
    bundle.write_folder(folder.path()).unwrap();
    let from_folder = Bundle::open(folder.path()).unwrap();
    let from_archive = Bundle::from_archive(Cursor::new(bundle.to_archive().unwrap())).unwrap();
    for read in [from_folder, from_archive] {
        assert_eq!(read.manifest, bundle.manifest);
        for name in bundle.manifest.files.keys() {
            assert_eq!(read.file(name).unwrap(), bundle.file(name).unwrap());
        }
    }
    let leftovers = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(leftovers, 3, "only the two files and the manifest are written");
}

#[test]
fn every_truncated_archive_is_an_error() {
    let archive = bundle().to_archive().unwrap();
    for length in 0..archive.len() {
        assert!(Bundle::from_archive(Cursor::new(&archive[..length])).is_err(), "{length} bytes were taken for a bundle");
    }
}

#[test]
fn a_changed_file_a_foreign_path_and_another_version_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = bundle();
    bundle.write_folder(folder.path()).unwrap();
    let weights = bundle.manifest.files.keys().find(|name| name.starts_with("weights")).unwrap();
    std::fs::write(folder.path().join(weights), [1, 2, 4]).unwrap();
    let error = Bundle::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("its digest is not the manifest's"), "{error}");

    let mut escaping = bundle.clone();
    let entry = escaping.manifest.files.values().next().unwrap().clone();
    escaping.manifest.files.insert("../secret".into(), entry);
    let manifest = serde_json::to_vec(&escaping.manifest).unwrap();
    std::fs::write(folder.path().join("manifest.json"), manifest).unwrap();
    let error = Bundle::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("its name is not plain"), "{error}");

    std::fs::write(folder.path().join("manifest.json"), r#"{"format": 99}"#).unwrap();
    let error = Bundle::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("format is version 99"), "{error}");
}
