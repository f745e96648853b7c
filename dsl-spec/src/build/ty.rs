//! Types and attributes.

use super::Builder;
use crate::ast::*;
use crate::diagnostic::{Code, Diagnostic};
use crate::grammar::{Cursor, Rule};
use pest::iterators::Pair;

/// The most operators in one size.
const MAX_DIM_OPERATIONS: usize = 16;

impl Builder<'_> {
    pub(super) fn ty(&mut self, pair: Pair<'_, Rule>) -> Option<Type> {
        let mut cursor = Cursor::new(pair);
        let core = cursor.next()?;
        let span = self.trimmed(&core);
        let kind = match core.as_rule() {
            Rule::record_type => self.record_type(core)?,
            Rule::choice_type => {
                TypeKind::Choice(Cursor::new(core).filter(|pair| pair.as_rule() == Rule::word).map(|pair| self.name(pair)).collect())
            }
            Rule::tensor_type => self.tensor_type(core)?,
            Rule::named_type => self.named_type(core)?,
            _ => return None,
        };
        let optional = cursor.next_if(Rule::optional_mark);
        let span = optional.as_ref().map_or(span, |mark| span.to(self.span(mark)));
        let attributes = cursor.filter(|pair| pair.as_rule() == Rule::attribute).filter_map(|pair| self.attribute(pair)).collect();
        Some(Type { kind, optional: optional.is_some(), attributes, span })
    }

    fn record_type(&mut self, pair: Pair<'_, Rule>) -> Option<TypeKind> {
        let mut fields = Vec::new();
        for field in Cursor::new(pair).filter(|pair| pair.as_rule() == Rule::field_type) {
            let span = self.span(&field);
            let mut cursor = Cursor::new(field);
            let name = self.take_name(&mut cursor)?;
            let ty = self.ty(cursor.seek(Rule::ty)?)?;
            fields.push(FieldType { doc: self.doc(span), name, ty });
        }
        Some(TypeKind::Record(fields))
    }

    fn tensor_type(&mut self, pair: Pair<'_, Rule>) -> Option<TypeKind> {
        let mut cursor = Cursor::new(pair);
        let dtype = self.take_name(&mut cursor)?;
        let mut dims = Vec::new();
        for pair in cursor.filter(|pair| pair.as_rule() == Rule::dim) {
            dims.push(self.dim(pair)?);
        }
        Some(TypeKind::Tensor { dtype, dims })
    }

    fn dim(&mut self, pair: Pair<'_, Rule>) -> Option<Dim> {
        let span = self.trimmed(&pair);
        let mut cursor = Cursor::new(pair);
        let Some(name) = cursor.next_if(Rule::word) else {
            let mut operations = 0;
            let dim = self.dim_chain(cursor.next_if(Rule::dim_sum)?, &mut operations)?;
            if operations > MAX_DIM_OPERATIONS {
                self.report(
                    Diagnostic::new(Code::E0005, format!("a size is made of more than {MAX_DIM_OPERATIONS} operations"))
                        .mark(span, "this is too long")
                        .help("give the size a name of its own: `const size = ...`"),
                );
                return Some(Dim::Const(1, span));
            }
            return Some(dim);
        };
        let name = self.name(name);
        let bound = cursor.find(|pair| matches!(pair.as_rule(), Rule::integer | Rule::word))?;
        let at = self.span(&bound);
        let bound = match bound.as_rule() {
            Rule::integer => Dim::Const(self.whole(bound.as_str(), at), at),
            _ => Dim::Symbol(self.name(bound)),
        };
        Some(Dim::AtMost(name, Box::new(bound)))
    }

    /// A sum or product of sizes, grouped from the left; `operations` counts its operators.
    fn dim_chain(&mut self, pair: Pair<'_, Rule>, operations: &mut usize) -> Option<Dim> {
        let mut cursor = Cursor::new(pair);
        let mut value = self.dim_operand(cursor.next()?, operations)?;
        while let Some(op) = cursor.next() {
            let op = Operator::from_symbol(op.as_str().trim_end())?;
            let right = self.dim_operand(cursor.next()?, operations)?;
            *operations += 1;
            // What is too long is refused as a whole; it must not grow deep meanwhile.
            if *operations <= MAX_DIM_OPERATIONS {
                value = Dim::Binary(Box::new(DimBinary { left: value, op, right }));
            }
        }
        Some(value)
    }

    fn dim_operand(&mut self, pair: Pair<'_, Rule>, operations: &mut usize) -> Option<Dim> {
        match pair.as_rule() {
            Rule::dim_product => self.dim_chain(pair, operations),
            Rule::dim_atom => self.dim_atom(pair, operations),
            _ => None,
        }
    }

    fn dim_atom(&mut self, pair: Pair<'_, Rule>, operations: &mut usize) -> Option<Dim> {
        let inner = Cursor::new(pair).next()?;
        let span = self.span(&inner);
        match inner.as_rule() {
            Rule::integer => Some(Dim::Const(self.whole(inner.as_str(), span), span)),
            Rule::rest_dim => self.take_name(&mut Cursor::new(inner)).map(Dim::Rest),
            Rule::dim_group => self.dim_chain(Cursor::new(inner).seek(Rule::dim_sum)?, operations),
            Rule::path => {
                let mut path = self.path(inner)?;
                if path.names.len() == 1 { path.names.pop().map(Dim::Symbol) } else { Some(Dim::Field(path)) }
            }
            _ => None,
        }
    }

    fn named_type(&mut self, pair: Pair<'_, Rule>) -> Option<TypeKind> {
        let mut cursor = Cursor::new(pair);
        let name = self.take_name(&mut cursor)?;
        let mut args = Vec::new();
        for pair in cursor.filter(|pair| pair.as_rule() == Rule::type_arg) {
            let inner = Cursor::new(pair).next()?;
            let span = self.span(&inner);
            args.push(match inner.as_rule() {
                Rule::integer => TypeArg::Number(Number { value: self.whole(inner.as_str(), span) as f64, unit: None }, span),
                Rule::number => TypeArg::Number(self.number(inner)?, span),
                Rule::dotted => TypeArg::Path(self.path(inner)?),
                Rule::ty => self.type_argument(inner)?,
                _ => return None,
            });
        }
        Some(TypeKind::Named { name, args })
    }

    /// A type as an argument; a plain name is a path, which only its place makes a type or something else.
    fn type_argument(&mut self, pair: Pair<'_, Rule>) -> Option<TypeArg> {
        let ty = self.ty(pair)?;
        Some(match ty {
            Type { kind: TypeKind::Named { name, args }, optional: false, attributes, .. } if args.is_empty() && attributes.is_empty() => {
                TypeArg::Path(Path { span: name.span, names: vec![name] })
            }
            ty => TypeArg::Type(ty),
        })
    }

    pub(super) fn attribute(&mut self, pair: Pair<'_, Rule>) -> Option<Attribute> {
        let span = self.trimmed(&pair);
        let mut cursor = Cursor::new(pair);
        let name = self.take_name(&mut cursor)?;
        let arguments = match cursor.seek(Rule::arguments) {
            Some(pair) => self.arguments(pair)?,
            None => Vec::new(),
        };
        Some(Attribute { name, arguments, span })
    }
}
