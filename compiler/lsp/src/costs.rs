//! What models and pipelines cost, found beside the editing: it takes what a build takes but for the code.

use mlp_bundle::contents::Bytes;
use mlp_driver::cache::{Cache, Key, Stamp};
use mlp_driver::compile::Compiled;
use mlp_driver::host::{Host, normalize};
use mlp_driver::package::{CompiledModel, Package};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// What tells a package from every other: the digest of its texts and of the files of its models.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(Key);

impl Fingerprint {
    pub(crate) fn of(package: &Package) -> Fingerprint {
        let program = package.program();
        let files = program.files.iter().flat_map(|file| [file.path.as_bytes(), file.text.as_bytes()]);
        let models = program.models.iter().map(|model| model.sha256.as_bytes());
        Fingerprint(Key::new("package", &files.chain(models).collect::<Vec<_>>()))
    }
}

/// What the models and pipelines of a root file cost.
#[derive(Clone, Debug)]
pub struct Costs {
    pub(crate) of: Fingerprint,
    /// By the name of the model or pipeline.
    pub(crate) items: BTreeMap<String, Cost>,
}

/// What one of them costs, as the report of a build has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) macs: u64,
    pub(crate) weights: u64,
    /// The memory that its values take while it runs.
    pub(crate) memory: u64,
    /// The sizes at which a model was looked at.
    pub(crate) sizes: BTreeMap<String, u64>,
}

impl Cost {
    fn new(compiled: &Compiled, sizes: BTreeMap<String, u64>) -> Cost {
        let report = &compiled.report;
        Cost { macs: report.macs, weights: report.weights_bytes, memory: report.arena_bytes, sizes }
    }
}

/// The work of finding out what a package costs: it knows the texts that are open, and nothing of the session, so that it can be done on another thread.
#[derive(Clone, Debug)]
pub struct Costing {
    root: PathBuf,
    open: BTreeMap<PathBuf, String>,
}

/// The most pipelines of a file that are looked at.
const MAX_PIPELINES: usize = 64;

impl Costing {
    pub(crate) fn new(root: PathBuf, open: BTreeMap<PathBuf, String>) -> Costing {
        Costing { root, open }
    }

    /// Does the work. What cannot be compiled is left out: a build says why.
    pub fn run(self, disk: &dyn Host) -> Option<Costs> {
        let host = Opened { open: &self.open, disk, kept: Kept::default() };
        let package = Package::check(&host, &self.root);
        if package.has_errors() {
            return None;
        }
        let program = package.program();
        let mut items = BTreeMap::new();
        for (id, pipeline) in program.entries().take(MAX_PIPELINES) {
            if let Ok(entry) = package.compile(&host, id) {
                items.insert(pipeline.name.clone(), Cost::new(&entry.compiled, BTreeMap::new()));
            }
        }
        for (index, model) in program.models.iter().enumerate().filter(|(_, model)| model.at.file.0 == 0) {
            if let Ok(Some(CompiledModel { compiled, sizes })) = package.compile_model(&host, mlp_analysis::ModelId(index as u32)) {
                items.insert(model.name.clone(), Cost::new(&compiled, sizes));
            }
        }
        Some(Costs { of: Fingerprint::of(&package), items })
    }
}

/// The texts that are open over the files on disk.
struct Opened<'a> {
    open: &'a BTreeMap<PathBuf, String>,
    disk: &'a dyn Host,
    kept: Kept,
}

impl Host for Opened<'_> {
    fn read(&self, path: &Path) -> io::Result<Bytes> {
        match self.open.get(&normalize(path)) {
            Some(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            None => self.disk.read(path),
        }
    }

    fn read_part(&self, path: &Path, offset: u64, length: Option<u64>) -> io::Result<Bytes> {
        self.disk.read_part(path, offset, length)
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        self.disk.length(path)
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        self.disk.resolve(path)
    }

    fn exists(&self, path: &Path) -> bool {
        self.open.contains_key(&normalize(path)) || self.disk.exists(path)
    }

    fn stamp(&self, path: &Path) -> Option<Stamp> {
        self.disk.stamp(path)
    }

    fn cache(&self) -> Option<&dyn Cache> {
        Some(self.disk.cache().unwrap_or(&self.kept))
    }
}

/// Prepared models, so that one that several pipelines call is imported once.
#[derive(Default)]
struct Kept(Mutex<(u64, BTreeMap<Key, Bytes>)>);

/// The most bytes that are kept while a package is looked at.
const MAX_KEPT: u64 = 256 << 20;

impl Cache for Kept {
    fn get(&self, key: &Key) -> Option<Bytes> {
        self.0.lock().ok()?.1.get(key).cloned()
    }

    fn put(&self, key: &Key, parts: &[&[u8]]) {
        let Ok(mut kept) = self.0.lock() else { return };
        let (bytes, entries) = &mut *kept;
        let length = parts.iter().map(|part| part.len() as u64).sum::<u64>();
        if *bytes + length <= MAX_KEPT {
            *bytes += length;
            entries.insert(key.clone(), parts.concat().into());
        }
    }
}
