//! Models: their source, and their declared types against the signature of the file.

use crate::checker::{Checker, at, unknown_name};
use crate::labels;
use crate::program::{Bound, LabelSet, ModelPort, ModelState};
use crate::scope::Symbol;
use crate::signature::{self, SignatureNames};
use crate::states;
use crate::types::{Dim, Labels, TensorType, Type};
use crate::world::{self, ModelSignature, SignatureDim, SignaturePort, Weights};
use mlp_syntax::ast::{self, Expr, ExprKind, Item};
use mlp_syntax::{Code, Diagnostic, FileId, Location, Span, closest};

/// Fills in every model.
pub(crate) fn check_all(checker: &mut Checker<'_>) {
    each(checker, check);
}

/// Calls `visit` with every model's file, number and syntax.
pub(crate) fn each(checker: &mut Checker<'_>, visit: fn(&mut Checker<'_>, FileId, usize, &ast::Model)) {
    let mut index = 0;
    for file in 0..checker.trees.len() {
        let tree = checker.trees[file].clone();
        for item in &tree.items {
            if let Item::Model(node) = item {
                visit(checker, FileId(file as u32), index, node);
                index += 1;
            }
        }
    }
}

fn check(checker: &mut Checker<'_>, file: FileId, index: usize, node: &ast::Model) {
    // The second of two models with one name is reported already, and no name leads to it.
    let source = entries(checker, file, index, node);
    // States are inputs of the file, and no name is given to two of its inputs.
    let taken: Vec<ast::Port> = node.inputs.iter().chain(node.states.iter().map(|state| &state.port)).cloned().collect();
    let (mut inputs, bounds) = ports(checker, file, &node.name.text, &taken, false);
    let kept = inputs.split_off(node.inputs.len());
    let (outputs, _) = ports(checker, file, &node.name.text, &node.outputs, true);
    for (ports, what) in [(&node.inputs, "input"), (&node.outputs, "output")] {
        if ports.is_empty() {
            let diagnostic = Diagnostic::new(Code::E0108, format!("`{}` declares no {what}", node.name.text));
            checker.report(
                diagnostic.label(at(file, node.name.span), format!("expected an {what}")).help(format!("write `{what} name: f32[...]`")),
            );
        }
    }
    checker.models[index].bounds = bounds;
    checker.models[index].inputs = inputs;
    checker.models[index].outputs = outputs;
    checker.models[index].states = kept.into_iter().map(|port| ModelState { port, next: String::new() }).collect();
    let Some(Source { path, place, holds_weights }) = source else { return };
    let unreadable = |reason: String| {
        Diagnostic::new(Code::E0301, format!("the model file `{path}` cannot be read: {reason}"))
            .label(place, "the source of the model")
            .help("the path is relative to this file")
    };
    if holds_weights {
        states::no_layers(checker, file, node);
        let weights = checker.world.weights(&path).map_err(|reason| checker.report(unreadable(reason))).ok();
        if let Some(weights) = &weights {
            check_digest(checker, file, node, &weights.sha256, place);
            checker.models[index].sha256 = weights.sha256.clone();
        }
        checker.weight_files.insert(index, WeightFile { path, place, weights });
        return;
    }
    if let Some(layers) = &node.layers {
        let layers = at(file, Span { end: layers.span.start + 6, ..layers.span });
        checker.report(layers_of_onnx(layers, place));
    }
    match checker.world.signature(&path) {
        Ok(signature) => {
            check_digest(checker, file, node, &signature.sha256, place);
            checker.models[index].sha256 = signature.sha256.clone();
            Matching { checker, file, index, sizes: Vec::new() }.run(node, &signature);
        }
        Err(reason) => checker.report(unreadable(reason)),
    }
}

/// A file of weights that a model names.
#[derive(Clone, Debug)]
pub(crate) struct WeightFile {
    /// Its path.
    pub(crate) path: String,
    /// Where it is named.
    pub(crate) place: Location,
    /// What it holds; none where it cannot be read, which is reported.
    pub(crate) weights: Option<Weights>,
}

/// Where a model comes from.
struct Source {
    path: String,
    place: Location,
    /// True for a file that holds weights alone.
    holds_weights: bool,
}

fn layers_of_onnx(layers: Location, source: Location) -> Diagnostic {
    Diagnostic::new(Code::E0308, "the model's file says itself what is computed")
        .label(layers, "so these layers have no use")
        .label(source, "an ONNX file holds the layers with the weights")
        .help("remove the `layers` block, or name a file of weights: `source = safetensors(\"./model.safetensors\")`")
}

/// The entries of a model; gives its file and the place that names it.
fn entries(checker: &mut Checker<'_>, file: FileId, index: usize, node: &ast::Model) -> Option<Source> {
    let mut source = None;
    let mut seen: Vec<&str> = Vec::new();
    for entry in &node.entries {
        let key = entry.key.text.as_str();
        let place = at(file, entry.key.span);
        if seen.contains(&key) {
            let diagnostic = Diagnostic::new(Code::E0102, format!("`{key}` is given twice")).label(place, "given again here");
            checker.report(diagnostic.help("remove one of them").fix(at(file, entry.span), ""));
            continue;
        }
        seen.push(key);
        match key {
            "source" => source = file_of(checker, file, &entry.value),
            // What it names is looked for in the file of weights, once the layers are known.
            "unused" => {}
            "licence" => match &entry.value.kind {
                ExprKind::Text(text) => checker.models[index].licence = Some(text.clone()),
                ExprKind::Broken => {}
                _ => checker.report(
                    Diagnostic::new(Code::E0201, "a licence is a string")
                        .label(at(file, entry.value.span), "expected a string")
                        .help("write an SPDX expression such as `\"Apache-2.0\"`"),
                ),
            },
            _ => {
                let message = format!("a model has no entry `{key}`");
                let diagnostic = unknown_name(Code::E0107, message, key, place, ["source", "licence", "unused"]);
                checker.report(diagnostic);
            }
        }
    }
    if !seen.contains(&"source") {
        checker.report(
            Diagnostic::new(Code::E0108, format!("`{}` has no source", node.name.text))
                .label(at(file, node.name.span), "expected `source = ...` in this model")
                .help("write `source = onnx(\"./model.onnx\")`"),
        );
    }
    if let Some(source) = &source {
        checker.models[index].source = source.path.clone();
    }
    source
}

fn file_of(checker: &mut Checker<'_>, file: FileId, value: &Expr) -> Option<Source> {
    let place = at(file, value.span);
    let ExprKind::Call(call) = &value.kind else {
        if let ExprKind::Text(_) = &value.kind {
            let text = format!("onnx({})", checker.text(place));
            checker.report(bad_source(place).fix(place, text));
        } else if !matches!(value.kind, ExprKind::Broken) {
            checker.report(bad_source(place));
        }
        return None;
    };
    let callee = match &call.callee.kind {
        ExprKind::Name(name) => name.as_str(),
        _ => "",
    };
    match callee {
        "onnx" | "safetensors" => {}
        "registry" => {
            checker.report(
                Diagnostic::new(Code::E0009, format!("models from `{callee}` are not supported by this version of the compiler"))
                    .label(place, "not read yet")
                    .help("export the model as ONNX and write `onnx(\"./model.onnx\")`"),
            );
            return None;
        }
        _ => {
            checker.report(bad_source(place));
            return None;
        }
    }
    let mut path = None;
    for argument in &call.arguments {
        match (&argument.name, &argument.value.kind) {
            (None, ExprKind::Text(text)) if path.is_none() => path = Some(text),
            (Some(name), ExprKind::Text(_)) if name.text == "sha256" => {}
            (None, ExprKind::Text(digest)) if !digest.is_empty() && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                let here = at(file, argument.value.span);
                let start = Location { span: Span { end: here.span.start, ..here.span }, ..here };
                let diagnostic = Diagnostic::new(Code::E0205, "a digest is given by its name").label(here, "expected `sha256 = \"...\"`");
                checker.report(diagnostic.help("write `sha256 = ` before it").fix(start, "sha256 = "));
            }
            _ => checker.report(bad_source(at(file, argument.value.span))),
        }
    }
    let Some(path) = path else {
        checker.report(bad_source(place));
        return None;
    };
    let path = world::join(&checker.files[file.0 as usize].path, path);
    Some(Source { path, place, holds_weights: callee == "safetensors" })
}

fn bad_source(place: Location) -> Diagnostic {
    Diagnostic::new(Code::E0201, "this is no source of a model")
        .label(place, "expected `onnx(...)` or `safetensors(...)` with the path of a file")
        .help("write `onnx(\"./model.onnx\")`, with `sha256 = \"...\"` to hold it to one digest")
}

fn check_digest(checker: &mut Checker<'_>, file: FileId, node: &ast::Model, sha256: &str, place: Location) {
    let sources = node.entries.iter().filter(|entry| entry.key.text == "source");
    let arguments = sources.filter_map(|entry| match &entry.value.kind {
        ExprKind::Call(call) => Some(&call.arguments),
        _ => None,
    });
    for argument in arguments.flatten() {
        let ExprKind::Text(digest) = &argument.value.kind else { continue };
        let is_digest = argument.name.as_ref().is_some_and(|name| name.text == "sha256");
        if is_digest && !digest.eq_ignore_ascii_case(sha256) {
            let here = at(file, argument.value.span);
            checker.report(
                Diagnostic::new(Code::E0304, "the model's file is not the one that was named")
                    .label(here, "expected this digest")
                    .label(place, format!("the file's SHA-256 is {sha256}"))
                    .help("restore the file, or write its digest if the change is meant")
                    .fix(here, format!("\"{sha256}\"")),
            );
        }
    }
}

fn ports(checker: &mut Checker<'_>, file: FileId, model: &str, nodes: &[ast::Port], outputs: bool) -> (Vec<ModelPort>, Vec<Bound>) {
    let mut ports: Vec<ModelPort> = Vec::new();
    let mut bounds = Vec::new();
    for node in nodes {
        if ports.iter().any(|port| port.name == node.name.text) {
            let diagnostic = Diagnostic::new(Code::E0102, format!("`{}` is defined twice", node.name.text));
            checker.report(diagnostic.label(at(file, node.name.span), "defined again here").help("give one of them another name"));
        }
        // Labels of ports are files, which types elsewhere cannot name.
        let plain = ast::Type { attributes: Vec::new(), ..node.ty.clone() };
        let mut names = SignatureNames { declaring: !outputs, ..SignatureNames::default() };
        let mut ty = signature::resolve(checker, file, &plain, &mut names);
        bounds.append(&mut names.bounds);
        if !matches!(ty, Type::Tensor(_) | Type::Unknown) {
            let shown = checker.show(&ty);
            let diagnostic = Diagnostic::new(Code::E0201, format!("a model takes and gives tensors, not {shown}"));
            checker.report(
                diagnostic
                    .label(at(file, node.ty.span), "expected a tensor")
                    .help("write the type as the model's file has it, such as `f32[N, 3, 224, 224]`"),
            );
            ty = Type::Unknown;
        }
        for attribute in &node.ty.attributes {
            if signature::is_labels(checker, file, attribute) {
                attach_file(checker, file, attribute, &mut ty, &format!("{model}.{}", node.name.text), outputs);
            }
        }
        ports.push(ModelPort { name: node.name.text.clone(), onnx: String::new(), doc: node.doc.clone(), ty });
    }
    (ports, bounds)
}

fn attach_file(checker: &mut Checker<'_>, file: FileId, attribute: &ast::Attribute, ty: &mut Type, name: &str, output: bool) {
    let place = at(file, attribute.span);
    let argument = match attribute.arguments.as_slice() {
        [argument] if argument.name.is_none() && output => &argument.value.kind,
        _ => return checker.report(bad_file(place)),
    };
    let (path, lines, known) = match argument {
        ExprKind::Text(reference) => {
            let path = world::join(&checker.files[file.0 as usize].path, reference);
            let Some(lines) = labels::read(checker, &path, place) else {
                // The labels were meant; what needs them should not be an error again.
                *ty = Type::Unknown;
                return;
            };
            (path, lines, None)
        }
        ExprKind::Name(item) => match labels::item(checker, file, item) {
            Some(id) => {
                let set = &checker.labels[id.0 as usize];
                (set.path.clone(), set.lines.clone(), Some(id))
            }
            None if checker.scopes[file.0 as usize].is_broken(item, &["labels"]) => {
                *ty = Type::Unknown;
                return;
            }
            None => {
                let items = checker.scopes[file.0 as usize].names_of(|symbol| matches!(symbol, Symbol::Labels(_)));
                let place = at(file, attribute.arguments[0].value.span);
                let message = format!("there are no labels `{item}`");
                let diagnostic = unknown_name(Code::E0101, message, item, place, items.iter().map(String::as_str));
                *ty = Type::Unknown;
                return checker.report(diagnostic);
            }
        },
        _ => return checker.report(bad_file(place)),
    };
    // A set that could not be read is reported there.
    if known.is_some() && lines.is_empty() {
        *ty = Type::Unknown;
        return;
    }
    let Type::Tensor(tensor) = ty else { return };
    match tensor.dims.last() {
        Some(Dim::Const(size)) if *size == lines.len() as u64 => {
            let id = known.unwrap_or_else(|| signature::add_labels(checker, LabelSet { name: name.to_owned(), path, lines }));
            tensor.labels = Labels::Of(id);
        }
        last => {
            let size = last.map_or_else(|| "no dimension".to_owned(), ToString::to_string);
            let diagnostic = Diagnostic::new(Code::E0303, format!("`{path}` has {} labels for {size} positions", lines.len()));
            checker.report(
                diagnostic
                    .label(place, "labels name the positions along the last dimension")
                    .help("give the file one line for each of them"),
            );
            // The labels were meant; what needs them should not be an error again.
            *ty = Type::Unknown;
        }
    }
}

fn bad_file(place: Location) -> Diagnostic {
    Diagnostic::new(Code::E0303, "labels of a model are a file, at an output")
        .label(place, "expected a file with one label a line")
        .help("write `output name: f32[N, 10] @labels(\"./labels.txt\")`")
}

/// What a port of a model is.
#[derive(Clone, Copy)]
enum Side {
    Input,
    Output,
    State,
}

/// Compares the declared ports of a model with those of its file.
struct Matching<'c, 'w> {
    checker: &'c mut Checker<'w>,
    file: FileId,
    index: usize,
    /// What the file's symbols are declared to be.
    sizes: Vec<(String, Dim)>,
}

impl Matching<'_, '_> {
    fn run(mut self, node: &ast::Model, signature: &ModelSignature) {
        // In the order of the source, which is the file's where no name agrees.
        let mut taken: Vec<(ast::Port, Side, usize)> =
            node.inputs.iter().enumerate().map(|(position, port)| (port.clone(), Side::Input, position)).collect();
        taken.extend(node.states.iter().enumerate().map(|(position, state)| (state.port.clone(), Side::State, position)));
        taken.sort_by_key(|(port, ..)| port.span.start);
        let declared: Vec<ast::Port> = taken.iter().map(|(port, ..)| port.clone()).collect();
        let inputs = self.pair(node, &declared, &signature.inputs, "input");
        let outputs = self.pair(node, &node.outputs, &signature.outputs, "output");
        let matched_all = inputs.is_some() && outputs.is_some();
        for ((port, side, position), actual) in taken.iter().zip(inputs.into_iter().flatten()) {
            self.port(port, *position, &actual, *side);
        }
        for (position, (port, actual)) in node.outputs.iter().zip(outputs.into_iter().flatten()).enumerate() {
            self.port(port, position, &actual, Side::Output);
        }
        for (position, state) in node.states.iter().enumerate() {
            self.state(state, position, signature);
        }
        if matched_all {
            self.unbound(node);
        }
        self.checker.models[self.index].sizes = self.sizes;
    }

    /// The port of the file that each declared port means: by name where all names agree, else by position.
    fn pair(&mut self, node: &ast::Model, declared: &[ast::Port], actual: &[SignaturePort], what: &str) -> Option<Vec<SignaturePort>> {
        let named: Option<Vec<SignaturePort>> =
            declared.iter().map(|port| actual.iter().find(|found| found.name == port.name.text).cloned()).collect();
        if declared.len() == actual.len() || (what == "output" && named.is_some()) {
            return Some(named.unwrap_or_else(|| actual.to_vec()));
        }
        if declared.is_empty() {
            return None;
        }
        let list: Vec<String> = actual.iter().map(|port| format!("`{what} {}: {port}`", port.name)).collect();
        let message =
            format!("`{}` declares {} {what}{}, its file has {}", node.name.text, declared.len(), plural(declared.len()), actual.len());
        let place = at(self.file, declared.last().map_or(node.name.span, |port| port.span));
        let diagnostic = Diagnostic::new(Code::E0302, message).label(place, format!("the file's {what}s differ"));
        self.checker.report(diagnostic.help(format!("write {}", list.join(", "))));
        None
    }

    fn port(&mut self, node: &ast::Port, position: usize, actual: &SignaturePort, side: Side) {
        let model = &mut self.checker.models[self.index];
        let port = match side {
            Side::Input => model.inputs.get_mut(position),
            Side::Output => model.outputs.get_mut(position),
            Side::State => model.states.get_mut(position).map(|state| &mut state.port),
        };
        let Some(port) = port else { return };
        port.onnx = actual.name.clone();
        let Type::Tensor(declared) = port.ty.clone() else { return };
        let Err(remark) = self.fit(&declared, actual) else { return };
        let model = &mut self.checker.models[self.index];
        let what = match side {
            Side::Input => {
                model.inputs[position].ty = Type::Unknown;
                "input"
            }
            Side::Output => "output",
            Side::State => {
                model.states[position].port.ty = Type::Unknown;
                "state"
            }
        };
        let place = at(self.file, node.ty.span);
        let fixed = fix_text(&declared, actual);
        let shown = self.checker.show(&Type::Tensor(declared));
        self.checker.report(
            Diagnostic::new(
                Code::E0302,
                format!("the {what} `{}` is declared {shown}, but the model's file has `{actual}`", node.name.text),
            )
            .label(place, remark)
            .help("declare it as the file has it")
            .fix(place, fixed),
        );
    }

    /// What becomes of a state: an output of the model or of its file, of the state's own type.
    fn state(&mut self, node: &ast::State, position: usize, signature: &ModelSignature) {
        let model = &self.checker.models[self.index];
        let declared = model.outputs.iter().find(|port| port.name == node.next.text && !port.onnx.is_empty()).map(|port| &port.onnx);
        let wanted = declared.unwrap_or(&node.next.text);
        let Some(actual) = signature.outputs.iter().find(|port| port.name == *wanted) else {
            return states::no_output(self.checker, self.file, node, signature);
        };
        let Some(state) = self.checker.models[self.index].states.get_mut(position) else { return };
        state.next.clone_from(&actual.name);
        let Type::Tensor(kept) = state.port.ty.clone() else { return };
        if !states::is_fixed(self.checker, self.file, node, &kept) {
            return;
        }
        if let Err(remark) = self.fit(&kept, actual) {
            states::other_type(self.checker, self.file, node, actual, remark);
        }
    }

    /// Fits a declared tensor to the file's; remembers what the file's symbols become.
    fn fit(&mut self, declared: &TensorType, actual: &SignaturePort) -> Result<(), String> {
        if declared.dtype != actual.dtype {
            return Err(format!("the file's elements are `{}`", actual.dtype));
        }
        if declared.dims.len() != actual.dims.len() {
            return Err(format!("the file's tensor has {} dimensions, this has {}", actual.dims.len(), declared.dims.len()));
        }
        for (declared, actual) in declared.dims.iter().zip(&actual.dims) {
            match (declared, actual) {
                (Dim::Const(size), SignatureDim::Const(other)) if size == other => {}
                (declared, SignatureDim::Const(other)) => return Err(format!("the file's {other} is {declared} here")),
                (Dim::Rest(_), _) => return Err("a model's tensors have a fixed number of dimensions".to_owned()),
                (declared, SignatureDim::Symbol(name)) => match self.sizes.iter().find(|(known, _)| known == name) {
                    Some((_, known)) if known != declared => return Err(format!("the file's `{name}` is both {known} and {declared}")),
                    Some(_) => {}
                    None => self.sizes.push((name.clone(), declared.clone())),
                },
                (_, SignatureDim::Unknown) => {}
            }
        }
        Ok(())
    }

    /// A size of an output that no input has is never known.
    fn unbound(&mut self, node: &ast::Model) {
        let model = &self.checker.models[self.index];
        let dims_of = |ty: &Type| match ty {
            Type::Tensor(tensor) => tensor.dims.clone(),
            _ => Vec::new(),
        };
        if model.inputs.iter().any(|port| port.ty == Type::Unknown) {
            return;
        }
        let bound: Vec<Dim> = model.inputs.iter().flat_map(|port| dims_of(&port.ty)).collect();
        let mut found = Vec::new();
        for (port, node) in model.outputs.iter().zip(&node.outputs) {
            let free = dims_of(&port.ty).into_iter().find(|dim| matches!(dim, Dim::Symbol(_)) && !bound.contains(dim));
            found.extend(free.map(|dim| (dim, node.ty.span)));
        }
        for (dim, span) in found {
            let candidates: Vec<String> = bound.iter().filter(|dim| matches!(dim, Dim::Symbol(_))).map(ToString::to_string).collect();
            let help = match closest(&dim.to_string(), candidates.iter().map(String::as_str)) {
                Some(close) => format!("write `{close}`, as at the input"),
                None => "use a symbol that an input has, or a number".to_owned(),
            };
            let diagnostic = Diagnostic::new(Code::E0212, format!("no input says how large `{dim}` is"));
            self.checker.report(diagnostic.label(at(self.file, span), format!("`{dim}` stands only here")).help(help));
        }
    }
}

/// The file's type as the language writes it. Where the file leaves a size open, what is declared stays.
fn fix_text(declared: &TensorType, port: &SignaturePort) -> String {
    let is_word = |name: &str| {
        let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        starts && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let same_rank = declared.dims.len() == port.dims.len();
    let dims = port.dims.iter().enumerate().map(|(index, dim)| match (dim, declared.dims.get(index)) {
        (SignatureDim::Const(size), _) => size.to_string(),
        (_, Some(declared)) if same_rank => declared.to_string(),
        (SignatureDim::Symbol(name), _) if is_word(name) => name.clone(),
        _ => format!("D{index}"),
    });
    format!("{}[{}]", port.dtype, dims.collect::<Vec<_>>().join(", "))
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
