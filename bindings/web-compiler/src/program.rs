//! The typed program as text: one expression a line with its type, below it what it is made of.

use mlp_analysis::{Body, Callee, Expr, ExprKind, Local, Model, Param, Pipeline, Program, Value};
use std::fmt::Write as _;

/// Models and pipelines of the root file.
pub(crate) fn print(program: &Program) -> String {
    let mut printer = Printer { program, out: String::new(), locals: Vec::new() };
    for model in program.models.iter().filter(|model| model.at.file.0 == 0) {
        printer.model(model);
    }
    for pipeline in program.pipelines.iter().filter(|pipeline| pipeline.at.file.0 == 0) {
        printer.pipeline(pipeline);
    }
    printer.out
}

struct Printer<'p> {
    program: &'p Program,
    out: String,
    /// The names of the bindings around an expression; a value without a name is described.
    locals: Vec<String>,
}

impl<'p> Printer<'p> {
    fn line(&mut self, depth: usize, text: &str) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(self.out, "{:1$}{text}", "", depth * 2);
    }

    fn model(&mut self, model: &Model) {
        self.line(0, &format!("model {} = {:?}", model.name, model.source));
        let ports = model.inputs.iter().map(|port| ("input", port)).chain(model.outputs.iter().map(|port| ("output", port)));
        for (what, port) in ports {
            self.line(1, &format!("{what} {}: {}", port.name, self.program.show(&port.ty)));
        }
        for bound in &model.bounds {
            self.line(1, &format!("{} <= {}", bound.symbol, bound.most));
        }
        if let Some(network) = &model.network {
            self.line(1, &format!("layers of {} operations", network.nodes.len()));
        }
        self.out.push('\n');
    }

    fn pipeline(&mut self, pipeline: &'p Pipeline) {
        let param = |param: &Param| format!("{}: {}", param.name, self.program.show(&param.ty));
        let params: Vec<String> = pipeline.params.iter().map(param).collect();
        self.line(0, &format!("pipeline {}({}) -> {}", pipeline.name, params.join(", "), self.program.show(&pipeline.result)));
        match &pipeline.body {
            Body::Intrinsic(intrinsic) => self.line(1, &format!("intrinsic {intrinsic:?}")),
            Body::Broken => self.line(1, "an error hides what it does"),
            Body::Steps { locals, result, .. } => {
                self.locals.clear();
                self.steps(pipeline, 1, locals, result);
            }
        }
        self.out.push('\n');
    }

    /// Bindings, then a value.
    fn steps(&mut self, pipeline: &'p Pipeline, depth: usize, locals: &'p [Local], result: &'p Expr) {
        for local in locals {
            self.line(depth, &format!("{}: {}", local.name, self.program.show(&local.value.ty)));
            self.expr(pipeline, depth + 1, &local.value);
            self.locals.push(local.name.clone());
        }
        self.line(depth, &format!("return: {}", self.program.show(&result.ty)));
        self.expr(pipeline, depth + 1, result);
    }

    fn expr(&mut self, pipeline: &'p Pipeline, depth: usize, expr: &'p Expr) {
        let known = self.locals.len();
        match &expr.kind {
            ExprKind::Block(block) => self.steps(pipeline, depth, &block.locals, &block.result),
            ExprKind::ForEach { list, body } => {
                self.typed(depth, "for each", expr);
                self.expr(pipeline, depth + 1, list);
                self.locals.push("each".to_owned());
                self.expr(pipeline, depth + 1, body);
            }
            ExprKind::Loop(node) => {
                self.typed(depth, &format!("loop at_most {}", node.at_most), expr);
                self.expr(pipeline, depth + 1, &node.start);
                self.locals.push("the value so far".to_owned());
                self.locals.extend(node.counts.then(|| "the round".to_owned()));
                self.expr(pipeline, depth + 1, &node.body);
                node.until.iter().for_each(|until| self.expr(pipeline, depth + 1, until));
            }
            kind => {
                self.typed(depth, &self.head(pipeline, kind), expr);
                let mut children = Vec::new();
                expr.children(&mut |child| children.push(child));
                // What is known while compiling says itself best.
                for child in children {
                    self.expr(pipeline, depth + 1, child);
                }
            }
        }
        self.locals.truncate(known);
    }

    fn typed(&mut self, depth: usize, head: &str, expr: &Expr) {
        self.line(depth, &format!("{head}: {}", self.program.show(&expr.ty)));
    }

    /// What an expression does, without its operands.
    fn head(&self, pipeline: &Pipeline, kind: &ExprKind) -> String {
        match kind {
            ExprKind::Param(index) => pipeline.params.get(*index).map_or_else(|| "?".to_owned(), |param| param.name.clone()),
            ExprKind::Local(index) => self.locals.get(*index).cloned().unwrap_or_else(|| "?".to_owned()),
            ExprKind::Value(value) => value_text(value),
            ExprKind::Call { callee, .. } => match callee {
                Callee::Pipeline(id) => self.program.pipeline(*id).map_or_else(|| "?".to_owned(), |pipeline| pipeline.name.clone()),
                Callee::Model(id) => self.program.model(*id).map_or_else(|| "?".to_owned(), |model| format!("model {}", model.name)),
            },
            ExprKind::Record(fields) => {
                format!("{{ {} }}", fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "))
            }
            ExprKind::Field(_, name) => format!(".{name}"),
            ExprKind::Arithmetic { op, .. } | ExprKind::Compare { op, .. } => op.symbol().to_owned(),
            ExprKind::Negate(_) => "-".to_owned(),
            ExprKind::Index(_, index) => format!("[{index}]"),
            ExprKind::List(_) => "list".to_owned(),
            ExprKind::None => "none".to_owned(),
            ExprKind::When { .. } => "when".to_owned(),
            ExprKind::Broken => "an error".to_owned(),
            ExprKind::Block(_) | ExprKind::ForEach { .. } | ExprKind::Loop(_) => String::new(),
        }
    }
}

/// The most elements of a tensor that are written out.
const SHOWN: usize = 8;

fn value_text(value: &Value) -> String {
    match value {
        Value::Number(number, None) => number.to_string(),
        Value::Number(number, Some(dimension)) => format!("{number} ({})", dimension.name()),
        Value::Size { width, height } => format!("{width}x{height}"),
        Value::Choice(word) => word.clone(),
        Value::Text(text) => format!("{text:?}"),
        Value::Tensor(elements) => {
            let shown: Vec<String> = elements.iter().take(SHOWN).map(f64::to_string).collect();
            format!("[{}{}]", shown.join(", "), if elements.len() > SHOWN { ", …" } else { "" })
        }
    }
}
