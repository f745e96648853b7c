//! Calls of layers: arguments fitted to parameters, then the body, or the operation that the compiler provides.

use super::arguments::{Arguments, Callee, Target, arguments, body_of, callee_name, target};
use super::elaborate::{Elaborator, Env, Item, type_of};
use super::keys::{Part, join, parts};
use super::rules;
use crate::network::{LayerBody, LayerId, NetworkOp, NetworkWeight};
use crate::pipelines;
use crate::program::{Bound, ExprKind, Value};
use crate::shapes;
use crate::types::{Dim, TensorType, Type};
use crate::unify::{Bindings, Misfit, Unbound, assignable};
use mlp_syntax::ast::{self, Item as SyntaxItem, PipelineKind};
use mlp_syntax::{Code, Diagnostic, Location, Span};

/// A call whose arguments are evaluated.
pub(super) struct Given<'t> {
    pub(super) target: &'t Target,
    /// One a parameter.
    pub(super) items: Vec<Item>,
    /// Where each is written; the call itself for those that are not.
    pub(super) places: Vec<Location>,
    /// Where the layer's name stands.
    pub(super) at: Location,
    /// Where the path of the weights stands.
    pub(super) weights_at: Location,
}

impl Elaborator<'_, '_> {
    pub(super) fn call(&mut self, call: &ast::Call, span: Span) -> Item {
        let file = self.env.file;
        // Whatever is wrong with names and arguments is reported where names are checked.
        let Some(Ok(target)) = callee_name(call).map(|name| target(self.checker, file, name)) else { return Item::Unknown };
        let Ok(Arguments { values, weights }) = arguments(call, &target, file) else { return Item::Unknown };
        let (mut items, mut places) = (Vec::new(), Vec::new());
        for (param, value) in target.params.iter().zip(values) {
            places.push(self.place(value.map_or(span, |value| value.span)));
            items.push(match (value, &param.default) {
                (Some(value), _) => self.expr(value, Some(&param.ty)),
                (None, Some(default)) => Item::Constant(default.clone(), param.ty.clone()),
                (None, None) => Item::Absent,
            });
        }
        let Some(path) = self.path(weights) else { return Item::Unknown };
        let at = self.place(call.callee.span);
        let weights_at = weights.map_or(at, |value| self.place(value.span));
        let given = Given { target: &target, items, places, at, weights_at };
        let Some((bindings, result)) = self.fit(&given) else { return Item::Unknown };
        match target.callee {
            Callee::Pipeline(_, intrinsic) => self.operation(&given, NetworkOp::Pipeline(intrinsic), Vec::new(), &result, &path),
            Callee::Layer(id) => match body_of(self.checker, id) {
                LayerBody::Broken => Item::Unknown,
                LayerBody::Written => self.written(id, given, &bindings, &result, path),
                LayerBody::Intrinsic(layer) => {
                    let specs = match rules::weights(layer, &given) {
                        Ok(specs) => specs,
                        Err(refusal) => {
                            let place = refusal.param.and_then(|name| given.place_of(name)).unwrap_or(given.at);
                            let message = format!("`{}`: {}", target.name, refusal.message);
                            self.report(Diagnostic::new(refusal.code, message).label(place, refusal.remark).help(refusal.help));
                            return Item::Unknown;
                        }
                    };
                    let weights = specs.into_iter().filter_map(|spec| self.weight(&given, spec, &path)).collect();
                    self.operation(&given, NetworkOp::Layer(layer), weights, &result, &path)
                }
            },
        }
    }

    /// The path of a call's weights.
    fn path(&mut self, weights: Option<&ast::Expr>) -> Option<String> {
        let Some(node) = weights else { return Some(self.env.path.clone()) };
        let text = self.string(node)?;
        let mut path = String::new();
        for part in parts(&text).ok()? {
            match part {
                Part::Text(text) => path.push_str(&text),
                Part::Number(expr) => match self.expr(&expr, Some(&Type::Number)) {
                    Item::Constant(Value::Number(number, None), _) if number.fract() == 0.0 && number.abs() < 1e15 => {
                        path.push_str(&format!("{number}"));
                    }
                    Item::Unknown => return None,
                    other => {
                        let shown = match &other {
                            Item::Constant(Value::Number(number, _), _) => format!("`{number}`"),
                            other => self.show(other),
                        };
                        let diagnostic = Diagnostic::new(Code::E0211, "a path of weights holds whole numbers");
                        let diagnostic = diagnostic.label(self.place(node.span), format!("what stands between braces is {shown}"));
                        self.report(diagnostic.help("write a whole number, or the name of one, between the braces"));
                        return None;
                    }
                },
            }
        }
        Some(join(&self.env.path, &path))
    }

    fn string(&mut self, node: &ast::Expr) -> Option<String> {
        match &node.kind {
            ast::ExprKind::Text(text) => Some(text.clone()),
            _ => match self.expr(node, Some(&Type::String)) {
                // A path that is passed on has its numbers in it already.
                Item::Constant(Value::Text(text), _) => Some(text),
                _ => None,
            },
        }
    }

    /// Fits the arguments to the parameters; gives what symbols stand for, and the type of the result.
    fn fit(&mut self, given: &Given<'_>) -> Option<(Bindings, Type)> {
        let mut bindings = Bindings::default();
        for ((param, item), place) in given.target.params.iter().zip(&given.items).zip(&given.places) {
            let wanted = match &param.ty {
                Type::Optional(inner) => inner.as_ref(),
                ty => ty,
            };
            let misfit = match (type_of(item), item) {
                (_, Item::Absent) if matches!(param.ty, Type::Optional(_)) => continue,
                (_, Item::Unknown) | (None, Item::Record(_)) => return None,
                (Some(ty), _) if wanted.is_constant() => assignable(wanted, &ty).err(),
                (Some(ty), _) => bindings.unify(wanted, &ty).err(),
                (None, _) => Some(Misfit::Type),
            };
            if let Some(misfit) = misfit {
                let wanted = bindings.substitute(wanted).unwrap_or_else(|_| wanted.clone());
                self.misfit(given.target, &param.name, &misfit, &wanted, item, *place);
                return None;
            }
            if let Item::Constant(value, _) = item {
                bindings.constant(&param.name, &ExprKind::Value(value.clone()), &[]);
            }
        }
        if let Err(misfit) = bindings.settle() {
            let (param, item) = (given.target.params.first()?, given.items.first()?);
            self.misfit(given.target, &param.name, &misfit, &param.ty, item, *given.places.first()?);
            return None;
        }
        let (result, bounds) = self.declared(given.target);
        if !self.within_bounds(given, &bindings, &bounds) {
            return None;
        }
        match bindings.substitute(&result) {
            Ok(ty) => Some((bindings, ty)),
            Err(unbound) => {
                self.no_result(given, &bindings, &result, &unbound);
                None
            }
        }
    }

    /// What a target gives, and the bounds of its symbols.
    fn declared(&self, target: &Target) -> (Type, Vec<Bound>) {
        match target.callee {
            Callee::Layer(id) => self
                .checker
                .layers
                .get(id.0 as usize)
                .map_or((Type::Unknown, Vec::new()), |layer| (layer.result.clone(), layer.bounds.clone())),
            Callee::Pipeline(id, _) => {
                let pipeline = self.checker.pipelines.get(id.0 as usize);
                pipeline.map_or((Type::Unknown, Vec::new()), |pipeline| (pipeline.result.clone(), pipeline.bounds.clone()))
            }
        }
    }

    fn misfit(&mut self, target: &Target, param: &str, misfit: &Misfit, wanted: &Type, item: &Item, place: Location) {
        let (wanted_text, found) = (self.checker.show(wanted), self.show(item));
        let message = format!("`{param}` of `{}`: expected {wanted_text}, found {found}", target.name);
        let diagnostic = match misfit {
            Misfit::Shape(which) => {
                let lines = type_of(item).map_or(String::new(), |ty| format!("\n  {}", shapes::aligned(self.checker, wanted, &ty)));
                let help = format!("change one side so that the shapes agree{lines}");
                Diagnostic::new(Code::E0202, message).label(place, which.clone()).help(help)
            }
            Misfit::Labels | Misfit::Type => Diagnostic::new(Code::E0201, message)
                .label(place, format!("this is {found}"))
                .help(format!("give it {wanted_text}; nothing is converted by itself")),
        };
        let diagnostic = self.with_maker(diagnostic, item);
        self.report(diagnostic);
    }

    /// The result's size is no size, or depends on a number that is none.
    fn no_result(&mut self, given: &Given<'_>, bindings: &Bindings, result: &Type, unbound: &Unbound) {
        let name = &given.target.name;
        let shapes: Vec<String> = given.items.iter().filter(|item| matches!(item, Item::Tensor(..))).map(|item| self.show(item)).collect();
        let diagnostic = match (bindings.size_error(result), unbound) {
            (Some(error), _) => Diagnostic::new(Code::E0216, format!("`{name}` would make nothing of {}", shapes.join(" and ")))
                .label(given.at, format!("of a size of its result, {}", error.remark()))
                .help("use a smaller kernel, more padding, or a larger input"),
            (None, Unbound::Labels) => Diagnostic::new(Code::E0213, format!("`{name}` needs scores with labels"))
                .label(given.at, "tensors inside models have no labels")
                .help("call it in a pipeline, on what the model gives"),
            (None, Unbound::Dim(dim)) => {
                let at_fault = given.target.params.iter().zip(&given.items).zip(&given.places).find(|((_, item), _)| {
                    matches!(item, Item::Constant(Value::Number(number, None), _) if *number < 0.0 || number.fract() != 0.0)
                });
                let (whose, place) = at_fault.map_or((dim.clone(), given.at), |((param, _), place)| (param.name.clone(), *place));
                Diagnostic::new(Code::E0211, format!("`{name}` needs a whole number for `{whose}`"))
                    .label(place, "this is not one")
                    .help("write a whole number, or the name of one")
            }
        };
        self.report(diagnostic);
    }

    /// True where every bounded size is within its bound; what is not is reported.
    fn within_bounds(&mut self, given: &Given<'_>, bindings: &Bindings, bounds: &[Bound]) -> bool {
        for bound in bounds {
            let remark = match bindings.size_of(&bound.symbol) {
                Some(Dim::Const(size)) if *size <= bound.most => continue,
                Some(Dim::Symbol(name)) if self.bounds.iter().any(|known| known.symbol == *name && known.most <= bound.most) => continue,
                Some(dim) => format!("`{}` is `{dim}` here", bound.symbol),
                None => continue,
            };
            let message = format!("`{}` takes at most {} for `{}`", given.target.name, bound.most, bound.symbol);
            let help = format!("give it less, or bound the size at the model's input: `{} <= {}`", bound.symbol, bound.most);
            self.report(Diagnostic::new(Code::E0215, message).label(given.at, remark).help(help));
            return false;
        }
        true
    }

    /// Adds an operation that the compiler provides.
    fn operation(&mut self, given: &Given<'_>, op: NetworkOp, weights: Vec<NetworkWeight>, result: &Type, path: &str) -> Item {
        let Type::Tensor(ty) = result else {
            let shown = self.checker.show(result);
            let diagnostic = Diagnostic::new(Code::E0201, format!("`{}` gives {shown}, and layers give tensors", given.target.name));
            let diagnostic = diagnostic.label(given.at, "this stands in a pipeline alone");
            self.report(diagnostic.help("call it in a pipeline, on what the model gives"));
            return Item::Unknown;
        };
        let operands = given.target.params.iter().zip(&given.items).map(|(param, item)| (param.name.clone(), item.operand())).collect();
        let name = if path.is_empty() { given.target.name.clone() } else { format!("{path} {}", given.target.name) };
        self.push(op, operands, weights, TensorType { labels: crate::types::Labels::None, ..ty.clone() }, name, given.at)
    }

    /// Evaluates the body of a layer that is written in the language.
    fn written(&mut self, id: LayerId, given: Given<'_>, bindings: &Bindings, result: &Type, path: String) -> Item {
        let place = self.checker.layers[id.0 as usize].at;
        let tree = self.checker.trees[place.file.0 as usize].clone();
        let node = tree.items.iter().find_map(|item| match item {
            SyntaxItem::Pipeline(node) if node.kind == PipelineKind::Layer && node.name.span == place.span => Some(node),
            _ => None,
        });
        let Some((node, Some(statements))) = node.map(|node| (node, &node.body)) else { return Item::Unknown };
        let mut symbols = Vec::new();
        given.target.params.iter().for_each(|param| pipelines::symbols(&param.ty, &mut symbols));
        let sizes = symbols.into_iter().filter_map(|dim| match dim {
            Dim::Symbol(name) => bindings.size_of(&name).cloned().map(|dim| (name, dim)),
            _ => None,
        });
        let values = given.target.params.iter().zip(given.items).map(|(param, item)| (param.name.clone(), item)).collect();
        let env = Env { file: place.file, values, sizes: sizes.collect(), path };
        let item = self.inside(env, &given.target.name, given.at, statements, result);
        self.returned(item, result, node, statements, place, given.at)
    }

    /// A body's value, which must be of the declared type.
    fn returned(
        &mut self,
        item: Item,
        wanted: &Type,
        node: &ast::Pipeline,
        statements: &[ast::Statement],
        place: Location,
        called: Location,
    ) -> Item {
        let Some(found) = type_of(&item) else { return Item::Unknown };
        if assignable(wanted, &found).is_ok() {
            return item;
        }
        let value =
            statements.iter().find(|statement| statement.binds.is_none()).map_or(node.result.span, |statement| statement.value.span);
        let (a, b) = (self.checker.show(wanted), self.checker.show(&found));
        let lines = shapes::aligned(self.checker, wanted, &found);
        let diagnostic = Diagnostic::new(Code::E0202, format!("`{}` returns {b}, but is declared to give {a} here", node.name.text))
            .label(Location { span: value, ..place }, format!("this is {b}"))
            .label(Location { span: node.result.span, ..place }, format!("this is {a} where it is called"))
            .label(called, "with the numbers of this call")
            .help(format!("change the body or the declared type so that they agree\n  {lines}"));
        self.report(diagnostic);
        Item::Unknown
    }
}

impl Given<'_> {
    /// What is given for a parameter.
    pub(super) fn item(&self, name: &str) -> Option<&Item> {
        self.target.params.iter().position(|param| param.name == name).and_then(|index| self.items.get(index))
    }

    fn place_of(&self, name: &str) -> Option<Location> {
        self.target.params.iter().position(|param| param.name == name).and_then(|index| self.places.get(index).copied())
    }
}
