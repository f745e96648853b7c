//! No pipeline calls itself, however far round: what a pipeline costs is known when it compiles.

use crate::checker::Checker;
use crate::program::{Body, Callee, Expr, ExprKind, PipelineId};
use mlp_syntax::{Code, Diagnostic, Location};

/// Reports every circle of calls once, and takes the body from one pipeline in it, so that later phases end.
pub(crate) fn check(checker: &mut Checker<'_>) {
    for (circle, at) in circles(&checker.calls, |id| id.0 as usize) {
        let names = circle.iter().map(|index| checker.pipelines[*index].name.as_str()).collect::<Vec<_>>();
        let diagnostic = diagnostic("pipelines", &names, at, "a pipeline never runs itself; remove one of the calls");
        checker.report(diagnostic);
        if let Some(&last) = circle.last() {
            checker.pipelines[last].body = Body::Broken;
        }
    }
}

/// Every circle of calls once, with the call that closes it. `calls` says for each caller whom it calls, and where.
pub(crate) fn circles<T: Copy>(calls: &[Vec<(T, Location)>], index: impl Fn(T) -> usize) -> Vec<(Vec<usize>, Location)> {
    let mut found = Vec::new();
    let mut state = vec![State::New; calls.len()];
    for start in 0..calls.len() {
        // The path from `start`: a pipeline and how many of its calls were followed. Explicit, because packages may be deep.
        let mut path: Vec<(usize, usize)> = Vec::new();
        if state[start] == State::New {
            state[start] = State::Open;
            path.push((start, 0));
        }
        while let Some((pipeline, followed)) = path.last_mut() {
            let Some(&(next, at)) = calls[*pipeline].get(*followed) else {
                state[*pipeline] = State::Done;
                path.pop();
                continue;
            };
            *followed += 1;
            let next = index(next);
            match state.get(next) {
                Some(State::New) => {
                    state[next] = State::Open;
                    path.push((next, 0));
                }
                Some(State::Open) => {
                    let circle: Vec<usize> = path.iter().map(|(pipeline, _)| *pipeline).skip_while(|pipeline| *pipeline != next).collect();
                    found.push((circle, at));
                }
                Some(State::Done) | None => {}
            }
        }
    }
    found
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Done,
}

/// What is said of those who call each other, by the call that closes their circle.
pub(crate) fn diagnostic(kind: &str, names: &[&str], at: Location, help: &str) -> Diagnostic {
    let names: Vec<String> = names.iter().chain(names.first()).map(|name| format!("`{name}`")).collect();
    Diagnostic::new(Code::E0106, format!("{kind} call each other in a circle: {}", names.join(" calls ")))
        .label(at, "this call closes the circle")
        .help(help)
}

/// The pipelines that a body calls, and where.
pub(crate) fn callees(body: &Body) -> Vec<(PipelineId, Location)> {
    let mut found = Vec::new();
    if let Body::Steps { locals, result, .. } = body {
        locals.iter().for_each(|local| walk(&local.value, &mut found));
        walk(result, &mut found);
    }
    found
}

fn walk(expr: &Expr, found: &mut Vec<(PipelineId, Location)>) {
    if let ExprKind::Call { callee: Callee::Pipeline(id), at, .. } = &expr.kind {
        found.push((*id, *at));
    }
    expr.children(&mut |child| walk(child, found));
}
