//! Epilogues of the planner's common forms, recognized (see `mlp_bundle::loops::Epilogue`).

use crate::offset;
use mlp_bundle::loops::{Access, AccessDim, BinaryOp, Bounds, BufferId, Epilogue, Expr, ExprId};
use mlp_bundle::plan::{Place, Plan};
use mlp_bundle::{DType, Scalar};
use mlp_kernels::{Requantization, ResidualAdd};

/// Where an access lies that is linear in pixel and channel: `element + pixel * m + channel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plane {
    pub buffer: BufferId,
    pub element: usize,
    pub pixel: usize,
}

/// A recognized epilogue.
pub(crate) enum Form {
    /// The residual comes with the number of its channels.
    F32 {
        bias: Vec<f32>,
        residual: Option<(Plane, usize)>,
        lo: f32,
        hi: f32,
        out: Plane,
    },
    Int8 {
        bias: Vec<i32>,
        requantization: Requantization,
        residual: Option<(Plane, ResidualAdd)>,
        out: Plane,
    },
}

/// Reads an epilogue's expressions.
pub(crate) struct Reader<'a> {
    pub plan: &'a Plan,
    pub weights: &'a [u8],
    pub epilogue: &'a Epilogue,
    /// Pixels over all images.
    pub pixels: u32,
    pub channels: usize,
    /// Products in a sum.
    pub depth: u64,
}

impl Reader<'_> {
    /// The form of the epilogue, where it has a common one.
    pub(crate) fn form(&self, total: DType) -> Option<Form> {
        let [store] = &self.epilogue.stores[..] else { return None };
        let out = self.plane(&store.access)?;
        match (total, self.plan.buffers[out.buffer].dtype) {
            (DType::F32, DType::F32) => self.form_f32(store.value, out),
            (DType::I32, DType::U8 | DType::I8) => self.form_int8(store.value, out),
            _ => None,
        }
    }

    fn form_f32(&self, value: ExprId, out: Plane) -> Option<Form> {
        let float = |scalar: Scalar| if let Scalar::F32(bits) = scalar { Some(f32::from_bits(bits)) } else { None };
        let (value, hi) = self.with_constant(BinaryOp::Min, value);
        let (mut value, lo) = self.with_constant(BinaryOp::Max, value);
        let hi = hi.map_or(Some(f32::INFINITY), float)?;
        let lo = lo.map_or(Some(f32::NEG_INFINITY), float)?;
        let (mut bias, mut residual) = (Vec::new(), None);
        while let Expr::Binary(BinaryOp::Add, x, y) = self.expr(value) {
            let Expr::Load(access) = self.expr(*y) else { return None };
            if let (true, Some(values)) = (bias.is_empty(), self.channel_values(access)) {
                bias = values.into_iter().map(float).collect::<Option<_>>()?;
            } else if residual.is_none() && self.plan.buffers[access.buffer].dtype == DType::F32 {
                residual = Some(self.residual(access)?);
            } else {
                return None;
            }
            value = *x;
        }
        let form = Form::F32 { bias, residual, lo, hi, out };
        (*self.expr(value) == Expr::Total(0)).then_some(form)
    }

    fn form_int8(&self, value: ExprId, out: Plane) -> Option<Form> {
        if let Some(form) = self.requantized(value) {
            let (bias, requantization) = form;
            return Some(Form::Int8 { bias, requantization, residual: None, out });
        }
        let (zero, lo, hi, value) = self.clamped(value)?;
        let Expr::Requantize { value, multiplier, shift } = self.expr(value) else { return None };
        if *self.expr(*multiplier) != Expr::Const(Scalar::I32(1)) {
            return None;
        }
        let (value, constant) = self.with_constant(BinaryOp::Add, *value);
        let Expr::Binary(BinaryOp::Add, x, r) = self.expr(value) else { return None };
        let (x, x_mult) = self.with_constant(BinaryOp::Mul, *x);
        let (r, r_mult) = self.with_constant(BinaryOp::Mul, *r);
        let Expr::Load(access) = self.expr(r) else { return None };
        let dtype = self.plan.buffers[access.buffer].dtype;
        if !matches!(dtype, DType::U8 | DType::I8) {
            return None;
        }
        let add = ResidualAdd {
            signed: dtype == DType::I8,
            x_mult: int(x_mult?)?,
            r_mult: int(r_mult?)?,
            offset: constant.map_or(Some(0), int)?,
            shift: u32::from(*shift),
            zero,
            lo,
            hi,
        };
        let (bias, requantization) = self.requantized(x)?;
        let residual = Some((self.plane(access)?, add));
        add.is_valid().then_some(Form::Int8 { bias, requantization, residual, out })
    }

    /// `Min(Max(Add(x, zero), lo), hi)`: its constants, and `x`.
    fn clamped(&self, value: ExprId) -> Option<(i32, i32, i32, ExprId)> {
        let (value, hi) = self.with_constant(BinaryOp::Min, value);
        let (value, lo) = self.with_constant(BinaryOp::Max, value);
        let (value, zero) = self.with_constant(BinaryOp::Add, value);
        Some((zero.map_or(Some(0), int)?, int(lo?)?, int(hi?)?, value))
    }

    /// The clamped requantization of the sum and its bias.
    fn requantized(&self, value: ExprId) -> Option<(Vec<i32>, Requantization)> {
        let (zero, lo, hi, value) = self.clamped(value)?;
        let Expr::Requantize { value, multiplier, shift } = self.expr(value) else { return None };
        let multiplier = match self.expr(*multiplier) {
            Expr::Const(scalar) => vec![*scalar; self.channels],
            Expr::Load(access) => self.channel_values(access)?,
            _ => return None,
        };
        let multiplier: Vec<i32> = multiplier.into_iter().map(int).collect::<Option<_>>()?;
        let (value, bias): (ExprId, Vec<i32>) = match self.expr(*value) {
            Expr::Binary(BinaryOp::Add, x, y) => {
                let Expr::Load(access) = self.expr(*y) else { return None };
                (*x, self.channel_values(access)?.into_iter().map(int).collect::<Option<_>>()?)
            }
            _ => (*value, Vec::new()),
        };
        let products = self.depth.saturating_mul(255 * 128).min(1 << 40) as i64;
        let sums = |c: usize| bias.get(c).map_or([-products, products], |&b| [i64::from(b) - products, i64::from(b) + products]);
        let requantization = Requantization::new(&multiplier, u32::from(*shift), zero, lo, hi, sums)?;
        (*self.expr(value) == Expr::Total(0)).then_some((bias, requantization))
    }

    fn expr(&self, id: ExprId) -> &Expr {
        &self.epilogue.exprs[id]
    }

    /// `op(x, constant)`: `x` and the constant; else the value itself and none.
    fn with_constant(&self, op: BinaryOp, value: ExprId) -> (ExprId, Option<Scalar>) {
        if let Expr::Binary(same, x, y) = self.expr(value)
            && *same == op
            && let Expr::Const(constant) = self.expr(*y)
        {
            return (*x, Some(*constant));
        }
        (value, None)
    }

    pub(crate) fn plane(&self, access: &Access) -> Option<Plane> {
        let (element, pixel, channel) = linear(access)?;
        (channel == 1 || self.channels == 1).then_some(Plane { buffer: access.buffer, element, pixel })
    }

    /// A residual and its channels: a plane, or one that is 0 past its last channel.
    fn residual(&self, access: &Access) -> Option<(Plane, usize)> {
        if access.bounds == Bounds::Inside {
            return Some((self.plane(access)?, self.channels));
        }
        // One dimension is the channel and limits it; the others stay inside at every pixel.
        let is_channel = |dim: &&AccessDim| dim.index.terms[..] == [(1, 1)] && dim.index.constant == 0 && dim.index.dynamic.is_none();
        let limit = access.dims.iter().find(is_channel)?.extent;
        let extents = [self.pixels, limit.min(self.channels as u32)];
        let inside = |dim: &AccessDim| {
            dim.index.dynamic.is_none()
                && dim.index.interval(&extents).is_some_and(|(low, high)| low >= 0 && high < i64::from(dim.extent))
                && (is_channel(&dim) || dim.index.coefficient(1) == 0)
        };
        if !matches!(access.bounds, Bounds::Else(Scalar::F32(0))) || !access.dims.iter().all(inside) {
            return None;
        }
        let within = Access { bounds: Bounds::Inside, ..access.clone() };
        Some((self.plane(&within)?, extents[1] as usize))
    }

    /// The values, one a channel, of an access to constants that does not depend on the pixel.
    pub(crate) fn channel_values(&self, access: &Access) -> Option<Vec<Scalar>> {
        let buffer = &self.plan.buffers[access.buffer];
        let (element, pixel, channel) = linear(access)?;
        if pixel != 0 || !matches!(buffer.place, Place::Weights { .. }) {
            return None;
        }
        let start = offset(self.plan, access.buffer);
        let size = buffer.dtype.size();
        let value = |c: usize| mlp_bundle::loops::scalar::load(buffer.dtype, &self.weights[start + (element + c * channel) * size..]);
        Some((0..self.channels).map(value).collect())
    }
}

/// `element + pixel * m + channel * c` of an epilogue's access that stays inside: `(element, pixel, channel)`.
pub(crate) fn linear(access: &Access) -> Option<(usize, usize, usize)> {
    let (element, steps) = steps(access, 2)?;
    let positive = |n: i64| usize::try_from(n).ok();
    Some((element, positive(steps[0])?, positive(steps[1])?))
}

/// The element of an access that stays inside at the first point of `axes` loops, and elements from point to point of each.
pub(crate) fn steps(access: &Access, axes: usize) -> Option<(usize, Vec<i64>)> {
    if access.bounds != Bounds::Inside {
        return None;
    }
    let mut element = i64::try_from(access.offset).ok()?;
    let mut steps = vec![0_i64; axes];
    for dim in &access.dims {
        let stride = i64::try_from(dim.stride).ok()?;
        element = element.checked_add(dim.index.constant.checked_mul(stride)?)?;
        for (axis, step) in steps.iter_mut().enumerate() {
            *step = step.checked_add(dim.index.coefficient(axis as u8).checked_mul(stride)?)?;
        }
    }
    Some((usize::try_from(element).ok()?, steps))
}

fn int(scalar: Scalar) -> Option<i32> {
    if let Scalar::I32(x) = scalar { Some(x) } else { None }
}
