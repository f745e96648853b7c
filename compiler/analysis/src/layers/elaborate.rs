//! What layers compute where they are called: bodies evaluated with the numbers of the call, which leaves operations on tensors.

use super::weights::FileWeights;
use crate::checker::{Checker, at};
use crate::constants;
use crate::network::{Network, NetworkNode, NetworkOp, NetworkValue, NetworkWeight, Operand};
use crate::program::{Bound, Value};
use crate::scope::Symbol;
use crate::types::{Dim, TensorType, Type};
use mlp_syntax::ast::{self, Arm, Expr, ExprKind, Statement};
use mlp_syntax::{Code, Diagnostic, FileId, Location, Span};
use std::collections::HashSet;

/// The most operations of a model's layers.
const MAX_NODES: usize = 1 << 16;
/// The most calls of layers in a model, those that compute nothing included.
const MAX_CALLS: usize = 1 << 16;
/// The most expressions inside one another, across calls: each takes room on the stack.
const MAX_DEPTH: usize = 320;
/// The most calls that a message names.
const MAX_CALLERS: usize = 3;

/// A value while a body is evaluated.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// A tensor that is known when running.
    Tensor(NetworkValue, TensorType),
    /// A number, a size, a string or a word.
    Constant(Value, Type),
    /// What a comparison gives.
    Truth(bool),
    Record(Vec<(String, Item)>),
    /// Nothing, for a parameter that may be left out.
    Absent,
    /// What an error left.
    Unknown,
}

impl Item {
    /// What an operation takes of it.
    pub(super) fn operand(&self) -> Operand {
        match self {
            Item::Tensor(value, _) => Operand::Value(*value),
            Item::Constant(value, _) => Operand::Constant(value.clone()),
            _ => Operand::Absent,
        }
    }
}

/// The names of a body.
#[derive(Debug, Default)]
pub(super) struct Env {
    pub(super) file: FileId,
    /// Parameters and bindings.
    pub(super) values: Vec<(String, Item)>,
    /// What the sizes of the signature are.
    pub(super) sizes: Vec<(String, Dim)>,
    /// The path of weights that the body's own paths stand below.
    pub(super) path: String,
}

/// A call that is being evaluated.
struct Called {
    name: String,
    path: String,
    at: Location,
}

/// Evaluates the layers of one model.
pub(super) struct Elaborator<'c, 'w> {
    pub(super) checker: &'c mut Checker<'w>,
    pub(super) network: Network,
    pub(super) weights: FileWeights,
    pub(super) env: Env,
    /// The largest sizes of the model's symbols.
    pub(super) bounds: Vec<Bound>,
    stack: Vec<Called>,
    calls: usize,
    depth: usize,
    /// What was reported: an error in a layer is said once, however often the layer is called.
    reported: HashSet<(Code, Option<Location>)>,
    /// True once a limit was met: nothing more is evaluated.
    pub(super) stopped: bool,
}

impl<'c, 'w> Elaborator<'c, 'w> {
    pub(super) fn new(checker: &'c mut Checker<'w>, weights: FileWeights, env: Env, bounds: Vec<Bound>) -> Elaborator<'c, 'w> {
        let (network, stack, reported) = (Network::default(), Vec::new(), HashSet::new());
        Elaborator { checker, network, weights, env, bounds, stack, calls: 0, depth: 0, reported, stopped: false }
    }

    pub(super) fn place(&self, span: Span) -> Location {
        at(self.env.file, span)
    }

    /// Reports something with the calls that led there.
    pub(super) fn report(&mut self, mut diagnostic: Diagnostic) {
        if !self.reported.insert((diagnostic.code, diagnostic.primary())) {
            return;
        }
        for called in self.stack.iter().rev().take(MAX_CALLERS) {
            let whose = if called.path.is_empty() { String::new() } else { format!(", with weights at `{}`", called.path) };
            diagnostic = diagnostic.label(called.at, format!("`{}` is called here{whose}", called.name));
        }
        self.checker.report(diagnostic);
    }

    fn limit(&mut self, place: Location, message: String) {
        if !std::mem::replace(&mut self.stopped, true) {
            let diagnostic = Diagnostic::new(Code::E0005, message).label(place, "the limit is met here");
            self.report(diagnostic.help("make the model of fewer layers"));
        }
    }

    /// Evaluates a body to what it returns.
    pub(super) fn statements(&mut self, statements: &[Statement], wanted: Option<&Type>) -> Item {
        for statement in statements {
            match &statement.binds {
                Some(name) => {
                    let value = self.expr(&statement.value, None);
                    self.env.values.push((name.text.clone(), value));
                }
                None => return self.expr(&statement.value, wanted),
            }
        }
        Item::Unknown
    }

    /// Evaluates a body in an environment of its own, as a call that stands at `place`.
    pub(super) fn inside(&mut self, env: Env, name: &str, place: Location, statements: &[Statement], wanted: &Type) -> Item {
        self.calls += 1;
        if self.calls > MAX_CALLS {
            self.limit(place, format!("a model calls more than {MAX_CALLS} layers"));
            return Item::Unknown;
        }
        self.stack.push(Called { name: name.to_owned(), path: env.path.clone(), at: place });
        let outer = std::mem::replace(&mut self.env, env);
        let item = self.statements(statements, Some(wanted));
        self.env = outer;
        self.stack.pop();
        item
    }

    /// Evaluates an expression. `wanted` is the type that its place asks for, where there is one: a choice needs it to know its words.
    pub(super) fn expr(&mut self, node: &Expr, wanted: Option<&Type>) -> Item {
        if self.stopped {
            return Item::Unknown;
        }
        if self.depth >= MAX_DEPTH {
            self.limit(self.place(node.span), format!("more than {MAX_DEPTH} operations of layers stand inside one another"));
            return Item::Unknown;
        }
        self.depth += 1;
        let item = self.evaluate(node, wanted);
        self.depth -= 1;
        item
    }

    fn evaluate(&mut self, node: &Expr, wanted: Option<&Type>) -> Item {
        match &node.kind {
            ExprKind::Name(name) => self.name(name, self.place(node.span), wanted),
            ExprKind::Number(number) => {
                let dimension = number.unit.map(|unit| unit.dimension);
                let value = Value::Number(number.value * number.unit.map_or(1.0, |unit| unit.scale), dimension);
                Item::Constant(value, dimension.map_or(Type::Number, Type::Quantity))
            }
            ExprKind::Size { width, height } => Item::Constant(Value::Size { width: *width, height: *height }, Type::Size),
            ExprKind::Text(text) => Item::Constant(Value::Text(text.clone()), Type::String),
            ExprKind::Record(entries) => Item::Record(entries.iter().map(|entry| self.entry(entry)).collect()),
            ExprKind::Field(value, name) => self.field(value, name),
            ExprKind::Call(call) => self.call(call, node.span),
            ExprKind::Negate(value) => self.negate(value, node.span),
            ExprKind::Binary(binary) => self.binary(binary, node.span),
            ExprKind::When(when) => self.when(when, wanted),
            ExprKind::Loop(node) => self.repeated(node),
            // These are reported where names are checked.
            ExprKind::List(_)
            | ExprKind::Index(..)
            | ExprKind::Over(_)
            | ExprKind::ForEach(_)
            | ExprKind::Parallel(_)
            | ExprKind::Broken => Item::Unknown,
        }
    }

    fn entry(&mut self, entry: &ast::RecordEntry) -> (String, Item) {
        let value = match &entry.value {
            Some(value) => self.expr(value, None),
            None => self.name(&entry.name.text, self.place(entry.name.span), None),
        };
        (entry.name.text.clone(), value)
    }

    fn name(&mut self, name: &str, place: Location, wanted: Option<&Type>) -> Item {
        if let Some((_, item)) = self.env.values.iter().rev().find(|(known, _)| known == name) {
            return item.clone();
        }
        let size = self.env.sizes.iter().find(|(known, _)| known == name).map(|(_, dim)| dim.clone());
        let constant = match self.checker.scopes[self.env.file.0 as usize].find(name, &["const"]) {
            Some(Symbol::Const(id)) => constants::value(self.checker, id),
            _ => None,
        };
        match (wanted, size, constant) {
            (Some(Type::Choice(options)), None, None) if options.iter().any(|option| option == name) => {
                Item::Constant(Value::Choice(name.to_owned()), Type::Choice(options.clone()))
            }
            (_, Some(Dim::Const(size)), _) => Item::Constant(Value::Number(size as f64, None), Type::Number),
            (_, Some(dim), _) => {
                let shown = if dim.to_string() == name { String::new() } else { format!(": it is `{dim}` here") };
                let diagnostic = Diagnostic::new(Code::E0211, format!("`{name}` is not known when compiling"));
                let diagnostic = diagnostic.label(place, format!("this size is decided when the model runs{shown}"));
                self.report(diagnostic.help("use a size that is a number, or write the number at the model's input"));
                Item::Unknown
            }
            (_, None, Some((value, ty))) => Item::Constant(value, ty),
            _ => Item::Unknown,
        }
    }

    fn field(&mut self, value: &Expr, name: &ast::Name) -> Item {
        let item = self.expr(value, None);
        let place = self.place(name.span);
        let found = match (&item, name.text.as_str()) {
            (Item::Record(fields), field) => fields.iter().find(|(known, _)| known == field).map(|(_, item)| item.clone()),
            (Item::Constant(Value::Size { width, .. }, _), "width") => {
                Some(Item::Constant(Value::Number(f64::from(*width), None), Type::Number))
            }
            (Item::Constant(Value::Size { height, .. }, _), "height") => {
                Some(Item::Constant(Value::Number(f64::from(*height), None), Type::Number))
            }
            (Item::Unknown, _) => return Item::Unknown,
            _ => None,
        };
        found.unwrap_or_else(|| {
            let diagnostic = Diagnostic::new(Code::E0206, format!("{} has no field `{}`", self.show(&item), name.text));
            let diagnostic = diagnostic.label(place, "only records and sizes have fields here");
            self.report(diagnostic.help("use the whole value; a `size` has `width` and `height`"));
            Item::Unknown
        })
    }

    /// The arm that is chosen; the others compute nothing.
    fn when(&mut self, when: &ast::When, wanted: Option<&Type>) -> Item {
        for (condition, arm) in &when.arms {
            match self.expr(condition, None) {
                Item::Truth(true) => return self.arm(arm, wanted),
                Item::Truth(false) => {}
                Item::Unknown => return Item::Unknown,
                other => {
                    let shown = self.show(&other);
                    let diagnostic = Diagnostic::new(Code::E0211, "a layer chooses when it is compiled");
                    let diagnostic =
                        diagnostic.label(self.place(condition.span), format!("this is {shown}, no comparison of known values"));
                    self.report(
                        diagnostic
                            .help("compare numbers or words, such as `stride == 1`; what depends on a tensor is chosen in a pipeline"),
                    );
                    return Item::Unknown;
                }
            }
        }
        self.arm(&when.otherwise, wanted)
    }

    fn arm(&mut self, arm: &Arm, wanted: Option<&Type>) -> Item {
        let base = self.env.values.len();
        for statement in &arm.statements {
            let Some(name) = &statement.binds else { continue };
            let value = self.expr(&statement.value, None);
            self.env.values.push((name.text.clone(), value));
        }
        let item = self.expr(&arm.value, wanted);
        self.env.values.truncate(base);
        item
    }

    /// The rounds of a loop, one after another.
    fn repeated(&mut self, node: &ast::Loop) -> Item {
        let mut item = self.expr(&node.start, None);
        let rounds = match self.expr(&node.at_most, Some(&Type::Number)) {
            Item::Constant(Value::Number(rounds, None), _) if rounds >= 0.0 && rounds <= MAX_CALLS as f64 && rounds.fract() == 0.0 => {
                rounds as usize
            }
            Item::Unknown => return Item::Unknown,
            _ => {
                let diagnostic = Diagnostic::new(Code::E0211, "nobody knows how often this loop runs");
                let place = self.place(node.at_most.span);
                let diagnostic = diagnostic.label(place, format!("expected a whole number from 0 to {MAX_CALLS}, known when compiling"));
                self.report(diagnostic.help("write a number or the name of a parameter"));
                return Item::Unknown;
            }
        };
        let first = self.place(node.start.span);
        for round in 0..rounds {
            let before = item.clone();
            let base = self.env.values.len();
            self.env.values.push((node.name.text.clone(), item));
            if let Some(counting) = &node.counting {
                let number = Item::Constant(Value::Number(round as f64, None), Type::Number);
                self.env.values.push((counting.text.clone(), number));
            }
            item = self.arm(&node.body, None);
            self.env.values.truncate(base);
            if self.stopped || matches!(item, Item::Unknown) {
                return Item::Unknown;
            }
            if let (Some(wanted), Some(found)) = (type_of(&before), type_of(&item))
                && wanted != found
            {
                let (a, b) = (self.checker.show(&wanted), self.checker.show(&found));
                let diagnostic = Diagnostic::new(Code::E0202, format!("a loop's value keeps its type: expected {a}, found {b}"))
                    .label(self.place(node.body.value.span), format!("round {round} makes {b}"))
                    .label(first, format!("it starts as {a}"))
                    .help("call the layer that changes the shape before or after the loop");
                self.report(diagnostic);
                return Item::Unknown;
            }
        }
        item
    }

    /// Adds an operation.
    pub(super) fn push(
        &mut self,
        op: NetworkOp,
        operands: Vec<(String, Operand)>,
        weights: Vec<NetworkWeight>,
        ty: TensorType,
        name: String,
        at: Location,
    ) -> Item {
        if self.network.nodes.len() >= MAX_NODES {
            self.limit(at, format!("the layers of a model are more than {MAX_NODES} operations"));
            return Item::Unknown;
        }
        let value = NetworkValue::Node(self.network.nodes.len() as u32);
        self.network.nodes.push(NetworkNode { op, operands, weights, ty: ty.clone(), name, at });
        Item::Tensor(value, ty)
    }

    /// What a value is, in the words of a message.
    pub(super) fn show(&self, item: &Item) -> String {
        match item {
            Item::Tensor(_, tensor) => self.checker.show(&Type::Tensor(tensor.clone())),
            Item::Constant(_, ty) => self.checker.show(ty),
            Item::Truth(_) => "a truth value".to_owned(),
            Item::Record(_) => "a record".to_owned(),
            Item::Absent => "nothing".to_owned(),
            Item::Unknown => "unknown".to_owned(),
        }
    }

    /// With a label at the operation that made a value, where that is another place.
    pub(super) fn with_maker(&self, diagnostic: Diagnostic, item: &Item) -> Diagnostic {
        let Item::Tensor(NetworkValue::Node(index), tensor) = item else { return diagnostic };
        match self.network.nodes.get(*index as usize) {
            Some(node) if diagnostic.labels.iter().all(|label| label.at != node.at) => {
                let shown = self.checker.show(&Type::Tensor(tensor.clone()));
                diagnostic.label(node.at, format!("`{}` makes {shown}", node.name))
            }
            _ => diagnostic,
        }
    }
}

/// The type of a value; none of what has none, or after an error.
pub(super) fn type_of(item: &Item) -> Option<Type> {
    match item {
        Item::Tensor(_, tensor) => Some(Type::Tensor(tensor.clone())),
        Item::Constant(_, ty) => Some(ty.clone()),
        Item::Record(fields) => {
            let fields = fields.iter().map(|(name, item)| type_of(item).map(|ty| (name.clone(), ty)));
            fields.collect::<Option<_>>().map(Type::Record)
        }
        Item::Truth(_) | Item::Absent | Item::Unknown => None,
    }
}
