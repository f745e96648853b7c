//! `mlpc fmt`: files in the language's one style.
//!
//! A file is replaced as a whole, by renaming a finished one over it, so that nothing that goes wrong leaves half a file behind.

use crate::args::Fmt;
use crate::{Failure, Outcome, render};
use mlp_syntax::{FormatError, MAX_SOURCE_BYTES, format};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// What became of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is in the style already.
    Unchanged,
    /// It was not in the style.
    Changed,
    /// It cannot be formatted; why is said already.
    Refused,
}

/// Runs the command.
pub(crate) fn fmt(arguments: &Fmt) -> Outcome {
    if arguments.stdin {
        return stdin(arguments.check);
    }
    let here = [PathBuf::from(".")];
    let paths = if arguments.paths.is_empty() { &here[..] } else { &arguments.paths };
    let mut files = Vec::new();
    let mut sound = true;
    for path in paths {
        if let Err(error) = find(path, true, &mut files) {
            complain(path, &error.to_string());
            sound = false;
        }
    }
    files.sort();
    files.dedup();
    let (mut changed, mut unchanged) = (0, 0);
    for file in &files {
        match one(file, arguments.check) {
            Fate::Unchanged => unchanged += 1,
            Fate::Refused => sound = false,
            Fate::Changed => {
                changed += 1;
                anstream::println!("{}", shown(file).display());
            }
        }
    }
    if files.is_empty() && sound {
        return Err(Failure("there is no .mlp file here; name files or folders".to_string()));
    }
    let count = |number: usize| format!("{number} file{}", if number == 1 { "" } else { "s" });
    match arguments.check {
        true => anstream::eprintln!("{} to format, {unchanged} in the style", count(changed)),
        false => anstream::eprintln!("{} formatted, {unchanged} left as they were", count(changed)),
    }
    Ok(sound && !(arguments.check && changed > 0))
}

/// Formats what comes in; nothing comes out where it has errors.
fn stdin(check: bool) -> Outcome {
    let mut bytes = Vec::new();
    // What is too large is refused by the parser, so no more than that need be read.
    io::stdin().lock().take(MAX_SOURCE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    let source = String::from_utf8(bytes).map_err(|_| Failure("<stdin>: it is not UTF-8 text".to_string()))?;
    let Some(text) = formatted(Path::new("<stdin>"), &source) else { return Ok(false) };
    if check {
        return Ok(text == source);
    }
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(true)
}

/// Every `.mlp` file of a folder and the folders in it, but for hidden ones and what others made; a path that is named is a file or a folder.
fn find(path: &Path, named: bool, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let kind = if named { fs::metadata(path)?.file_type() } else { fs::symlink_metadata(path)?.file_type() };
    if kind.is_dir() {
        for entry in fs::read_dir(path)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !name.starts_with('.') && !matches!(&*name, "node_modules" | "target") {
                find(&path, false, found)?;
            }
        }
    } else if named || (kind.is_file() && path.extension().is_some_and(|extension| extension == "mlp")) {
        found.push(path.to_owned());
    }
    Ok(())
}

fn one(path: &Path, check: bool) -> Fate {
    let source = match fs::read(path).map(String::from_utf8) {
        Ok(Ok(source)) => source,
        Ok(Err(_)) => {
            complain(path, "it is not UTF-8 text");
            return Fate::Refused;
        }
        Err(error) => {
            complain(path, &error.to_string());
            return Fate::Refused;
        }
    };
    let Some(text) = formatted(path, &source) else { return Fate::Refused };
    if text == source {
        return Fate::Unchanged;
    }
    if check {
        return Fate::Changed;
    }
    match replace(path, &text) {
        Ok(()) => Fate::Changed,
        Err(error) => {
            complain(path, &error.to_string());
            Fate::Refused
        }
    }
}

/// The text in the style; none where it has errors, which are printed.
fn formatted(path: &Path, source: &str) -> Option<String> {
    let name = shown(path).display().to_string();
    match format(source) {
        Ok(text) => Some(text),
        Err(FormatError::Syntax(diagnostics)) => {
            render::human(&diagnostics, &|_| Some((name.as_str(), source)));
            None
        }
        Err(error @ FormatError::Unsound) => {
            complain(path, &error.to_string());
            None
        }
    }
}

/// Writes a file beside another and renames it over that one, which keeps its permissions. A link stays one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let permissions = fs::metadata(&path)?.permissions();
    if permissions.readonly() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is read-only"));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".mlpc-fmt-").tempfile_in(folder)?;
    file.write_all(text.as_bytes())?;
    fs::set_permissions(file.path(), permissions)?;
    file.persist(&path)?;
    Ok(())
}

/// A path as people write it.
fn shown(path: &Path) -> &Path {
    path.strip_prefix(".").unwrap_or(path)
}

fn complain(path: &Path, message: &str) {
    anstream::eprintln!("{}error:{} {}: {message}", render::RED, render::PLAIN, shown(path).display());
}
