//! `mlpc profile`: where the time of a run goes, kernel by kernel.

mod html;

use crate::args::Profile;
use crate::bench::Rates;
use crate::render::{self, BOLD, PLAIN};
use crate::subject::{self, Inputs, Loaded, Options};
use crate::{Failure, Outcome};
use mlp_bundle::bundle::write_whole;
use mlp_driver::compile::{self, KernelCost};
use mlp_engine::{BackendKind, Peak};
use serde::Serialize;

/// The profile of one model or pipeline on one backend.
#[derive(Serialize)]
struct Report {
    name: String,
    backend: &'static str,
    /// What it ran on.
    device: String,
    threads: u16,
    runs: u16,
    /// The sum of the kernels' medians.
    total_ms: f64,
    /// The processor's peak, of backends that run on it.
    peak: Option<Rates>,
    kernels: Vec<Row>,
}

/// One kernel.
#[derive(Serialize)]
struct Row {
    name: String,
    /// The ONNX nodes or places in a source that it was made from.
    origin: Vec<String>,
    /// The variant of the kernel that the device runs, where it has several.
    #[serde(skip_serializing_if = "String::is_empty")]
    variant: String,
    /// The median over all runs.
    median_us: f64,
    /// Its part of the sum of all kernels.
    share: f64,
    macs: u64,
    int8: bool,
    read_bytes: u64,
    written_bytes: u64,
    /// 10^9 multiply-accumulates a second.
    gmacs: f64,
    /// 10^9 bytes read and written a second.
    gbs: f64,
    /// The part of the median that its multiply-accumulates, or its bytes where they take longer, would take at the processor's peak.
    roofline: Option<f64>,
}

/// Runs the command.
pub(crate) fn profile(arguments: &Profile) -> Outcome {
    let kind: BackendKind = arguments.backend.into();
    let report = measure(kind, arguments)?;
    if let Some(file) = &arguments.html {
        let named = |error| Failure(format!("{}: {error}", file.display()));
        write_whole(file, html::page(&report).as_bytes()).map_err(named)?;
    }
    if arguments.json {
        anstream::println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&report);
    }
    Ok(true)
}

fn measure(kind: BackendKind, arguments: &Profile) -> Result<Report, Failure> {
    if kind == BackendKind::WasmThreads {
        return Err(Failure(
            "threads share kernels in a module for several of them, which tells no times apart; profile wasm-relaxed".into(),
        ));
    }
    let threads = if kind.has_threads() { arguments.choice.threads } else { 1 };
    let subject = subject::open(&arguments.choice)?;
    let target = subject.target(kind, Options { steps: true, gpu_variant: arguments.gpu_variant.as_deref() })?;
    let Loaded { name, plan, mut backend } = target.load(kind, threads.into())?;
    let inputs = Inputs::of(&plan, arguments.choice.data.as_deref())?;
    let ports = inputs.ports();
    // The first runs find cold caches.
    for _ in 0..arguments.runs.div_ceil(5) {
        backend.run(&ports, &inputs.symbols)?;
    }
    if arguments.tune {
        backend.tune()?;
    }
    let mut times: Vec<Vec<u64>> = vec![Vec::new(); plan.kernels.len()];
    for _ in 0..arguments.runs {
        for (times, time) in times.iter_mut().zip(backend.profile(&ports, &inputs.symbols)?) {
            times.push(time);
        }
    }
    // Measured last: it takes memory. A GPU's peak is not the processor's.
    let peak = (kind != BackendKind::Gpu).then(|| Peak::measure(threads.into()));
    let medians: Vec<u64> = times.into_iter().map(median).collect();
    let total: u64 = medians.iter().sum();
    let mut variants = backend.variants().into_iter();
    let mut variant = || variants.next().unwrap_or_default().to_string();
    let rows = compile::costs(&plan).into_iter().zip(medians);
    Ok(Report {
        name,
        backend: kind.name(),
        device: backend.description(),
        threads,
        runs: arguments.runs,
        total_ms: total as f64 / 1e6,
        kernels: rows.map(|(cost, time)| Row { variant: variant(), ..row(cost, time, total, peak.as_ref()) }).collect(),
        peak: peak.map(Rates::from),
    })
}

fn median(mut times: Vec<u64>) -> u64 {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or(0)
}

fn row(cost: KernelCost, nanoseconds: u64, total: u64, peak: Option<&Peak>) -> Row {
    // A clock may be too coarse for a kernel.
    let time = nanoseconds.max(1) as f64;
    let bytes = cost.bytes();
    let least = |peak: &Peak| {
        let rate = if cost.int8 { peak.int8_gmacs } else { peak.f32_gmacs };
        (cost.macs as f64 / rate).max(bytes as f64 / peak.memory_gbs)
    };
    Row {
        variant: String::new(),
        median_us: nanoseconds as f64 / 1e3,
        share: nanoseconds as f64 / total.max(1) as f64,
        gmacs: cost.macs as f64 / time,
        gbs: bytes as f64 / time,
        roofline: peak.map(|peak| least(peak) / time),
        macs: cost.macs,
        int8: cost.int8,
        read_bytes: cost.read,
        written_bytes: cost.written,
        name: cost.name,
        origin: cost.origin,
    }
}

fn print(report: &Report) {
    let Report { name, backend, device, total_ms, runs, kernels, .. } = report;
    anstream::println!(
        "{BOLD}{name}{PLAIN}  {backend} ({device}): {} in {} kernels, medians of {runs} runs",
        render::milliseconds(*total_ms),
        kernels.len()
    );
    let width = kernels.iter().map(|row| row.name.len()).max().unwrap_or(0).max("kernel".len());
    anstream::println!(
        "{BOLD}{:<width$} {:>10} {:>6} {:>10} {:>10} {:>9} {:>8} {:>8} {:>6}  from{PLAIN}",
        "kernel",
        "time",
        "share",
        "read",
        "written",
        "MMAC",
        "GMAC/s",
        "GB/s",
        "peak"
    );
    for row in kernels {
        let peak = row.roofline.map_or(String::new(), |part| format!("{:.0}%", part * 100.0));
        anstream::println!(
            "{:<width$} {:>10} {:>5.1}% {:>10} {:>10} {:>9.2} {:>8.1} {:>8.1} {peak:>6}  {}",
            row.name,
            render::milliseconds(row.median_us / 1e3),
            row.share * 100.0,
            render::bytes(row.read_bytes),
            render::bytes(row.written_bytes),
            row.macs as f64 / 1e6,
            row.gmacs,
            row.gbs,
            origin(row)
        );
    }
}

/// The first thing that a kernel was made from, how many more there are, and its variant.
fn origin(row: &Row) -> String {
    let places = match &row.origin[..] {
        [] => String::new(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} +{}", rest.len()),
    };
    if row.variant.is_empty() { places } else { format!("{places} ({})", row.variant) }
}
