//! The syntax tree as compact text, for tests and for people who ask what the parser understood.

use crate::ast::*;
use std::fmt::Write as _;

/// One line an item, statement, port or entry; expressions are printed fully parenthesized.
pub fn dump(file: &File) -> String {
    let mut out = String::new();
    for item in &file.items {
        // Writing to a `String` cannot fail.
        let _ = write_item(&mut out, item);
    }
    out
}

fn write_item(out: &mut String, item: &Item) -> std::fmt::Result {
    match item {
        Item::Edition(node) => writeln!(out, "edition {}", node.year),
        Item::Use(node) => {
            let source = match &node.source {
                UseSource::Module(path) => path.text(),
                UseSource::File(text) => format!("{:?}", text.value),
            };
            let names: Vec<&str> = node.names.iter().map(|name| name.text.as_str()).collect();
            writeln!(out, "use {source} {{{}}}", names.join(", "))
        }
        Item::Const(node) => {
            let ty = node.ty.as_ref().map(|node| format!(": {}", ty(node))).unwrap_or_default();
            writeln!(out, "{}const {}{ty} = {}", doc(&node.doc), node.name.text, expr(&node.value))
        }
        Item::Type(node) => writeln!(out, "{}type {} = {}", doc(&node.doc), node.name.text, ty(&node.ty)),
        Item::Labels(node) => writeln!(out, "{}labels {} = {}", doc(&node.doc), node.name.text, expr(&node.value)),
        Item::Model(node) => write_model(out, node),
        Item::Pipeline(node) => write_pipeline(out, node),
        Item::Test(node) => {
            writeln!(out, "test {:?}", node.name.value)?;
            node.expectations.iter().try_for_each(|expectation| writeln!(out, "  expect {}", expr(expectation)))
        }
        Item::Hook(node) => {
            writeln!(out, "{}hook {} for {}", doc(&node.doc), node.name.text, node.pipeline.text)?;
            node.entries.iter().try_for_each(|entry| writeln!(out, "  {} = {}", entry.key.text, expr(&entry.value)))
        }
        Item::Declaration(node) => {
            let target = node.target.as_ref().zip(node.kind.link()).map(|(path, link)| format!(" {link} {}", path.text()));
            writeln!(out, "{}{} {}{}", doc(&node.doc), node.kind.keyword(), node.name.text, target.unwrap_or_default())?;
            node.members.iter().try_for_each(|node| write_member(out, node, 1))
        }
        Item::Broken(node) => writeln!(out, "broken {}", header(node)),
    }
}

fn write_model(out: &mut String, node: &Model) -> std::fmt::Result {
    writeln!(out, "{}model {}", doc(&node.doc), node.name.text)?;
    for entry in &node.entries {
        writeln!(out, "  {} = {}", entry.key.text, expr(&entry.value))?;
    }
    for (kind, port) in node.inputs.iter().map(|port| ("input", port)).chain(node.outputs.iter().map(|port| ("output", port))) {
        writeln!(out, "  {}{kind} {}: {}", doc(&port.doc), port.name.text, ty(&port.ty))?;
    }
    for State { port, next } in &node.states {
        writeln!(out, "  {}state {}: {} = {}", doc(&port.doc), port.name.text, ty(&port.ty), next.text)?;
    }
    node.blocks.iter().try_for_each(|block| write_block(out, block, 1))?;
    let Some(layers) = &node.layers else { return Ok(()) };
    writeln!(out, "  layers")?;
    layers.statements.iter().try_for_each(|node| writeln!(out, "    {}", statement(node)))
}

fn write_member(out: &mut String, node: &Member, depth: usize) -> std::fmt::Result {
    let indent = "  ".repeat(depth);
    match node {
        Member::Entry(node) => writeln!(out, "{indent}{} = {}", node.key.text, expr(&node.value)),
        Member::Limit(node) => {
            let statistic = node.statistic.as_ref().map(|name| format!(" {}", name.text)).unwrap_or_default();
            writeln!(out, "{indent}{}{statistic} {} {}", node.subject.text, node.op.symbol(), expr(&node.bound))
        }
        Member::Apply(node) => {
            let list = node.arguments.as_ref().map(|list| format!("({})", arguments(list))).unwrap_or_default();
            writeln!(out, "{indent}{} {}{list}", node.keyword.text, node.callee.text())
        }
        Member::Block(node) => write_block(out, node, depth),
    }
}

fn write_block(out: &mut String, node: &Block, depth: usize) -> std::fmt::Result {
    let subject = node.subject.as_ref().map(|path| format!(" {}", path.text())).unwrap_or_default();
    writeln!(out, "{}{}{}{subject}", "  ".repeat(depth), doc(&node.doc), node.keyword.text)?;
    node.members.iter().try_for_each(|member| write_member(out, member, depth + 1))
}

fn statement(node: &Statement) -> String {
    let head = node.binds.as_ref().map_or("return".to_owned(), |name| format!("{} =", name.text));
    format!("{head} {}{}", expr(&node.value), attributes(&node.attributes))
}

fn statements(list: &[Statement]) -> String {
    list.iter().map(statement).collect::<Vec<_>>().join("; ")
}

fn arm(node: &Arm) -> String {
    if node.statements.is_empty() {
        return format!("{{ {} }}", expr(&node.value));
    }
    format!("{{ {}; {} }}", statements(&node.statements), expr(&node.value))
}

fn write_pipeline(out: &mut String, node: &Pipeline) -> std::fmt::Result {
    let params: Vec<String> = node
        .params
        .iter()
        .map(|param| {
            let default = param.default.as_ref().map(|value| format!(" = {}", expr(value))).unwrap_or_default();
            let public = if param.public { "public " } else { "" };
            format!("{public}{}: {}{default}", param.name.text, ty(&param.ty))
        })
        .collect();
    let intrinsic = if node.body.is_some() { "" } else { "intrinsic " };
    let kind = match node.kind {
        PipelineKind::Pipeline => "pipeline",
        PipelineKind::Layer => "layer",
    };
    writeln!(out, "{}{intrinsic}{kind} {}({}) -> {}", doc(&node.doc), node.name.text, params.join(", "), ty(&node.result))?;
    node.body.iter().flatten().try_for_each(|node| writeln!(out, "  {}", statement(node)))
}

fn doc(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("[{}] ", text.replace('\n', " / ")) }
}

fn header(node: &Header) -> String {
    match &node.name {
        Some(name) => format!("{} {}", node.keyword.text, name.text),
        None => node.keyword.text.clone(),
    }
}

fn attributes(list: &[Attribute]) -> String {
    list.iter().map(|attribute| format!(" @{}({})", attribute.name.text, arguments(&attribute.arguments))).collect()
}

fn arguments(list: &[Argument]) -> String {
    let one = |argument: &Argument| match &argument.name {
        Some(name) => format!("{} = {}", name.text, expr(&argument.value)),
        None => expr(&argument.value),
    };
    list.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn ty(node: &Type) -> String {
    let core = match &node.kind {
        TypeKind::Tensor { dtype, dims } => format!("{}[{}]", dtype.text, dims.iter().map(dim).collect::<Vec<_>>().join(", ")),
        TypeKind::Record(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{}{}: {}", doc(&field.doc), field.name.text, ty(&field.ty))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        TypeKind::Choice(names) => names.iter().map(|name| name.text.as_str()).collect::<Vec<_>>().join(" | "),
        TypeKind::Named { name, args } if args.is_empty() => name.text.clone(),
        TypeKind::Named { name, args } => format!("{}<{}>", name.text, args.iter().map(type_arg).collect::<Vec<_>>().join(", ")),
    };
    format!("{core}{}{}", if node.optional { "?" } else { "" }, attributes(&node.attributes))
}

fn dim(node: &Dim) -> String {
    match node {
        Dim::Const(size, _) => size.to_string(),
        Dim::Symbol(name) => name.text.clone(),
        Dim::Rest(name) => format!("..{}", name.text),
        Dim::Field(path) => path.text(),
        Dim::Binary(binary) => format!("({} {} {})", dim(&binary.left), binary.op.symbol(), dim(&binary.right)),
        Dim::AtMost(name, bound) => format!("{} <= {}", name.text, dim(bound)),
    }
}

fn type_arg(node: &TypeArg) -> String {
    match node {
        TypeArg::Number(value, _) => number(value),
        TypeArg::Path(path) => path.text(),
        TypeArg::Type(node) => ty(node),
    }
}

fn number(node: &Number) -> String {
    format!("{}{}", node.value, node.unit.map_or("", |unit| unit.symbol))
}

fn expr(node: &Expr) -> String {
    match &node.kind {
        ExprKind::Name(name) => name.clone(),
        ExprKind::Number(value) => number(value),
        ExprKind::Size { width, height } => format!("{width}x{height}"),
        ExprKind::Text(value) => format!("{value:?}"),
        ExprKind::List(items) => format!("[{}]", items.iter().map(expr).collect::<Vec<_>>().join(", ")),
        ExprKind::Record(entries) => {
            let one = |entry: &RecordEntry| match &entry.value {
                Some(value) => format!("{} = {}", entry.name.text, expr(value)),
                None => entry.name.text.clone(),
            };
            format!("{{ {} }}", entries.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        ExprKind::Field(value, name) => format!("{}.{}", expr(value), name.text),
        ExprKind::Index(value, index) => format!("{}[{index}]", expr(value)),
        ExprKind::Call(call) => {
            let piped = call.piped.as_ref().map(|value| format!("{} |> ", expr(value))).unwrap_or_default();
            format!("({piped}{}({}))", expr(&call.callee), arguments(&call.arguments))
        }
        ExprKind::Negate(value) => format!("(-{})", expr(value)),
        ExprKind::Binary(binary) => format!("({} {} {})", expr(&binary.left), binary.op.symbol(), expr(&binary.right)),
        ExprKind::Over(over) => format!("({} over {})", expr(&over.value), expr(&over.window)),
        ExprKind::When(when) => {
            let arms: Vec<String> = when.arms.iter().map(|(condition, body)| format!("when {} {}", expr(condition), arm(body))).collect();
            format!("({} else {})", arms.join(" else "), arm(&when.otherwise))
        }
        ExprKind::ForEach(each) => format!("(for each {} in {} {})", each.name.text, expr(&each.list), arm(&each.body)),
        ExprKind::Parallel(list) => format!("(parallel {{ {} }})", statements(list)),
        ExprKind::Loop(node) => {
            let counting = node.counting.as_ref().map(|name| format!(" counting {}", name.text)).unwrap_or_default();
            let until = node.until.as_ref().map(|condition| format!(" until {}", expr(condition))).unwrap_or_default();
            let (name, start, at_most) = (&node.name.text, expr(&node.start), expr(&node.at_most));
            format!("(loop {name} = {start} at_most {at_most}{counting}{until} {})", arm(&node.body))
        }
        ExprKind::Broken => "<broken>".to_owned(),
    }
}
