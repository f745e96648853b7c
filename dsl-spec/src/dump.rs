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
        Item::Unsupported(node) => writeln!(out, "unsupported {}", header(node)),
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
    node.unsupported.iter().try_for_each(|block| writeln!(out, "  unsupported {}", header(block)))
}

fn write_pipeline(out: &mut String, node: &Pipeline) -> std::fmt::Result {
    let params: Vec<String> = node
        .params
        .iter()
        .map(|param| {
            let default = param.default.as_ref().map(|value| format!(" = {}", expr(value))).unwrap_or_default();
            format!("{}: {}{default}", param.name.text, ty(&param.ty))
        })
        .collect();
    let kind = if node.body.is_some() { "pipeline" } else { "intrinsic pipeline" };
    writeln!(out, "{}{kind} {}({}) -> {}", doc(&node.doc), node.name.text, params.join(", "), ty(&node.result))?;
    for statement in node.body.iter().flatten() {
        let head = statement.binds.as_ref().map_or("return".to_owned(), |name| format!("{} =", name.text));
        writeln!(out, "  {head} {}{}", expr(&statement.value), attributes(&statement.attributes))?;
    }
    Ok(())
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
    core + &attributes(&node.attributes)
}

fn dim(node: &Dim) -> String {
    match node {
        Dim::Const(size, _) => size.to_string(),
        Dim::Symbol(name) => name.text.clone(),
        Dim::Rest(name) => format!("..{}", name.text),
        Dim::Field(path) => path.text(),
    }
}

fn type_arg(node: &TypeArg) -> String {
    match node {
        TypeArg::Number(value, _) => number(value),
        TypeArg::Path(path) => path.text(),
        TypeArg::Label(name, path) => format!("{}<{}>", name.text, path.text()),
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
        ExprKind::Broken => "<broken>".to_owned(),
    }
}
