//! Types as they are written, resolved.

use crate::checker::{Checker, at, later, unknown_name};
use crate::scope::Symbol;
use crate::types::{Dim, Labels, LabelsId, TensorType, Type};
use mlp_bundle::DType;
use mlp_syntax::ast::{self, Attribute, ExprKind, Name, Path, TypeArg, TypeKind};
use mlp_syntax::units::Dimension;
use mlp_syntax::{Code, Diagnostic, FileId};

/// Types of the language that a later compiler reads.
const LATER_TYPES: &[&str] = &["audio", "text", "tokens", "list", "stream"];
const NAMED_TYPES: &[&str] = &["image", "label", "ranking", "number", "string", "size", "time", "bytes", "rate", "ratio"];

/// What a type may refer to: the parameters before it and the label variables of its signature.
#[derive(Debug, Default)]
pub(crate) struct SignatureNames {
    pub(crate) constants: Vec<(String, Type)>,
    /// `L` of `@labels(L)` on a parameter.
    pub(crate) labels: Vec<String>,
    /// True while parameters are resolved: `@labels(L)` declares `L`.
    pub(crate) declaring: bool,
}

/// The type, or [`Type::Unknown`] after an error.
pub(crate) fn resolve(checker: &mut Checker<'_>, file: FileId, ty: &ast::Type, names: &mut SignatureNames) -> Type {
    let mut resolved = match &ty.kind {
        TypeKind::Tensor { dtype, dims } => tensor(checker, file, dtype, dims, names),
        TypeKind::Record(fields) => record(checker, file, fields, names),
        TypeKind::Choice(options) => Type::Choice(options.iter().map(|option| option.text.clone()).collect()),
        TypeKind::Named { name, args } => named(checker, file, name, args, names),
    };
    if ty.optional {
        checker.report(later("an optional type", at(file, ty.span)));
        resolved = Type::Unknown;
    }
    for attribute in &ty.attributes {
        attach(checker, file, attribute, &mut resolved, names);
    }
    resolved
}

fn tensor(checker: &mut Checker<'_>, file: FileId, dtype: &Name, dims: &[ast::Dim], names: &SignatureNames) -> Type {
    let Some(element) = DType::from_name(&dtype.text) else {
        let known = DType::ALL.iter().map(|dtype| dtype.name());
        let message = format!("`{}` is no element type", dtype.text);
        let diagnostic = unknown_name(Code::E0203, message, &dtype.text, at(file, dtype.span), known);
        checker.report(diagnostic.help("element types are `f32`, `f16`, `i32`, `u8` and the like"));
        return Type::Unknown;
    };
    let mut resolved = Vec::with_capacity(dims.len());
    let mut rests = 0;
    for dim in dims {
        let place = at(file, dim.span());
        resolved.push(match dim {
            ast::Dim::Const(0, _) => {
                checker.report(
                    Diagnostic::new(Code::E0202, "a dimension has no elements")
                        .label(place, "at least 1")
                        .help("write the size that the data has"),
                );
                return Type::Unknown;
            }
            ast::Dim::Const(size, _) => Dim::Const(*size),
            ast::Dim::Symbol(name) if names.constants.iter().any(|(param, ty)| *param == name.text && *ty == Type::Number) => {
                Dim::Param(name.text.clone())
            }
            ast::Dim::Symbol(name) => Dim::Symbol(name.text.clone()),
            ast::Dim::Rest(name) => {
                rests += 1;
                Dim::Rest(name.text.clone())
            }
            ast::Dim::Binary(_) | ast::Dim::AtMost(..) => {
                checker.report(later("arithmetic and bounds in shapes", place));
                return Type::Unknown;
            }
            ast::Dim::Field(path) => match field_dim(path, names) {
                Some(dim) => dim,
                None => {
                    let message = format!("`{}` is no size", path.text());
                    let diagnostic = Diagnostic::new(Code::E0212, message)
                        .label(place, "expected the `width` or `height` of a parameter of type `size`");
                    checker.report(diagnostic.help("write `size.height` after a parameter `size: size`"));
                    return Type::Unknown;
                }
            },
        });
        if rests > 1 {
            let diagnostic =
                Diagnostic::new(Code::E0202, "two parts of one shape have any number of dimensions").label(place, "the second one");
            checker.report(diagnostic.help("keep one of them"));
            return Type::Unknown;
        }
    }
    Type::Tensor(TensorType { dtype: element, dims: resolved, labels: Labels::None })
}

fn field_dim(path: &Path, names: &SignatureNames) -> Option<Dim> {
    let [param, field] = path.names.as_slice() else { return None };
    names.constants.iter().find(|(name, ty)| *name == param.text && *ty == Type::Size)?;
    match field.text.as_str() {
        "width" => Some(Dim::Width(param.text.clone())),
        "height" => Some(Dim::Height(param.text.clone())),
        _ => None,
    }
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

fn named(checker: &mut Checker<'_>, file: FileId, name: &Name, args: &[TypeArg], names: &SignatureNames) -> Type {
    let plain = match name.text.as_str() {
        "number" => Some(Type::Number),
        "string" => Some(Type::Text),
        "size" => Some(Type::Size),
        "time" => Some(Type::Quantity(Dimension::Time)),
        "bytes" => Some(Type::Quantity(Dimension::Bytes)),
        "rate" => Some(Type::Quantity(Dimension::Rate)),
        "ratio" => Some(Type::Quantity(Dimension::Ratio)),
        _ => None,
    };
    match (name.text.as_str(), args) {
        (_, []) if plain.is_some() => plain.unwrap_or(Type::Unknown),
        ("image", [TypeArg::Path(format)]) if format.text() == "rgb" => Type::Image,
        ("label", [TypeArg::Path(path)]) => labels(checker, file, path, names).map_or(Type::Unknown, Type::Label),
        ("ranking", [TypeArg::Type(label), count]) if label_path(label).is_some() => {
            let labels = label_path(label).and_then(|path| labels(checker, file, path, names));
            let count = ranking_count(checker, file, count, names);
            match (labels, count) {
                (Some(labels), Some(count)) => Type::Ranking { labels, count },
                _ => Type::Unknown,
            }
        }
        _ => {
            report_named(checker, file, name, args);
            Type::Unknown
        }
    }
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
    let diagnostic = if LATER_TYPES.contains(&found) {
        Diagnostic::new(Code::E0009, format!("the type `{found}` is not supported by this version of the compiler"))
            .label(place, "not read yet")
            .help("use a tensor, or a newer compiler")
    } else if NAMED_TYPES.contains(&found) {
        let whole = at(file, args.last().map_or(name.span, |last| name.span.to(last.span())));
        let form = match found {
            "image" => "image<rgb>",
            "label" => "label<Model.output>",
            "ranking" => "ranking<label<Model.output>, 5>",
            plain => plain,
        };
        Diagnostic::new(Code::E0203, format!("`{found}` is not written like this"))
            .label(whole, "the parts between `<` and `>` do not fit")
            .help(forms(form))
    } else if DType::from_name(found).is_some() {
        Diagnostic::new(Code::E0203, format!("`{found}` is an element type, not a tensor"))
            .label(place, "expected dimensions after it")
            .help(format!("write `{found}[]` for a single value, `{found}[N, 3]` for a table"))
            .fix(place, format!("{found}[]"))
    } else {
        let known = NAMED_TYPES.iter().copied().chain(DType::ALL.iter().map(|dtype| dtype.name()));
        let diagnostic = unknown_name(Code::E0203, format!("there is no type `{found}`"), found, place, known);
        diagnostic.help(
            "types are `f32[N, 3]`, `image<rgb>`, `label<...>`, `ranking<...>`, records, `number`, `size`, `string` and numbers with units",
        )
    };
    checker.report(diagnostic);
}

/// The labels that `Model.output`, or a label variable, stands for.
fn labels(checker: &mut Checker<'_>, file: FileId, path: &Path, names: &SignatureNames) -> Option<Labels> {
    match path.names.as_slice() {
        [name] if names.labels.contains(&name.text) => Some(Labels::Variable(name.text.clone())),
        [model, output] => model_labels(checker, file, model, output),
        _ => {
            let diagnostic = Diagnostic::new(Code::E0101, format!("there are no labels `{}`", path.text()));
            checker.report(diagnostic.label(at(file, path.span), "expected a model and its output").help("write `label<Model.output>`"));
            None
        }
    }
}

fn model_labels(checker: &mut Checker<'_>, file: FileId, model: &Name, output: &Name) -> Option<Labels> {
    let id = match checker.scopes[file.0 as usize].find(&model.text) {
        Some(Symbol::Model(id)) => id,
        Some(Symbol::Broken) => return None,
        Some(Symbol::Pipeline(_)) | None => {
            let known: Vec<String> = checker.models.iter().filter(|known| known.at.file == file).map(|model| model.name.clone()).collect();
            let message = format!("there is no model `{}`", model.text);
            let diagnostic = unknown_name(Code::E0101, message, &model.text, at(file, model.span), known.iter().map(String::as_str));
            checker.report(diagnostic);
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
