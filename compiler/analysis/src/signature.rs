//! Types as they are written, resolved.

use crate::aliases;
use crate::checker::{Checker, at, unknown_name};
use crate::edits;
use crate::program::{AliasId, Bound};
use crate::scope::Symbol;
use crate::sizes::dimension;
use crate::types::{Dim, Labels, LabelsId, TensorType, Type, Vocabulary};
use mlp_bundle::DType;
use mlp_bundle::tokenizer::TokenizerKind;
use mlp_syntax::ast::{self, Attribute, ExprKind, Name, Path, TypeArg, TypeKind};
use mlp_syntax::units::Dimension;
use mlp_syntax::{Code, Diagnostic, FileId};

const NAMED_TYPES: &[&str] = &[
    "image", "audio", "text", "tokens", "label", "ranking", "list", "stream", "number", "string", "size", "time", "bytes", "rate", "ratio",
];

/// What a type may refer to: the parameters before it and the label variables of its signature.
#[derive(Debug, Default)]
pub(crate) struct SignatureNames {
    pub(crate) constants: Vec<(String, Type)>,
    /// `L` of `@labels(L)` on a parameter.
    pub(crate) labels: Vec<String>,
    /// True while parameters are resolved: `@labels(L)` declares `L`, `N <= 8` bounds `N`.
    pub(crate) declaring: bool,
    /// The bounds that were met.
    pub(crate) bounds: Vec<Bound>,
    /// The aliases that are being replaced, outermost first.
    pub(crate) aliases: Vec<AliasId>,
}

/// The type, or [`Type::Unknown`] after an error.
pub(crate) fn resolve(checker: &mut Checker<'_>, file: FileId, ty: &ast::Type, names: &mut SignatureNames) -> Type {
    let mut resolved = match &ty.kind {
        TypeKind::Tensor { dtype, dims } => tensor(checker, file, dtype, dims, names),
        TypeKind::Record(fields) => record(checker, file, fields, names),
        TypeKind::Choice(options) => Type::Choice(options.iter().map(|option| option.text.clone()).collect()),
        TypeKind::Named { name, args } => named(checker, file, name, args, names),
    };
    if ty.optional && resolved != Type::Unknown {
        resolved = if resolved.is_constant() {
            let diagnostic = Diagnostic::new(Code::E0203, "what is known when compiling is never left out");
            checker.report(
                diagnostic
                    .label(at(file, ty.span), "this type cannot be optional")
                    .help("give the parameter a default: `name: number = 1`"),
            );
            Type::Unknown
        } else {
            Type::Optional(Box::new(resolved))
        };
    }
    for attribute in &ty.attributes {
        attach(checker, file, attribute, &mut resolved, names);
    }
    resolved
}

fn tensor(checker: &mut Checker<'_>, file: FileId, dtype: &Name, dims: &[ast::Dim], names: &mut SignatureNames) -> Type {
    let Some(element) = DType::from_name(&dtype.text) else {
        let known = DType::ALL.iter().map(|dtype| dtype.name());
        let message = format!("`{}` is no element type", dtype.text);
        let place = at(file, dtype.span);
        let diagnostic = match edits::element_of(&dtype.text) {
            Some(known) => Diagnostic::new(Code::E0203, message).label(place, format!("it is called `{known}` here")).fix(place, known),
            None => unknown_name(Code::E0203, message, &dtype.text, place, known),
        };
        checker.report(diagnostic.help("element types are `f32`, `f16`, `i32`, `u8` and the like"));
        return Type::Unknown;
    };
    let mut resolved = Vec::with_capacity(dims.len());
    let mut rests = 0;
    for dim in dims {
        let Some(dim_) = dimension(checker, file, dim, names) else { return Type::Unknown };
        rests += usize::from(matches!(dim_, Dim::Rest(_)));
        if rests > 1 {
            let diagnostic = Diagnostic::new(Code::E0202, "two parts of one shape have any number of dimensions");
            checker.report(diagnostic.label(at(file, dim.span()), "the second one").help("keep one of them"));
            return Type::Unknown;
        }
        resolved.push(dim_);
    }
    Type::Tensor(TensorType { dtype: element, dims: resolved, labels: Labels::None })
}

fn record(checker: &mut Checker<'_>, file: FileId, fields: &[ast::FieldType], names: &mut SignatureNames) -> Type {
    let mut resolved: Vec<(String, Type)> = Vec::with_capacity(fields.len());
    for field in fields {
        if resolved.iter().any(|(name, _)| *name == field.name.text) {
            let diagnostic = Diagnostic::new(Code::E0102, format!("the field `{}` is defined twice", field.name.text));
            checker.report(diagnostic.label(at(file, field.name.span), "defined again here").help("give one of them another name"));
            continue;
        }
        let ty = resolve(checker, file, &field.ty, names);
        resolved.push((field.name.text.clone(), ty));
    }
    Type::Record(resolved)
}

fn named(checker: &mut Checker<'_>, file: FileId, name: &Name, args: &[TypeArg], names: &mut SignatureNames) -> Type {
    let plain = match name.text.as_str() {
        "number" => Some(Type::Number),
        "string" => Some(Type::String),
        "size" => Some(Type::Size),
        "time" => Some(Type::Quantity(Dimension::Time)),
        "bytes" => Some(Type::Quantity(Dimension::Bytes)),
        "rate" => Some(Type::Quantity(Dimension::Rate)),
        "ratio" => Some(Type::Quantity(Dimension::Ratio)),
        "text" => Some(Type::Text),
        _ => None,
    };
    match (name.text.as_str(), args) {
        (_, []) if plain.is_some() => plain.unwrap_or(Type::Unknown),
        ("image", [TypeArg::Path(format)]) if format.text() == "rgb" => Type::Image,
        ("audio", [rate, TypeArg::Path(channels)]) if audio(rate, channels).is_some() => audio(rate, channels).unwrap_or(Type::Unknown),
        ("audio", [TypeArg::Path(path)]) if channels(path).is_some() => {
            channels(path).map_or(Type::Unknown, |channels| Type::Audio { rate: None, channels })
        }
        ("list", [item]) => list(checker, file, item, None, names),
        ("list", [item, count]) if whole(count).is_some() => list(checker, file, item, whole(count), names),
        ("stream", [item]) => match argument(checker, file, item, names) {
            Type::Unknown => Type::Unknown,
            item => Type::Stream(Box::new(item)),
        },
        ("tokens", [TypeArg::Path(path)]) => tokens(checker, file, path, None),
        ("tokens", [TypeArg::Path(path), count]) if tokens_count(checker, file, count, names).is_some() => {
            let most = tokens_count(checker, file, count, names);
            tokens(checker, file, path, most)
        }
        ("label", [TypeArg::Path(path)]) => labels(checker, file, path, names).map_or(Type::Unknown, Type::Label),
        ("ranking", [TypeArg::Type(label), count]) if label_path(label).is_some() => {
            let labels = label_path(label).and_then(|path| labels(checker, file, path, names));
            let count = ranking_count(checker, file, count, names);
            match (labels, count) {
                (Some(labels), Some(count)) => Type::Ranking { labels, count },
                _ => Type::Unknown,
            }
        }
        (text, []) if !NAMED_TYPES.contains(&text) && DType::from_name(text).is_none() => {
            match aliases::named(checker, file, name, names) {
                Some(ty) => ty,
                None => {
                    report_named(checker, file, name, args);
                    Type::Unknown
                }
            }
        }
        _ => {
            report_named(checker, file, name, args);
            Type::Unknown
        }
    }
}

/// An argument that is a type; a plain name is read as a path.
fn argument(checker: &mut Checker<'_>, file: FileId, arg: &TypeArg, names: &mut SignatureNames) -> Type {
    let ty = match arg {
        TypeArg::Type(ty) => resolve(checker, file, ty, names),
        TypeArg::Path(path) if path.names.len() == 1 => named(checker, file, &path.names[0], &[], names),
        other => {
            let diagnostic = Diagnostic::new(Code::E0203, "this is no type").label(at(file, other.span()), "expected a type");
            checker.report(diagnostic.help("write a type such as `f32[4]` or `image<rgb>`"));
            return Type::Unknown;
        }
    };
    if ty.is_constant() || matches!(ty, Type::Stream(_)) {
        let shown = checker.show(&ty);
        let diagnostic = Diagnostic::new(Code::E0203, format!("there are no lists or streams of {shown}"));
        checker.report(
            diagnostic
                .label(at(file, arg.span()), "expected a type of values that are known when running")
                .help("write a tensor, a photo, a label, a record or the like"),
        );
        return Type::Unknown;
    }
    ty
}

fn list(checker: &mut Checker<'_>, file: FileId, item: &TypeArg, most: Option<u64>, names: &mut SignatureNames) -> Type {
    match argument(checker, file, item, names) {
        Type::Unknown => Type::Unknown,
        item => Type::List { item: Box::new(item), most },
    }
}

/// A whole number from 1.
fn whole(arg: &TypeArg) -> Option<u64> {
    match arg {
        TypeArg::Number(number, _)
            if number.unit.is_none() && number.value >= 1.0 && number.value <= 1e9 && number.value.fract() == 0.0 =>
        {
            Some(number.value as u64)
        }
        _ => None,
    }
}

fn audio(rate: &TypeArg, channels: &Path) -> Option<Type> {
    let TypeArg::Number(number, _) = rate else { return None };
    let unit = number.unit.filter(|unit| unit.dimension == Dimension::Rate)?;
    let channels = self::channels(channels)?;
    (number.value > 0.0).then_some(Type::Audio { rate: Some(number.value * unit.scale), channels })
}

fn channels(path: &Path) -> Option<u8> {
    match path.text().as_str() {
        "mono" => Some(1),
        "stereo" => Some(2),
        _ => None,
    }
}

/// The most tokens: a number, a constant, or a number that is a parameter.
fn tokens_count(checker: &mut Checker<'_>, file: FileId, arg: &TypeArg, names: &SignatureNames) -> Option<Dim> {
    match arg {
        TypeArg::Path(path) if names.constants.iter().any(|(name, ty)| *name == path.text() && *ty == Type::Number) => {
            Some(Dim::Param(path.text()))
        }
        TypeArg::Path(path) if path.names.len() == 1 => crate::sizes::constant(checker, file, &path.names[0]).flatten().map(Dim::Const),
        other => whole(other).map(Dim::Const),
    }
}

/// The kinds of tokenizers by their names.
fn tokenizers() -> impl Iterator<Item = &'static str> {
    TokenizerKind::ALL.into_iter().map(TokenizerKind::name)
}

/// `tokens<Bert.input_ids>`: a model's input says how tokens are numbered; `tokens<WordPiece>`: the kind alone is known.
fn tokens(checker: &mut Checker<'_>, file: FileId, path: &Path, most: Option<Dim>) -> Type {
    let ty = Type::Tokens { vocabulary: Vocabulary::Named(path.text()), most };
    let in_library = checker.files.get(file.0 as usize).is_some_and(|file| file.path.starts_with("std."));
    match path.names.as_slice() {
        [kind] if tokenizers().any(|name| name == kind.text) => ty,
        [variable] if in_library => match ty {
            Type::Tokens { most, .. } => Type::Tokens { vocabulary: Vocabulary::Variable(variable.text.clone()), most },
            other => other,
        },
        [model] => match checker.scopes[file.0 as usize].find(&model.text, &["model"]) {
            Some(Symbol::Model(_)) => ty,
            Some(Symbol::Broken) => Type::Unknown,
            _ => {
                let mut known = checker.scopes[file.0 as usize].names_of(|symbol| matches!(symbol, Symbol::Model(_)));
                known.extend(tokenizers().map(str::to_owned));
                let message = format!("there are no tokens `{}`", model.text);
                let diagnostic = unknown_name(Code::E0101, message, &model.text, at(file, model.span), known.iter().map(String::as_str));
                checker.report(diagnostic);
                Type::Unknown
            }
        },
        [model, input] => {
            let Some(Symbol::Model(id)) = checker.scopes[file.0 as usize].find(&model.text, &["model"]) else {
                if !checker.scopes[file.0 as usize].is_broken(&model.text, &["model"]) {
                    no_model(checker, file, model);
                }
                return Type::Unknown;
            };
            let known: Vec<String> = checker.models[id.0 as usize].inputs.iter().map(|port| port.name.clone()).collect();
            if known.is_empty() || known.contains(&input.text) {
                return ty;
            }
            let message = format!("the model `{}` has no input `{}`", model.text, input.text);
            let diagnostic = unknown_name(Code::E0206, message, &input.text, at(file, input.span), known.iter().map(String::as_str));
            checker.report(diagnostic);
            Type::Unknown
        }
        _ => {
            report_tokens(checker, file, path);
            Type::Unknown
        }
    }
}

fn report_tokens(checker: &mut Checker<'_>, file: FileId, path: &Path) {
    let diagnostic = Diagnostic::new(Code::E0203, "`tokens` is not written like this");
    checker.report(
        diagnostic.label(at(file, path.span), "expected a model's input").help("write `tokens<Model.input>` or `tokens<WordPiece>`"),
    );
}

fn no_model(checker: &mut Checker<'_>, file: FileId, model: &Name) {
    let known = checker.scopes[file.0 as usize].names_of(|symbol| matches!(symbol, Symbol::Model(_)));
    let message = format!("there is no model `{}`", model.text);
    let diagnostic = unknown_name(Code::E0101, message, &model.text, at(file, model.span), known.iter().map(String::as_str));
    checker.report(diagnostic);
}

/// The path in `label<path>`.
fn label_path(ty: &ast::Type) -> Option<&Path> {
    match &ty.kind {
        TypeKind::Named { name, args } if name.text == "label" && !ty.optional => match args.as_slice() {
            [TypeArg::Path(path)] => Some(path),
            _ => None,
        },
        _ => None,
    }
}

fn ranking_count(checker: &mut Checker<'_>, file: FileId, arg: &TypeArg, names: &SignatureNames) -> Option<Dim> {
    if let TypeArg::Path(path) = arg
        && path.names.len() == 1
        && let Some(size) = crate::sizes::constant(checker, file, &path.names[0])
    {
        return size.map(Dim::Const);
    }
    match arg {
        TypeArg::Number(number, _) if number.unit.is_none() && number.value >= 1.0 && number.value.fract() == 0.0 => {
            Some(Dim::Const(number.value as u64))
        }
        TypeArg::Path(path) if names.constants.iter().any(|(name, ty)| *name == path.text() && *ty == Type::Number) => {
            Some(Dim::Param(path.text()))
        }
        other => {
            let diagnostic = Diagnostic::new(Code::E0203, "a ranking needs to know how many labels it holds");
            checker.report(
                diagnostic.label(at(file, other.span()), "expected a whole number from 1").help("write `ranking<label<Model.output>, 5>`"),
            );
            None
        }
    }
}

fn report_named(checker: &mut Checker<'_>, file: FileId, name: &Name, args: &[TypeArg]) {
    let place = at(file, name.span);
    let found = name.text.as_str();
    let forms = |form: &str| format!("write `{form}`");
    let diagnostic = if NAMED_TYPES.contains(&found) {
        let whole = at(file, args.last().map_or(name.span, |last| name.span.to(last.span())));
        let form = match found {
            "image" => "image<rgb>",
            "audio" => "audio<16kHz, mono>",
            "tokens" => "tokens<Model.input, 128>",
            "list" => "list<f32[4], 16>",
            "stream" => "stream<image<rgb>>",
            "label" => "label<Model.output>",
            "ranking" => "ranking<label<Model.output>, 5>",
            plain => plain,
        };
        let diagnostic = Diagnostic::new(Code::E0203, format!("`{found}` is not written like this"))
            .label(whole, "the parts between `<` and `>` do not fit")
            .help(forms(form));
        match (found, args) {
            ("image" | "audio", []) => diagnostic.fix(place, form),
            ("image", [only]) => diagnostic.fix(at(file, only.span()), "rgb"),
            _ => diagnostic,
        }
    } else if DType::from_name(found).is_some() {
        Diagnostic::new(Code::E0203, format!("`{found}` is an element type, not a tensor"))
            .label(place, "expected dimensions after it")
            .help(format!("write `{found}[]` for a single value, `{found}[N, 3]` for a table"))
            .fix(place, format!("{found}[]"))
    } else if let Some(element) = edits::element_of(found) {
        Diagnostic::new(Code::E0203, format!("there is no type `{found}`"))
            .label(place, format!("single values of it are `{element}[]` here"))
            .help(format!("write `{element}[]` for a single value, `{element}[N, 3]` for a table"))
            .fix(place, format!("{element}[]"))
    } else {
        let aliases = checker.scopes[file.0 as usize].names_of(|symbol| matches!(symbol, Symbol::Alias(_)));
        let known =
            NAMED_TYPES.iter().copied().chain(DType::ALL.iter().map(|dtype| dtype.name())).chain(aliases.iter().map(String::as_str));
        let diagnostic = unknown_name(Code::E0203, format!("there is no type `{found}`"), found, place, known);
        diagnostic.help(
            "types are `f32[N, 3]`, `image<rgb>`, `audio<...>`, `text`, `label<...>`, `list<...>`, records, `number`, `size`, `string` and the like",
        )
    };
    checker.report(diagnostic);
}

/// The labels that `Model.output`, or a label variable, stands for.
fn labels(checker: &mut Checker<'_>, file: FileId, path: &Path, names: &SignatureNames) -> Option<Labels> {
    match path.names.as_slice() {
        [name] if names.labels.contains(&name.text) => Some(Labels::Variable(name.text.clone())),
        [name] if matches!(checker.scopes[file.0 as usize].peek(&name.text), Some(Symbol::Labels(_))) => {
            match checker.scopes[file.0 as usize].find(&name.text, &[]) {
                Some(Symbol::Labels(id)) => Some(Labels::Of(id)),
                _ => None,
            }
        }
        [name] if checker.scopes[file.0 as usize].is_broken(&name.text, &["labels"]) => None,
        [model, output] => model_labels(checker, file, model, output),
        _ => {
            let diagnostic = Diagnostic::new(Code::E0101, format!("there are no labels `{}`", path.text()));
            let known = checker.scopes[file.0 as usize].names_of(|symbol| matches!(symbol, Symbol::Labels(_)));
            let place = at(file, path.span);
            let diagnostic = match mlp_syntax::closest(&path.text(), known.iter().map(String::as_str)) {
                Some(close) => diagnostic.label(place, format!("did you mean `{close}`?")).fix(place, close),
                None => diagnostic.label(place, "expected a model and its output, or a `labels` item").help("write `label<Model.output>`"),
            };
            checker.report(diagnostic);
            None
        }
    }
}

fn model_labels(checker: &mut Checker<'_>, file: FileId, model: &Name, output: &Name) -> Option<Labels> {
    let id = match checker.scopes[file.0 as usize].find(&model.text, &["model"]) {
        Some(Symbol::Model(id)) => id,
        Some(Symbol::Broken) => return None,
        _ => {
            no_model(checker, file, model);
            return None;
        }
    };
    let found = checker.models.get(id.0 as usize)?;
    let place = at(file, output.span);
    match found.outputs.iter().find(|port| port.name == output.text) {
        Some(port) => match &port.ty {
            Type::Tensor(TensorType { labels: Labels::Of(id), .. }) => Some(Labels::Of(*id)),
            Type::Unknown => None,
            _ => {
                let diagnostic = Diagnostic::new(Code::E0213, format!("`{}.{}` has no labels", model.text, output.text))
                    .label(place, "this output has no `@labels`");
                checker
                    .report(diagnostic.help(format!("write `@labels(\"./labels.txt\")` after the type of `{}` in the model", output.text)));
                None
            }
        },
        // Outputs are missing where the model itself is broken.
        None if found.outputs.is_empty() => None,
        None => {
            let known: Vec<String> = found.outputs.iter().map(|port| port.name.clone()).collect();
            let message = format!("the model `{}` has no output `{}`", model.text, output.text);
            let diagnostic = unknown_name(Code::E0206, message, &output.text, place, known.iter().map(String::as_str));
            checker.report(diagnostic);
            None
        }
    }
}

/// `@labels(L)` and `@labels(Model.output)`; a file of labels belongs to a model, which reads it itself.
fn attach(checker: &mut Checker<'_>, file: FileId, attribute: &Attribute, ty: &mut Type, names: &mut SignatureNames) {
    if !is_labels(checker, file, attribute) {
        return;
    }
    let place = at(file, attribute.span);
    let argument = match attribute.arguments.as_slice() {
        [argument] if argument.name.is_none() => &argument.value,
        _ => return checker.report(bad_labels(place)),
    };
    let found = match &argument.kind {
        ExprKind::Name(name) if names.labels.contains(name) => Labels::Variable(name.clone()),
        ExprKind::Name(name) if matches!(checker.scopes[file.0 as usize].peek(name), Some(Symbol::Labels(_))) => {
            match checker.scopes[file.0 as usize].find(name, &[]) {
                Some(Symbol::Labels(id)) => Labels::Of(id),
                _ => return,
            }
        }
        ExprKind::Name(name) if names.declaring => {
            names.labels.push(name.clone());
            Labels::Variable(name.clone())
        }
        ExprKind::Field(model, output) => match &model.kind {
            ExprKind::Name(text) => {
                let model = Name { text: text.clone(), span: model.span };
                match model_labels(checker, file, &model, output) {
                    Some(labels) => labels,
                    None => return,
                }
            }
            _ => return checker.report(bad_labels(place)),
        },
        _ => return checker.report(bad_labels(place)),
    };
    match ty {
        Type::Tensor(tensor) if !tensor.dims.is_empty() => tensor.labels = found,
        Type::Unknown => {}
        _ => checker.report(bad_labels(place)),
    }
}

fn bad_labels(place: mlp_syntax::Location) -> Diagnostic {
    Diagnostic::new(Code::E0213, "these labels do not fit here")
        .label(place, "expected the labels of a model's output on a tensor")
        .help("write `f32[1000] @labels(Model.output)`; a file of labels is named at the model's output")
}

/// True for `@labels`; any other attribute is reported.
pub(crate) fn is_labels(checker: &mut Checker<'_>, file: FileId, attribute: &Attribute) -> bool {
    if attribute.name.text == "labels" {
        return true;
    }
    let message = format!("there is no attribute `@{}` here", attribute.name.text);
    let diagnostic = unknown_name(Code::E0107, message, &attribute.name.text, at(file, attribute.name.span), ["labels"]);
    checker.report(diagnostic);
    false
}

/// Adds a set of labels to the program.
pub(crate) fn add_labels(checker: &mut Checker<'_>, set: crate::LabelSet) -> LabelsId {
    let id = LabelsId(checker.labels.len() as u32);
    checker.label_names.push(set.name.clone());
    checker.labels.push(set);
    id
}
