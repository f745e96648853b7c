//! The choice among the variants of kernels: a guess by the kind of adapter, then a timed probe on the device itself.

use crate::GpuError;
use crate::adapter::{AdapterInfo, Device};
use crate::pipeline::{Buffers, Compiler, Step, Way};
use mlp_bundle::gpu::{Dispatch, GpuProgram};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Language features that the shader compiler has on every device.
const LANGUAGE: [&str; 2] = ["packed_4x8_integer_dot_product", "subgroup_id"];

/// A variant replaces what runs where it takes less than this part of its time: less is noise.
const BETTER: f64 = 0.9;

/// Kernels that together take less than this part of a run are left as they are.
const NEGLIGIBLE: f64 = 0.01;

/// How long something is repeated to be measured, and how often at most.
const SPAN: Duration = Duration::from_millis(1);
const MOST_TIMES: u128 = 32;

/// How many runs measuring may take as long as, on a device so slow that the budget is less.
const LEAST_RUNS: u32 = 4;

/// The number of the way that each dispatch runs.
type Choice = Vec<usize>;

/// What was found, by program and adapter.
static FOUND: LazyLock<Mutex<HashMap<u64, Choice>>> = LazyLock::new(Mutex::default);

/// Whether every device has a feature that a module asks for.
fn is_common(feature: &str) -> bool {
    LANGUAGE.contains(&feature)
}

impl Device {
    /// Whether sessions on it have a feature that a module or program asks for.
    pub(crate) fn offers(&self, feature: &str) -> bool {
        is_common(feature) || (feature == "subgroups" && self.device.features().contains(wgpu::Features::SUBGROUP))
    }
}

/// The numbers of the ways to compute a dispatch where such features are offered.
fn ways(program: &GpuProgram, dispatch: &Dispatch, offers: impl Fn(&str) -> bool) -> Vec<usize> {
    let modules = std::iter::once(dispatch.module).chain(dispatch.variants.iter().map(|variant| variant.module));
    let has =
        |module: u32| program.modules.get(module as usize).is_some_and(|module| module.features.iter().all(|feature| offers(feature)));
    modules.enumerate().filter(|&(number, module)| number == 0 || has(module)).map(|(number, _)| number).collect()
}

/// What suits the kind of adapter: a processor that stands in for a GPU has no use for workgroup memory, others run the first variant of each kernel that needs
/// no feature of the device: how well it does with those is to be measured.
pub(crate) fn guess(program: &GpuProgram, info: &AdapterInfo) -> Choice {
    let first = |dispatch: &Dispatch| if info.software { 0 } else { ways(program, dispatch, is_common).get(1).copied().unwrap_or(0) };
    program.dispatches.iter().map(first).collect()
}

/// What an earlier probe of the same program on the same adapter found.
pub(crate) fn remembered(program: &GpuProgram, info: &AdapterInfo) -> Option<Choice> {
    FOUND.lock().unwrap_or_else(PoisonError::into_inner).get(&key(program, info)).cloned()
}

fn key(program: &GpuProgram, info: &AdapterInfo) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&info.name, &info.driver, &info.backend).hash(&mut hasher);
    for module in &program.modules {
        module.wgsl.hash(&mut hasher);
    }
    for dispatch in &program.dispatches {
        (dispatch.module, &dispatch.params, dispatch.workgroups, dispatch.variants.len()).hash(&mut hasher);
    }
    hasher.finish()
}

/// Dispatches that differ in nothing but what they are bound to.
struct Class {
    members: Vec<usize>,
    /// What all of them take in a run as they are.
    share: Duration,
}

/// Measures, and lets each step run the fastest of its ways.
pub(crate) fn tune(
    device: &Device,
    program: &GpuProgram,
    compiler: &mut Compiler,
    buffers: &Buffers,
    steps: &mut [Step],
    budget: Duration,
) -> Result<(), GpuError> {
    let mut classes = classes(program);
    for class in &mut classes {
        class.share = device.time(&steps[class.members[0]].way, 1)? * class.members.len() as u32;
    }
    let total: Duration = classes.iter().map(|class| class.share).sum();
    let mut end = Instant::now() + budget.max(total * LEAST_RUNS);
    classes.retain(|class| class.share.as_secs_f64() >= NEGLIGIBLE * total.as_secs_f64());
    classes.sort_by_key(|class| std::cmp::Reverse(class.share));
    for Class { members, .. } in classes {
        let first = members[0];
        let (old, candidates) = (steps[first].chosen, ways(program, &program.dispatches[first], |feature| device.offers(feature)));
        if Instant::now() >= end || candidates.len() < 2 {
            continue;
        }
        let once = least(device, &steps[first].way, 1)?;
        let times = (SPAN.as_nanos() / once.as_nanos().max(1)).clamp(1, MOST_TIMES) as u32;
        let mut best = (old, least(device, &steps[first].way, times)?.mul_f64(BETTER));
        for candidate in candidates.into_iter().filter(|&candidate| candidate != old) {
            if Instant::now() >= end {
                break;
            }
            // A device may refuse what it says to have; then it runs something else. Compiling takes none of the time to measure.
            let start = Instant::now();
            let way = compiler.way(first, candidate, buffers);
            end += start.elapsed();
            let Ok(way) = way else { continue };
            // Where a single one takes far too long, it need not be repeated.
            let once = device.time(&way, 1)?;
            if once < best.1 * 4 {
                let time = least(device, &way, times)?;
                best = if time < best.1 { (candidate, time) } else { best };
            }
        }
        if best.0 != old {
            for member in members {
                steps[member] = compiler.step(member, best.0, buffers)?;
            }
        }
    }
    let choice = steps.iter().map(|step| step.chosen).collect();
    FOUND.lock().unwrap_or_else(PoisonError::into_inner).insert(key(program, &device.info), choice);
    Ok(())
}

/// The shorter of two measurements.
fn least(device: &Device, way: &Way, times: u32) -> Result<Duration, GpuError> {
    Ok(device.time(way, times)?.min(device.time(way, times)?))
}

/// Dispatches that can be chosen for, by class.
fn classes(program: &GpuProgram) -> Vec<Class> {
    let mut classes: Vec<Class> = Vec::new();
    let alike =
        |a: &Dispatch, b: &Dispatch| (a.module, &a.params, a.workgroups, &a.variants) == (b.module, &b.params, b.workgroups, &b.variants);
    for (number, dispatch) in program.dispatches.iter().enumerate() {
        match classes.iter_mut().find(|class| alike(&program.dispatches[class.members[0]], dispatch)) {
            Some(class) => class.members.push(number),
            None => classes.push(Class { members: vec![number], share: Duration::ZERO }),
        }
    }
    classes
}
