//! Times one model with tract or rten, and prints one JSON object: `peers tract|rten MODEL.onnx INPUTS.json THREADS SECONDS`.
//!
//! `INPUTS.json` is `[{"name", "dtype", "shape", "file"}]`; each file holds an input's little-endian bytes.

mod rten_peer;
mod tract_peer;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What went wrong.
pub type Failure = Box<dyn Error + Send + Sync>;

/// One recorded input.
#[derive(serde::Deserialize)]
pub struct Input {
    /// The model's name for it.
    pub name: String,
    /// numpy's name of its element type.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Where its bytes are.
    file: String,
}

impl Input {
    /// Its elements, read by `element` from `N` bytes each.
    pub fn elements<T, const N: usize>(&self, element: fn([u8; N]) -> T) -> Result<Vec<T>, Failure> {
        let bytes = std::fs::read(&self.file)?;
        Ok(bytes.chunks_exact(N).map(|chunk| element(chunk.try_into().expect("chunks are of that size"))).collect())
    }
}

/// A model that is loaded, with its inputs.
pub trait Peer {
    /// Runs once.
    fn run(&self) -> Result<(), Failure>;
}

fn main() -> ExitCode {
    match measure() {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<serde_json::Value, Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [peer, model, inputs, threads, seconds] = &arguments[..] else {
        return Err("usage: peers tract|rten MODEL.onnx INPUTS.json THREADS SECONDS".into());
    };
    let inputs: Vec<Input> = serde_json::from_slice(&std::fs::read(inputs)?)?;
    let threads: usize = threads.parse()?;
    let base = resident()?;
    let start = Instant::now();
    let peer: Box<dyn Peer> = match &peer[..] {
        "tract" => tract_peer::load(model, &inputs, threads)?,
        "rten" => rten_peer::load(model, &inputs, threads)?,
        _ => return Err(format!("`{peer}` is neither tract nor rten").into()),
    };
    let load = start.elapsed();
    let start = Instant::now();
    peer.run()?;
    let first = start.elapsed();
    let budget = Duration::from_secs_f64(seconds.parse()?);
    let mut times = Vec::new();
    for budget in [budget / 5, budget] {
        times.clear();
        let start = Instant::now();
        while times.len() < 3 || start.elapsed() < budget {
            let run = Instant::now();
            peer.run()?;
            times.push(run.elapsed().as_secs_f64() * 1e3);
        }
    }
    Ok(serde_json::json!({
        "times_ms": times,
        "load_ms": load.as_secs_f64() * 1e3,
        "first_ms": first.as_secs_f64() * 1e3,
        "resident_bytes": resident()?,
        "base_bytes": base,
    }))
}

/// The greatest resident memory of this process so far.
fn resident() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("the system does not tell the resident memory")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? * 1024)
}
