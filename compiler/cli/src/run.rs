//! `mlpc run`: a pipeline's answer, here and now.

use crate::args::{self, Run};
use crate::progress::Progress;
use crate::render::{self, BOLD, DIM, GREEN, PLAIN};
use crate::{Failure, Outcome, build, check};
use mlp_bundle::manifest::{Field, ValueType};
use mlp_engine::photo::Photo;
use mlp_engine::sound::Sound;
use mlp_engine::value::{Ranked, Tensor};
use mlp_engine::{Session, Storage, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

/// Runs the command.
pub(crate) fn run(arguments: &Run) -> Outcome {
    let inputs: Vec<(&str, &str)> = arguments.inputs.iter().map(|text| args::assignment(text)).collect::<Result<_, _>>()?;
    let start = Instant::now();
    let Some(mut session) = open(arguments, &inputs)? else { return Ok(false) };
    let load_ms = start.elapsed().as_secs_f64() * 1e3;
    let mut values = BTreeMap::new();
    for (name, file) in inputs {
        let field = session.pipeline().inputs.iter().find(|field| field.name == name);
        let value = match field {
            // A text is given as it is: most are short.
            Some(Field { ty: ValueType::Text, .. }) => Value::Text(file.to_owned()),
            Some(field) => read(field, Path::new(file))?,
            None => return Err(unknown_input(&session, name)),
        };
        values.insert(name.to_string(), value);
    }
    let start = Instant::now();
    let answer = session.run(&values)?;
    let run_ms = start.elapsed().as_secs_f64() * 1e3;
    if arguments.json {
        let report = serde_json::json!({
            "pipeline": session.pipeline().name,
            "backend": session.kind().name(),
            "load_ms": load_ms,
            "run_ms": run_ms,
            "output": answer.to_json(),
        });
        anstream::println!("{report}");
        return Ok(true);
    }
    anstream::println!("{BOLD}{}{PLAIN}", session.pipeline().name);
    print_value("", &answer, 1);
    anstream::println!(
        "\n{DIM}{} on {}, ready after {}{PLAIN}",
        render::milliseconds(run_ms),
        session.description(),
        render::milliseconds(load_ms)
    );
    Ok(true)
}

/// Opens the pipeline of a source file or bundle; none where the source has errors, which are printed.
fn open(arguments: &Run, inputs: &[(&str, &str)]) -> Result<Option<Session>, Failure> {
    let kind = arguments.backend.into();
    let threads = usize::from(arguments.threads);
    if arguments.file.extension().is_some_and(|extension| extension == "mlp") {
        let Some(package) = check::checked(&arguments.file) else { return Ok(None) };
        let progress = Progress::start("compiling");
        let pipeline = build::choose(&package, arguments.pipeline.as_deref(), inputs)?;
        return Ok(Some(build::session(&package, pipeline, kind, threads, &progress)?));
    }
    let refused = |error| Failure(format!("{}: {error}; mlpc run takes a .mlp file or a bundle", arguments.file.display()));
    let bundle = mlp_engine::bundle::open(&arguments.file, Storage::Mapped).map_err(refused)?;
    let fits =
        |pipeline: &&mlp_bundle::manifest::Pipeline| inputs.iter().all(|(name, _)| pipeline.inputs.iter().any(|field| field.name == *name));
    let names: Vec<&str> = bundle.manifest.pipelines.iter().filter(fits).map(|pipeline| pipeline.name.as_str()).collect();
    let all = bundle.manifest.pipelines.iter();
    let taken = all.map(|pipeline| (pipeline.name.as_str(), pipeline.inputs.iter().map(|field| field.name.as_str()).collect()));
    let name = build::the_one(arguments.pipeline.as_deref(), &names, || build::no_pipeline(taken))?;
    Ok(Some(Session::open(&bundle, name, kind, threads)?))
}

fn unknown_input(session: &Session, name: &str) -> Failure {
    let pipeline = session.pipeline();
    let known = pipeline.inputs.iter().map(|field| format!("`{}`", field.name)).collect::<Vec<_>>().join(", ");
    Failure(format!("`{}` has no input `{name}`; it takes {known}", pipeline.name))
}

/// Reads an input from its file.
fn read(field: &Field, file: &Path) -> Result<Value, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure(format!("{}: {error}", file.display()));
    let bytes = std::fs::read(file).map_err(|error| failed(&error))?;
    match field.ty {
        ValueType::Image { .. } => Ok(Value::Photo(Photo::decode(&bytes).map_err(|error| failed(&error))?)),
        ValueType::Sound { .. } => Ok(Value::Sound(Sound::decode(&bytes).map_err(|error| failed(&error))?)),
        _ => {
            let tensor = mlp_import::testdata::read_npy(&bytes).map_err(|error| failed(&error))?;
            Ok(Value::Tensor(Tensor { dtype: tensor.dtype(), shape: tensor.shape().to_vec(), bytes: tensor.bytes().to_vec() }))
        }
    }
}

/// How many elements of a tensor people are shown.
const SHOWN: usize = 5;

fn print_value(name: &str, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    let title = if name.is_empty() { String::new() } else { format!("{name}: ") };
    match value {
        Value::Label(label) => anstream::println!("{indent}{title}{BOLD}{label}{PLAIN}"),
        Value::Ranking(ranking) => {
            if !name.is_empty() {
                anstream::println!("{indent}{name}");
            }
            print_ranking(ranking, &indent);
        }
        Value::Tensor(tensor) => {
            let numbers: Vec<String> = tensor.numbers().take(SHOWN).map(|x| format!("{x:.4}")).collect();
            let more = if tensor.numbers().nth(SHOWN).is_some() { ", ..." } else { "" };
            anstream::println!("{indent}{title}{DIM}{}{:?}{PLAIN} [{}{more}]", tensor.dtype, tensor.shape, numbers.join(", "));
        }
        Value::Photo(photo) => anstream::println!("{indent}{title}{}x{}", photo.width, photo.height),
        Value::Text(text) => anstream::println!("{indent}{title}{text}"),
        Value::Sound(sound) => anstream::println!("{indent}{title}{} samples at {}Hz", sound.samples.len(), sound.rate),
        Value::Record(fields) => {
            if !name.is_empty() {
                anstream::println!("{indent}{name}");
            }
            fields.iter().for_each(|(name, value)| print_value(name, value, depth + usize::from(!title.is_empty())));
        }
    }
}

fn print_ranking(ranking: &[Ranked], indent: &str) {
    let width = ranking.iter().map(|ranked| ranked.label.chars().count()).max().unwrap_or(0);
    for (rank, Ranked { label, score }) in ranking.iter().enumerate() {
        let bar = "█".repeat((score.clamp(0.0, 1.0) * 24.0).round() as usize);
        let padding = " ".repeat(width - label.chars().count());
        let emphasis = if rank == 0 { BOLD } else { "" };
        anstream::println!("{indent}  {}. {emphasis}{label}{PLAIN}{padding}  {:>5.1}%  {GREEN}{bar}{PLAIN}", rank + 1, score * 100.0);
    }
}
