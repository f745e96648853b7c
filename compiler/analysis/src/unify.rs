//! Fits the types of arguments to the types of parameters, and finds what symbols stand for on the way.

use crate::dims::{Formula, SizeError};
use crate::program::{ExprKind, Model, Pipeline, Value};
use crate::types::{Dim, Labels, TensorType, Type, Vocabulary};
use std::collections::HashMap;

/// What the symbols of a called signature stand for, in terms of the caller.
#[derive(Debug, Default)]
pub(crate) struct Bindings {
    dims: HashMap<String, Dim>,
    rests: HashMap<String, Vec<Dim>>,
    labels: HashMap<String, Labels>,
    vocabularies: HashMap<String, Vocabulary>,
    /// Constant arguments by parameter.
    constants: HashMap<String, Constant>,
    /// Computed sizes that were met before their symbols: what is wanted, and what was found.
    deferred: Vec<(Formula, Dim)>,
}

/// A constant argument: its value, or the caller's parameter that it is.
#[derive(Clone, Debug)]
pub(crate) enum Constant {
    Value(Value),
    Param(String),
}

/// Why an argument does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Another kind of type, or another element type.
    Type,
    /// The same kind with other dimensions; the sentence says which.
    Shape(String),
    /// Scores without labels where labels are needed, or with other labels.
    Labels,
}

impl Pipeline {
    /// True where its first parameter takes a value of this type, as far as types and shapes decide.
    pub fn accepts(&self, value: &Type) -> bool {
        self.params.first().is_some_and(|param| fits(&param.ty, value))
    }
}

impl Model {
    /// True where its first input takes a value of this type, as far as types and shapes decide.
    pub fn accepts(&self, value: &Type) -> bool {
        self.inputs.first().is_some_and(|input| fits(&input.ty, value))
    }
}

fn fits(wanted: &Type, found: &Type) -> bool {
    matches!(Bindings::default().unify(wanted, found), Ok(()) | Err(Misfit::Labels))
}

impl Bindings {
    /// Remembers a constant argument.
    pub(crate) fn constant(&mut self, param: &str, value: &ExprKind, caller_params: &[String]) {
        let constant = match value {
            ExprKind::Value(value) => Constant::Value(value.clone()),
            ExprKind::Param(index) => match caller_params.get(*index) {
                Some(name) => Constant::Param(name.clone()),
                None => return,
            },
            _ => return,
        };
        self.constants.insert(param.to_owned(), constant);
    }

    /// Fits `found`, a type of the caller, to `wanted`, a type of the called signature.
    pub(crate) fn unify(&mut self, wanted: &Type, found: &Type) -> Result<(), Misfit> {
        match (wanted, found) {
            (Type::Unknown, _) | (_, Type::Unknown) => Ok(()),
            (Type::Tensor(wanted), Type::Tensor(found)) => self.unify_tensor(wanted, found),
            (Type::Label(wanted), Type::Label(found)) => self.unify_labels(wanted, found),
            (Type::Ranking { labels, count }, Type::Ranking { labels: found_labels, count: found_count }) => {
                self.unify_labels(labels, found_labels)?;
                self.unify_dim(count, found_count)
            }
            (Type::Record(wanted), Type::Record(found)) if wanted.len() == found.len() => {
                for (name, ty) in wanted {
                    let Some((_, other)) = found.iter().find(|(other, _)| other == name) else { return Err(Misfit::Type) };
                    self.unify(ty, other)?;
                }
                Ok(())
            }
            (Type::List { item, most }, Type::List { item: found_item, most: found_most }) => {
                self.unify(item, found_item)?;
                fits_most(*most, *found_most)
            }
            (Type::Stream(item), Type::Stream(found_item)) => self.unify(item, found_item),
            (Type::Tokens { vocabulary, most }, Type::Tokens { vocabulary: found_vocabulary, most: found_most }) => {
                self.unify_vocabulary(vocabulary, found_vocabulary)?;
                fits_count(most.as_ref(), found_most.as_ref())
            }
            (Type::Audio { rate: None, channels }, Type::Audio { channels: found, .. }) if channels == found => Ok(()),
            (Type::Optional(inner), Type::Optional(found_inner)) => self.unify(inner, found_inner),
            (Type::Optional(inner), found) => self.unify(inner, found),
            _ if wanted == found => Ok(()),
            _ => Err(Misfit::Type),
        }
    }

    /// The size that a symbol of the called signature stands for.
    pub(crate) fn size_of(&self, symbol: &str) -> Option<&Dim> {
        self.dims.get(symbol)
    }

    /// Compares the computed sizes that could not be compared when they were met.
    pub(crate) fn settle(&mut self) -> Result<(), Misfit> {
        for (wanted, found) in std::mem::take(&mut self.deferred) {
            let Some(known) = self.dim(&Dim::Formula(wanted.clone())) else { continue };
            if known != found {
                return Err(Misfit::Shape(format!("expected {wanted}, which is {known} here, found {found}")));
            }
        }
        Ok(())
    }

    fn unify_tensor(&mut self, wanted: &TensorType, found: &TensorType) -> Result<(), Misfit> {
        if wanted.dtype != found.dtype {
            return Err(Misfit::Type);
        }
        let rest = wanted.dims.iter().position(|dim| matches!(dim, Dim::Rest(_)));
        let fixed = wanted.dims.len() - usize::from(rest.is_some());
        // A rest in the argument stands for an unknown number of dimensions; it fits only a rest.
        if found.dims.len() < fixed || (rest.is_none() && found.dims.len() != fixed) {
            let wanted = if rest.is_some() { format!("at least {fixed}") } else { fixed.to_string() };
            return Err(Misfit::Shape(format!("expected {wanted} dimensions, found {}", found.dims.len())));
        }
        let before = rest.unwrap_or(wanted.dims.len());
        let after = wanted.dims.len() - before - usize::from(rest.is_some());
        let middle_end = found.dims.len() - after;
        for (wanted, found) in wanted.dims[..before].iter().zip(&found.dims[..before]) {
            self.unify_dim(wanted, found)?;
        }
        if let Some(Dim::Rest(name)) = rest.and_then(|rest| wanted.dims.get(rest)) {
            let middle = &found.dims[before..middle_end];
            match self.rests.get(name) {
                Some(bound) if bound != middle => {
                    let (bound, middle) = (crate::types::dims(bound), crate::types::dims(middle));
                    return Err(Misfit::Shape(format!("`..{name}` is [{bound}] already, found [{middle}]")));
                }
                _ => {
                    self.rests.insert(name.clone(), middle.to_vec());
                }
            }
        }
        for (wanted, found) in wanted.dims[wanted.dims.len() - after..].iter().zip(&found.dims[middle_end..]) {
            self.unify_dim(wanted, found)?;
        }
        // Whoever asks for no labels takes labelled scores too.
        if wanted.labels == Labels::None { Ok(()) } else { self.unify_labels(&wanted.labels, &found.labels) }
    }

    fn unify_dim(&mut self, wanted: &Dim, found: &Dim) -> Result<(), Misfit> {
        if matches!(found, Dim::Rest(_)) {
            return Err(Misfit::Shape(format!("expected one dimension `{wanted}`, found any number of them, `{found}`")));
        }
        if let Dim::Symbol(name) = wanted {
            return match self.dims.get(name) {
                Some(bound) if bound != found => Err(Misfit::Shape(format!("`{name}` is {bound} already, found {found}"))),
                _ => {
                    self.dims.insert(name.clone(), found.clone());
                    Ok(())
                }
            };
        }
        let known = self.dim(wanted);
        if let (Dim::Formula(formula), None) = (wanted, &known) {
            match formula.solve(found, &|dim| self.dim(dim)) {
                Some((name, size)) => {
                    self.dims.insert(name, size);
                }
                None => self.deferred.push((formula.clone(), found.clone())),
            }
            return Ok(());
        }
        match known {
            Some(known) if known == *found => Ok(()),
            Some(known) if known != *wanted => Err(Misfit::Shape(format!("expected {wanted}, which is {known} here, found {found}"))),
            None if wanted == found => Ok(()),
            _ => Err(Misfit::Shape(format!("expected {wanted}, found {found}"))),
        }
    }

    fn unify_labels(&mut self, wanted: &Labels, found: &Labels) -> Result<(), Misfit> {
        if let Labels::Variable(name) = wanted {
            return match self.labels.get(name) {
                Some(bound) if bound != found => Err(Misfit::Labels),
                _ => {
                    self.labels.insert(name.clone(), found.clone());
                    Ok(())
                }
            };
        }
        if wanted == found { Ok(()) } else { Err(Misfit::Labels) }
    }

    fn unify_vocabulary(&mut self, wanted: &Vocabulary, found: &Vocabulary) -> Result<(), Misfit> {
        let wanted = match wanted {
            Vocabulary::Variable(name) => &*self.vocabularies.entry(name.clone()).or_insert_with(|| found.clone()),
            named => named,
        };
        if wanted == found { Ok(()) } else { Err(Misfit::Type) }
    }

    /// A type of the called signature in terms of the caller.
    pub(crate) fn substitute(&self, ty: &Type) -> Result<Type, Unbound> {
        Ok(match ty {
            Type::Tensor(tensor) => {
                let mut dims = Vec::new();
                for dim in &tensor.dims {
                    match dim {
                        Dim::Rest(name) => dims.extend(self.rests.get(name).cloned().ok_or_else(|| Unbound::Dim(dim.to_string()))?),
                        dim => dims.push(self.dim(dim).ok_or_else(|| Unbound::Dim(dim.to_string()))?),
                    }
                }
                Type::Tensor(TensorType { dtype: tensor.dtype, dims, labels: self.labels(&tensor.labels) })
            }
            Type::Label(labels) => Type::Label(self.needed_labels(labels)?),
            Type::Ranking { labels, count } => {
                let labels = self.needed_labels(labels)?;
                Type::Ranking { labels, count: self.dim(count).ok_or_else(|| Unbound::Dim(count.to_string()))? }
            }
            Type::Record(fields) => {
                let fields = fields.iter().map(|(name, ty)| Ok((name.clone(), self.substitute(ty)?)));
                Type::Record(fields.collect::<Result<_, Unbound>>()?)
            }
            Type::Optional(inner) => Type::Optional(Box::new(self.substitute(inner)?)),
            Type::List { item, most } => Type::List { item: Box::new(self.substitute(item)?), most: *most },
            Type::Stream(item) => Type::Stream(Box::new(self.substitute(item)?)),
            Type::Tokens { vocabulary, most } => {
                let named = match vocabulary {
                    Vocabulary::Variable(name) => self.vocabularies.get(name).unwrap_or(vocabulary),
                    named => named,
                };
                let most = most.as_ref().map(|most| self.dim(most).ok_or_else(|| Unbound::Dim(most.to_string()))).transpose()?;
                Type::Tokens { vocabulary: named.clone(), most }
            }
            other => other.clone(),
        })
    }

    /// Why a size of a tensor cannot be computed, where its parts are known.
    pub(crate) fn size_error(&self, ty: &Type) -> Option<SizeError> {
        let Type::Tensor(tensor) = ty else { return None };
        tensor.dims.iter().find_map(|dim| match dim {
            Dim::Formula(formula) => match formula.substitute(&|dim| self.part(dim)) {
                Ok(formula) => formula?.dim().err(),
                Err(error) => Some(error),
            },
            _ => None,
        })
    }

    /// A part of a computed size; unlike a size it may be 0.
    fn part(&self, dim: &Dim) -> Option<Dim> {
        let zero = |name| matches!(self.constants.get(name), Some(Constant::Value(Value::Number(0.0, None))));
        match dim {
            Dim::Param(name) if zero(name) => Some(Dim::Const(0)),
            dim => self.dim(dim),
        }
    }

    fn labels(&self, labels: &Labels) -> Labels {
        match labels {
            Labels::Variable(name) => self.labels.get(name).cloned().unwrap_or(Labels::None),
            other => other.clone(),
        }
    }

    fn needed_labels(&self, labels: &Labels) -> Result<Labels, Unbound> {
        match self.labels(labels) {
            Labels::None => Err(Unbound::Labels),
            labels => Ok(labels),
        }
    }

    fn dim(&self, dim: &Dim) -> Option<Dim> {
        match dim {
            Dim::Const(size) => Some(Dim::Const(*size)),
            Dim::Symbol(name) => self.dims.get(name).cloned(),
            Dim::Rest(_) => None,
            Dim::Formula(formula) => formula.substitute(&|dim| self.part(dim)).ok()??.dim().ok(),
            Dim::Param(name) => match self.constants.get(name)? {
                Constant::Value(Value::Number(value, None)) if *value >= 1.0 && *value <= 2f64.powi(32) && value.fract() == 0.0 => {
                    Some(Dim::Const(*value as u64))
                }
                Constant::Param(outer) => Some(Dim::Param(outer.clone())),
                Constant::Value(_) => None,
            },
            Dim::Width(name) => match self.constants.get(name)? {
                Constant::Value(Value::Size { width, .. }) => Some(Dim::Const(u64::from(*width))),
                Constant::Param(outer) => Some(Dim::Width(outer.clone())),
                Constant::Value(_) => None,
            },
            Dim::Height(name) => match self.constants.get(name)? {
                Constant::Value(Value::Size { height, .. }) => Some(Dim::Const(u64::from(*height))),
                Constant::Param(outer) => Some(Dim::Height(outer.clone())),
                Constant::Value(_) => None,
            },
        }
    }
}

/// True where a list with at most `found` values may stand where one of at most `wanted` is asked for.
fn fits_most(wanted: Option<u64>, found: Option<u64>) -> Result<(), Misfit> {
    match (wanted, found) {
        (Some(wanted), Some(found)) if found > wanted => {
            Err(Misfit::Shape(format!("expected at most {wanted} values, found up to {found}")))
        }
        (Some(wanted), None) => Err(Misfit::Shape(format!("expected at most {wanted} values, found any number of them"))),
        _ => Ok(()),
    }
}

/// True where at most `found` tokens may stand where at most `wanted` are asked for.
fn fits_count(wanted: Option<&Dim>, found: Option<&Dim>) -> Result<(), Misfit> {
    match (wanted, found) {
        (Some(Dim::Const(wanted)), Some(Dim::Const(found))) if found <= wanted => Ok(()),
        (Some(wanted), Some(found)) if found != wanted => {
            Err(Misfit::Shape(format!("expected at most {wanted} tokens, found up to {found}")))
        }
        (Some(wanted), None) => Err(Misfit::Shape(format!("expected at most {wanted} tokens, found any number of them"))),
        _ => Ok(()),
    }
}

/// What a result type needs that no argument gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unbound {
    /// A size.
    Dim(String),
    /// Labels.
    Labels,
}

/// Fits `found` to `wanted`, both of one signature: symbols are equal to themselves alone.
pub(crate) fn assignable(wanted: &Type, found: &Type) -> Result<(), Misfit> {
    match (wanted, found) {
        (Type::Tensor(wanted), Type::Tensor(found)) => {
            if wanted.dtype != found.dtype {
                return Err(Misfit::Type);
            }
            if wanted.dims != found.dims {
                let (wanted, found) = (crate::types::dims(&wanted.dims), crate::types::dims(&found.dims));
                return Err(Misfit::Shape(format!("expected [{wanted}], found [{found}]")));
            }
            if wanted.labels == Labels::None || wanted.labels == found.labels { Ok(()) } else { Err(Misfit::Labels) }
        }
        (Type::Ranking { labels, count }, Type::Ranking { labels: found_labels, count: found_count }) => {
            if labels != found_labels {
                return Err(Misfit::Labels);
            }
            if count == found_count {
                Ok(())
            } else {
                Err(Misfit::Shape(format!("expected the best {count}, found the best {found_count}")))
            }
        }
        (Type::Label(wanted), Type::Label(found)) => {
            if wanted == found {
                Ok(())
            } else {
                Err(Misfit::Labels)
            }
        }
        (Type::Record(wanted), Type::Record(found)) => {
            if wanted.len() != found.len() {
                return Err(Misfit::Type);
            }
            for (name, ty) in wanted {
                let Some((_, other)) = found.iter().find(|(other, _)| other == name) else { return Err(Misfit::Type) };
                assignable(ty, other)?;
            }
            Ok(())
        }
        (Type::Unknown, _) | (_, Type::Unknown) => Ok(()),
        (Type::List { item, most }, Type::List { item: found_item, most: found_most }) => {
            assignable(item, found_item)?;
            fits_most(*most, *found_most)
        }
        (Type::Stream(item), Type::Stream(found_item)) => assignable(item, found_item),
        (Type::Tokens { vocabulary, most }, Type::Tokens { vocabulary: found_vocabulary, most: found_most })
            if vocabulary == found_vocabulary =>
        {
            fits_count(most.as_ref(), found_most.as_ref())
        }
        (Type::Optional(inner), Type::Optional(found_inner)) => assignable(inner, found_inner),
        // A value may stand where there may be none.
        (Type::Optional(inner), found) => assignable(inner, found),
        _ if wanted == found => Ok(()),
        _ => Err(Misfit::Type),
    }
}
