//! Moves a typed body to another place of its file, where the pipelines and models that it calls may have other numbers.

use crate::program::{Attribute, Body, Callee, Expr, ExprKind, Local, ModelId, PipelineId};
use mlp_syntax::Location;

/// How far a body moves, and what it calls from now on.
pub(crate) struct Move<'m> {
    /// By how many bytes.
    pub(crate) by: i64,
    /// The new number of each pipeline; none where a call of it has to be checked again.
    pub(crate) pipelines: &'m [Option<PipelineId>],
    /// The new number of each model.
    pub(crate) models: &'m [Option<ModelId>],
}

impl Move<'_> {
    /// Moves a body in place. False where something that it calls is not what it was, or where there is no body; it is worth nothing then.
    pub(crate) fn body(&self, body: &mut Body) -> bool {
        match body {
            Body::Steps { locals, result, attributes } => {
                self.attributes(attributes);
                self.locals(locals) && self.expr(result)
            }
            Body::Intrinsic(_) => true,
            Body::Broken => false,
        }
    }

    /// Moves calls. False where something that is called is not what it was.
    pub(crate) fn calls(&self, calls: &mut [(PipelineId, Location)]) -> bool {
        calls.iter_mut().all(|(id, at)| {
            self.place(at);
            let now = self.pipelines.get(id.0 as usize).copied().flatten();
            *id = now.unwrap_or(*id);
            now.is_some()
        })
    }

    fn place(&self, at: &mut Location) {
        let moved = |place: u32| (i64::from(place) + self.by).max(0) as u32;
        (at.span.start, at.span.end) = (moved(at.span.start), moved(at.span.end));
    }

    fn attributes(&self, attributes: &mut [Attribute]) {
        attributes.iter_mut().for_each(|attribute| self.place(&mut attribute.at));
    }

    fn locals(&self, locals: &mut [Local]) -> bool {
        locals.iter_mut().all(|local| {
            self.attributes(&mut local.attributes);
            self.expr(&mut local.value)
        })
    }

    fn expr(&self, expr: &mut Expr) -> bool {
        self.place(&mut expr.at);
        match &mut expr.kind {
            ExprKind::Call { callee, at, args } => {
                self.place(at);
                let now = match callee {
                    Callee::Pipeline(id) => self.pipelines.get(id.0 as usize).copied().flatten().map(Callee::Pipeline),
                    Callee::Model(id) => self.models.get(id.0 as usize).copied().flatten().map(Callee::Model),
                };
                let Some(now) = now else { return false };
                *callee = now;
                args.iter_mut().all(|arg| self.expr(arg))
            }
            ExprKind::List(items) => items.iter_mut().all(|item| self.expr(item)),
            ExprKind::Record(fields) => fields.iter_mut().all(|(_, value)| self.expr(value)),
            ExprKind::Field(value, _) | ExprKind::Negate(value) | ExprKind::Index(value, _) => self.expr(value),
            ExprKind::Arithmetic { left, right, .. } | ExprKind::Compare { left, right, .. } => self.expr(left) && self.expr(right),
            ExprKind::Block(block) => self.locals(&mut block.locals) && self.expr(&mut block.result),
            ExprKind::When { arms, otherwise } => {
                arms.iter_mut().all(|(condition, value)| self.expr(condition) && self.expr(value)) && self.expr(otherwise)
            }
            ExprKind::ForEach { list, body } => self.expr(list) && self.expr(body),
            ExprKind::Loop(node) => {
                self.expr(&mut node.start) && self.expr(&mut node.body) && node.until.as_mut().is_none_or(|until| self.expr(until))
            }
            ExprKind::Param(_) | ExprKind::Local(_) | ExprKind::Value(_) | ExprKind::None | ExprKind::Broken => true,
        }
    }
}
