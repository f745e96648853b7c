//! `mlpc bench`: how fast, how large.

use crate::args::Bench;
use crate::render::{self, BOLD, PLAIN};
use crate::subject::{self, Inputs, Loaded, Options, Subject};
use crate::{Failure, Outcome};
use mlp_bundle::plan::Plan;
use mlp_driver::compile;
use mlp_engine::{BackendKind, Peak};
use serde::Serialize;
use std::time::{Duration, Instant};

/// One row of the report.
#[derive(Serialize)]
struct Row {
    name: String,
    backend: &'static str,
    /// What it ran on.
    device: String,
    threads: u16,
    min_ms: f64,
    median_ms: f64,
    p95_ms: f64,
    /// From the bundle's files to ready to run; of a model or source, from plan and weights in memory.
    load_ms: f64,
    /// The first run, after loading.
    first_ms: f64,
    /// Arena and weights.
    peak_bytes: u64,
    /// The greatest resident memory of this process so far, where the system tells; unless a bundle was measured, the compiler is in it.
    resident_bytes: Option<u64>,
    /// The same before anything was opened.
    base_bytes: Option<u64>,
    /// The module's or shaders' size; for the native backend, the plan's.
    code_bytes: u64,
    weight_bytes: u64,
    /// Multiply-accumulates of floats and of bytes.
    macs: Macs,
    /// 10^9 multiply-accumulates a second.
    gmacs: f64,
    /// The part of the median that the processor's peak would take, of the native backend.
    roofline: Option<f64>,
    /// The processor's peak, of the native backend.
    peak: Option<Rates>,
    runs: usize,
}

/// A peak as programs read it.
#[derive(Serialize)]
pub(crate) struct Rates {
    f32_gmacs: f64,
    int8_gmacs: f64,
    memory_gbs: f64,
}

impl From<Peak> for Rates {
    fn from(Peak { f32_gmacs, int8_gmacs, memory_gbs }: Peak) -> Rates {
        Rates { f32_gmacs, int8_gmacs, memory_gbs }
    }
}

/// Multiply-accumulates of a run.
#[derive(Clone, Copy, Serialize)]
struct Macs {
    f32: u64,
    int8: u64,
}

impl Macs {
    fn of(plan: &Plan) -> Macs {
        let costs = compile::costs(plan);
        let sum = |int8: bool| costs.iter().filter(|cost| cost.int8 == int8).map(|cost| cost.macs).sum();
        Macs { f32: sum(false), int8: sum(true) }
    }

    /// Milliseconds of them at the peak.
    fn least_ms(self, peak: &Peak) -> f64 {
        (self.f32 as f64 / peak.f32_gmacs + self.int8 as f64 / peak.int8_gmacs) / 1e6
    }
}

/// Runs the command.
pub(crate) fn bench(arguments: &Bench) -> Outcome {
    if !(0.01..=600.0).contains(&arguments.seconds) {
        return Err(Failure("--seconds takes 0.01 to 600".into()));
    }
    let base_bytes = resident_bytes();
    let subject = subject::open(&arguments.choice)?;
    for kind in &arguments.backends {
        let row = Row { base_bytes, ..measure((*kind).into(), &subject, arguments)? };
        if arguments.json {
            anstream::println!("{}", serde_json::to_string(&row)?);
            continue;
        }
        let roofline = row.roofline.map(|part| format!(" ({:.0}% of the peak)", part * 100.0)).unwrap_or_default();
        anstream::println!(
            "{BOLD}{}{PLAIN}  {:<13} median {:>9}  p95 {:>9}  {:.1} GMAC/s{roofline}  load {:>9}  memory {:>9}  code {:>9}  weights {:>9}  {} runs",
            row.name,
            row.backend,
            render::milliseconds(row.median_ms),
            render::milliseconds(row.p95_ms),
            row.gmacs,
            render::milliseconds(row.load_ms),
            render::bytes(row.peak_bytes),
            render::bytes(row.code_bytes),
            render::bytes(row.weight_bytes),
            row.runs
        );
    }
    Ok(true)
}

fn measure(kind: BackendKind, subject: &Subject, arguments: &Bench) -> Result<Row, Failure> {
    let threads = match kind {
        // A module for several threads is not run by one.
        BackendKind::WasmThreads => arguments.choice.threads.max(2),
        _ if kind.has_threads() => arguments.choice.threads,
        _ => 1,
    };
    let target = subject.target(kind, Options::default())?;
    let start = Instant::now();
    let Loaded { name, plan, mut backend } = target.load(kind, threads.into())?;
    let load_ms = milliseconds(start);
    let inputs = Inputs::of(&plan, arguments.choice.data.as_deref())?;
    let ports = inputs.ports();
    let first = Instant::now();
    backend.run(&ports, &inputs.symbols)?;
    let first_ms = milliseconds(first);
    let mut times = Vec::new();
    let budget = Duration::from_secs_f64(arguments.seconds);
    for warm_up in [true, false] {
        let (start, budget) = (Instant::now(), if warm_up { budget / 5 } else { budget });
        times.clear();
        while times.len() < 3 || (start.elapsed() < budget && times.len() < 100_000) {
            let run = Instant::now();
            backend.run(&ports, &inputs.symbols)?;
            times.push(milliseconds(run));
        }
    }
    times.sort_by(f64::total_cmp);
    let (macs, median_ms) = (Macs::of(&plan), times[times.len() / 2]);
    let resident_bytes = resident_bytes();
    // Measured last: it takes memory.
    let peak = (kind == BackendKind::Native).then(|| Peak::measure(threads.into()));
    Ok(Row {
        name,
        backend: kind.name(),
        device: backend.description(),
        threads,
        min_ms: times[0],
        median_ms,
        p95_ms: times[(times.len() * 95 / 100).min(times.len() - 1)],
        load_ms,
        first_ms,
        peak_bytes: plan.arena_bytes + plan.weights_bytes,
        resident_bytes,
        base_bytes: None,
        code_bytes: target.code_bytes(kind)?,
        weight_bytes: plan.weights_bytes,
        macs,
        gmacs: (macs.f32 + macs.int8) as f64 / median_ms / 1e6,
        roofline: peak.map(|peak| macs.least_ms(&peak) / median_ms),
        peak: peak.map(Rates::from),
        runs: times.len(),
    })
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// The process's greatest resident memory, where `/proc` tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}
