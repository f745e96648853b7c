//! The compiler and the language server's session for pages in browsers: files come from the page's memory, everything else is what `mlpc` does.
//!
//! A [`Compiler`] holds the files of one package. Answers of the session are JSON as the language server protocol has them; positions are lines and UTF-16 units from 0.
//! `build.sh` makes the module and its JavaScript.

mod built;
mod files;
mod program;

pub use built::Built;

use files::{Building, Files};
use mlp_driver::package::Package;
use mlp_lsp::types::{Diagnostic, Position, Range, Uri};
use mlp_lsp::{Published, Session};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use wasm_bindgen::prelude::*;

/// What is wrong with a document, in place of what was before.
#[derive(Serialize)]
struct Found {
    path: String,
    version: Option<i32>,
    diagnostics: Vec<Diagnostic>,
}

/// The compiler with the files that it sees.
#[wasm_bindgen]
pub struct Compiler {
    files: Files,
    session: Session,
    version: i32,
}

#[wasm_bindgen]
impl Compiler {
    /// A compiler that sees no files yet.
    #[wasm_bindgen(constructor)]
    #[allow(clippy::new_without_default, reason = "JavaScript has constructors")]
    pub fn new() -> Compiler {
        std::panic::set_hook(Box::new(|panic| say(&panic.to_string())));
        let files = Files::default();
        Compiler { session: Session::new(Box::new(files.clone())), files, version: 0 }
    }

    /// The compiler's version.
    pub fn version() -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    /// Puts a file that is not edited, such as a model, and gives the diagnostics that changed by it.
    pub fn write(&mut self, path: &str, bytes: Vec<u8>) -> Result<String, JsError> {
        let uri = uri(path)?;
        self.files.put(path, bytes);
        Ok(found(self.session.saved(&uri)))
    }

    /// Takes a file away.
    pub fn remove(&mut self, path: &str) -> Result<String, JsError> {
        let uri = uri(path)?;
        self.files.remove(path);
        let mut published = self.session.close(&uri);
        published.extend(self.session.saved(&uri));
        Ok(found(published))
    }

    /// Opens a source file with that text, or changes it, and gives the diagnostics that changed by it.
    pub fn edit(&mut self, path: &str, text: String) -> Result<String, JsError> {
        let uri = uri(path)?;
        self.files.put(path, text.clone().into_bytes());
        self.version = self.version.wrapping_add(1);
        Ok(found(self.session.open(uri, self.version, text)))
    }

    /// What can be written at a position: a list of `CompletionItem`.
    pub fn completion(&self, path: &str, line: u32, character: u32) -> Result<String, JsError> {
        Ok(json(&self.session.completion(&uri(path)?, Position::new(line, character)).unwrap_or_default()))
    }

    /// What is known of what stands at a position: a `Hover` or `null`.
    pub fn hover(&self, path: &str, line: u32, character: u32) -> Result<String, JsError> {
        Ok(json(&self.session.hover(&uri(path)?, Position::new(line, character))))
    }

    /// Where what stands at a position is declared: a `Location` or `null`.
    pub fn definition(&self, path: &str, line: u32, character: u32) -> Result<String, JsError> {
        Ok(json(&self.session.definition(&uri(path)?, Position::new(line, character))))
    }

    /// The fixes that diagnostics offer in the whole document: a list of `CodeAction`.
    pub fn actions(&self, path: &str) -> Result<String, JsError> {
        Ok(json(&self.session.actions(&uri(path)?, everything()).unwrap_or_default()))
    }

    /// The edits that bring a document into the language's one style: a list of `TextEdit`; `null` where it has errors.
    pub fn formatting(&self, path: &str) -> Result<String, JsError> {
        Ok(json(&self.session.formatting(&uri(path)?)))
    }

    /// The syntax tree of a source file.
    pub fn syntax(&self, path: &str) -> Result<String, JsError> {
        let text = self.files.text(path).map_err(|error| JsError::new(&format!("{path}: {error}")))?;
        Ok(mlp_syntax::dump(&mlp_syntax::parse(&text).0))
    }

    /// The typed program of a source file, as far as it could be understood.
    pub fn program(&self, path: &str) -> Result<String, JsError> {
        Ok(program::print(Package::check(&Building::new(&self.files), Path::new(path)).program()))
    }

    /// The optimized graphs of the pipelines of a source file without errors.
    pub fn graph(&self, path: &str) -> Result<String, JsError> {
        let (host, package) = self.sound(path)?;
        let mut out = String::new();
        for (id, _) in package.program().entries() {
            let graph = package.graph(&host, id).map_err(|error| JsError::new(&error.to_string()))?;
            out += &mlp_graph::text::brief(&graph);
            out.push('\n');
        }
        Ok(out)
    }

    /// Builds the bundle of a source file without errors.
    pub fn build(&self, path: &str) -> Result<Built, JsError> {
        let (host, package) = self.sound(path)?;
        let stem = Path::new(path).file_stem().unwrap_or_default().to_string_lossy();
        let built = package.build(&host, &stem, false, &|_| {}).map_err(|error| JsError::new(&error.to_string()))?;
        let left_out = package.left_out().iter().map(|diagnostic| diagnostic.message.clone()).collect();
        Built::new(built, left_out, host.times()).map_err(|error| JsError::new(&error.to_string()))
    }

    fn sound(&self, path: &str) -> Result<(Building<'_>, Package), JsError> {
        let host = Building::new(&self.files);
        let package = Package::check(&host, Path::new(path));
        if package.has_errors() {
            let first = package.diagnostics().iter().find(|diagnostic| diagnostic.is_error());
            let what = first.map_or_else(String::new, |first| format!(": {}", first.message));
            return Err(JsError::new(&format!("{path} has errors{what}")));
        }
        Ok((host, package))
    }
}

/// Every place of a document.
fn everything() -> Range {
    Range::new(Position::new(0, 0), Position::new(u32::MAX, u32::MAX))
}

/// The address under which the session knows a file.
fn uri(path: &str) -> Result<Uri, JsError> {
    let mut text = String::from("file://");
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => text.push(byte as char),
            _ => text += &format!("%{byte:02X}"),
        }
    }
    Uri::from_str(&text).map_err(|_| JsError::new(&format!("`{path}` is no path of a file")))
}

/// The path of a file that the session has under that address.
fn path(uri: &Uri) -> String {
    uri.to_file_path().map_or_else(PathBuf::new, |path| path.into_owned()).to_string_lossy().into_owned()
}

fn found(published: Vec<Published>) -> String {
    let found = published.into_iter().map(|Published { uri, version, diagnostics }| Found { path: path(&uri), version, diagnostics });
    json(&found.collect::<Vec<_>>())
}

/// What pages read.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("answers are plain data")
}

#[cfg(target_family = "wasm")]
fn say(text: &str) {
    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(js_namespace = console)]
        fn error(text: &str);
    }
    error(text);
}

#[cfg(not(target_family = "wasm"))]
fn say(text: &str) {
    eprintln!("{text}");
}
