//! `mlpc`: the mlp compiler's command line.
//!
//! Exit codes: 0 where all is well, 1 where the user's input is at fault (a source, a model, a failing test), 2 for a wrong command line.

mod args;
mod bench;
mod build;
mod check;
mod coverage;
mod create;
mod doc;
mod explain;
mod fmt;
mod inspect;
mod profile;
mod progress;
mod render;
mod report;
mod run;
mod sizes;
mod subject;
mod test;
mod verify;

use args::{Arguments, Command};
use clap::Parser;
use std::process::ExitCode;

/// What a command ends with: all is well, or its report has said what is not.
pub(crate) type Outcome = Result<bool, Failure>;

/// A failure that ends a command, in a sentence for the user.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Failure {
        // The chain of causes, each said once.
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text = format!("{text}: {cause_text}");
            }
            source = cause.source();
        }
        Failure(text)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match (&arguments.command, arguments.explain) {
        (Some(command), _) => perform(command),
        (None, Some(code)) => explain::explain(code),
        // The parser refuses an empty command line.
        (None, None) => return ExitCode::from(2),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Failure(message)) => {
            anstream::eprintln!("{}error:{} {message}", render::RED, render::PLAIN);
            ExitCode::FAILURE
        }
    }
}

fn perform(command: &Command) -> Outcome {
    match command {
        Command::New(arguments) => create::new(arguments),
        Command::Check(arguments) => check::check(arguments),
        Command::Fmt(arguments) => fmt::fmt(arguments),
        Command::Explain(arguments) => explain::explain(arguments.code),
        Command::Doc(arguments) => doc::doc(arguments),
        Command::Lsp(_) => Ok(mlp_lsp::serve_stdio().map(|()| true)?),
        Command::Run(arguments) => run::run(arguments),
        Command::Test(arguments) => test::test(arguments),
        Command::Build(arguments) => build::build(arguments),
        Command::Inspect(arguments) => inspect::inspect(arguments),
        Command::Verify(arguments) => verify::verify(arguments),
        Command::Coverage(arguments) => coverage::coverage(arguments),
        Command::Bench(arguments) => bench::bench(arguments),
        Command::Profile(arguments) => profile::profile(arguments),
    }
}
