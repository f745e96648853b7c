//! Types and attributes.

use super::Builder;
use crate::ast::*;
use crate::grammar::{Cursor, Rule};
use pest::iterators::Pair;

impl Builder<'_> {
    pub(super) fn ty(&mut self, pair: Pair<'_, Rule>) -> Option<Type> {
        let mut cursor = Cursor::new(pair);
        let core = cursor.next()?;
        let mut span = self.span(&core);
        span.end = span.start + core.as_str().trim_end().len() as u32;
        let kind = match core.as_rule() {
            Rule::record_type => self.record_type(core)?,
            Rule::choice_type => {
                TypeKind::Choice(Cursor::new(core).filter(|pair| pair.as_rule() == Rule::word).map(|pair| self.name(pair)).collect())
            }
            Rule::tensor_type => self.tensor_type(core)?,
            Rule::named_type => self.named_type(core)?,
            _ => return None,
        };
        let attributes = cursor.filter(|pair| pair.as_rule() == Rule::attribute).filter_map(|pair| self.attribute(pair)).collect();
        Some(Type { kind, attributes, span })
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
        let inner = Cursor::new(pair).next()?;
        let span = self.span(&inner);
        match inner.as_rule() {
            Rule::integer => Some(Dim::Const(self.whole(inner.as_str(), span), span)),
            Rule::rest_dim => self.take_name(&mut Cursor::new(inner)).map(Dim::Rest),
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
                Rule::label_arg => {
                    let mut cursor = Cursor::new(inner);
                    let name = self.take_name(&mut cursor)?;
                    TypeArg::Label(name, self.path(cursor.seek(Rule::path)?)?)
                }
                Rule::path => TypeArg::Path(self.path(inner)?),
                _ => return None,
            });
        }
        Some(TypeKind::Named { name, args })
    }

    pub(super) fn attribute(&mut self, pair: Pair<'_, Rule>) -> Option<Attribute> {
        let mut span = self.span(&pair);
        span.end = span.start + pair.as_str().trim_end().len() as u32;
        let mut cursor = Cursor::new(pair);
        let name = self.take_name(&mut cursor)?;
        let arguments = match cursor.seek(Rule::arguments) {
            Some(pair) => self.arguments(pair)?,
            None => Vec::new(),
        };
        Some(Attribute { name, arguments, span })
    }
}
