//! Bundles written, read back, damaged and refused.

use mlp_bundle::Bundle;
use mlp_bundle::contents::{CONTENT_ALIGN, digest};
use mlp_bundle::manifest::{Capabilities, FORMAT_VERSION, Manifest, PIECE};
use std::collections::BTreeMap;

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
    let from_archive = Bundle::from_archive(bundle.to_archive().unwrap().into()).unwrap();
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
fn a_large_file_has_the_digests_of_its_pieces() {
    let mut bundle = bundle();
    let bytes: Vec<u8> = (0..2 * PIECE + 5).map(|i| (i % 251) as u8).collect();
    let name = bundle.add("large", "bin", bytes.clone());
    let pieces = &bundle.manifest.files[&name].pieces;
    let expected: Vec<String> = [&bytes[..PIECE], &bytes[PIECE..2 * PIECE], &bytes[2 * PIECE..]].map(digest).into();
    assert_eq!(*pieces, expected);
    assert!(bundle.manifest.files.iter().all(|(other, entry)| *other == name || entry.pieces.is_empty()));
}

#[test]
fn every_truncated_archive_is_an_error() {
    let archive = bundle().to_archive().unwrap();
    for length in 0..archive.len() {
        assert!(Bundle::from_archive(archive[..length].to_vec().into()).is_err(), "{length} bytes were taken for a bundle");
    }
}

#[test]
fn a_changed_file_a_foreign_path_and_another_version_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = bundle();
    bundle.write_folder(folder.path()).unwrap();
    let weights = bundle.manifest.files.keys().find(|name| name.starts_with("weights")).unwrap();
    std::fs::write(folder.path().join(weights), [1, 2, 4]).unwrap();
    let opened = Bundle::open(folder.path()).unwrap();
    for error in [opened.file(weights).unwrap_err(), opened.verify(weights).unwrap_err(), opened.verify_all().unwrap_err()] {
        assert!(error.to_string().contains("its digest is not the manifest's"), "{error}");
    }
    // The other files are what they were.
    let labels = bundle.manifest.files.keys().find(|name| name.starts_with("labels")).unwrap();
    assert_eq!(opened.file(labels).unwrap(), "cat\ndog\n");

    std::fs::write(folder.path().join(weights), [1, 2]).unwrap();
    let error = Bundle::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("it has 2 bytes, the manifest says 3"), "{error}");
    std::fs::remove_file(folder.path().join(weights)).unwrap();
    let error = Bundle::open(folder.path()).unwrap_err().to_string();
    assert!(error.starts_with(&folder.path().join(weights).display().to_string()), "{error}");

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

#[test]
fn a_file_that_changes_after_a_bundle_was_opened_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut bundle = bundle();
    let name = bundle.add("weights", "bin", vec![5; 300_000]);
    bundle.write_folder(folder.path()).unwrap();
    let opened = Bundle::open(folder.path()).unwrap();
    std::fs::write(folder.path().join(&name), [5; 299_999]).unwrap();
    let error = opened.file(&name).unwrap_err().to_string();
    assert!(error.contains("it has 299999 bytes, the manifest says 300000"), "{error}");
}

#[test]
fn files_begin_on_cache_lines() {
    let folder = tempfile::tempdir().unwrap();
    let (mut bundle, path) = (bundle(), folder.path().join("sample.mlpb"));
    let name = bundle.add("weights", "bin", vec![5; 300_000]);
    bundle.write_folder(folder.path()).unwrap();
    std::fs::write(&path, bundle.to_archive().unwrap()).unwrap();
    for path in [folder.path(), &path] {
        let opened = Bundle::open(path).unwrap();
        for name in opened.manifest.files.keys() {
            assert_eq!(opened.file(name).unwrap().as_ptr() as usize % CONTENT_ALIGN, 0, "{name} of {}", path.display());
        }
        assert_eq!(opened.file(&name).unwrap(), vec![5; 300_000]);
    }
}

/// What another tool packed: files compressed, and where it liked.
#[test]
fn an_archive_that_was_packed_again_holds_the_same() {
    let bundle = bundle();
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    let manifest = serde_json::to_vec(&bundle.manifest).unwrap();
    let files = bundle.manifest.files.keys().map(|name| (name.as_str(), bundle.file(name).unwrap().to_vec()));
    for (name, bytes) in files.chain([("manifest.json", manifest)]) {
        writer.start_file(name, options).unwrap();
        std::io::Write::write_all(&mut writer, &bytes).unwrap();
    }
    let opened = Bundle::from_archive(writer.finish().unwrap().into_inner().into()).unwrap();
    opened.verify_all().unwrap();
    assert_eq!(opened.manifest, bundle.manifest);
}
