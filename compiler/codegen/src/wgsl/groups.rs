//! Groups of a convolution as one dispatch.
//!
//! The plan has a contraction for each group. On a processor that costs nothing; a GPU runs dispatches one after another, each of them too small to occupy it.
//! Contractions that follow each other, read one input and differ in nothing but constants that grow alike from one to the next become one whose epilogue has a
//! third axis: the group. Whatever else looks like groups, such as products of one input that lie side by side, is joined as well. Images that have weights of their
//! own are groups too.

use super::slots::MAX_BYTES;
use mlp_bundle::loops::{Access, AccessDim, Affine, Body, Contract, Epilogue, Expr, Kernel, PANEL, Store, Window};
use mlp_bundle::plan::{Buffer, Place, Plan};
use std::collections::BTreeSet;

/// The epilogue's axis of groups.
const AXIS: u8 = 2;

/// How the contractions that one dispatch computes follow each other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Groups {
    pub(super) count: u32,
    /// Elements from a group's first input channel to the next one's.
    pub(super) channels: u32,
    /// Sixteen bytes of weights from a group to the next.
    pub(super) weights: u64,
}

impl Groups {
    /// A kernel as the plan has it.
    pub(super) const ONE: Groups = Groups { count: 1, channels: 0, weights: 0 };

    pub(super) fn several(&self) -> bool {
        self.count > 1
    }

    /// The group, `y`, as an argument of the epilogue before others.
    pub(super) fn argument(&self) -> &'static str {
        if self.several() { "y," } else { "" }
    }

    /// A place in the first group, and by how much it moves from group to group, as text.
    pub(super) fn place(&self, first: u64, step: u64) -> String {
        if self.several() { format!("({first}+y*{step})") } else { first.to_string() }
    }
}

/// The plan with the groups of each convolution made one kernel, and how many groups each kernel then is. Its epilogues are no longer those of a plan.
pub(super) fn join(plan: &Plan) -> (Plan, Vec<Groups>) {
    let mut joined = Plan { kernels: Vec::new(), ..plan.clone() };
    let mut groups = Vec::new();
    let mut rest = plan.kernels.as_slice();
    while let Some(first) = rest.first() {
        let (kernel, found, taken) = match (images(first), run(&mut joined, rest)) {
            (Some((kernel, found)), _) => (kernel, found, 1),
            (None, Some((kernel, found))) => (kernel, found, found.count as usize),
            (None, None) => (first.clone(), Groups::ONE, 1),
        };
        joined.kernels.push(kernel);
        groups.push(found);
        rest = &rest[taken..];
    }
    (joined, groups)
}

/// A contraction whose images have weights of their own, as a group an image.
fn images(kernel: &Kernel) -> Option<(Kernel, Groups)> {
    let Body::Contract(contract) = &kernel.body else { return None };
    let batch = contract.window.batch;
    let window = Window { batch: 1, ..contract.window };
    let mut epilogue = contract.epilogue.clone();
    each_access(&mut epilogue, |access| {
        for dim in &mut access.dims {
            let step = dim.index.coefficient(0) * i64::from(window.pixels());
            dim.index.terms.extend((step != 0 && batch > 1).then_some((AXIS, step)));
        }
    });
    let quads = u64::from(PANEL / 4) * u64::from(window.out_c.div_ceil(PANEL)) * u64::from(window.in_c);
    let body = Body::Contract(Contract { window, per_image: false, epilogue, ..contract.clone() });
    let groups = Groups { count: batch, channels: window.in_w * window.in_pixel, weights: quads };
    contract.per_image.then(|| (Kernel { body, ..kernel.clone() }, groups))
}

/// One kernel for as many as possible of those that `kernels` begins with.
fn run(plan: &mut Plan, kernels: &[Kernel]) -> Option<(Kernel, Groups)> {
    // Narrow weights are those of products, which stand alone: groups move by sixteen bytes of others. Images have groups of their own.
    let wide = |contract: &&Contract| plan.stored(contract).is_none() && !contract.per_image;
    let contract = |kernel: &Kernel| if let Body::Contract(contract) = &kernel.body { Some(contract).filter(wide).cloned() } else { None };
    let [first, second] = [contract(kernels.first()?)?, contract(kernels.get(1)?)?];
    let epilogue = stepping(&first.epilogue, &second.epilogue)?;
    let channels = second.window.in_offset.checked_sub(first.window.in_offset)?;
    let [start, next] = [offset(plan, &first)?, offset(plan, &second)?];
    let step = next.checked_sub(start).filter(|step| step.is_multiple_of(16))?;
    let is_member = |number: u32, kernel: &Kernel| {
        let Some(other) = contract(kernel) else { return false };
        let in_offset = u64::from(first.window.in_offset) + u64::from(number) * u64::from(channels);
        let place = start + u64::from(number) * step;
        let whole = place - start + plan.buffers[other.weights].bytes() <= MAX_BYTES;
        whole
            && u32::try_from(in_offset).is_ok_and(|in_offset| other.window == Window { in_offset, ..first.window })
            && (other.arithmetic, other.input) == (first.arithmetic, first.input)
            && plan.buffers[other.weights].len == plan.buffers[first.weights].len
            && offset(plan, &other) == Some(place)
            && other.epilogue == at(&epilogue, number)
    };
    let count = (0u32..).zip(kernels).take_while(|&(number, kernel)| is_member(number, kernel)).count() as u32;
    if count < 2 || !is_independent(&first, &epilogue, count) {
        return None;
    }
    let len = plan.buffers[first.weights].len + u64::from(count - 1) * step / plan.buffers[first.weights].dtype.size() as u64;
    let weights = plan.buffers.push(Buffer { len, ..plan.buffers[first.weights].clone() });
    let mut origin: Vec<String> = Vec::new();
    for name in kernels[..count as usize].iter().flat_map(|kernel| &kernel.origin) {
        if !origin.contains(name) {
            origin.push(name.clone());
        }
    }
    let body = Body::Contract(Contract { weights, epilogue, ..first });
    Some((Kernel { name: kernels[0].name.clone(), origin, body }, Groups { count, channels, weights: step / 16 }))
}

/// Where a contraction's weights lie in the weights file.
fn offset(plan: &Plan, contract: &Contract) -> Option<u64> {
    match plan.buffers[contract.weights].place {
        Place::Weights { offset } => Some(offset),
        Place::Arena { .. } => None,
    }
}

/// The epilogue that is `first` for group 0 and `second` for group 1.
fn stepping(first: &Epilogue, second: &Epilogue) -> Option<Epilogue> {
    let mut epilogue = first.clone();
    if first.exprs.len() != second.exprs.len() || first.stores.len() != second.stores.len() {
        return None;
    }
    let mut fits = true;
    let mut others = accesses(second);
    each_access(&mut epilogue, |access| match others.next() {
        Some(other) if access.dims.len() == other.dims.len() && access.offset <= other.offset => {
            for (dim, other) in access.dims.iter_mut().zip(&other.dims) {
                match other.index.constant - dim.index.constant {
                    0 => {}
                    step => dim.index.terms.push((AXIS, step)),
                }
            }
            access.dims.extend((access.offset < other.offset).then(|| offset_step(other.offset - access.offset)));
        }
        _ => fits = false,
    });
    fits.then_some(epilogue)
}

/// A dimension that moves an access's offset from group to group. Its extent is a promise that holds for any number of groups.
fn offset_step(stride: u64) -> AccessDim {
    AccessDim { index: Affine::axis(AXIS), extent: u32::MAX, stride }
}

/// The epilogue of one group.
fn at(epilogue: &Epilogue, number: u32) -> Epilogue {
    let mut own = epilogue.clone();
    each_access(&mut own, |access| {
        if let Some(dim) = access.dims.pop_if(|dim| *dim == offset_step(dim.stride)) {
            access.offset += dim.stride * u64::from(number);
        }
        for dim in &mut access.dims {
            dim.index.constant += dim.index.coefficient(AXIS) * i64::from(number);
            dim.index.terms.retain(|term| term.0 != AXIS);
        }
    });
    own
}

fn accesses(epilogue: &Epilogue) -> impl Iterator<Item = &Access> {
    let loads = epilogue.exprs.values().filter_map(|expr| if let Expr::Load(access) = expr { Some(access) } else { None });
    loads.chain(epilogue.stores.iter().map(|store| &store.access))
}

fn each_access(epilogue: &mut Epilogue, mut change: impl FnMut(&mut Access)) {
    for expr in epilogue.exprs.values_mut() {
        if let Expr::Load(access) = expr {
            change(access);
        }
    }
    epilogue.stores.iter_mut().for_each(|store| change(&mut store.access));
}

/// Whether no group reads or overwrites what another one has written.
fn is_independent(contract: &Contract, epilogue: &Epilogue, count: u32) -> bool {
    let read: BTreeSet<_> =
        epilogue.exprs.values().filter_map(|expr| if let Expr::Load(access) = expr { Some(access.buffer) } else { None }).collect();
    let mut written = BTreeSet::new();
    let window = &contract.window;
    let extents = [window.pixels(), window.out_c, count];
    epilogue.stores.iter().all(|Store { access, .. }| {
        let alone = written.insert(access.buffer) && access.buffer != contract.input && !read.contains(&access.buffer);
        alone && is_injective(access, &extents)
    })
}

/// Whether all points of the loops address elements of their own: each loop steps over all that the ones of smaller steps reach.
fn is_injective(access: &Access, extents: &[u32; 3]) -> bool {
    let step = |axis: u8| access.dims.iter().map(|AccessDim { index, stride, .. }| index.coefficient(axis) * *stride as i64).sum::<i64>();
    let mut loops: Vec<(u64, u64)> = (0u8..).zip(extents).map(|(axis, &extent)| (step(axis).unsigned_abs(), u64::from(extent))).collect();
    loops.retain(|&(_, extent)| extent != 1);
    loops.sort_unstable();
    let mut reach = 0;
    loops.iter().all(|&(step, extent)| {
        let apart = step > reach;
        reach += step * (extent - 1);
        apart
    }) && access.dims.iter().all(|dim| dim.index.dynamic.is_none())
}
