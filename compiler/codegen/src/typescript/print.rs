//! Model of the module -> text.

use super::names::{key, quote};
use super::nodes::{Declared, Module, Pipeline, Property, Shape, Type};
use std::collections::BTreeSet;
use std::fmt::Write;

/// The module's code.
pub(super) fn javascript(module: &Module) -> String {
    let mut out = header(module);
    if !module.hooks.is_empty() {
        out.push_str("'use client';\n");
    }
    out.push_str("import { definePipeline } from '@mlp/runtime';\n");
    if !module.hooks.is_empty() {
        let suspense = if suspends(module) { ", createSuspenseHook" } else { "" };
        write_all(&mut out, format_args!("import {{ createHook{suspense} }} from '@mlp/react';\n"));
    }
    for pipeline in &module.pipelines {
        constant(&mut out, pipeline);
    }
    for hook in &module.hooks {
        let prefer: Vec<String> = hook.prefer.iter().map(|backend| quote(backend.name())).collect();
        let options = if prefer.is_empty() { String::new() } else { format!(", {{ prefer: [{}] }}", prefer.join(", ")) };
        let pipeline = &module.pipelines[hook.pipeline].name;
        write_all(&mut out, format_args!("\nexport const {} = /*#__PURE__*/ createHook({pipeline}{options});\n", hook.name));
        if let Some(name) = &hook.suspense {
            write_all(&mut out, format_args!("export const {name} = /*#__PURE__*/ createSuspenseHook({pipeline}{options});\n"));
        }
    }
    out
}

/// Whether some hook has a suspending sister.
fn suspends(module: &Module) -> bool {
    module.hooks.iter().any(|hook| hook.suspense.is_some())
}

fn constant(out: &mut String, pipeline: &Pipeline) {
    write_all(out, format_args!("\nexport const {} = /*#__PURE__*/ definePipeline({{\n", pipeline.name));
    write_all(out, format_args!("  format: {},\n", pipeline.format));
    write_all(out, format_args!("  pipeline: {},\n", indented(&pipeline.manifest)));
    write_all(out, format_args!("  files: {},\n", indented(&pipeline.files)));
    out.push_str("  urls: () => ({\n");
    for file in &pipeline.urls {
        write_all(out, format_args!("    {}: new URL({}, import.meta.url),\n", quote(file), quote(&format!("./{file}"))));
    }
    out.push_str("  }),\n});\n");
}

/// The module's types.
pub(super) fn declarations(module: &Module) -> String {
    let mut out = header(module);
    let mut imports = BTreeSet::from(["Pipeline"]);
    for property in module.pipelines.iter().flat_map(|pipeline| properties(&pipeline.input).iter().chain(properties(&pipeline.output))) {
        match property.ty {
            Type::Image => imports.insert("ImageInput"),
            Type::Sound => imports.insert("SoundInput"),
            Type::Ranking(_) => imports.insert("Ranked"),
            Type::ShapedInput { .. } | Type::Shaped(_) => imports.insert("Shaped"),
            _ => false,
        };
    }
    let imports: Vec<&str> = imports.into_iter().collect();
    write_all(&mut out, format_args!("import type {{ {} }} from '@mlp/runtime';\n", imports.join(", ")));
    if !module.hooks.is_empty() {
        let suspense = if suspends(module) { ", SuspenseHook" } else { "" };
        write_all(&mut out, format_args!("import type {{ Hook{suspense} }} from '@mlp/react';\n"));
    }
    for pipeline in &module.pipelines {
        declared(&mut out, &pipeline.input, &format!("What {{@link {}}} takes.", pipeline.name));
        declared(&mut out, &pipeline.output, &format!("What {{@link {}}} gives.", pipeline.name));
        out.push('\n');
        doc(&mut out, &pipeline.doc, "");
        let (input, output) = (&pipeline.input.name, &pipeline.output.name);
        write_all(&mut out, format_args!("export declare const {}: Pipeline<{input}, {output}>;\n", pipeline.name));
    }
    for hook in &module.hooks {
        let pipeline = &module.pipelines[hook.pipeline];
        let types = format!("<{}, {}>", pipeline.input.name, pipeline.output.name);
        out.push('\n');
        doc(&mut out, &hook_doc(pipeline, "Runs {@link NAME} when something happens."), "");
        write_all(&mut out, format_args!("export declare const {}: Hook{types};\n", hook.name));
        if let Some(name) = &hook.suspense {
            out.push('\n');
            doc(&mut out, &hook_doc(pipeline, "Runs {@link NAME} on what is rendered, and suspends until the answer is there."), "");
            write_all(&mut out, format_args!("export declare const {name}: SuspenseHook{types};\n"));
        }
    }
    for labels in &module.labels {
        write_all(&mut out, format_args!("\n/** The labels, in the order of their numbers. */\nexport type {} =\n", labels.name));
        let lines: Vec<String> = labels.labels.iter().map(|label| format!("  | {}", quote(label))).collect();
        write_all(&mut out, format_args!("{};\n", lines.join("\n")));
    }
    out
}

fn hook_doc(pipeline: &Pipeline, sentence: &str) -> String {
    let sentence = sentence.replace("NAME", &pipeline.name);
    if pipeline.doc.is_empty() { sentence } else { format!("{}\n\n{sentence}", pipeline.doc) }
}

fn properties(declared: &Declared) -> &[Property] {
    match &declared.shape {
        Shape::Record(properties) => properties,
        Shape::Alias(property) => std::slice::from_ref(property),
    }
}

fn declared(out: &mut String, declared: &Declared, what: &str) {
    out.push('\n');
    match &declared.shape {
        Shape::Record(properties) => {
            doc(out, what, "");
            write_all(out, format_args!("export interface {} {{\n", declared.name));
            for property in properties {
                doc(out, &property.doc, "  ");
                write_all(out, format_args!("  readonly {}: {};\n", key(&property.name), spelled(&property.ty)));
            }
            out.push_str("}\n");
        }
        Shape::Alias(property) => {
            doc(out, &format!("{what} {}", property.doc), "");
            write_all(out, format_args!("export type {} = {};\n", declared.name, spelled(&property.ty)));
        }
    }
}

fn spelled(ty: &Type) -> String {
    match ty {
        Type::Image => "ImageInput".to_owned(),
        Type::Sound => "SoundInput".to_owned(),
        Type::Text => "string".to_owned(),
        Type::TensorInput { array, number } => format!("{array} | readonly {number}[]"),
        Type::Tensor(array) => (*array).to_owned(),
        Type::ShapedInput { array, number } => {
            format!("{array} | readonly {number}[] | Shaped<{array} | readonly {number}[]>")
        }
        Type::Shaped(array) => format!("Shaped<{array}>"),
        Type::Label(union) => union.clone().unwrap_or_else(|| "string".to_owned()),
        Type::Ranking(Some(union)) => format!("readonly Ranked<{union}>[]"),
        Type::Ranking(None) => "readonly Ranked[]".to_owned(),
    }
}

/// A doc comment, on one line where it fits.
fn doc(out: &mut String, text: &str, indent: &str) {
    let text = text.trim().replace("*/", "*\\/");
    if text.is_empty() {
        return;
    }
    if !text.contains('\n') {
        return write_all(out, format_args!("{indent}/** {text} */\n"));
    }
    write_all(out, format_args!("{indent}/**\n"));
    for line in text.lines() {
        write_all(out, format_args!("{}\n", format!("{indent} * {line}").trim_end()));
    }
    write_all(out, format_args!("{indent} */\n"));
}

fn header(module: &Module) -> String {
    let package = module.package.replace(char::is_control, " ");
    format!("// {package}, compiled by mlpc {}. Written anew by each build.\n", module.compiler)
}

fn indented(json: &str) -> String {
    json.replace('\n', "\n  ")
}

/// Writing to a `String` cannot fail.
fn write_all(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).ok();
}
