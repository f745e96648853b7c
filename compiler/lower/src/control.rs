//! Control flow. Pipelines are pure and total, so both arms of a choice may be computed and one value taken, and a bounded loop is its rounds one after another.

use crate::body::{Frame, Lowered, Lowering, operation};
use crate::error::LowerError;
use mlp_analysis::{Expr, Labels, Loop, Operator, Type, Value};
use mlp_graph::op::CompareOp;
use mlp_graph::{DType, Op, Origin, ValueId};

/// The most rounds of all loops of a graph together.
pub const MAX_ROUNDS: u64 = 256;

impl<'a> Lowering<'a> {
    /// The value of the first arm whose condition holds.
    pub(crate) fn when(
        &mut self,
        arms: &'a [(Expr, Expr)],
        otherwise: &'a Expr,
        origin: &Origin,
        frame: &mut Frame<'_>,
    ) -> Result<Lowered, LowerError> {
        let mut conditions = Vec::with_capacity(arms.len());
        for (condition, value) in arms {
            let condition = self.truth(condition, origin, frame)?;
            conditions.push((condition, self.expr(value, frame)?));
        }
        let mut answer = self.expr(otherwise, frame)?;
        for (condition, value) in conditions.into_iter().rev() {
            answer = self.choose(condition, value, answer, origin)?;
        }
        Ok(answer)
    }

    fn truth(&mut self, condition: &'a Expr, origin: &Origin, frame: &mut Frame<'_>) -> Result<ValueId, LowerError> {
        match self.expr(condition, frame)? {
            Lowered::Tensor(value) => Ok(value),
            _ => Err(operation(origin, "a condition is no truth value".to_owned())),
        }
    }

    /// `condition ? yes : no`, part by part.
    fn choose(&mut self, condition: ValueId, yes: Lowered, no: Lowered, origin: &Origin) -> Result<Lowered, LowerError> {
        let mut select = |yes, no| {
            let value = self.graph.append_one(Op::Select, &[condition, yes, no], origin.clone());
            value.map_err(|error| operation(origin, error.to_string()))
        };
        Ok(match (yes, no) {
            (Lowered::Tensor(yes), Lowered::Tensor(no)) => Lowered::Tensor(select(yes, no)?),
            (Lowered::Label(yes), Lowered::Label(no)) => Lowered::Label(select(yes, no)?),
            (Lowered::Ranking { indices, scores }, Lowered::Ranking { indices: other_indices, scores: other_scores }) => {
                Lowered::Ranking { indices: select(indices, other_indices)?, scores: select(scores, other_scores)? }
            }
            (Lowered::Record(yes), Lowered::Record(mut no)) => {
                let mut fields = Vec::with_capacity(yes.len());
                for (name, value) in yes {
                    let Some(index) = no.iter().position(|(other, _)| *other == name) else {
                        return Err(operation(origin, format!("an arm has no `{name}`")));
                    };
                    let other = no.swap_remove(index).1;
                    fields.push((name, self.choose(condition, value, other, origin)?));
                }
                Lowered::Record(fields)
            }
            _ => return Err(operation(origin, "the arms of `when` are values that cannot be chosen among when running".to_owned())),
        })
    }

    /// The rounds of a loop, one after another. Once its condition held, further rounds change nothing.
    pub(crate) fn rounds(&mut self, node: &'a Loop, origin: &Origin, frame: &mut Frame<'_>) -> Result<Lowered, LowerError> {
        let mut value = self.expr(&node.start, frame)?;
        let mut ended: Option<ValueId> = None;
        for round in 0..node.at_most {
            self.count_round(origin)?;
            let base = frame.locals.len();
            frame.locals.push(value.clone());
            if node.counts {
                frame.locals.push(Lowered::Tensor(self.graph.scalar(DType::I32, round as f64, origin.clone())));
            }
            let mut next = self.expr(&node.body, frame)?;
            if let Some(ended) = ended {
                next = self.choose(ended, value, next, origin)?;
            }
            if let Some(until) = &node.until {
                frame.locals[base] = next.clone();
                let now = self.truth(until, origin, frame)?;
                ended = Some(match ended {
                    Some(before) => self.either(before, now, origin)?,
                    None => now,
                });
            }
            frame.locals.truncate(base);
            value = next;
        }
        Ok(value)
    }

    fn either(&mut self, a: ValueId, b: ValueId, origin: &Origin) -> Result<ValueId, LowerError> {
        self.graph.append_one(Op::Select, &[a, a, b], origin.clone()).map_err(|error| operation(origin, error.to_string()))
    }

    /// A truth value of two single numbers, labels, or numbers that are known.
    pub(crate) fn compare(
        &mut self,
        op: Operator,
        left: &'a Expr,
        right: &'a Expr,
        at: &Origin,
        frame: &mut Frame<'_>,
    ) -> Result<Lowered, LowerError> {
        let (a, b) = (self.expr(left, frame)?, self.expr(right, frame)?);
        let number = |value: &Lowered| match value {
            Lowered::Constant(Value::Number(number, _)) => Some(*number),
            _ => None,
        };
        let (x, y) = match (a, b) {
            (Lowered::Label(label), Lowered::Constant(Value::Text(text))) => {
                let Type::Label(labels) = &left.ty else { return Err(operation(at, "this is no label".to_owned())) };
                return self.is_label(op, label, labels, &text, at);
            }
            (Lowered::Tensor(x) | Lowered::Label(x), Lowered::Tensor(y) | Lowered::Label(y)) => (x, y),
            (Lowered::Tensor(x), b) if number(&b).is_some() => {
                let y = self.scalar_like(x, number(&b).unwrap_or(0.0), at);
                (x, y)
            }
            (a, Lowered::Tensor(y)) if number(&a).is_some() => {
                let x = self.scalar_like(y, number(&a).unwrap_or(0.0), at);
                (x, y)
            }
            (a, b) => match (number(&a), number(&b)) {
                (Some(x), Some(y)) => {
                    let scalar = |lowering: &mut Self, value| lowering.graph.scalar(DType::F64, value, at.clone());
                    (scalar(self, x), scalar(self, y))
                }
                _ => return Err(operation(at, format!("`{}` does not compare these", op.symbol()))),
            },
        };
        let (op, x, y) = match op {
            Operator::Eq => (CompareOp::Eq, x, y),
            Operator::Ne => (CompareOp::Ne, x, y),
            Operator::Lt => (CompareOp::Lt, x, y),
            Operator::Le => (CompareOp::Le, x, y),
            Operator::Gt => (CompareOp::Lt, y, x),
            Operator::Ge => (CompareOp::Le, y, x),
            _ => return Err(operation(at, format!("`{}` is no comparison", op.symbol()))),
        };
        self.graph.compare(op, x, y, at.clone()).map(Lowered::Tensor).map_err(|error| operation(at, error.to_string()))
    }

    /// True where a label is `text`; of labels with one text any.
    fn is_label(&mut self, op: Operator, label: ValueId, labels: &Labels, text: &str, at: &Origin) -> Result<Lowered, LowerError> {
        let Labels::Of(id) = labels else { return Err(operation(at, "nobody says which labels these are".to_owned())) };
        let lines = self.program().label_set(*id).map_or(&[][..], |set| &set.lines);
        let positions: Vec<usize> = lines.iter().enumerate().filter(|(_, line)| *line == text).map(|(index, _)| index).collect();
        let mut found: Option<ValueId> = None;
        for position in positions {
            let number = self.graph.scalar(DType::I32, position as f64, at.clone());
            let equal = self.graph.compare(CompareOp::Eq, label, number, at.clone()).map_err(|error| operation(at, error.to_string()))?;
            found = Some(match found {
                Some(before) => self.either(before, equal, at)?,
                None => equal,
            });
        }
        let Some(found) = found else { return Err(operation(at, format!("there is no label \"{text}\""))) };
        if op == Operator::Eq {
            return Ok(Lowered::Tensor(found));
        }
        let no = self.graph.scalar(DType::Bool, 0.0, at.clone());
        self.graph.compare(CompareOp::Eq, found, no, at.clone()).map(Lowered::Tensor).map_err(|error| operation(at, error.to_string()))
    }

    /// An entry along the first dimension, or a label of a ranking.
    pub(crate) fn entry(&mut self, value: Lowered, index: u64, at: &Origin) -> Result<Lowered, LowerError> {
        let (tensor, is_label) = match value {
            Lowered::Tensor(tensor) => (tensor, false),
            Lowered::Ranking { indices, .. } => (indices, true),
            _ => return Err(operation(at, "this has no elements".to_owned())),
        };
        let position = self.graph.scalar(DType::I64, index as f64, at.clone());
        let entry = self.graph.append_one(Op::Gather { axis: 0 }, &[tensor, position], at.clone());
        let entry = entry.map_err(|error| operation(at, error.to_string()))?;
        Ok(if is_label { Lowered::Label(entry) } else { Lowered::Tensor(entry) })
    }
}
