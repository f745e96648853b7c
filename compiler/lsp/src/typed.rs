//! What the checked program says of a place: the types of parameters, bindings and expressions.

use crate::names::{Definition, Kind};
use mlp_analysis::{Body, Dim, Expr, ExprKind, Local, Location, Param, Pipeline, Program, Type};

/// The pipeline whose name stands inside the item of a definition.
fn pipeline<'p>(program: &'p Program, definition: &Definition) -> Option<&'p Pipeline> {
    program.pipelines.iter().find(|pipeline| {
        let at = pipeline.at;
        at.file.0 as usize == definition.file && definition.item.start <= at.span.start && at.span.end <= definition.item.end
    })
}

/// The type of a parameter or binding, as messages write it.
pub(crate) fn of_definition(program: &Program, definition: &Definition) -> Option<String> {
    known(program, type_of(program, definition)?)
}

/// The type of a parameter or binding.
pub(crate) fn type_of<'p>(program: &'p Program, definition: &Definition) -> Option<&'p Type> {
    match definition.kind {
        Kind::Local => match &pipeline(program, definition)?.body {
            Body::Steps { locals, result, .. } => local(locals, result, definition),
            _ => None,
        },
        // A parameter's item is itself; the name of its pipeline or layer is the last one before it.
        Kind::Parameter => {
            let pipelines = program.pipelines.iter().map(|pipeline| (pipeline.at, &pipeline.params));
            let layers = program.layers.iter().map(|layer| (layer.at, &layer.params));
            let before = |(at, _): &(Location, &Vec<Param>)| at.file.0 as usize == definition.file && at.span.end <= definition.span.start;
            let (_, params) = pipelines.chain(layers).filter(before).max_by_key(|(at, _)| at.span)?;
            Some(&params.iter().find(|param| param.name == definition.name)?.ty)
        }
        _ => None,
    }
}

/// How many bytes a value of a type takes; none where that is not known when compiling.
pub(crate) fn bytes(ty: &Type) -> Option<u64> {
    match ty {
        Type::Tensor(tensor) => tensor.dims.iter().try_fold(tensor.dtype.size() as u64, |bytes, dim| match dim {
            Dim::Const(size) => bytes.checked_mul(*size),
            _ => None,
        }),
        Type::Record(fields) => fields.iter().try_fold(0u64, |sum, (_, ty)| sum.checked_add(bytes(ty)?)),
        // The number of the label, or of each label with its score.
        Type::Label(_) => Some(4),
        Type::Ranking { count: Dim::Const(count), .. } => count.checked_mul(8),
        _ => None,
    }
}

/// A number of bytes in the largest unit of which it is at least one.
pub(crate) fn amount(bytes: u64) -> String {
    let units = [(1u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, symbol)) if bytes.is_multiple_of(unit) => format!("{} {symbol}", bytes / unit),
        Some((unit, symbol)) => format!("{:.1} {symbol}", bytes as f64 / unit as f64),
        None => format!("{bytes} B"),
    }
}

/// A number with three digits, in thousands, millions or billions where it is that large.
pub(crate) fn count(number: u64) -> String {
    let units = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    match units.into_iter().find(|(unit, _)| number >= *unit) {
        Some((unit, symbol)) => {
            let scaled = number as f64 / unit as f64;
            let digits = if scaled >= 100.0 { 0 } else { 1 };
            format!("{scaled:.digits$} {symbol}")
        }
        None => number.to_string(),
    }
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

/// The type of the largest expression of the root file that ends at a byte.
pub(crate) fn ending_at(program: &Program, end: usize) -> Option<&Type> {
    let mut found: Option<&Expr> = None;
    visit_file(program, 0, &mut |expr| {
        let at = expr.at;
        let larger = found.is_none_or(|found| at.span.start < found.at.span.start);
        if at.file.0 == 0 && at.span.end as usize == end && larger {
            found = Some(expr);
        }
    });
    found.map(|expr| &expr.ty)
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
    /// What a value of it takes, where that is known.
    pub(crate) bytes: Option<u64>,
}

/// The calls in the pipelines of a file.
pub(crate) fn calls(program: &Program, file: usize) -> Vec<Called> {
    let mut calls = Vec::new();
    visit_file(program, file, &mut |expr| {
        if let ExprKind::Call { at, .. } = &expr.kind
            && at.file.0 as usize == file
        {
            let called = known(program, &expr.ty).map(|result| Called {
                callee: at.span,
                end: expr.at.span.end as usize,
                result,
                bytes: bytes(&expr.ty),
            });
            calls.extend(called);
        }
    });
    calls
}

/// Looks at every expression in the pipelines of a file.
fn visit_file<'p>(program: &'p Program, file: usize, look: &mut dyn FnMut(&'p Expr)) {
    for pipeline in program.pipelines.iter().filter(|pipeline| pipeline.at.file.0 as usize == file) {
        let Body::Steps { locals, result, .. } = &pipeline.body else { continue };
        locals.iter().map(|local| &local.value).chain([result]).for_each(|expr| visit(expr, look));
    }
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
