//! Bundles in memory, read from a folder or a `.mlpb` archive and written to either.
//!
//! Reading believes nothing: file names are plain, sizes are those of the manifest before anything is allocated, every digest is compared, and plans and GPU programs
//! are verified when they are asked for.

use crate::gpu::GpuProgram;
use crate::manifest::{FORMAT_VERSION, FileEntry, MANIFEST_NAME, Manifest, Pipeline};
use crate::plan::Plan;
use crate::plan::verify::{MAX_BYTES, PlanError};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The greatest manifest, in bytes.
const MAX_MANIFEST: u64 = 16 << 20;

/// The greatest number of files.
const MAX_FILES: usize = 10_000;

/// Why a bundle is refused or could not be written.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The archive is no zip file.
    #[error("the archive cannot be read: {0}")]
    Archive(#[from] zip::result::ZipError),
    /// The manifest or another JSON file does not parse.
    #[error("{file}: {source}")]
    Json {
        /// The file.
        file: String,
        /// What went wrong.
        source: serde_json::Error,
    },
    /// The bundle is of another version of the format.
    #[error("the bundle's format is version {0}, this runtime reads {FORMAT_VERSION}; build it again with a matching compiler")]
    Version(u32),
    /// A file is not what the manifest says.
    #[error("{file}: {reason}")]
    File {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A plan breaks a rule.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

/// The manifest and all files of a bundle.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// What is in it.
    pub manifest: Manifest,
    files: BTreeMap<String, Arc<[u8]>>,
}

/// Lower-case hexadecimal SHA-256.
pub fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn file_error(file: &str, reason: impl Into<String>) -> BundleError {
    BundleError::File { file: file.into(), reason: reason.into() }
}

/// A name that is one path component everywhere: letters, digits, `.`, `_`, `-`, and no dot first.
fn plain_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.chars().all(fits)
}

impl Bundle {
    /// A bundle with no files yet.
    pub fn new(manifest: Manifest) -> Bundle {
        Bundle { manifest, files: BTreeMap::new() }
    }

    /// Adds a file under a name that carries its digest, `stem-0123456789abcdef.extension`, and gives that name. Equal contents are kept once.
    pub fn add(&mut self, stem: &str, extension: &str, bytes: Vec<u8>) -> String {
        let sha256 = digest(&bytes);
        let name = format!("{stem}-{}.{extension}", &sha256[..16]);
        self.manifest.files.insert(name.clone(), FileEntry { sha256, bytes: bytes.len() as u64 });
        self.files.insert(name.clone(), bytes.into());
        name
    }

    /// The contents of a file.
    pub fn file(&self, name: &str) -> Result<&Arc<[u8]>, BundleError> {
        self.files.get(name).ok_or_else(|| file_error(name, "the manifest names no such file"))
    }

    /// The pipeline of that name.
    pub fn pipeline(&self, name: &str) -> Option<&Pipeline> {
        self.manifest.pipelines.iter().find(|pipeline| pipeline.name == name)
    }

    /// A pipeline's plan, verified.
    pub fn plan(&self, pipeline: &Pipeline) -> Result<Plan, BundleError> {
        let plan: Plan = self.json(&pipeline.plan)?;
        crate::plan::verify::verify(&plan)?;
        let weights = self.file(&pipeline.weights)?.len() as u64;
        if weights != plan.weights_bytes {
            let reason = format!("it has {weights} bytes, the plan asks for {}", plan.weights_bytes);
            return Err(file_error(&pipeline.weights, reason));
        }
        Ok(plan)
    }

    /// A pipeline's GPU program, verified against its plan; none where it has none.
    pub fn gpu(&self, pipeline: &Pipeline, plan: &Plan) -> Result<Option<GpuProgram>, BundleError> {
        let Some(name) = &pipeline.gpu else { return Ok(None) };
        let program: GpuProgram = self.json(name)?;
        program.verify(plan).map_err(|reason| file_error(name, reason))?;
        Ok(Some(program))
    }

    fn json<T: serde::de::DeserializeOwned>(&self, name: &str) -> Result<T, BundleError> {
        serde_json::from_slice(self.file(name)?).map_err(|source| BundleError::Json { file: name.into(), source })
    }

    /// Reads a bundle's folder, its `manifest.json`, or a `.mlpb` archive.
    pub fn open(path: &Path) -> Result<Bundle, BundleError> {
        if path.is_dir() {
            return Bundle::open_folder(path);
        }
        if path.file_name().is_some_and(|name| name == MANIFEST_NAME) {
            return Bundle::open_folder(path.parent().unwrap_or(Path::new(".")));
        }
        let file = std::fs::File::open(path).map_err(|source| BundleError::Io { path: path.into(), source })?;
        Bundle::from_archive(std::io::BufReader::new(file))
    }

    fn open_folder(folder: &Path) -> Result<Bundle, BundleError> {
        read_all(|name, limit| {
            let path = folder.join(name);
            let io = |source| BundleError::Io { path: path.clone(), source };
            let file = std::fs::File::open(&path).map_err(io)?;
            read_limited(file, name, limit)
        })
    }

    /// Reads a `.mlpb` archive.
    pub fn from_archive(reader: impl Read + std::io::Seek) -> Result<Bundle, BundleError> {
        let mut archive = zip::ZipArchive::new(reader)?;
        read_all(|name, limit| {
            let entry = archive.by_name(name)?;
            read_limited(entry, name, limit)
        })
    }

    /// Every file by name, the manifest last, as they are written.
    pub fn contents(&self) -> impl Iterator<Item = (&str, Arc<[u8]>)> {
        let mut manifest = serde_json::to_vec_pretty(&self.manifest).expect("a manifest is plain data");
        manifest.push(b'\n');
        let files = self.files.iter().map(|(name, bytes)| (name.as_str(), Arc::clone(bytes)));
        files.chain([(MANIFEST_NAME, manifest.into())])
    }

    /// Writes the bundle into a folder, made if need be. Each file appears whole or not at all, and the manifest last, so that a full disk leaves the
    /// bundle that was there before.
    pub fn write_folder(&self, folder: &Path) -> Result<(), BundleError> {
        std::fs::create_dir_all(folder).map_err(|source| BundleError::Io { path: folder.into(), source })?;
        for (name, bytes) in self.contents() {
            write_whole(&folder.join(name), &bytes)?;
        }
        Ok(())
    }

    /// The bundle as a `.mlpb` archive: an uncompressed zip.
    pub fn to_archive(&self) -> Result<Vec<u8>, BundleError> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (name, bytes) in self.contents() {
            writer.start_file(name, options)?;
            writer.write_all(&bytes).map_err(|source| BundleError::Io { path: name.into(), source })?;
        }
        Ok(writer.finish()?.into_inner())
    }
}

/// Writes a file through a temporary one beside it, so that it appears whole or not at all.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    let io = |source| BundleError::Io { path: path.into(), source };
    let temporary = path.with_extension(format!("{}.part", std::process::id()));
    let written = std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(io)
}

fn read_limited(reader: impl Read, name: &str, limit: u64) -> Result<Vec<u8>, BundleError> {
    let mut bytes = Vec::new();
    let io = |source| BundleError::Io { path: name.into(), source };
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(file_error(name, format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// Reads the manifest and every file it names through `read(name, greatest size)`.
fn read_all(mut read: impl FnMut(&str, u64) -> Result<Vec<u8>, BundleError>) -> Result<Bundle, BundleError> {
    #[derive(serde::Deserialize)]
    struct Version {
        format: u32,
    }
    let json = |source| BundleError::Json { file: MANIFEST_NAME.into(), source };
    let bytes = read(MANIFEST_NAME, MAX_MANIFEST)?;
    let version: Version = serde_json::from_slice(&bytes).map_err(json)?;
    if version.format != FORMAT_VERSION {
        return Err(BundleError::Version(version.format));
    }
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(json)?;
    if manifest.files.len() > MAX_FILES {
        return Err(file_error(MANIFEST_NAME, format!("it names more than {MAX_FILES} files")));
    }
    let mut files = BTreeMap::new();
    for (name, entry) in &manifest.files {
        if !plain_name(name) || entry.bytes > MAX_BYTES {
            return Err(file_error(name, "its name is not plain or it is too large"));
        }
        let bytes = read(name, entry.bytes)?;
        if bytes.len() as u64 != entry.bytes {
            return Err(file_error(name, format!("it has {} bytes, the manifest says {}", bytes.len(), entry.bytes)));
        }
        if digest(&bytes) != entry.sha256 {
            return Err(file_error(name, "its digest is not the manifest's: the file was changed or damaged"));
        }
        files.insert(name.clone(), bytes.into());
    }
    Ok(Bundle { manifest, files })
}
