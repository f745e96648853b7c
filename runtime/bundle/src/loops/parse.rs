//! The text form of plans, read. The grammar is what [`super::print`] writes; white space is free, and `//` starts a comment.

use super::{Access, AccessDim, Accumulator, Affine, Arithmetic, Body, Bounds, Contract, Depthwise, Epilogue, Expr, ExprId, Exprs};
use super::{Attention, Fold, Mask, Reduction, Rows, Strided};
use super::{BinaryOp, BufferId, CompareOp, Extent, Kernel, Nest, Scales, Store, SymbolId, UnaryOp, Window};
use crate::dtype::{DType, Scalar};
use crate::plan::{Buffer, Formula, Place, Plan, Port, Size, State, Symbol, Term};
use cranelift_entity::{EntityRef, PrimaryMap};
use std::str::FromStr;

/// Where and why a text is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

type Result<T> = std::result::Result<T, ParseError>;

impl FromStr for Plan {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Plan> {
        let mut parser = Parser { tokens: tokenize(text)?, at: 0 };
        parser.plan()
    }
}

struct Token {
    text: String,
    quoted: bool,
    line: usize,
}

const PUNCTUATION: &str = "[]{},=*";

fn tokenize(text: &str) -> Result<Vec<Token>> {
    let mut tokens = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let mut rest = line.trim_start();
        while !rest.is_empty() && !rest.starts_with("//") {
            let (token, quoted, length) = if rest.starts_with('"') {
                let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<String>();
                match stream.next() {
                    Some(Ok(text)) => (text, true, stream.byte_offset()),
                    _ => return Err(ParseError { line: number, reason: "a text in quotes does not end".into() }),
                }
            } else {
                let first = rest.chars().next().map_or(0, char::len_utf8);
                let stops = |c: char| c.is_whitespace() || c == '"' || PUNCTUATION.contains(c);
                let length = if rest.starts_with(stops) { first } else { rest.find(stops).unwrap_or(rest.len()) };
                (rest[..length].to_string(), false, length)
            };
            tokens.push(Token { text: token, quoted, line: number });
            rest = rest[length..].trim_start();
        }
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn error<T>(&self, reason: impl Into<String>) -> Result<T> {
        let line = self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |token| token.line);
        Err(ParseError { line, reason: reason.into() })
    }

    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.at).filter(|token| !token.quoted).map(|token| token.text.as_str())
    }

    fn eat(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, word: &str) -> Result<()> {
        if self.eat(word) {
            return Ok(());
        }
        let found = self.tokens.get(self.at).map_or("the end", |token| &token.text).to_string();
        self.error(format!("expected `{word}`, found `{found}`"))
    }

    fn word(&mut self) -> Result<String> {
        match self.peek().map(str::to_string) {
            Some(word) => {
                self.at += 1;
                Ok(word)
            }
            None => self.error("expected a word"),
        }
    }

    fn quoted(&mut self) -> Result<String> {
        match self.tokens.get(self.at) {
            Some(token) if token.quoted => {
                let text = token.text.clone();
                self.at += 1;
                Ok(text)
            }
            _ => self.error("expected a text in quotes"),
        }
    }

    fn parsed<T: FromStr>(&mut self, what: &str) -> Result<T> {
        match self.peek().map(str::parse) {
            Some(Ok(value)) => {
                self.at += 1;
                Ok(value)
            }
            _ => self.error(format!("expected {what}")),
        }
    }

    fn number<T: FromStr>(&mut self) -> Result<T> {
        self.parsed("a number")
    }

    /// `word` and a number.
    fn field<T: FromStr>(&mut self, word: &str) -> Result<T> {
        self.expect(word)?;
        self.number()
    }

    fn formula(&mut self) -> Result<Formula<SymbolId>> {
        let mut terms = Vec::new();
        while self.peek() != Some("over") {
            if !terms.is_empty() {
                self.expect("and")?;
            }
            let coefficient = self.number()?;
            let mut factors = Vec::new();
            while self.peek().is_some_and(|word| entity_number(word, "s").is_some()) {
                factors.push(self.entity("s")?);
            }
            terms.push(Term { coefficient, factors });
        }
        Ok(Formula { terms, divisor: self.field("over")? })
    }

    fn entity<E: EntityRef>(&mut self, prefix: &str) -> Result<E> {
        match self.peek().and_then(|word| entity_number(word, prefix)) {
            Some(number) => {
                self.at += 1;
                Ok(E::new(number))
            }
            None => self.error(format!("expected an entity like `{prefix}0`")),
        }
    }

    /// Items between brackets, with commas.
    fn list<T>(&mut self, mut item: impl FnMut(&mut Parser) -> Result<T>) -> Result<Vec<T>> {
        self.expect("[")?;
        let mut items = Vec::new();
        while !self.eat("]") {
            if !items.is_empty() {
                self.expect(",")?;
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn dtype(&mut self) -> Result<DType> {
        match self.peek().and_then(DType::from_name) {
            Some(dtype) => {
                self.at += 1;
                Ok(dtype)
            }
            None => self.error("expected an element type"),
        }
    }

    /// Declares the next entity of a map, whose name must follow on the last.
    fn declared<E: EntityRef, T>(&mut self, map: &PrimaryMap<E, T>, prefix: &str) -> Result<()> {
        let id: E = self.entity(prefix)?;
        if id.index() != map.len() { self.error(format!("expected `{prefix}{}`", map.len())) } else { Ok(()) }
    }

    fn plan(&mut self) -> Result<Plan> {
        self.expect("plan")?;
        let name = self.quoted()?;
        let version = self.field("version")?;
        let arena_bytes = self.field("arena")?;
        let weights_bytes = self.field("weights")?;
        let mut plan = Plan {
            version,
            name,
            symbols: PrimaryMap::new(),
            buffers: PrimaryMap::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            states: Vec::new(),
            kernels: Vec::new(),
            arena_bytes,
            weights_bytes,
        };
        while self.at < self.tokens.len() {
            match self.word()?.as_str() {
                "symbol" => {
                    self.declared(&plan.symbols, "s")?;
                    let (name, min, max) = (self.quoted()?, self.number()?, self.field("to")?);
                    let formula = if self.eat("is") { Some(self.formula()?) } else { None };
                    plan.symbols.push(Symbol { name, min, max, formula });
                }
                "buffer" => {
                    self.declared(&plan.buffers, "b")?;
                    let buffer = self.buffer()?;
                    plan.buffers.push(buffer);
                }
                "input" => plan.inputs.push(self.port()?),
                "output" => plan.outputs.push(self.port()?),
                "state" => {
                    let (name, buffer) = (self.quoted()?, self.entity("b")?);
                    self.expect("becomes")?;
                    plan.states.push(State { name, buffer, next: self.entity("b")? });
                }
                "kernel" => plan.kernels.push(self.kernel()?),
                other => return self.error(format!("`{other}` is no part of a plan")),
            }
        }
        Ok(plan)
    }

    fn buffer(&mut self) -> Result<Buffer> {
        let name = self.quoted()?;
        let dtype = self.dtype()?;
        let len = self.field("x")?;
        let weights = self.eat("weights");
        let place = if weights { Place::Weights { offset: self.number()? } } else { Place::Arena { offset: self.field("arena")? } };
        Ok(Buffer { name, dtype, len, place })
    }

    fn port(&mut self) -> Result<Port> {
        let name = self.quoted()?;
        let buffer = self.entity("b")?;
        let shape = self.list(|parser| match parser.peek().and_then(|word| entity_number(word, "s")) {
            Some(_) => Ok(Size::Symbol(parser.entity::<SymbolId>("s")?)),
            None => Ok(Size::Const(parser.number()?)),
        })?;
        Ok(Port { name, buffer, shape })
    }

    fn kernel(&mut self) -> Result<Kernel> {
        let name = self.word()?;
        let mut origin = Vec::new();
        while !self.eat("{") {
            origin.push(self.quoted()?);
        }
        let body = match self.word()?.as_str() {
            "nest" => Body::Nest(self.nest()?),
            "contract" => {
                let (arithmetic, input, weights) = self.operands()?;
                let scales = match self.eat("scales") {
                    true => Some(Scales { buffer: self.entity("b")?, per: self.field("per")?, bits: self.field("bits")? }),
                    false => None,
                };
                let per_image = self.eat("each");
                Body::Contract(Contract {
                    window: self.window()?,
                    arithmetic,
                    input,
                    weights,
                    per_image,
                    scales,
                    epilogue: self.epilogue()?,
                })
            }
            "depthwise" => {
                let (arithmetic, input, weights) = self.operands()?;
                Body::Depthwise(Depthwise { window: self.window()?, arithmetic, input, weights, epilogue: self.epilogue()? })
            }
            "attention" => Body::Attention(self.attention()?),
            "rows" => Body::Rows(self.rows()?),
            other => return self.error(format!("`{other}` is no kind of kernel")),
        };
        self.expect("}")?;
        Ok(Kernel { name, origin, body })
    }

    /// The operands of a contraction.
    fn operands(&mut self) -> Result<(Arithmetic, BufferId, BufferId)> {
        let arithmetic = if self.eat("f32") {
            Arithmetic::F32
        } else {
            self.expect("int8")?;
            Arithmetic::Int8 { pad_value: self.field("pad")? }
        };
        let input = self.entity("b")?;
        self.expect("*")?;
        let weights = self.entity("b")?;
        Ok((arithmetic, input, weights))
    }

    fn window(&mut self) -> Result<Window> {
        let batch = self.field("batch")?;
        let (in_h, in_w, in_c) = (self.field("in")?, self.field("x")?, self.field("x")?);
        let (in_pixel, in_offset) = (self.field("pixel")?, self.field("offset")?);
        let (out_h, out_w, out_c) = (self.field("out")?, self.field("x")?, self.field("x")?);
        let mut pair = |name: &str| -> Result<[u32; 2]> { Ok([self.field(name)?, self.field("x")?]) };
        let (kernel, stride, dilation, pad) = (pair("kernel")?, pair("stride")?, pair("dilation")?, pair("pad")?);
        Ok(Window { batch, in_h, in_w, in_c, in_pixel, in_offset, out_h, out_w, out_c, kernel, stride, dilation, pad })
    }

    fn nest(&mut self) -> Result<Nest> {
        self.expect("parallel")?;
        let parallel = self.list(Parser::number)?;
        let mut reduce = Vec::new();
        if self.eat("reduce") {
            reduce = self.list(|parser| match parser.peek().and_then(|word| entity_number(word, "v")) {
                Some(_) => Ok(Extent::Dynamic { count: parser.entity("v")?, max: parser.field("to")? }),
                None => Ok(Extent::Const(parser.number()?)),
            })?;
        }
        let exprs = self.exprs()?;
        let mut accs = Vec::new();
        while self.eat("acc") {
            let init = self.scalar()?;
            self.expect("then")?;
            accs.push(Accumulator { init, next: self.entity("v")? });
        }
        Ok(Nest { parallel, reduce, exprs, accs, stores: self.stores()? })
    }

    fn attention(&mut self) -> Result<Attention> {
        let (batch, heads) = (self.field("batch")?, self.field("heads")?);
        let (rows, keys) = (self.field("rows")?, self.field("keys")?);
        let (depth, width) = (self.field("depth")?, self.field("width")?);
        self.expect("scale")?;
        let Scalar::F32(scale) = self.scalar()? else { return self.error("expected an f32 scale") };
        let guarded = self.eat("guarded");
        let [query, key, value, out] = [self.strided("query")?, self.strided("key")?, self.strided("value")?, self.strided("out")?];
        let mask = if self.peek() == Some("mask") {
            let (buffer, offset, [batch, head, row, key]) = self.strides("mask")?;
            Some(Mask { buffer, offset, batch, head, row, key })
        } else {
            None
        };
        Ok(Attention { batch, heads, rows, keys, depth, width, scale, guarded, query, key, value, mask, out })
    }

    fn strided(&mut self, name: &str) -> Result<Strided> {
        let (buffer, offset, [batch, head, row]) = self.strides(name)?;
        Ok(Strided { buffer, offset, batch, head, row })
    }

    /// `name`, a buffer, an offset and as many strides as the caller asks for.
    fn strides<const N: usize>(&mut self, name: &str) -> Result<(BufferId, u64, [u64; N])> {
        self.expect(name)?;
        let (buffer, offset) = (self.entity("b")?, self.field("at")?);
        self.expect("by")?;
        match self.list(Parser::number)?.try_into() {
            Ok(strides) => Ok((buffer, offset, strides)),
            Err(_) => self.error(format!("expected {N} strides")),
        }
    }

    fn rows(&mut self) -> Result<Rows> {
        self.expect("parallel")?;
        let parallel = self.list(Parser::number)?;
        let length = self.field("length")?;
        let exprs = self.exprs()?;
        let mut reductions = Vec::new();
        while self.eat("reduce") {
            let Some(fold) = self.peek().and_then(Fold::from_name) else { return self.error("expected sum, max or min") };
            self.at += 1;
            reductions.push(Reduction { fold, value: self.entity("v")? });
        }
        Ok(Rows { parallel, length, exprs, reductions, stores: self.stores()? })
    }

    fn epilogue(&mut self) -> Result<Epilogue> {
        Ok(Epilogue { exprs: self.exprs()?, stores: self.stores()? })
    }

    fn exprs(&mut self) -> Result<Exprs> {
        let mut exprs = Exprs::new();
        while self.peek().is_some_and(|word| entity_number(word, "v").is_some()) {
            self.declared(&exprs, "v")?;
            self.expect("=")?;
            let expr = self.expr()?;
            exprs.push(expr);
        }
        Ok(exprs)
    }

    fn stores(&mut self) -> Result<Vec<Store>> {
        let mut stores = Vec::new();
        while self.eat("store") {
            let access = self.access()?;
            self.expect("=")?;
            stores.push(Store { access, value: self.entity("v")? });
        }
        Ok(stores)
    }

    fn expr(&mut self) -> Result<Expr> {
        let name = self.word()?;
        let operand = |parser: &mut Parser| parser.entity::<ExprId>("v");
        Ok(match name.as_str() {
            "const" => Expr::Const(self.scalar()?),
            "axis" => Expr::Axis(self.number()?),
            "symbol" => Expr::Symbol(self.entity("s")?),
            "acc" => Expr::Acc(self.number()?),
            "total" => Expr::Total(self.number()?),
            "load" => Expr::Load(self.access()?),
            "select" => Expr::Select(operand(self)?, operand(self)?, operand(self)?),
            "cast" => Expr::Cast(self.dtype()?, operand(self)?),
            "bitcast" => Expr::Bitcast(self.dtype()?, operand(self)?),
            "requantize" => Expr::Requantize { value: operand(self)?, multiplier: operand(self)?, shift: self.number()? },
            name => {
                if let Some(op) = UnaryOp::from_name(name) {
                    Expr::Unary(op, operand(self)?)
                } else if let Some(op) = BinaryOp::from_name(name) {
                    Expr::Binary(op, operand(self)?, operand(self)?)
                } else if let Some(op) = CompareOp::from_name(name) {
                    Expr::Compare(op, operand(self)?, operand(self)?)
                } else {
                    return self.error(format!("`{name}` is no operation"));
                }
            }
        })
    }

    fn access(&mut self) -> Result<Access> {
        let buffer = self.entity("b")?;
        let offset = self.field("at")?;
        let dims = self.list(|parser| {
            let index = parser.affine()?;
            Ok(AccessDim { index, extent: parser.field("of")?, stride: parser.field("by")? })
        })?;
        let bounds = if self.eat("clamp") {
            Bounds::Clamp
        } else if self.eat("else") {
            Bounds::Else(self.scalar()?)
        } else {
            Bounds::Inside
        };
        Ok(Access { buffer, offset, dims, bounds })
    }

    fn affine(&mut self) -> Result<Affine> {
        let mut affine = Affine::default();
        loop {
            if self.peek().is_some_and(|word| entity_number(word, "v").is_some()) {
                affine.dynamic = Some(self.entity("v")?);
            } else {
                let number: i64 = self.number()?;
                if self.eat("*") {
                    match self.peek().and_then(|word| entity_number(word, "i")).and_then(|axis| u8::try_from(axis).ok()) {
                        Some(axis) => affine.terms.push((axis, number)),
                        None => return self.error("expected an axis like `i0`"),
                    }
                    self.at += 1;
                } else {
                    affine.constant = number;
                }
            }
            if !self.eat("+") {
                return Ok(affine);
            }
        }
    }

    fn scalar(&mut self) -> Result<Scalar> {
        let dtype = self.dtype()?;
        let bits = self.peek().and_then(|word| u64::from_str_radix(word.strip_prefix("bits:")?, 16).ok());
        if let Some(bits) = bits {
            self.at += 1;
            return match dtype {
                DType::F32 => Ok(Scalar::F32(bits as u32)),
                DType::F64 => Ok(Scalar::F64(bits)),
                other => self.error(format!("{other} is not written by its bits")),
            };
        }
        Ok(match dtype {
            DType::Bool => Scalar::Bool(self.parsed("true or false")?),
            DType::I32 => Scalar::I32(self.number()?),
            DType::U32 => Scalar::U32(self.number()?),
            DType::I64 => Scalar::I64(self.number()?),
            DType::U64 => Scalar::U64(self.number()?),
            DType::F32 => Scalar::f32(self.number()?),
            DType::F64 => Scalar::f64(self.number()?),
            other => return self.error(format!("{other} is a storage type, not one to compute in")),
        })
    }
}

/// The number of an entity's name, such as 3 of `v3`.
fn entity_number(word: &str, prefix: &str) -> Option<usize> {
    let number = word.strip_prefix(prefix)?;
    let plain = !number.is_empty() && number.len() < 10 && number.bytes().all(|byte| byte.is_ascii_digit());
    if plain { number.parse().ok() } else { None }
}
