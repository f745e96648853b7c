//! `mlpc check`: is a file right?

use crate::args::{Check, Format};
use crate::{Outcome, render, report};
use mlp_driver::host::Disk;
use mlp_driver::package::Package;
use std::path::Path;

/// Runs the command.
pub(crate) fn check(arguments: &Check) -> Outcome {
    let package = Package::check(&Disk::default(), &arguments.file);
    match arguments.format {
        Format::Human => {
            print(&package);
            if package.has_errors() {
                return Ok(false);
            }
            let count = package.program().entries().count();
            anstream::println!("{} is right: {count} pipeline{}", arguments.file.display(), if count == 1 { "" } else { "s" });
        }
        format => {
            let sources = sources(&package);
            let diagnostics = package.diagnostics();
            match format {
                Format::Sarif => anstream::println!("{}", serde_json::to_string_pretty(&report::sarif(diagnostics, &sources))?),
                Format::Github => diagnostics.iter().for_each(|one| anstream::println!("{}", report::github(one, &sources))),
                _ => {
                    for diagnostic in diagnostics {
                        anstream::println!("{}", serde_json::to_string(&report::json(diagnostic, &sources))?);
                    }
                }
            }
        }
    }
    Ok(!package.has_errors())
}

/// The texts that a package's diagnostics point into.
pub(crate) fn sources<'p>(package: &'p Package) -> impl Fn(u32) -> Option<(&'p str, &'p str)> {
    move |file| package.program().files.get(file as usize).map(|file| (file.path.as_str(), file.text.as_str()))
}

/// Prints a package's diagnostics for people.
pub(crate) fn print(package: &Package) {
    render::human(package.diagnostics(), &sources(package));
}

/// Checks a file and prints what is wrong; none where something is.
pub(crate) fn checked(file: &Path) -> Option<Package> {
    let package = Package::check(&Disk::default(), file);
    print(&package);
    (!package.has_errors()).then_some(package)
}
