//! What a plan costs.

use mlp_bundle::loops::{Body, BufferId, Expr, Exprs, Kernel, Store};
use mlp_bundle::plan::Plan;
use std::collections::BTreeSet;
use std::fmt;

/// What one kernel costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelCost {
    /// The kernel's name.
    pub name: String,
    /// Multiply-accumulates of contractions.
    pub macs: u64,
    /// Whether its multiply-accumulates are of bytes.
    pub int8: bool,
    /// Bytes of the buffers that it reads, each counted once.
    pub read: u64,
    /// Bytes of the elements that it writes.
    pub written: u64,
    /// What it was made from.
    pub origin: Vec<String>,
}

impl KernelCost {
    /// Bytes read and written.
    pub fn bytes(&self) -> u64 {
        self.read + self.written
    }
}

/// What each kernel of a plan costs, in order.
pub fn costs(plan: &Plan) -> Vec<KernelCost> {
    plan.kernels.iter().map(|kernel| cost(plan, kernel)).collect()
}

/// What a plan costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The plan's name.
    pub name: String,
    /// Bytes of the arena.
    pub arena_bytes: u64,
    /// The most bytes of values needed at any one time: no arena can be smaller.
    pub lower_bound: u64,
    /// Bytes of the weights file.
    pub weights_bytes: u64,
    /// Multiply-accumulates of all contractions.
    pub macs: u64,
    /// Bytes read and written by all kernels.
    pub bytes_moved: u64,
    /// Each kernel, in order.
    pub kernels: Vec<KernelCost>,
}

impl Report {
    pub(crate) fn new(plan: &Plan, lower_bound: u64) -> Report {
        let kernels = costs(plan);
        Report {
            name: plan.name.clone(),
            arena_bytes: plan.arena_bytes,
            lower_bound,
            weights_bytes: plan.weights_bytes,
            macs: kernels.iter().map(|kernel| kernel.macs).sum(),
            bytes_moved: kernels.iter().map(KernelCost::bytes).sum(),
            kernels,
        }
    }
}

/// The buffers that a kernel reads and those that it writes.
pub(crate) fn buffers_of(kernel: &Kernel) -> (BTreeSet<BufferId>, BTreeSet<BufferId>) {
    let mut read = BTreeSet::new();
    let (exprs, stores): (&Exprs, &[Store]) = match &kernel.body {
        Body::Nest(nest) => (&nest.exprs, &nest.stores),
        Body::Contract(contract) => {
            read.extend([contract.input, contract.weights]);
            read.extend(contract.scales.map(|scales| scales.buffer));
            (&contract.epilogue.exprs, &contract.epilogue.stores)
        }
        Body::Depthwise(depthwise) => {
            read.extend([depthwise.input, depthwise.weights]);
            (&depthwise.epilogue.exprs, &depthwise.epilogue.stores)
        }
        Body::Rows(rows) => (&rows.exprs, &rows.stores),
        Body::Attention(attention) => {
            read.extend(attention.reads());
            return (read, BTreeSet::from([attention.out.buffer]));
        }
    };
    for expr in exprs.values() {
        if let Expr::Load(access) = expr {
            read.insert(access.buffer);
        }
    }
    (read, stores.iter().map(|store| store.access.buffer).collect())
}

fn cost(plan: &Plan, kernel: &Kernel) -> KernelCost {
    let (read, _) = buffers_of(kernel);
    let size = |buffer: BufferId| plan.buffers[buffer].dtype.size() as u64;
    let all = |points: u64, stores: &[Store]| -> u64 { stores.iter().map(|store| points * size(store.access.buffer)).sum() };
    let written = match &kernel.body {
        Body::Nest(nest) => all(nest.parallel.iter().map(|&extent| u64::from(extent)).product(), &nest.stores),
        Body::Rows(rows) => all(rows.rows() * u64::from(rows.length), &rows.stores),
        Body::Attention(attention) => attention.outputs() * size(attention.out.buffer),
        Body::Contract(contract) => all(contract.window.outputs(), &contract.epilogue.stores),
        Body::Depthwise(depthwise) => all(depthwise.window.outputs(), &depthwise.epilogue.stores),
    };
    let read: u64 = read.into_iter().map(|buffer| plan.buffers[buffer].bytes()).sum();
    KernelCost { name: kernel.name.clone(), macs: kernel.macs(), int8: kernel.is_int8(), read, written, origin: kernel.origin.clone() }
}

/// Bytes with a binary unit.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..1024 => write!(f, "{} B", self.0),
            1024..1_048_576 => write!(f, "{:.1} KiB", self.0 as f64 / 1024.0),
            _ => write!(f, "{:.2} MiB", self.0 as f64 / 1_048_576.0),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan `{}`: {} kernels", self.name, self.kernels.len())?;
        writeln!(f, "  arena    {} (no less than {})", Bytes(self.arena_bytes), Bytes(self.lower_bound))?;
        writeln!(f, "  weights  {}", Bytes(self.weights_bytes))?;
        writeln!(f, "  products {:.2} million", self.macs as f64 / 1e6)?;
        writeln!(f, "  moved    {}", Bytes(self.bytes_moved))?;
        let width = self.kernels.iter().map(|kernel| kernel.name.len()).max().unwrap_or(0);
        for kernel in &self.kernels {
            let (macs, bytes) = (kernel.macs as f64 / 1e6, Bytes(kernel.bytes()).to_string());
            writeln!(f, "  {:width$}  {macs:9.3} M  {bytes:>12}  {}", kernel.name, kernel.origin.join(" + "))?;
        }
        Ok(())
    }
}
