//! Tests of the root file: each expectation becomes a run, a part of its answer, and what that must be.
//!
//! An expectation is `part == value`, where the part starts at a call of a pipeline: `Classify(image("./cup.png")).top.first == "cup"`.

use crate::checker::{Checker, at, unknown_name};
use crate::program::{Expectation, Expected, Observed, Part, PipelineId, Test, TestArgument};
use crate::scope::Symbol;
use crate::types::{Dim, Labels, Type};
use crate::world;
use mlp_syntax::ast::{self, Binary, Expr, ExprKind, Item, Name, Operator};
use mlp_syntax::units::Dimension;
use mlp_syntax::{Code, Diagnostic, FileId, Location, Span, closest};

const ROOT: FileId = FileId(0);

/// Every test, with the expectations that make sense.
pub(crate) fn check_all(checker: &mut Checker<'_>) -> Vec<Test> {
    let Some(tree) = checker.trees.first().cloned() else { return Vec::new() };
    let mut tests: Vec<Test> = Vec::new();
    for item in &tree.items {
        let Item::Test(node) = item else { continue };
        let place = at(ROOT, node.name.span);
        if let Some(first) = tests.iter().find(|test| test.name == node.name.value) {
            let diagnostic = Diagnostic::new(Code::E0102, "two tests have one name").label(place, "the second one");
            checker.report(diagnostic.label(first.at, "the first one").help("give one of them another name"));
        }
        if node.expectations.is_empty() {
            let diagnostic = Diagnostic::new(Code::E0401, "this test expects nothing").label(place, "expected an `expect` in it");
            checker.report(diagnostic.help("write `expect Pipeline(image(\"./photo.png\")).field == ...`"));
        }
        let expectations = node.expectations.iter().filter_map(|expectation| check(checker, expectation)).collect();
        tests.push(Test { name: node.name.value.clone(), at: place, expectations });
    }
    tests
}

fn check(checker: &mut Checker<'_>, node: &Expr) -> Option<Expectation> {
    let place = at(ROOT, node.span);
    let ExprKind::Binary(binary) = &node.kind else {
        if !matches!(node.kind, ExprKind::Broken) {
            checker.report(bad_form(place, "expected a comparison"));
        }
        return None;
    };
    let (pipeline, args, answer) = run(checker, &binary.left)?;
    let (observed, kind) = Observer { checker, fields: Vec::new() }.observe(&binary.left, answer)?;
    let expected = match kind {
        Kind::Label(labels) => expected_labels(checker, binary, &labels)?,
        Kind::Number => expected_number(checker, binary)?,
    };
    let text = checker.text(place).to_owned();
    Some(Expectation { at: place, text, pipeline, args: args?, observed, op: binary.op, expected })
}

fn bad_form(place: Location, remark: &str) -> Diagnostic {
    Diagnostic::new(Code::E0401, "a test cannot check this")
        .label(place, remark)
        .help("write `expect Pipeline(image(\"./photo.png\")).field == ...`; also `!=`, `in`, and `<`, `<=`, `>`, `>=` for numbers")
}

/// What an observed part is compared as.
enum Kind {
    Label(Labels),
    Number,
}

/// The call that an observation starts from. The arguments are none where one of them is wrong.
type Run = (PipelineId, Option<Vec<TestArgument>>, Type);

fn run(checker: &mut Checker<'_>, node: &Expr) -> Option<Run> {
    let mut node = node;
    while let ExprKind::Field(inner, _) | ExprKind::Index(inner, _) = &node.kind {
        node = inner;
    }
    let place = at(ROOT, node.span);
    let ExprKind::Call(call) = &node.kind else {
        if !matches!(node.kind, ExprKind::Broken) {
            checker.report(bad_form(place, "expected a call of a pipeline"));
        }
        return None;
    };
    let ExprKind::Name(name) = &call.callee.kind else {
        checker.report(bad_form(at(ROOT, call.callee.span), "expected the name of a pipeline"));
        return None;
    };
    let callee = at(ROOT, call.callee.span);
    let id = match checker.scopes[0].find(name, &["pipeline"]) {
        Some(Symbol::Pipeline(id)) => id,
        Some(Symbol::Broken) => return None,
        Some(symbol) => {
            checker.report(bad_form(callee, &format!("this is {}; a test runs a pipeline", symbol.noun())));
            return None;
        }
        None => {
            let known: Vec<String> = checker.scopes[0].names().map(str::to_owned).collect();
            let diagnostic =
                unknown_name(Code::E0101, format!("there is no pipeline `{name}`"), name, callee, known.iter().map(String::as_str));
            checker.report(diagnostic);
            return None;
        }
    };
    let args = arguments(checker, call, id, callee);
    Some((id, args, checker.pipelines.get(id.0 as usize)?.result.clone()))
}

fn arguments(checker: &mut Checker<'_>, call: &ast::Call, id: PipelineId, place: Location) -> Option<Vec<TestArgument>> {
    let params = checker.pipelines.get(id.0 as usize)?.params.clone();
    let positional =
        call.piped.iter().chain(call.arguments.iter().filter(|argument| argument.name.is_none()).map(|argument| &argument.value));
    let mut given: Vec<(usize, &Expr)> = positional.enumerate().collect();
    let mut complete = true;
    for argument in &call.arguments {
        let Some(name) = &argument.name else { continue };
        match params.iter().position(|param| param.name == name.text) {
            Some(index) => given.push((index, &argument.value)),
            None => {
                let known = params.iter().map(|param| param.name.as_str());
                let message = format!("the pipeline has no parameter `{}`", name.text);
                let diagnostic = unknown_name(Code::E0205, message, &name.text, at(ROOT, name.span), known);
                checker.report(diagnostic);
                complete = false;
            }
        }
    }
    let mut args: Vec<Option<TestArgument>> = vec![None; params.len()];
    for (index, value) in given {
        let here = at(ROOT, value.span);
        match (params.get(index), args.get_mut(index)) {
            (Some(param), Some(slot)) if slot.is_none() => match argument(checker, value, &param.ty) {
                Some(argument) => *slot = Some(argument),
                None => complete = false,
            },
            (Some(param), Some(_)) => {
                let diagnostic = Diagnostic::new(Code::E0205, format!("`{}` is given twice", param.name)).label(here, "given again here");
                checker.report(diagnostic.help("remove one of them"));
                complete = false;
            }
            _ => {
                let diagnostic =
                    Diagnostic::new(Code::E0205, format!("the pipeline takes {} values", params.len())).label(here, "one too many");
                checker.report(diagnostic.help("remove it"));
                complete = false;
            }
        }
    }
    if !complete {
        return None;
    }
    if let Some(missing) = args.iter().position(Option::is_none) {
        let name = &params[missing].name;
        let diagnostic =
            Diagnostic::new(Code::E0204, format!("the pipeline needs `{name}`")).label(place, format!("expected a value for `{name}`"));
        checker.report(diagnostic.help("write `image(\"./photo.png\")` between the parentheses"));
        return None;
    }
    args.into_iter().collect()
}

/// One argument: a text, a photo or a sound, `"a sentence"`, `image("./photo.png")` or `audio("./sound.wav")`.
fn argument(checker: &mut Checker<'_>, value: &Expr, ty: &Type) -> Option<TestArgument> {
    let place = at(ROOT, value.span);
    let read = match &value.kind {
        ExprKind::Call(call) if call.piped.is_none() => match (&call.callee.kind, call.arguments.as_slice()) {
            (ExprKind::Name(name), [argument]) if name == "image" || name == "audio" => match &argument.value.kind {
                ExprKind::Text(text) if argument.name.is_none() => Some((name == "image", text.clone(), argument.value.span)),
                _ => None,
            },
            _ => None,
        },
        ExprKind::Broken => return None,
        _ => None,
    };
    match (read, ty) {
        (_, Type::Unknown) => None,
        (None, Type::Text) => {
            if let ExprKind::Text(text) = &value.kind {
                return Some(TestArgument::Text { text: text.clone() });
            }
            let diagnostic = Diagnostic::new(Code::E0201, "expected a text").label(place, "this is not one");
            checker.report(diagnostic.help("write it between quotes: `\"a sentence\"`"));
            None
        }
        (Some((true, reference, span)), Type::Image) => file(checker, "photo", &reference, span).map(|path| TestArgument::Image { path }),
        (Some((false, reference, span)), Type::Audio { .. }) => {
            file(checker, "sound", &reference, span).map(|path| TestArgument::Sound { path })
        }
        (Some((is_photo, ..)), other) => {
            let (shown, noun) = (checker.show(other), if is_photo { "photo" } else { "sound" });
            let diagnostic = Diagnostic::new(Code::E0201, format!("expected {shown}, found a {noun}"));
            let diagnostic = diagnostic.label(place, format!("this is a {noun}"));
            checker.report(diagnostic.help(format!("test a pipeline that takes a {noun}")));
            None
        }
        (None, Type::Image | Type::Audio { .. }) => {
            let is_photo = *ty == Type::Image;
            let noun = if is_photo { "photo" } else { "sound" };
            let diagnostic = Diagnostic::new(Code::E0201, format!("expected a {noun}")).label(place, "this is not one");
            checker.report(diagnostic.help(if is_photo { "write `image(\"./photo.png\")`" } else { "write `audio(\"./sound.wav\")`" }));
            None
        }
        (None, other) => {
            let shown = checker.show(other);
            let diagnostic = Diagnostic::new(Code::E0401, format!("a test cannot give a value of {shown}"))
                .label(place, "only photos, sounds and texts are given in tests");
            checker.report(diagnostic.help("test a pipeline that takes a photo, a sound or a text"));
            None
        }
    }
}

/// The path of a file that exists.
fn file(checker: &mut Checker<'_>, noun: &str, reference: &str, span: Span) -> Option<String> {
    let path = world::join(&checker.files.first()?.path, reference);
    if checker.world.exists(&path) {
        return Some(path);
    }
    let diagnostic = Diagnostic::new(Code::E0403, format!("there is no {noun} `{path}`"));
    checker.report(diagnostic.label(at(ROOT, span), "this file does not exist").help("the path is relative to this file"));
    None
}

/// Walks from a pipeline's answer to the observed part.
struct Observer<'c, 'w> {
    checker: &'c mut Checker<'w>,
    fields: Vec<String>,
}

/// How a test asks for a number of a tensor of several dimensions.
const NUMBER_OF_TENSOR: &str = "return a number of it as a field of the pipeline's answer, such as `most = scores.max()`, and compare that";

/// Where a walk stands.
enum Place {
    Value(Type),
    RankedLabels(Labels, Dim),
    RankedScores(Dim),
    Part(Part, Kind),
}

impl Observer<'_, '_> {
    fn observe(mut self, node: &Expr, answer: Type) -> Option<(Observed, Kind)> {
        match self.walk(node, answer)? {
            Place::Part(part, kind) => Some((Observed { fields: self.fields, part }, kind)),
            Place::Value(Type::Label(labels)) => Some((Observed { fields: self.fields, part: Part::Label }, Kind::Label(labels))),
            Place::Value(Type::Tensor(tensor)) if tensor.dims.is_empty() => {
                Some((Observed { fields: self.fields, part: Part::Element(0) }, Kind::Number))
            }
            Place::Value(Type::Unknown) => None,
            Place::Value(ty) => {
                let shown = self.checker.show(&ty);
                self.whole(node, &format!("this is a whole {shown}"), &ty);
                None
            }
            Place::RankedLabels(..) | Place::RankedScores(_) => {
                self.whole(node, "this is a whole list", &Type::Unknown);
                None
            }
        }
    }

    fn whole(&mut self, node: &Expr, remark: &str, ty: &Type) {
        let part = match ty {
            Type::Ranking { .. } => "write `.first` for the best label, `[1]` for the one after it, `.scores[0]` for a score",
            Type::Record(_) => "name one of its fields",
            Type::Tensor(tensor) if tensor.dims.len() > 1 => NUMBER_OF_TENSOR,
            _ => "name one of its elements: `[0]`",
        };
        let place = at(ROOT, node.span);
        let diagnostic = Diagnostic::new(Code::E0401, "a test compares a label or a number").label(place, remark).help(part);
        let end = Location { span: Span { start: place.span.end, ..place.span }, ..place };
        let first = match ty {
            Type::Ranking { .. } => Some(".first".to_owned()),
            Type::Record(fields) => match fields.as_slice() {
                [(only, Type::Label(_))] => Some(format!(".{only}")),
                [(only, Type::Ranking { .. })] => Some(format!(".{only}.first")),
                _ => None,
            },
            _ => None,
        };
        self.checker.report(match first {
            Some(first) => diagnostic.fix(end, first),
            None => diagnostic,
        });
    }

    fn walk(&mut self, node: &Expr, answer: Type) -> Option<Place> {
        match &node.kind {
            ExprKind::Field(inner, name) => {
                let place = self.walk(inner, answer)?;
                self.field(place, name)
            }
            ExprKind::Index(inner, index) => {
                let place = self.walk(inner, answer)?;
                self.index(place, *index, node.span)
            }
            _ => Some(Place::Value(answer)),
        }
    }

    fn field(&mut self, place: Place, name: &Name) -> Option<Place> {
        let known: Vec<String> = match &place {
            Place::Value(Type::Record(fields)) => fields.iter().map(|(name, _)| name.clone()).collect(),
            Place::Value(Type::Ranking { .. }) => ["first", "labels", "scores"].map(str::to_owned).to_vec(),
            Place::Value(Type::Unknown) => return None,
            _ => Vec::new(),
        };
        match (place, name.text.as_str()) {
            (Place::Value(Type::Record(fields)), field) => {
                if let Some((_, ty)) = fields.into_iter().find(|(known, _)| known == field) {
                    self.fields.push(field.to_owned());
                    return Some(Place::Value(ty));
                }
            }
            (Place::Value(Type::Ranking { labels, .. }), "first") => return Some(Place::Part(Part::RankedLabel(0), Kind::Label(labels))),
            (Place::Value(Type::Ranking { labels, count }), "labels") => return Some(Place::RankedLabels(labels, count)),
            (Place::Value(Type::Ranking { count, .. }), "scores") => return Some(Place::RankedScores(count)),
            _ => {}
        }
        let message = format!("there is no field `{}` here", name.text);
        let diagnostic = unknown_name(Code::E0206, message, &name.text, at(ROOT, name.span), known.iter().map(String::as_str));
        self.checker.report(if known.is_empty() { diagnostic.help("this value has no fields") } else { diagnostic });
        None
    }

    fn index(&mut self, place: Place, index: u64, span: Span) -> Option<Place> {
        let (size, part) = match place {
            Place::Value(Type::Ranking { labels, count }) | Place::RankedLabels(labels, count) => {
                (count, Place::Part(Part::RankedLabel(index), Kind::Label(labels)))
            }
            Place::RankedScores(count) => (count, Place::Part(Part::RankedScore(index), Kind::Number)),
            Place::Value(Type::Tensor(tensor)) if tensor.dims.len() == 1 => {
                (tensor.dims[0].clone(), Place::Part(Part::Element(index), Kind::Number))
            }
            Place::Value(Type::Unknown) => return None,
            Place::Value(Type::Tensor(tensor)) if !tensor.dims.is_empty() => {
                let shown = self.checker.show(&Type::Tensor(tensor));
                let diagnostic = Diagnostic::new(Code::E0401, "a test chooses an element of a tensor of one dimension alone")
                    .label(at(ROOT, span), format!("this chooses from {shown}"));
                self.checker.report(diagnostic.help(NUMBER_OF_TENSOR));
                return None;
            }
            _ => {
                let diagnostic = Diagnostic::new(Code::E0401, "this has no elements to choose from")
                    .label(at(ROOT, span), "expected a ranking or a tensor of one dimension");
                self.checker.report(diagnostic.help("remove the index"));
                return None;
            }
        };
        if let Dim::Const(size) = size
            && index >= size
        {
            let diagnostic = Diagnostic::new(Code::E0202, format!("there are {size} elements, counted from 0"))
                .label(at(ROOT, span), format!("there is no element {index}"));
            self.checker.report(diagnostic.help(format!("write an index from 0 to {}", size.saturating_sub(1))));
            return None;
        }
        Some(part)
    }
}

fn expected_labels(checker: &mut Checker<'_>, binary: &Binary, labels: &Labels) -> Option<Expected> {
    let place = at(ROOT, binary.right.span);
    let items: Vec<&Expr> = match (binary.op, &binary.right.kind) {
        (_, ExprKind::Broken) => return None,
        (Operator::Eq | Operator::Ne, ExprKind::Text(_)) => vec![&binary.right],
        (Operator::In, ExprKind::List(items)) if !items.is_empty() => items.iter().collect(),
        (Operator::In, _) => {
            let diagnostic = bad_form(place, "`in` expects a list of labels");
            let text = format!("[{}]", checker.text(place));
            checker.report(if let ExprKind::Text(_) = &binary.right.kind { diagnostic.fix(place, text) } else { diagnostic });
            return None;
        }
        (Operator::Eq | Operator::Ne, _) => {
            let diagnostic = Diagnostic::new(Code::E0201, "expected a label").label(place, "a label is compared with a string");
            let diagnostic = diagnostic.help("write the label between quotes");
            checker.report(quoted(checker, diagnostic, labels, &binary.right));
            return None;
        }
        _ => {
            checker.report(bad_form(at(ROOT, binary.op_span), "labels have no order; expected `==`, `!=` or `in`"));
            return None;
        }
    };
    let mut found = Vec::new();
    for item in items {
        let place = at(ROOT, item.span);
        let ExprKind::Text(text) = &item.kind else {
            if !matches!(item.kind, ExprKind::Broken) {
                let diagnostic = Diagnostic::new(Code::E0201, "expected a label").label(place, "a label is compared with a string");
                checker.report(diagnostic.help("write the label between quotes"));
            }
            return None;
        };
        known_label(checker, labels, text, place)?;
        found.push(text.clone());
    }
    Some(Expected::Labels(found))
}

/// With the quotes that a label lacks.
fn quoted(checker: &Checker<'_>, diagnostic: Diagnostic, labels: &Labels, value: &Expr) -> Diagnostic {
    let (ExprKind::Name(name), Labels::Of(id)) = (&value.kind, labels) else { return diagnostic };
    let known = checker.labels.get(id.0 as usize).is_some_and(|set| set.lines.contains(name));
    if known { diagnostic.fix(at(ROOT, value.span), format!("\"{name}\"")) } else { diagnostic }
}

/// Reports a label that the file of labels lacks: the test could never hold, or always would.
pub(crate) fn known_label(checker: &mut Checker<'_>, labels: &Labels, text: &str, place: Location) -> Option<()> {
    let Labels::Of(id) = labels else { return Some(()) };
    let set = checker.labels.get(id.0 as usize)?;
    if set.lines.iter().any(|line| line == text) {
        return Some(());
    }
    let diagnostic = Diagnostic::new(Code::E0402, format!("`{}` has no label \"{text}\"", set.path));
    let close = closest(text, set.lines.iter().map(String::as_str)).map(str::to_owned);
    checker.report(match close {
        Some(close) => diagnostic.label(place, format!("did you mean \"{close}\"?")).fix(place, format!("{close:?}")),
        None => diagnostic.label(place, "no line of the file is this").help("write a label as the file has it"),
    });
    None
}

fn expected_number(checker: &mut Checker<'_>, binary: &Binary) -> Option<Expected> {
    let place = at(ROOT, binary.right.span);
    if binary.op == Operator::In {
        checker.report(bad_form(at(ROOT, binary.op_span), "`in` is for labels"));
        return None;
    }
    let (sign, node) = match &binary.right.kind {
        ExprKind::Negate(inner) => (-1.0, inner.as_ref()),
        _ => (1.0, &binary.right),
    };
    match &node.kind {
        ExprKind::Number(number) => match number.unit {
            None => Some(Expected::Number(sign * number.value)),
            // A score is a part of a whole, so `90%` says the same as `0.9`.
            Some(unit) if unit.dimension == Dimension::Ratio => Some(Expected::Number(sign * number.value * unit.scale)),
            Some(unit) => {
                let diagnostic = Diagnostic::new(Code::E0210, format!("a score is no {}", unit.dimension.name()));
                let digits = checker.text(place).trim_end_matches(|c: char| c.is_ascii_alphabetic()).to_owned();
                let diagnostic = diagnostic.label(place, "expected a number such as `0.9`, or `90%`").help("remove the unit");
                checker.report(diagnostic.fix(place, digits));
                None
            }
        },
        ExprKind::Broken => None,
        _ => {
            let diagnostic = Diagnostic::new(Code::E0201, "expected a number").label(place, "a score is compared with a number");
            checker.report(diagnostic.help("write a number such as `0.9`, or `90%`"));
            None
        }
    }
}
