//! A model's layers: from its inputs to its outputs, with the file that holds the weights.

use super::elaborate::{Elaborator, Env, Item, type_of};
use super::names;
use super::weights::FileWeights;
use crate::checker::{Checker, at};
use crate::models::WeightFile;
use crate::network::NetworkValue;
use crate::pipelines;
use crate::shapes;
use crate::types::{Dim, Labels, TensorType, Type};
use crate::unify::assignable;
use mlp_syntax::ast::{self, ExprKind};
use mlp_syntax::{Code, Diagnostic, FileId, Location, Span, closest};

/// The most keys that a message lists.
const MAX_LISTED: usize = 4;

/// Makes the network of a model whose file holds weights alone.
pub(super) fn check(checker: &mut Checker<'_>, file: FileId, index: usize, node: &ast::Model) {
    let Some(WeightFile { path, place, weights }) = checker.weight_files.remove(&index) else {
        for entry in node.entries.iter().filter(|entry| entry.key.text == "unused") {
            let diagnostic = Diagnostic::new(Code::E0107, "`unused` says which tensors of a file of weights no layer reads");
            let diagnostic = diagnostic.label(at(file, entry.key.span), "this model's source is no `safetensors(...)`");
            checker.report(diagnostic.help("remove it"));
        }
        return;
    };
    let Some(layers) = &node.layers else {
        let diagnostic = Diagnostic::new(Code::E0308, format!("nothing says what `{}` computes", node.name.text))
            .label(place, "this file holds weights alone")
            .label(at(file, node.name.span), "expected a `layers` block in this model");
        return checker.report(diagnostic.help("write `layers { return input |> dense(10, weights = \"classifier\") }`"));
    };
    let inputs = checker.models[index].inputs.clone();
    let params = node.inputs.iter().zip(&inputs).map(|(_, port)| (port.name.clone(), Some(port.ty.clone()))).collect();
    let mut symbols = Vec::new();
    inputs.iter().for_each(|port| pipelines::symbols(&port.ty, &mut symbols));
    let mut sizes: Vec<String> = Vec::new();
    for dim in symbols {
        if let Dim::Symbol(name) = dim
            && !sizes.contains(&name)
        {
            sizes.push(name);
        }
    }
    let before = checker.error_count();
    let owner = (node.name.text.as_str(), Span { end: layers.span.start + 6, ..layers.span });
    names::check(checker, file, params, sizes.clone(), owner, &layers.statements);
    let fixed = fixed_rank(checker, file, node, &inputs);
    let known = inputs.iter().all(|port| matches!(port.ty, Type::Tensor(_)));
    if checker.error_count() > before || !fixed || !known || inputs.is_empty() {
        return;
    }
    let values = inputs.iter().enumerate().map(|(position, port)| {
        let item = match &port.ty {
            Type::Tensor(tensor) => {
                Item::Tensor(NetworkValue::Input(position as u32), TensorType { labels: Labels::None, ..tensor.clone() })
            }
            _ => Item::Unknown,
        };
        (port.name.clone(), item)
    });
    let env = Env {
        file,
        values: values.collect(),
        sizes: sizes.iter().map(|name| (name.clone(), Dim::Symbol(name.clone()))).collect(),
        path: String::new(),
    };
    let bounds = checker.models[index].bounds.clone();
    let mut elaborator = Elaborator::new(checker, FileWeights::new(weights), env, bounds);
    let wanted = elaborator.checker.models[index].outputs.clone();
    let result = elaborator.statements(&layers.statements, None);
    let outputs = outputs(&mut elaborator, node, &wanted, result, at(file, returned(layers)));
    unused(&mut elaborator, file, node, before, &path, place);
    let mut network = std::mem::take(&mut elaborator.network);
    if checker.error_count() > before {
        return;
    }
    let Some(outputs) = outputs else {
        // A layer that an error took was reported where it is.
        if checker.error_count() > 0 {
            return;
        }
        let diagnostic = Diagnostic::new(Code::E0009, format!("the layers of `{}` cannot be evaluated", node.name.text));
        let diagnostic = diagnostic.label(at(file, returned(layers)), "this has no value");
        return checker.report(diagnostic.help("write what is computed in another way"));
    };
    network.outputs = outputs;
    let model = &mut checker.models[index];
    model.inputs.iter_mut().chain(&mut model.outputs).for_each(|port| port.onnx = port.name.clone());
    model.sizes = sizes.into_iter().map(|name| (name.clone(), Dim::Symbol(name))).collect();
    model.network = Some(network);
}

/// Where the layers return.
fn returned(layers: &ast::Layers) -> Span {
    layers.statements.iter().find(|statement| statement.binds.is_none()).map_or(layers.span, |statement| statement.value.span)
}

/// A graph's tensors have a fixed number of dimensions.
fn fixed_rank(checker: &mut Checker<'_>, file: FileId, node: &ast::Model, inputs: &[crate::ModelPort]) -> bool {
    let mut fixed = true;
    for (port, node) in inputs.iter().zip(&node.inputs) {
        let Type::Tensor(tensor) = &port.ty else { continue };
        if tensor.dims.iter().any(|dim| !matches!(dim, Dim::Const(_) | Dim::Symbol(_))) {
            let shown = checker.show(&port.ty);
            let diagnostic =
                Diagnostic::new(Code::E0202, format!("the input `{}` of layers has a shape that is not plain: {shown}", port.name));
            let diagnostic = diagnostic.label(at(file, node.ty.span), "expected numbers and names of sizes");
            checker.report(diagnostic.help("write each size as a number or a name, such as `f32[N, 3, 224, 224]`"));
            fixed = false;
        }
    }
    fixed
}

/// What the layers return, compared with the declared outputs.
fn outputs(
    elaborator: &mut Elaborator<'_, '_>,
    node: &ast::Model,
    declared: &[crate::ModelPort],
    result: Item,
    place: Location,
) -> Option<Vec<NetworkValue>> {
    if declared.is_empty() || elaborator.stopped || matches!(result, Item::Unknown) {
        return None;
    }
    let named = match result {
        Item::Record(fields) if declared.len() > 1 => fields,
        item if declared.len() == 1 => vec![(declared[0].name.clone(), item)],
        item => {
            let names: Vec<String> = declared.iter().map(|port| format!("{} = ...", port.name)).collect();
            let shown = elaborator.show(&item);
            let diagnostic =
                Diagnostic::new(Code::E0201, format!("`{}` has {} outputs, and its layers return {shown}", node.name.text, declared.len()));
            let diagnostic = diagnostic.label(place, "expected a record with a field for each output");
            elaborator.report(diagnostic.help(format!("write `return {{ {} }}`", names.join(", "))));
            return None;
        }
    };
    let mut values = Vec::new();
    for port in declared {
        let Some((_, item)) = named.iter().find(|(name, _)| *name == port.name) else {
            let diagnostic = Diagnostic::new(Code::E0206, format!("the layers return nothing for the output `{}`", port.name));
            elaborator.report(diagnostic.label(place, "this record has no such field").help(format!("write `{} = ...` in it", port.name)));
            return None;
        };
        values.push(output(elaborator, port, item, place)?);
    }
    if let Some((name, _)) = named.iter().find(|(name, _)| declared.iter().all(|port| port.name != *name)) {
        let diagnostic = Diagnostic::new(Code::E0206, format!("`{}` has no output `{name}`", node.name.text));
        elaborator.report(
            diagnostic.label(place, "the layers return more than the outputs").help(format!("declare it: `output {name}: f32[...]`")),
        );
        return None;
    }
    Some(values)
}

fn output(elaborator: &mut Elaborator<'_, '_>, port: &crate::ModelPort, item: &Item, place: Location) -> Option<NetworkValue> {
    let wanted = match &port.ty {
        Type::Tensor(tensor) => Type::Tensor(TensorType { labels: Labels::None, ..tensor.clone() }),
        _ => return None,
    };
    let found = type_of(item);
    if let (Item::Tensor(value, _), Some(found)) = (item, &found)
        && assignable(&wanted, found).is_ok()
    {
        return Some(*value);
    }
    if matches!(item, Item::Unknown) {
        return None;
    }
    let (a, b) = (elaborator.checker.show(&wanted), elaborator.show(item));
    let message = format!("the output `{}` is declared {a}, but the layers return {b}", port.name);
    let diagnostic = match found {
        Some(found @ Type::Tensor(_)) => {
            let lines = shapes::aligned(elaborator.checker, &wanted, &found);
            Diagnostic::new(Code::E0202, message)
                .label(place, format!("this is {b}"))
                .help(format!("change the layers, or declare the output as they make it\n  {lines}"))
        }
        _ => Diagnostic::new(Code::E0201, message).label(place, "expected a tensor").help("return what a layer gives"),
    };
    let diagnostic = elaborator.with_maker(diagnostic, item);
    elaborator.report(diagnostic);
    None
}

/// Warns of tensors that no layer reads, but for those that the model says are not meant to be.
fn unused(elaborator: &mut Elaborator<'_, '_>, file: FileId, node: &ast::Model, before: usize, path: &str, place: Location) {
    let mut meant: Vec<String> = Vec::new();
    for entry in node.entries.iter().filter(|entry| entry.key.text == "unused") {
        let ExprKind::List(items) = &entry.value.kind else {
            bad_unused(elaborator, at(file, entry.value.span));
            continue;
        };
        for item in items {
            let place = at(file, item.span);
            match &item.kind {
                ExprKind::Text(path) if elaborator.weights.has(path) => meant.push(path.clone()),
                ExprKind::Text(path) => {
                    let remark = match closest(path, elaborator.weights.keys()) {
                        Some(close) => format!("did you mean `{close}`?"),
                        None => "no tensor of the file is at or below this path".to_owned(),
                    };
                    let diagnostic = Diagnostic::new(Code::E0305, format!("the file has no weight at `{path}`"));
                    elaborator.report(diagnostic.label(place, remark).help("remove it, or write a path that the file has"));
                }
                _ => bad_unused(elaborator, place),
            }
        }
    }
    // After an error, what was not read tells nothing.
    if elaborator.checker.error_count() > before {
        return;
    }
    let left = elaborator.weights.left(&meant);
    if left.is_empty() {
        return;
    }
    let listed: Vec<String> = left.iter().take(MAX_LISTED).map(|key| format!("`{key}`")).collect();
    let more = if left.len() > MAX_LISTED { format!(" and {} more", left.len() - MAX_LISTED) } else { String::new() };
    let first = left.first().map_or("", |key| key);
    let message = format!("no layer reads {}{more} of `{path}`", listed.join(", "));
    let help = format!("call the layers that read them, or write `unused = [\"{first}\"]` in the model where that is meant");
    elaborator.report(Diagnostic::new(Code::E0307, message).label(place, "the file has weights that are not used").help(help));
}

fn bad_unused(elaborator: &mut Elaborator<'_, '_>, place: Location) {
    let diagnostic = Diagnostic::new(Code::E0201, "`unused` is a list of keys or paths of weights");
    elaborator
        .report(diagnostic.label(place, "expected a list of strings").help("write `unused = [\"pooler\", \"embeddings.position_ids\"]`"));
}
