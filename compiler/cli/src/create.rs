//! `mlpc new`: a project that builds.

use crate::args::New;
use crate::{Failure, Outcome};
use std::fs;
use std::io;
use std::path::Path;

/// The files of a new project, with `{{name}}` and `{{version}}` in names and texts.
const TEMPLATE: &[(&str, &str)] = &[
    (".gitignore", include_str!("../template/gitignore")),
    ("index.html", include_str!("../template/index.html")),
    ("package.json", include_str!("../template/package.json")),
    ("src/{{name}}.mlp", include_str!("../template/src/main.mlp")),
    ("src/main.ts", include_str!("../template/src/main.ts")),
    ("src/style.css", include_str!("../template/src/style.css")),
    ("tsconfig.json", include_str!("../template/tsconfig.json")),
    ("vite.config.ts", include_str!("../template/vite.config.ts")),
];

/// Runs the command.
pub(crate) fn new(arguments: &New) -> Outcome {
    let folder = &arguments.folder;
    let name = project_name(folder)?;
    let is_used = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(Failure(format!("{}: {error}", folder.display()))),
    };
    if is_used {
        return Err(Failure(format!("{} is not empty: name a folder that is, or that does not exist yet", folder.display())));
    }
    let filled = |text: &str| text.replace("{{name}}", &name).replace("{{version}}", env!("CARGO_PKG_VERSION"));
    for (path, text) in TEMPLATE {
        let path = folder.join(filled(path));
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| Failure(format!("{}: {error}", parent.display())))?;
        fs::write(&path, filled(text)).map_err(|error| Failure(format!("{}: {error}", path.display())))?;
        anstream::println!("{}", path.display());
    }
    anstream::println!("\nGo on with:\n  cd {}\n  npm install\n  npm run dev", folder.display());
    Ok(true)
}

/// The folder's own name, where it can be that of an npm package and of a file everywhere.
fn project_name(folder: &Path) -> Result<String, Failure> {
    let full = std::path::absolute(folder)?;
    let name = full.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits) && name.len() <= 100 {
        return Ok(name);
    }
    Err(Failure(format!("`{name}` cannot be a project's name: write lower-case letters, digits, `-` and `_`, a letter first")))
}
