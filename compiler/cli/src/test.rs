//! `mlpc test`: the `test` blocks of a file.

use crate::args::Test;
use crate::progress::Progress;
use crate::render::{self, DIM, GREEN, PLAIN, RED};
use crate::{Failure, Outcome, build, check};
use mlp_analysis::{Expectation, Expected, Part, PipelineId, TestArgument};
use mlp_driver::package::Package;
use mlp_engine::photo::Photo;
use mlp_engine::sound::Sound;
use mlp_engine::{Session, Value};
use mlp_syntax::ast::Operator;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// Runs the command.
pub(crate) fn test(arguments: &Test) -> Outcome {
    let Some(package) = check::checked(&arguments.file) else { return Ok(false) };
    let progress = Progress::start("compiling");
    let mut sessions: BTreeMap<PipelineId, Session> = BTreeMap::new();
    let (mut passed, mut failed) = (0, 0);
    for test in &package.program().tests {
        progress.next(&test.name);
        let start = Instant::now();
        let mut faults = Vec::new();
        // What a test finds does not depend on the tests before it.
        sessions.values_mut().try_for_each(Session::reset)?;
        for expectation in &test.expectations {
            let id = expectation.pipeline;
            if let std::collections::btree_map::Entry::Vacant(e) = sessions.entry(id) {
                e.insert(build::session(&package, id, arguments.backend.into(), 1, &progress)?);
            }
            let session = sessions.get_mut(&id).expect("it was opened above");
            faults.extend(judge(&package, session, expectation)?);
        }
        let ms = start.elapsed().as_secs_f64() * 1e3;
        if faults.is_empty() {
            passed += 1
        } else {
            failed += 1
        }
        if arguments.json {
            let line = serde_json::json!({ "name": test.name, "status": if faults.is_empty() { "pass" } else { "fail" }, "ms": ms, "detail": faults });
            anstream::println!("{line}");
            continue;
        }
        let (word, colour) = if faults.is_empty() { ("pass", GREEN) } else { ("FAIL", RED) };
        anstream::println!("{colour}{word}{PLAIN}  {}  {DIM}{}{PLAIN}", test.name, render::milliseconds(ms));
        faults.iter().for_each(|fault| anstream::println!("      {fault}"));
    }
    drop(progress);
    if !arguments.json {
        anstream::println!("\n{passed} passed, {failed} failed");
    }
    Ok(failed == 0)
}

/// Runs an expectation; what is wrong where it does not hold.
fn judge(package: &Package, session: &mut Session, expectation: &Expectation) -> Result<Option<String>, Failure> {
    let mut values = BTreeMap::new();
    for (argument, field) in expectation.args.iter().zip(session.pipeline().inputs.clone()) {
        values.insert(field.name, given(argument)?);
    }
    let answer = session.run(&values)?;
    let observed = observe(&answer, &expectation.observed.fields, expectation.observed.part)
        .ok_or_else(|| Failure(format!("`{}` looks at a part that the answer has not", expectation.text)))?;
    let holds = match (&observed, &expectation.expected) {
        (Found::Label(label), Expected::Labels(labels)) => labels.contains(label) == (expectation.op != Operator::Ne),
        (Found::Number(x), Expected::Number(y)) => match expectation.op {
            Operator::Eq => x == y,
            Operator::Ne => x != y,
            Operator::Lt => x < y,
            Operator::Le => x <= y,
            Operator::Gt => x > y,
            Operator::Ge => x >= y,
            _ => false,
        },
        _ => false,
    };
    let place = package.program().place(expectation.at);
    Ok((!holds).then(|| format!("{place}: {}, but it is {observed}", expectation.text)))
}

/// What a test gives.
fn given(argument: &TestArgument) -> Result<Value, Failure> {
    let read = |path: &str| std::fs::read(Path::new(path)).map_err(|error| Failure(format!("{path}: {error}")));
    let failed = |path: &str, error: &dyn std::fmt::Display| Failure(format!("{path}: {error}"));
    match argument {
        TestArgument::Image { path } => Photo::decode(&read(path)?).map(Value::Photo).map_err(|error| failed(path, &error)),
        TestArgument::Sound { path } => Sound::decode(&read(path)?).map(Value::Sound).map_err(|error| failed(path, &error)),
        TestArgument::Text { text } => Ok(Value::Text(text.clone())),
    }
}

/// A part of an answer.
enum Found {
    Label(String),
    Number(f64),
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Found::Label(label) => write!(f, "\"{label}\""),
            Found::Number(number) => write!(f, "{number}"),
        }
    }
}

fn observe(value: &Value, fields: &[String], part: Part) -> Option<Found> {
    if let [first, rest @ ..] = fields {
        let Value::Record(record) = value else { return None };
        return observe(record.get(first)?, rest, part);
    }
    match (value, part) {
        (Value::Label(label), Part::Label) => Some(Found::Label(label.clone())),
        (Value::Ranking(ranking), Part::RankedLabel(rank)) => Some(Found::Label(ranking.get(rank as usize)?.label.clone())),
        (Value::Ranking(ranking), Part::RankedScore(rank)) => Some(Found::Number(f64::from(ranking.get(rank as usize)?.score))),
        (Value::Tensor(tensor), Part::Element(index)) => Some(Found::Number(tensor.numbers().nth(index as usize)?)),
        _ => None,
    }
}
