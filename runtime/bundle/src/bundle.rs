//! Bundles in memory, read from a folder or a `.mlpb` archive and written to either.
//!
//! Reading believes nothing: file names are plain, sizes are those of the manifest before anything is allocated, the digest of a file is compared before it is given
//! out, and plans and GPU programs are verified when they are asked for. Opening a bundle reads its manifest and compares sizes; a file is read when it is first asked
//! for, so that who runs one pipeline on one backend does not wait for the files of the others.

use crate::contents::{self, Bytes, CONTENT_ALIGN, Contents, Load, file_error};
use crate::gpu::GpuProgram;
use crate::manifest::{FORMAT_VERSION, FileEntry, MANIFEST_NAME, Manifest, Pipeline};
use crate::plan::Plan;
use crate::plan::verify::{MAX_BYTES, PlanError};
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use crate::contents::digest;

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
    files: BTreeMap<String, Arc<Contents>>,
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
    pub fn add(&mut self, stem: &str, extension: &str, bytes: impl Into<Bytes>) -> String {
        let bytes = bytes.into();
        let entry = FileEntry::of(&bytes);
        self.add_known(stem, extension, bytes, entry)
    }

    /// [`Bundle::add`] of bytes whose entry was computed before. Readers refuse the file if it is not that of these bytes.
    pub fn add_known(&mut self, stem: &str, extension: &str, bytes: Bytes, entry: FileEntry) -> String {
        let name = format!("{stem}-{}.{extension}", &entry.sha256[..16]);
        self.manifest.files.insert(name.clone(), entry);
        self.files.insert(name.clone(), Arc::new(Contents::made(bytes)));
        name
    }

    /// The contents of a file, which have the manifest's digest.
    pub fn file(&self, name: &str) -> Result<Bytes, BundleError> {
        let (contents, entry) = self.found(name)?;
        contents.verified(name, entry)
    }

    /// The contents of a file before their digest is compared, for who prepares their use while [`Bundle::verify`] compares it on another thread. Nothing
    /// may be answered from them until it has.
    pub fn unverified(&self, name: &str) -> Result<Bytes, BundleError> {
        let (contents, entry) = self.found(name)?;
        contents.unverified(name, entry)
    }

    /// Compares the digest of a file, once.
    pub fn verify(&self, name: &str) -> Result<(), BundleError> {
        let (contents, entry) = self.found(name)?;
        contents.verified(name, entry).map(|_| ())
    }

    /// Compares the digests of all files.
    pub fn verify_all(&self) -> Result<(), BundleError> {
        self.files.keys().try_for_each(|name| self.verify(name))
    }

    fn found(&self, name: &str) -> Result<(&Contents, &FileEntry), BundleError> {
        let found = self.files.get(name).zip(self.manifest.files.get(name));
        found.map(|(contents, entry)| (&**contents, entry)).ok_or_else(|| file_error(name, "the manifest names no such file"))
    }

    /// The pipeline of that name.
    pub fn pipeline(&self, name: &str) -> Option<&Pipeline> {
        self.manifest.pipelines.iter().find(|pipeline| pipeline.name == name)
    }

    /// A pipeline's plan, verified.
    pub fn plan(&self, pipeline: &Pipeline) -> Result<Plan, BundleError> {
        let plan: Plan = self.json(&pipeline.plan)?;
        crate::plan::verify::verify(&plan)?;
        let weights = self.found(&pipeline.weights)?.1.bytes;
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
        serde_json::from_slice(&self.file(name)?).map_err(|source| BundleError::Json { file: name.into(), source })
    }

    /// Opens a bundle's folder, its `manifest.json`, or a `.mlpb` archive, and reads files to memory of their own.
    pub fn open(path: &Path) -> Result<Bundle, BundleError> {
        Bundle::open_with(path, contents::copied)
    }

    /// [`Bundle::open`], where `load` brings files into memory: an archive whole, of a folder each file when it is first asked for.
    pub fn open_with(path: &Path, load: Load) -> Result<Bundle, BundleError> {
        if path.is_dir() {
            return Bundle::open_folder(path, load);
        }
        if path.file_name().is_some_and(|name| name == MANIFEST_NAME) {
            return Bundle::open_folder(path.parent().unwrap_or(Path::new(".")), load);
        }
        let io = |source| BundleError::Io { path: path.into(), source };
        let file = std::fs::File::open(path).map_err(io)?;
        let length = usize::try_from(file.metadata().map_err(io)?.len()).unwrap_or(usize::MAX);
        Bundle::from_archive(load(&file, length).map_err(io)?)
    }

    fn open_folder(folder: &Path, load: Load) -> Result<Bundle, BundleError> {
        let path = folder.join(MANIFEST_NAME);
        let file = std::fs::File::open(&path).map_err(|source| BundleError::Io { path, source })?;
        let manifest = read_manifest(&read_limited(file, MANIFEST_NAME, MAX_MANIFEST)?)?;
        Bundle::with_contents(manifest, |name, entry| Contents::in_file(folder.join(name), load, name, entry))
    }

    /// Opens a `.mlpb` archive in memory. Files that it stores as they are stay where they are.
    pub fn from_archive(bytes: Bytes) -> Result<Bundle, BundleError> {
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes.clone()))?;
        let mut read = |name: &str, limit: u64| -> Result<Bytes, BundleError> {
            let entry = archive.by_name(name)?;
            let stored = entry.compression() == zip::CompressionMethod::Stored && !entry.encrypted();
            let Some(start) = entry.data_start().filter(|_| stored) else {
                return read_limited(entry, name, limit).map(Bytes::from);
            };
            match start.checked_add(entry.size()).filter(|&end| end <= bytes.len() as u64) {
                Some(end) => Ok(bytes.slice(start as usize..end as usize)),
                None => Err(file_error(name, "it ends after the archive")),
            }
        };
        let manifest = read(MANIFEST_NAME, MAX_MANIFEST)?;
        if manifest.len() as u64 > MAX_MANIFEST {
            return Err(file_error(MANIFEST_NAME, format!("it is larger than {MAX_MANIFEST} bytes")));
        }
        Bundle::with_contents(read_manifest(&manifest)?, |name, entry| Contents::read(read(name, entry.bytes)?, name, entry))
    }

    /// A bundle of all files that a manifest names.
    fn with_contents(
        manifest: Manifest,
        mut contents: impl FnMut(&str, &FileEntry) -> Result<Contents, BundleError>,
    ) -> Result<Bundle, BundleError> {
        let mut files = BTreeMap::new();
        for (name, entry) in &manifest.files {
            if !plain_name(name) || entry.bytes > MAX_BYTES {
                return Err(file_error(name, "its name is not plain or it is too large"));
            }
            files.insert(name.clone(), Arc::new(contents(name, entry)?));
        }
        Ok(Bundle { manifest, files })
    }

    /// The names of all files, the manifest's last, in the order in which they are written.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str).chain([MANIFEST_NAME])
    }

    fn manifest_json(&self) -> Vec<u8> {
        let mut manifest = serde_json::to_vec_pretty(&self.manifest).expect("a manifest is plain data");
        manifest.push(b'\n');
        manifest
    }

    /// Writes the bundle into a folder, made if need be. Each file appears whole or not at all, and the manifest last, so that a full disk leaves the
    /// bundle that was there before.
    pub fn write_folder(&self, folder: &Path) -> Result<(), BundleError> {
        std::fs::create_dir_all(folder).map_err(|source| BundleError::Io { path: folder.into(), source })?;
        for name in self.files.keys() {
            write_whole(&folder.join(name), &self.file(name)?)?;
        }
        write_whole(&folder.join(MANIFEST_NAME), &self.manifest_json())
    }

    /// The bundle as a `.mlpb` archive: an uncompressed zip whose files begin on cache lines, so that they can be used where they lie.
    pub fn to_archive(&self) -> Result<Vec<u8>, BundleError> {
        let size: u64 = self.manifest.files.values().map(|entry| entry.bytes).sum();
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::with_capacity(size as usize + (1 << 16))));
        let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        let options = options.with_alignment(CONTENT_ALIGN as u16);
        let mut write = |name: &str, bytes: &[u8]| -> Result<(), BundleError> {
            writer.start_file(name, options)?;
            writer.write_all(bytes).map_err(|source| BundleError::Io { path: name.into(), source })
        };
        for name in self.files.keys() {
            write(name, &self.file(name)?)?;
        }
        write(MANIFEST_NAME, &self.manifest_json())?;
        Ok(writer.finish()?.into_inner())
    }
}

/// Writes a file through a temporary one beside it, so that it appears whole or not at all. A file that has these bytes already is left as it is, so that
/// who watches it has nothing to do.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    if is_there(path, bytes) {
        return Ok(());
    }
    let io = |source| BundleError::Io { path: path.into(), source };
    let temporary = path.with_extension(format!("{}.part", std::process::id()));
    let written = std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report.
        let _ = std::fs::remove_file(&temporary);
    }
    written.map_err(io)
}

/// Whether a file has these bytes.
fn is_there(path: &Path, bytes: &[u8]) -> bool {
    let Ok(mut file) = std::fs::File::open(path) else { return false };
    if !file.metadata().is_ok_and(|facts| facts.is_file() && facts.len() == bytes.len() as u64) {
        return false;
    }
    let mut chunk = [0; 1 << 16];
    bytes.chunks(chunk.len()).all(|bytes| file.read_exact(&mut chunk[..bytes.len()]).is_ok() && chunk[..bytes.len()] == *bytes)
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

fn read_manifest(bytes: &[u8]) -> Result<Manifest, BundleError> {
    #[derive(serde::Deserialize)]
    struct Version {
        format: u32,
    }
    let json = |source| BundleError::Json { file: MANIFEST_NAME.into(), source };
    let version: Version = serde_json::from_slice(bytes).map_err(json)?;
    if version.format != FORMAT_VERSION {
        return Err(BundleError::Version(version.format));
    }
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(json)?;
    if manifest.files.len() > MAX_FILES {
        return Err(file_error(MANIFEST_NAME, format!("it names more than {MAX_FILES} files")));
    }
    Ok(manifest)
}
