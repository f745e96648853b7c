//! What the checked program says of a place: the types of parameters, bindings and expressions.

use crate::names::{Definition, Kind};
use mlp_analysis::{Body, Expr, ExprKind, Local, Location, Param, Pipeline, Program, Type};

/// The pipeline whose name stands inside the item of a definition.
fn pipeline<'p>(program: &'p Program, definition: &Definition) -> Option<&'p Pipeline> {
    program.pipelines.iter().find(|pipeline| {
        let at = pipeline.at;
        at.file.0 as usize == definition.file && definition.item.start <= at.span.start && at.span.end <= definition.item.end
    })
}

/// The type of a parameter or binding, as messages write it.
pub(crate) fn of_definition(program: &Program, definition: &Definition) -> Option<String> {
    let ty = match definition.kind {
        Kind::Local => match &pipeline(program, definition)?.body {
            Body::Steps { locals, result, .. } => local(locals, result, definition)?,
            _ => return None,
        },
        // A parameter's item is itself; the name of its pipeline or layer is the last one before it.
        Kind::Parameter => {
            let pipelines = program.pipelines.iter().map(|pipeline| (pipeline.at, &pipeline.params));
            let layers = program.layers.iter().map(|layer| (layer.at, &layer.params));
            let before = |(at, _): &(Location, &Vec<Param>)| at.file.0 as usize == definition.file && at.span.end <= definition.span.start;
            let (_, params) = pipelines.chain(layers).filter(before).max_by_key(|(at, _)| at.span)?;
            &params.iter().find(|param| param.name == definition.name)?.ty
        }
        _ => return None,
    };
    known(program, ty)
}

/// The type of a binding, of the pipeline or of a block in it: the one whose value stands right after the name.
fn local<'p>(locals: &'p [Local], result: &'p Expr, definition: &Definition) -> Option<&'p Type> {
    let mut best: Option<&'p Expr> = None;
    let mut offer = |local: &'p Local| {
        let start = local.value.at.span.start;
        let follows = local.name == definition.name && start >= definition.span.end;
        if follows && best.is_none_or(|best| start < best.at.span.start) {
            best = Some(&local.value);
        }
    };
    locals.iter().for_each(&mut offer);
    for expr in locals.iter().map(|local| &local.value).chain([result]) {
        visit(expr, &mut |expr| {
            if let ExprKind::Block(block) = &expr.kind {
                block.locals.iter().for_each(&mut offer);
            }
        });
    }
    best.map(|value| &value.ty)
}

/// A type as messages write it; none where an error hides it.
fn known(program: &Program, ty: &Type) -> Option<String> {
    let shown = program.show(ty);
    (!shown.contains("unknown")).then_some(shown)
}

/// A call: where its callee's name stands, where it ends, and what it gives.
pub(crate) struct Called {
    pub(crate) callee: mlp_syntax::Span,
    pub(crate) end: usize,
    pub(crate) result: String,
}

/// The calls in the pipelines of a file.
pub(crate) fn calls(program: &Program, file: usize) -> Vec<Called> {
    let mut calls = Vec::new();
    for pipeline in program.pipelines.iter().filter(|pipeline| pipeline.at.file.0 as usize == file) {
        let Body::Steps { locals, result, .. } = &pipeline.body else { continue };
        for expr in locals.iter().map(|local| &local.value).chain([result]) {
            visit(expr, &mut |expr| {
                if let ExprKind::Call { at, .. } = &expr.kind
                    && at.file.0 as usize == file
                {
                    let called = known(program, &expr.ty).map(|result| Called { callee: at.span, end: expr.at.span.end as usize, result });
                    calls.extend(called);
                }
            });
        }
    }
    calls
}

fn visit<'p>(expr: &'p Expr, look: &mut dyn FnMut(&'p Expr)) {
    look(expr);
    match &expr.kind {
        ExprKind::Call { args, .. } | ExprKind::List(args) => args.iter().for_each(|arg| visit(arg, look)),
        ExprKind::Record(fields) => fields.iter().for_each(|(_, value)| visit(value, look)),
        ExprKind::Field(inner, _) | ExprKind::Negate(inner) | ExprKind::Index(inner, _) => visit(inner, look),
        ExprKind::Arithmetic { left, right, .. } | ExprKind::Compare { left, right, .. } => {
            visit(left, look);
            visit(right, look);
        }
        ExprKind::Block(block) => {
            block.locals.iter().for_each(|local| visit(&local.value, look));
            visit(&block.result, look);
        }
        ExprKind::When { arms, otherwise } => {
            for (condition, value) in arms {
                visit(condition, look);
                visit(value, look);
            }
            visit(otherwise, look);
        }
        ExprKind::ForEach { list, body } => {
            visit(list, look);
            visit(body, look);
        }
        ExprKind::Loop(node) => {
            visit(&node.start, look);
            node.until.iter().for_each(|until| visit(until, look));
            visit(&node.body, look);
        }
        _ => {}
    }
}
