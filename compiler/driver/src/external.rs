//! Files beside a model that hold its weights. Parts of them are read, not mapped, for the reason that a [`Disk`](crate::host::Disk) does not map: who writes to a
//! file while it is compiled must not be able to end the compiler.

use crate::host::{Host, normalize};
use crate::sources;
use mlp_import::ImportError;
use mlp_import::onnx::{Model, Part};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// The tensors of a model may take this many times the bytes of the files that they lie in: some models name a part for several tensors.
const SHARING: u64 = 4;

/// Takes the data of a model's tensors from the files beside it.
pub(crate) fn attach(host: &dyn Host, path: &Path, model: &mut Model) -> Result<(), ImportError> {
    let mut files: BTreeMap<String, Result<PathBuf, String>> = BTreeMap::new();
    let mut room = 0u64;
    for file in model.files() {
        let real = inside(host, path, &file);
        if let Ok(size) = real.as_ref().map_err(String::clone).and_then(|real| host.length(real).map_err(|error| error.to_string())) {
            room = room.saturating_add(size.saturating_mul(SHARING));
        }
        files.insert(file, real);
    }
    model.attach(&mut |part: &Part| {
        let file = files.get(&part.file).cloned().unwrap_or_else(|| Err("it is not one of the model's files".into()))?;
        let bytes = host.read_part(&file, part.offset, part.length).map_err(|error| unreadable(&error, part))?;
        room = room.checked_sub(bytes.len() as u64).ok_or("tensors share its bytes too often")?;
        Ok(bytes)
    })
}

/// The digests of a model's other files, in order; none of one that cannot be read.
pub(crate) fn digests(host: &dyn Host, path: &Path, files: &[String]) -> Vec<Option<String>> {
    files.iter().map(|file| sources::sha256(host, &inside(host, path, file).ok()?).ok()).collect()
}

/// Where a model's other file is.
pub(crate) fn beside(path: &Path, file: &str) -> PathBuf {
    normalize(&path.parent().unwrap_or(Path::new("")).join(file))
}

/// The file, which lies in the model's folder even where links lead elsewhere.
fn inside(host: &dyn Host, path: &Path, file: &str) -> Result<PathBuf, String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let resolved = |path: &Path| host.resolve(path).map_err(|error| unreadable_file(&error));
    let (folder, real) = (resolved(folder)?, resolved(&beside(path, file))?);
    if real.starts_with(&folder) {
        return Ok(real);
    }
    Err("it is a link that leads out of the model's folder; put the file itself there".into())
}

fn unreadable_file(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file beside the model; keep both together".into(),
        _ => error.to_string(),
    }
}

fn unreadable(error: &io::Error, part: &Part) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            let length = part.length.map_or_else(String::new, |length| format!("{length} bytes "));
            format!("it ends before the {length}from byte {} on that are wanted; it is cut short, or another model's", part.offset)
        }
        _ => unreadable_file(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Disk, Memory};

    #[test]
    fn parts_of_files_are_what_they_are_of_the_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("data");
        let bytes: Vec<u8> = (0..200).collect();
        std::fs::write(&path, &bytes).expect("the file is written");
        let memory = Memory([(path.clone(), bytes.clone())].into());
        for host in [&Disk::default() as &dyn Host, &memory] {
            assert_eq!(host.read_part(&path, 10, Some(20)).expect("a part")[..], bytes[10..30]);
            assert_eq!(host.read_part(&path, 150, None).expect("the rest")[..], bytes[150..]);
            assert!(host.read_part(&path, 200, Some(0)).expect("nothing").is_empty());
            for (offset, length) in [(190, Some(11)), (201, None), (u64::MAX, Some(1)), (1, Some(u64::MAX))] {
                let error = host.read_part(&path, offset, length).expect_err("the file ends before");
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{offset} {length:?}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_lead_out_of_the_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let models = folder.path().join("models");
        std::fs::create_dir(&models).expect("a folder");
        std::fs::write(folder.path().join("secret"), b"secret").expect("the file is written");
        std::fs::write(models.join("data"), b"data").expect("the file is written");
        std::os::unix::fs::symlink("../secret", models.join("link")).expect("a link");
        std::os::unix::fs::symlink("data", models.join("alias")).expect("a link");
        let model = models.join("model.onnx");
        assert!(inside(&Disk::default(), &model, "data").is_ok() && inside(&Disk::default(), &model, "alias").is_ok());
        let error = inside(&Disk::default(), &model, "link").expect_err("it leads out");
        assert!(error.contains("leads out of the model's folder"), "{error}");
        let error = inside(&Disk::default(), &model, "missing").expect_err("it is not there");
        assert!(error.contains("no such file beside the model"), "{error}");
    }
}
