//! Moves what was checked to another place of its file, where the pipelines, models and blocks that it names may have other numbers.

use crate::declared::{Budget, BudgetId, Declared, ExplainId, Monitor, MonitorId, Outlet, OutletId};
use crate::program::{Attribute, Body, Callee, Expr, ExprKind, Hook, Local, ModelId, PipelineId};
use crate::scope::Symbol;
use mlp_syntax::ast::DeclarationKind;
use mlp_syntax::{Location, Span};

/// How far something moves, and what it names from now on.
#[derive(Clone, Copy)]
pub(crate) struct Move<'m> {
    /// By how many bytes.
    pub(crate) by: i64,
    /// The new number of each pipeline; none where a call of it has to be checked again.
    pub(crate) pipelines: &'m [Option<PipelineId>],
    /// The new number of each model.
    pub(crate) models: &'m [Option<ModelId>],
    /// The blocks that it names, before and now.
    pub(crate) blocks: &'m [(Symbol, Symbol)],
    /// Every pipeline and model has the number that it had.
    pub(crate) settled: bool,
}

impl Move<'_> {
    /// False where nothing would change.
    pub(crate) fn is_needed(&self) -> bool {
        self.by != 0 || !self.settled || self.blocks.iter().any(|(before, now)| before != now)
    }

    /// Moves a block or a hook and puts it at the end of the others: its place among them. None where it cannot be moved.
    pub(crate) fn put<T>(&self, taken: Option<T>, moved: impl Fn(&Self, &mut T) -> bool, found: &mut Vec<T>) -> Option<usize> {
        let mut one = taken?;
        if self.is_needed() && !moved(self, &mut one) {
            return None;
        }
        found.push(one);
        Some(found.len() - 1)
    }

    /// Moves a budget.
    pub(crate) fn budget(&self, budget: &mut Budget) -> bool {
        self.declared(&mut budget.declared);
        self.span(&mut budget.span);
        true
    }

    /// Moves an outlet. False where what it names is not what it was.
    pub(crate) fn outlet(&self, outlet: &mut Outlet) -> bool {
        let Outlet { declared, pipeline, from, spend, mechanism, at_most, span, .. } = outlet;
        self.declared(declared);
        self.place(from);
        self.span(span);
        mechanism.iter_mut().for_each(|(_, at)| self.place(at));
        at_most.iter_mut().for_each(|(_, at)| self.place(at));
        spend.iter_mut().for_each(|(_, at)| self.place(at));
        let budget = spend.as_mut().is_none_or(|(BudgetId(id), _)| self.block(DeclarationKind::Budget, id));
        budget && self.pipeline(pipeline)
    }

    /// Moves a monitor. False where what it names is not what it was.
    pub(crate) fn monitor(&self, monitor: &mut Monitor) -> bool {
        self.declared(&mut monitor.declared);
        self.pipeline(&mut monitor.pipeline)
    }

    /// Moves a hook. False where what it names is not what it was.
    pub(crate) fn hook(&self, hook: &mut Hook) -> bool {
        self.place(&mut hook.at);
        hook.later.iter_mut().for_each(|(_, at)| self.place(at));
        let mut runs = Some(hook.pipeline);
        let known = self.pipeline(&mut runs);
        hook.pipeline = runs.unwrap_or(hook.pipeline);
        known
            && hook.monitor.as_mut().is_none_or(|MonitorId(id)| self.block(DeclarationKind::Monitor, id))
            && hook.outlet.as_mut().is_none_or(|OutletId(id)| self.block(DeclarationKind::Outlet, id))
            && hook.explain.as_mut().is_none_or(|ExplainId(id)| self.block(DeclarationKind::Explain, id))
    }

    fn declared(&self, declared: &mut Declared) {
        self.place(&mut declared.at);
    }

    /// The new number of a block; false where the name stands for another kind of block.
    fn block(&self, kind: DeclarationKind, id: &mut u32) -> bool {
        let now = self.blocks.iter().find_map(|(before, now)| match now {
            Symbol::Block(found, now) if *before == Symbol::Block(kind, *id) && *found == kind => Some(*now),
            _ => None,
        });
        *id = now.unwrap_or(*id);
        now.is_some()
    }

    /// The new number of a pipeline; false where that takes or gives something else.
    fn pipeline(&self, id: &mut Option<PipelineId>) -> bool {
        let Some(before) = *id else { return true };
        *id = self.pipelines.get(before.0 as usize).copied().flatten();
        id.is_some()
    }

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
        self.span(&mut at.span);
    }

    fn span(&self, span: &mut Span) {
        let moved = |place: u32| (i64::from(place) + self.by).max(0) as u32;
        (span.start, span.end) = (moved(span.start), moved(span.end));
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
