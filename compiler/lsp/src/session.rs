//! The open documents and what is known of them.

use crate::costs::{Costing, Costs, Fingerprint};
use crate::mended::mended;
use crate::names::Index;
use crate::text::Text;
use ls_types::{self as lsp, Diagnostic, TextDocumentContentChangeEvent, TextEdit, Uri};
use mlp_bundle::contents::Bytes;
use mlp_driver::cache::{Cache, Key, Stamp};
use mlp_driver::host::{Host, below, normalize};
use mlp_driver::package::Package;
use mlp_syntax::{Colours, Location};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock};

/// The diagnostics of one document, to be shown in place of those before.
#[derive(Clone, Debug)]
pub struct Published {
    /// The document.
    pub uri: Uri,
    /// The version they are of, where it is open.
    pub version: Option<i32>,
    /// What was found.
    pub diagnostics: Vec<Diagnostic>,
}

/// What an editor has open.
pub struct Session {
    disk: Box<dyn Host + Send>,
    kept: Kept,
    documents: BTreeMap<PathBuf, Document>,
    /// Closed files that have diagnostics on show, by the document whose package they belong to.
    shown: BTreeMap<PathBuf, Vec<PathBuf>>,
}

/// An open document.
struct Document {
    uri: Uri,
    version: i32,
    text: Text,
    snapshot: Option<Arc<Snapshot>>,
    /// The same of the text as far as it can be read, where a part cannot, once somebody asks.
    mended: OnceLock<Option<Arc<Snapshot>>>,
    colours: Mutex<Colours>,
    /// What was found out of its package last, which may be another by now.
    costs: Option<Costs>,
}

/// A package as it was when it was checked last, seen from the document that is its root.
pub(crate) struct Snapshot {
    pub(crate) package: Package,
    texts: Vec<Text>,
    uris: Vec<Option<Uri>>,
    index: OnceLock<Index>,
    fingerprint: OnceLock<Fingerprint>,
}

impl Snapshot {
    /// What tells this package from what it was before and after.
    pub(crate) fn fingerprint(&self) -> &Fingerprint {
        self.fingerprint.get_or_init(|| Fingerprint::of(&self.package))
    }

    /// The text of a file of the package.
    pub(crate) fn text(&self, file: usize) -> Option<&Text> {
        self.texts.get(file)
    }

    /// The document that a file is; none for modules of the standard library, which are in the compiler.
    pub(crate) fn uri(&self, file: usize) -> Option<&Uri> {
        self.uris.get(file)?.as_ref()
    }

    /// The package's names.
    pub(crate) fn index(&self) -> &Index {
        self.index.get_or_init(|| Index::new(self.package.analysis(), None))
    }

    /// A place as the protocol has it.
    pub(crate) fn location(&self, at: Location) -> Option<lsp::Location> {
        let file = at.file.0 as usize;
        Some(lsp::Location { uri: self.uri(file)?.clone(), range: self.text(file)?.range(at.span) })
    }
}

impl Session {
    /// A session over files that are not open.
    pub fn new(disk: Box<dyn Host + Send>) -> Session {
        Session { disk, kept: Kept::default(), documents: BTreeMap::new(), shown: BTreeMap::new() }
    }

    /// A document is open from now on.
    pub fn open(&mut self, uri: Uri, version: i32, text: String) -> Vec<Published> {
        let path = path_of(&uri);
        self.documents.insert(
            path.clone(),
            Document {
                uri,
                version,
                text: Text::new(text),
                snapshot: None,
                mended: OnceLock::new(),
                colours: Mutex::default(),
                costs: None,
            },
        );
        self.changed(&path)
    }

    /// Edits of an open document, in their order.
    pub fn change(&mut self, uri: &Uri, version: i32, changes: Vec<TextDocumentContentChangeEvent>) -> Vec<Published> {
        let path = path_of(uri);
        let Some(document) = self.documents.get_mut(&path) else { return Vec::new() };
        for change in changes {
            let text = match change.range {
                None => change.text,
                Some(range) => {
                    let mut text = document.text.as_str().to_owned();
                    text.replace_range(document.text.bytes(range), &change.text);
                    text
                }
            };
            document.text = Text::new(text);
        }
        document.version = version;
        self.changed(&path)
    }

    /// A document is not open any more; what is on disk counts again.
    pub fn close(&mut self, uri: &Uri) -> Vec<Published> {
        let path = path_of(uri);
        let Some(document) = self.documents.remove(&path) else { return Vec::new() };
        let mut published = vec![Published { uri: document.uri, version: None, diagnostics: Vec::new() }];
        for shown in self.shown.remove(&path).unwrap_or_default() {
            published.extend(uri_of(&shown).map(|uri| Published { uri, version: None, diagnostics: Vec::new() }));
        }
        published.extend(self.changed(&path));
        published
    }

    /// A file changed on disk, or was written.
    pub fn saved(&mut self, uri: &Uri) -> Vec<Published> {
        self.changed(&path_of(uri))
    }

    /// Whether a document is open.
    pub fn is_open(&self, uri: &Uri) -> bool {
        self.documents.contains_key(&path_of(uri))
    }

    /// Checks the packages of all open documents that a file belongs to.
    fn changed(&mut self, path: &Path) -> Vec<Published> {
        let depends = |document: &Document| match &document.snapshot {
            None => true,
            Some(snapshot) => snapshot.package.dependencies().any(|dependency| dependency == path),
        };
        let roots: Vec<PathBuf> =
            self.documents.iter().filter(|(root, document)| *root == path || depends(document)).map(|(root, _)| root.clone()).collect();
        roots.into_iter().flat_map(|root| self.check(&root)).collect()
    }

    fn check(&mut self, root: &Path) -> Vec<Published> {
        // A snapshot that a question still holds stays as it is, and nothing of it is taken over.
        let before = self.documents.get_mut(root).and_then(|document| Arc::try_unwrap(document.snapshot.take()?).ok());
        let overlay = Overlay { documents: &self.documents, disk: &*self.disk, kept: &self.kept, instead: None };
        let package = match before {
            Some(before) => Package::recheck(&overlay, root, before.package),
            None => Package::check(&overlay, root),
        };
        let snapshot = self.seen(root, package);
        let mut published = self.publish(root, &snapshot);
        if let Some(document) = self.documents.get_mut(root) {
            document.snapshot = Some(snapshot);
            document.mended = OnceLock::new();
        }
        published.sort_by(|a, b| a.uri.cmp(&b.uri));
        published
    }

    /// A package as the document at its root sees it.
    fn seen(&self, root: &Path, package: Package) -> Arc<Snapshot> {
        let files = &package.program().files;
        let texts = files.iter().map(Text::of).collect();
        let uris = files.iter().enumerate().map(|(file, source)| self.uri(file, root, &source.path)).collect();
        Arc::new(Snapshot { package, texts, uris, index: OnceLock::new(), fingerprint: OnceLock::new() })
    }

    fn uri(&self, file: usize, root: &Path, path: &str) -> Option<Uri> {
        let path = if file == 0 { root.to_owned() } else { normalize(Path::new(path)) };
        match self.documents.get(&path) {
            Some(document) => Some(document.uri.clone()),
            None if mlp_analysis::STD_MODULES.iter().any(|module| Path::new(module.name) == path) => None,
            None => uri_of(&path),
        }
    }

    /// The diagnostics of a root, and those of the files that it alone brings in. An open file has its own package and speaks for itself.
    fn publish(&mut self, root: &Path, snapshot: &Snapshot) -> Vec<Published> {
        let mut published = Vec::new();
        let mut now = Vec::new();
        for (file, source) in snapshot.package.program().files.iter().enumerate() {
            let Some(uri) = snapshot.uri(file) else { continue };
            let path = if file == 0 { root.to_owned() } else { normalize(Path::new(&source.path)) };
            let open = self.documents.get(&path);
            if file > 0 && open.is_some() {
                continue;
            }
            let diagnostics = crate::diagnostics::of_file(snapshot, file);
            if file > 0 && diagnostics.is_empty() {
                continue;
            }
            if file > 0 {
                now.push(path);
            }
            published.push(Published { uri: uri.clone(), version: open.map(|document| document.version), diagnostics });
        }
        let before = self.shown.insert(root.to_owned(), now.clone()).unwrap_or_default();
        let gone = before.into_iter().filter(|path| !now.contains(path) && !self.documents.contains_key(path));
        published.extend(gone.filter_map(|path| uri_of(&path)).map(|uri| Published { uri, version: None, diagnostics: Vec::new() }));
        published
    }

    /// The package whose root a document is; none where it is not open.
    pub(crate) fn snapshot(&self, uri: &Uri) -> Option<Arc<Snapshot>> {
        self.documents.get(&path_of(uri))?.snapshot.clone()
    }

    /// The same as far as it can be read: where a statement is not finished, without it. Positions are those of the document.
    pub(crate) fn readable(&self, uri: &Uri) -> Option<Arc<Snapshot>> {
        let path = path_of(uri);
        let document = self.documents.get(&path)?;
        let snapshot = document.snapshot.as_ref()?;
        let mended = document.mended.get_or_init(|| {
            let text = mended(&*snapshot.package.analysis().tree(0)?, document.text.as_str())?;
            Some(self.seen(&path, self.package_with(&path, &text)))
        });
        Some(Arc::clone(mended.as_ref().unwrap_or(snapshot)))
    }

    /// The package of a document as it would be with another text.
    fn package_with(&self, path: &Path, text: &str) -> Package {
        let overlay = Overlay { documents: &self.documents, disk: &*self.disk, kept: &self.kept, instead: Some((path, text)) };
        let known = self.documents.get(path).and_then(|document| document.snapshot.as_ref());
        match known {
            Some(snapshot) => Package::recheck(&overlay, path, snapshot.package.clone()),
            None => Package::check(&overlay, path),
        }
    }

    /// The package of an open document as it would be with another text.
    pub(crate) fn instead(&self, uri: &Uri, text: &str) -> Package {
        self.package_with(&path_of(uri), text)
    }

    /// What lies in a folder, as paths in a document name it: files, and folders with a `/` behind them.
    pub(crate) fn beside(&self, uri: &Uri, folder: &str) -> Vec<String> {
        let path = path_of(uri);
        let folder = normalize(&path.parent().unwrap_or(Path::new("")).join(folder));
        let overlay = Overlay { documents: &self.documents, disk: &*self.disk, kept: &self.kept, instead: None };
        let own = path.file_name().and_then(|name| name.to_str()).filter(|_| path.parent() == Some(&folder));
        let mut found = overlay.list(&folder);
        found.retain(|name| Some(name.as_str()) != own);
        found.sort();
        found.dedup();
        found
    }

    /// The packages of all open documents.
    pub(crate) fn everything(&self) -> Vec<Arc<Snapshot>> {
        self.documents.values().filter_map(|document| document.snapshot.clone()).collect()
    }

    /// The edit that brings an open document into the language's one style; none where it has errors, whose diagnostics are on show.
    pub fn formatting(&self, uri: &Uri) -> Option<Vec<TextEdit>> {
        let text = self.text(uri)?;
        let edit = TextEdit { range: text.whole(), new_text: mlp_syntax::format(text.as_str()).ok()? };
        Some(if edit.new_text == text.as_str() { Vec::new() } else { vec![edit] })
    }

    /// What the package of a document costs; none where that is not known of it as it is now.
    pub(crate) fn costs(&self, uri: &Uri) -> Option<&Costs> {
        let document = self.documents.get(&path_of(uri))?;
        let snapshot = document.snapshot.as_ref()?;
        document.costs.as_ref().filter(|costs| costs.of == *snapshot.fingerprint())
    }

    /// The work of finding out what the package of an open document costs; none where that is known, or where it has errors.
    pub fn costing(&self, uri: &Uri) -> Option<Costing> {
        let path = path_of(uri);
        let document = self.documents.get(&path)?;
        let snapshot = document.snapshot.as_ref().filter(|snapshot| !snapshot.package.has_errors())?;
        if self.costs(uri).is_some() {
            return None;
        }
        let open = snapshot.package.dependencies().filter_map(|path| Some((path.to_owned(), self.documents.get(path)?.text.as_str())));
        Some(Costing::new(path.clone(), open.map(|(path, text)| (path, text.to_owned())).collect()))
    }

    /// Takes what was found out of a package. True where it is of the package as it is now, so that there is something new to show.
    pub fn costed(&mut self, uri: &Uri, costs: Costs) -> bool {
        let Some(document) = self.documents.get_mut(&path_of(uri)) else { return false };
        document.costs = Some(costs);
        self.costs(uri).is_some()
    }

    /// An open document's text, with the colours of its items.
    pub(crate) fn coloured(&self, uri: &Uri) -> Option<(&Text, &Mutex<Colours>)> {
        self.documents.get(&path_of(uri)).map(|document| (&document.text, &document.colours))
    }

    /// An open document's text.
    pub(crate) fn text(&self, uri: &Uri) -> Option<&Text> {
        Some(&self.documents.get(&path_of(uri))?.text)
    }
}

/// The path that stands for a document. One that is no file gets a name that no file has, so that nothing on disk is taken for it.
fn path_of(uri: &Uri) -> PathBuf {
    let is_file = uri.scheme().as_str().eq_ignore_ascii_case("file");
    match uri.to_file_path().filter(|_| is_file) {
        Some(path) => normalize(&path),
        None => normalize(Path::new(&format!("{}.unsaved", uri.as_str().replace(['/', '\\'], "_")))),
    }
}

fn uri_of(path: &Path) -> Option<Uri> {
    // A page in a browser has no working directory; its paths begin at the root.
    let absolute = if path.has_root() { path.to_owned() } else { std::path::absolute(path).ok()? };
    Uri::from_file_path(&absolute).or_else(|| Uri::from_str(&format!("file://{}", absolute.display())).ok())
}

/// The open documents over the files on disk.
struct Overlay<'a> {
    documents: &'a BTreeMap<PathBuf, Document>,
    disk: &'a dyn Host,
    kept: &'a Kept,
    /// The text that a document has here in place of its own.
    instead: Option<(&'a Path, &'a str)>,
}

impl Host for Overlay<'_> {
    fn read(&self, path: &Path) -> io::Result<Bytes> {
        let name = normalize(path);
        if let Some((_, text)) = self.instead.filter(|(instead, _)| *instead == name) {
            return Ok(Bytes::copy_from_slice(text.as_bytes()));
        }
        match self.documents.get(&name) {
            Some(document) => Ok(Bytes::copy_from_slice(document.text.as_str().as_bytes())),
            None => self.disk.read(path),
        }
    }

    fn exists(&self, path: &Path) -> bool {
        self.documents.contains_key(&normalize(path)) || self.disk.exists(path)
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        let mut found = self.disk.list(folder);
        found.extend(below(self.documents.keys(), folder));
        found
    }

    fn stamp(&self, path: &Path) -> Option<Stamp> {
        self.disk.stamp(path)
    }

    fn cache(&self) -> Option<&dyn Cache> {
        Some(self.kept)
    }
}

/// What was learned of models, so that a keystroke does not read them again.
#[derive(Default)]
struct Kept(Mutex<BTreeMap<Key, Vec<u8>>>);

/// The most models that are kept.
const MAX_KEPT: usize = 256;

impl Cache for Kept {
    fn get(&self, key: &Key) -> Option<Bytes> {
        Some(self.0.lock().ok()?.get(key)?.clone().into())
    }

    fn put(&self, key: &Key, parts: &[&[u8]]) {
        let Ok(mut entries) = self.0.lock() else { return };
        if entries.len() >= MAX_KEPT {
            entries.clear();
        }
        entries.insert(key.clone(), parts.concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ls_types::{Position, Range};
    use mlp_driver::host::Memory;

    /// Every question at many places of every file of the corpora, whole and cut off there: an answer or none, and no panic.
    #[test]
    fn every_corpus_file_is_answered_about() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dsl-spec/corpus");
        let folders = ["ok", "err", "check", "fmt"].map(|folder| std::fs::read_dir(Path::new(root).join(folder)).unwrap());
        let paths = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
        let sources: Vec<String> = paths.filter_map(|path| std::fs::read_to_string(path).ok()).collect();
        assert!(sources.len() >= 150, "only {} files", sources.len());
        let uri = Uri::from_str("file:///corpus/main.mlp").unwrap();
        let mut session = Session::new(Box::new(Memory::default()));
        let mut answers = 0;
        for (number, source) in sources.iter().enumerate() {
            session.open(uri.clone(), 1, source.clone());
            let text = Text::new(source.clone());
            let places = (number % 5..=source.len()).step_by(5 + source.len() / 40);
            for position in places.map(|offset| text.position(offset)) {
                answers += ask(&session, &uri, position);
            }
            let cut: String = source.chars().take(source.chars().count() / 2).collect();
            let end = Text::new(cut.clone()).position(cut.len());
            session.open(uri.clone(), 2, cut);
            answers += ask(&session, &uri, end);
        }
        assert!(answers > sources.len() * 20, "only {answers} answers");
    }

    /// While a step is not written yet, the error is on show, and the other statements keep their types.
    #[test]
    fn a_statement_that_is_being_written_takes_nothing_from_the_others() {
        let source = "edition 2026\n\nuse std.tensor.{ relu, softmax }\n\npipeline P(x: f32[3]) -> f32[3] {\n  a = x |> relu\n  b = a |>\n  return a |> softmax\n}\n";
        let uri = Uri::from_str("file:///writing/main.mlp").unwrap();
        let mut session = Session::new(Box::new(Memory::default()));
        let published = session.open(uri.clone(), 1, source.to_owned());
        assert!(!published[0].diagnostics.is_empty());
        let hints = session.hints(&uri, Range::new(Position::new(0, 0), Position::new(9, 0))).unwrap();
        assert_eq!(hints.iter().map(|hint| hint.position).collect::<Vec<_>>(), [Position::new(5, 3)]);
        assert!(session.hover(&uri, Position::new(5, 12)).is_some() && session.hover(&uri, Position::new(7, 16)).is_some());
        assert_eq!(session.definition(&uri, Position::new(7, 9)).unwrap().range.start, Position::new(5, 2));
        assert_eq!(session.symbols(&uri).unwrap()[0].name, "P");
    }

    /// How many questions have an answer.
    fn ask(session: &Session, uri: &Uri, position: Position) -> usize {
        let range = Range::new(position, Position::new(u32::MAX, u32::MAX));
        let answers = [
            session.hover(uri, position).is_some(),
            session.completion(uri, position).is_some_and(|items| !items.is_empty()),
            session.definition(uri, position).is_some(),
            session.references(uri, position, true).is_some_and(|places| !places.is_empty()),
            session.highlights(uri, position).is_some(),
            session.prepare_rename(uri, position).is_ok(),
            session.rename(uri, position, "renamed").is_ok(),
            session.symbols(uri).is_some(),
            session.semantic_tokens(uri).is_some(),
            session.hints(uri, range).is_some(),
            session.actions(uri, range).is_some(),
        ];
        answers.into_iter().filter(|answered| *answered).count()
    }
}
