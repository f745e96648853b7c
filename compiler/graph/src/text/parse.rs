//! Parsing.

use super::attributes::{Attribute, Given, operation};
use crate::infer::result_types;
use crate::ir::{Counted, Graph, Origin, Type, ValueId};
use crate::op::Op;
use crate::shape::{Dim, Shape, SymId, Symbol};
use crate::tensor::{Tensor, for_element};
use mlp_bundle::DType;
use mlp_bundle::manifest::Rows;
use mlp_bundle::plan::{Formula, Term};
use std::collections::HashMap;

/// Why a text is no graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub message: String,
}

/// Reads the text form. The graph that comes back has passed shape inference.
pub fn parse(text: &str) -> Result<Graph, ParseError> {
    let mut reader = Reader { graph: Graph::default(), values: HashMap::new(), symbols: HashMap::new(), open: None };
    for (index, line) in text.lines().enumerate() {
        let mut cursor = Cursor { rest: line.trim() };
        cursor.skip();
        if !cursor.rest.is_empty() {
            reader.line(&mut cursor).map_err(|message| ParseError { line: index + 1, message })?;
        }
    }
    match reader.open {
        Some(false) => Ok(reader.graph),
        _ => Err(ParseError { line: text.lines().count().max(1), message: "the graph is not closed by `}`".into() }),
    }
}

struct Reader {
    graph: Graph,
    values: HashMap<String, ValueId>,
    symbols: HashMap<String, SymId>,
    /// Whether the braces of the graph are open; none before them.
    open: Option<bool>,
}

impl Reader {
    fn line(&mut self, cursor: &mut Cursor) -> Result<(), String> {
        match self.open {
            None => {
                cursor.expect("graph")?;
                self.graph.name = cursor.string()?;
                cursor.expect("{")?;
                self.open = Some(true);
            }
            Some(false) => return Err("nothing may follow the graph".into()),
            Some(true) if cursor.take("}") => self.open = Some(false),
            Some(true) if cursor.take("symbol ") => self.symbol(cursor)?,
            Some(true) if cursor.take("input ") => {
                let value = cursor.value()?;
                let name = cursor.string()?;
                cursor.expect(":")?;
                let ty = self.ty(cursor)?;
                let id = self.graph.add_input(name, ty);
                self.define(value, id)?;
            }
            Some(true) if cursor.take("output ") => {
                let name = cursor.string()?;
                let value = self.value(cursor)?;
                self.graph.add_output(name, value);
            }
            Some(true) if cursor.take("rows ") => {
                let output = cursor.string()?;
                let axis = cursor.number()?.parse().map_err(|_| "an axis is a whole number")?;
                let port = cursor.string()?;
                self.graph.counted.push(Counted { output, rows: Rows { axis, port } });
            }
            Some(true) if cursor.take("state ") => {
                let name = cursor.string()?;
                self.graph.states.push(name);
            }
            Some(true) => self.operation(cursor)?,
        }
        cursor.end()
    }

    fn symbol(&mut self, cursor: &mut Cursor) -> Result<(), String> {
        let id = cursor.word()?.to_owned();
        let name = cursor.string()?;
        let max = if cursor.take("max") { Some(cursor.number()?.parse().map_err(|_| "a bound is a whole number")?) } else { None };
        let formula = if cursor.take("is ") { Some(self.formula(cursor)?) } else { None };
        let symbol = self.graph.symbols.push(Symbol { name, max, formula });
        match self.symbols.insert(id.clone(), symbol) {
            Some(_) => Err(format!("{id} is declared twice")),
            None => Ok(()),
        }
    }

    fn formula(&self, cursor: &mut Cursor) -> Result<Formula<SymId>, String> {
        let mut terms = Vec::new();
        while !cursor.take("over ") {
            if !terms.is_empty() {
                cursor.expect("and ")?;
            }
            let coefficient = cursor.number()?.parse().map_err(|_| "a coefficient is a whole number")?;
            let mut factors = Vec::new();
            while cursor.rest.starts_with("sym") {
                factors.push(self.known_symbol(cursor.word()?)?);
            }
            terms.push(Term { coefficient, factors });
        }
        Ok(Formula { terms, divisor: cursor.number()?.parse().map_err(|_| "a divisor is a whole number")? })
    }

    fn known_symbol(&self, name: &str) -> Result<SymId, String> {
        self.symbols.get(name).copied().ok_or_else(|| format!("`{name}` is no declared symbol"))
    }

    fn define(&mut self, name: String, value: ValueId) -> Result<(), String> {
        match self.values.insert(name.clone(), value) {
            Some(_) => Err(format!("{name} is defined twice")),
            None => Ok(()),
        }
    }

    fn value(&self, cursor: &mut Cursor) -> Result<ValueId, String> {
        let name = cursor.value()?;
        self.values.get(&name).copied().ok_or_else(|| format!("{name} is not defined before this line"))
    }

    fn ty(&self, cursor: &mut Cursor) -> Result<Type, String> {
        let name = cursor.word()?;
        let dtype = DType::from_name(name).ok_or_else(|| format!("`{name}` is no element type"))?;
        let dims = cursor.list("[", "]", |cursor| match cursor.number() {
            Ok(number) => number.parse().map(Dim::Const).map_err(|_| format!("`{number}` is no size")),
            Err(_) => self.known_symbol(cursor.word()?).map(Dim::Symbol),
        })?;
        Ok(Type::new(dtype, Shape(dims)))
    }

    fn operation(&mut self, cursor: &mut Cursor) -> Result<(), String> {
        let mut names = vec![cursor.value()?];
        while cursor.take(",") {
            names.push(cursor.value()?);
        }
        cursor.expect("=")?;
        let name = cursor.word()?.to_owned();
        let mut source = None;
        let mut operands = Vec::new();
        if name == "constant" {
            source = Some(Source::read(cursor)?);
        } else if cursor.rest.starts_with('%') {
            operands.push(self.value(cursor)?);
            while cursor.take(",") {
                operands.push(self.value(cursor)?);
            }
        }
        let mut given = Given(if cursor.rest.starts_with('{') { cursor.list("{", "}", Cursor::attribute)? } else { Vec::new() });
        let mut op = operation(&name, &mut given).map_err(|message| format!("{name}: {message}"))?;
        cursor.expect(":")?;
        let mut types = vec![self.ty(cursor)?];
        while cursor.take(",") {
            types.push(self.ty(cursor)?);
        }
        let origin = Origin { name: if cursor.take("@") { cursor.string()? } else { String::new() } };
        if let Some(source) = source {
            op = Op::Constant(self.graph.tensors.push(source.tensor(&types[0])?));
        }
        let types = result_types(&op, &self.graph.operand_types(&operands), Some(&types)).map_err(|error| error.to_string())?;
        let results = self.graph.push(op, operands, types, origin);
        if results.len() != names.len() {
            return Err(format!("{name} has {} results, but {} are named", results.len(), names.len()));
        }
        names.into_iter().zip(results).try_for_each(|(name, result)| self.define(name, result))
    }
}

/// Where a constant's data comes from.
enum Source {
    Splat(String),
    Data(Vec<String>),
    Hex(Vec<u8>),
    Noise(u64),
}

impl Source {
    fn read(cursor: &mut Cursor) -> Result<Source, String> {
        let kind = cursor.word()?;
        match kind {
            "splat" | "data" => {
                let mut elements = cursor.list("(", ")", |cursor| Ok(cursor.element()?.to_owned()))?;
                match (kind, elements.len()) {
                    ("data", _) => Ok(Source::Data(elements)),
                    (_, 1) => Ok(Source::Splat(elements.remove(0))),
                    _ => Err("splat takes one element".into()),
                }
            }
            "hex" => {
                cursor.expect("(")?;
                let (digits, rest) = cursor.rest.split_once(')').ok_or("`hex(` is not closed")?;
                cursor.rest = rest;
                cursor.skip();
                let byte = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
                let bytes = digits.as_bytes().chunks(2).map(|pair| if pair.len() == 2 { byte(pair) } else { None });
                Ok(Source::Hex(bytes.collect::<Option<_>>().ok_or("hex takes pairs of hexadecimal digits")?))
            }
            "noise" => {
                cursor.expect("(")?;
                let seed = cursor.number()?.parse().map_err(|_| "a seed is a whole number")?;
                cursor.expect(")")?;
                Ok(Source::Noise(seed))
            }
            "opaque" => Err("`opaque` data was left out when this was printed and cannot be read back".into()),
            kind => Err(format!("`{kind}` is none of splat, data, hex, noise")),
        }
    }

    fn tensor(self, ty: &Type) -> Result<Tensor, String> {
        let shape = ty.shape.constants().ok_or("a constant has constant sizes")?;
        let count = shape.iter().try_fold(1u64, |product, &dim| product.checked_mul(dim)).filter(|&count| count <= 1 << 32);
        let count = count.ok_or("the constant is too large")? as usize;
        let bytes = match self {
            Source::Splat(element) => element_bytes(ty.dtype, &element)?.repeat(count),
            Source::Data(elements) => {
                elements.iter().map(|element| element_bytes(ty.dtype, element)).collect::<Result<Vec<_>, _>>()?.concat()
            }
            Source::Hex(bytes) => bytes,
            Source::Noise(seed) => return Tensor::noise(ty.dtype, &shape, seed).map_err(|error| error.to_string()),
        };
        Tensor::new(ty.dtype, shape, bytes).map_err(|error| error.to_string())
    }
}

/// The bytes of one element.
fn element_bytes(dtype: DType, text: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("`{text}` is no {dtype}");
    let mut bytes = vec![0; dtype.size()];
    for_element!(dtype, T => crate::tensor::Element::put(text.parse::<T>().map_err(|_| wrong())?, &mut bytes));
    Ok(bytes)
}

/// What is left of a line.
struct Cursor<'a> {
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with(';') {
            self.rest = "";
        }
    }

    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                self.skip();
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        if self.take(token) { Ok(()) } else { Err(format!("`{token}` is expected at `{}`", self.rest)) }
    }

    fn end(&self) -> Result<(), String> {
        if self.rest.is_empty() { Ok(()) } else { Err(format!("nothing is expected at `{}`", self.rest)) }
    }

    fn run(&mut self, what: &str, belongs: impl Fn(char) -> bool) -> Result<&'a str, String> {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        if end == 0 {
            return Err(format!("{what} is expected at `{}`", self.rest));
        }
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.skip();
        Ok(run)
    }

    fn word(&mut self) -> Result<&'a str, String> {
        self.run("a name", |c| c.is_ascii_alphanumeric() || c == '_')
    }

    fn number(&mut self) -> Result<&'a str, String> {
        if self.rest.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            self.run("a number", |c| c.is_ascii_alphanumeric() || c == '-')
        } else {
            Err(format!("a number is expected at `{}`", self.rest))
        }
    }

    fn element(&mut self) -> Result<&'a str, String> {
        self.run("an element", |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.'))
    }

    fn value(&mut self) -> Result<String, String> {
        self.expect("%")?;
        Ok(format!("%{}", self.word()?))
    }

    fn string(&mut self) -> Result<String, String> {
        let quote = |rest: &str| format!("a string in quotes is expected at `{rest}`");
        let mut chars = self.rest.strip_prefix('"').ok_or_else(|| quote(self.rest))?.chars();
        let mut text = String::new();
        loop {
            match chars.next() {
                Some('"') => break,
                Some('\\') => match chars.next() {
                    Some('u') => {
                        let (code, rest) = chars.as_str().strip_prefix('{').and_then(|rest| rest.split_once('}')).ok_or("a bad escape")?;
                        text.push(u32::from_str_radix(code, 16).ok().and_then(char::from_u32).ok_or("a bad escape")?);
                        chars = rest.chars();
                    }
                    Some(c @ ('"' | '\\')) => text.push(c),
                    _ => return Err("a bad escape".into()),
                },
                Some(c) => text.push(c),
                None => return Err(quote(self.rest)),
            }
        }
        self.rest = chars.as_str();
        self.skip();
        Ok(text)
    }

    /// Items between brackets, with commas.
    fn list<T>(&mut self, open: &str, close: &str, mut item: impl FnMut(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        self.expect(open)?;
        let mut items = Vec::new();
        if self.take(close) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if !self.take(",") {
                self.expect(close)?;
                return Ok(items);
            }
        }
    }

    fn attribute(&mut self) -> Result<(String, Attribute), String> {
        let name = self.word()?.to_owned();
        self.expect("=")?;
        let whole = |text: &str| text.parse::<i128>().map_err(|_| format!("`{text}` is no whole number"));
        let value = if self.rest.starts_with('[') {
            Attribute::Ints(self.list("[", "]", |cursor| whole(cursor.number()?))?)
        } else if let Ok(number) = self.number() {
            match number.strip_prefix("0x") {
                Some(bits) => Attribute::Float(u32::from_str_radix(bits, 16).map_err(|_| format!("`{number}` is no f32"))?),
                None => Attribute::Int(whole(number)?),
            }
        } else {
            Attribute::Word(self.word()?.to_owned())
        };
        Ok((name, value))
    }
}
