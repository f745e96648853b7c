//! Epilogues of floats without a common form, as programs of the kernels' vector steps.

use crate::finish::{Plane, Reader};
use mlp_bundle::loops::{BinaryOp, Expr, ExprId, UnaryOp};
use mlp_bundle::{DType, Scalar};
use mlp_kernels::{Function, MAX_STEPS, Operator, ProgramStep};
use std::collections::HashMap;

/// Channels from which a program pays.
const MIN_CHANNELS: usize = 32;

/// A step, or where one reads by pixel and channel.
pub(crate) enum Piece {
    Step(ProgramStep),
    Pixel(Plane),
}

impl Reader<'_> {
    /// The steps and the place of the result, where the steps that there are compute the epilogue.
    pub(crate) fn program(&self, total: DType) -> Option<(Vec<Piece>, Plane)> {
        let [store] = &self.epilogue.stores[..] else { return None };
        let out = self.plane(&store.access)?;
        if total != DType::F32 || self.plan.buffers[out.buffer].dtype != DType::F32 {
            return None;
        }
        let mut steps = Vec::new();
        self.step(store.value, &mut HashMap::new(), &mut steps)?;
        // What loading and choosing steps costs is won back by functions that take long, and where rows of channels are long; else code of four lanes is faster.
        let slow = |piece: &Piece| matches!(piece, Piece::Step(ProgramStep::Function(Function::Exp | Function::Erf | Function::Tanh, _)));
        if self.channels < MIN_CHANNELS || !steps.iter().any(slow) {
            return None;
        }
        Some((steps, out))
    }

    /// The number of the step that computes an expression.
    fn step(&self, id: ExprId, known: &mut HashMap<ExprId, usize>, steps: &mut Vec<Piece>) -> Option<usize> {
        if let Some(&step) = known.get(&id) {
            return Some(step);
        }
        let piece = match &self.epilogue.exprs[id] {
            Expr::Total(0) => Piece::Step(ProgramStep::Total),
            Expr::Const(Scalar::F32(bits)) => Piece::Step(ProgramStep::Const(f32::from_bits(*bits))),
            Expr::Load(access) if self.plan.buffers[access.buffer].dtype == DType::F32 => match self.channel_values(access) {
                Some(values) => {
                    let float = |scalar| if let Scalar::F32(bits) = scalar { Some(f32::from_bits(bits)) } else { None };
                    Piece::Step(ProgramStep::Channel(values.into_iter().map(float).collect::<Option<_>>()?))
                }
                None => Piece::Pixel(self.plane(access)?),
            },
            Expr::Unary(op, x) => Piece::Step(ProgramStep::Function(function(*op)?, self.step(*x, known, steps)?)),
            Expr::Binary(op, x, y) => {
                let operator = operator(*op)?;
                let x = self.step(*x, known, steps)?;
                Piece::Step(ProgramStep::Operator(operator, x, self.step(*y, known, steps)?))
            }
            _ => return None,
        };
        if steps.len() == MAX_STEPS {
            return None;
        }
        steps.push(piece);
        known.insert(id, steps.len() - 1);
        Some(steps.len() - 1)
    }
}

fn function(op: UnaryOp) -> Option<Function> {
    Some(match op {
        UnaryOp::Neg => Function::Neg,
        UnaryOp::Abs => Function::Abs,
        UnaryOp::Sqrt => Function::Sqrt,
        UnaryOp::Exp => Function::Exp,
        UnaryOp::Erf => Function::Erf,
        UnaryOp::Tanh => Function::Tanh,
        _ => return None,
    })
}

fn operator(op: BinaryOp) -> Option<Operator> {
    Some(match op {
        BinaryOp::Add => Operator::Add,
        BinaryOp::Sub => Operator::Sub,
        BinaryOp::Mul => Operator::Mul,
        BinaryOp::Div => Operator::Div,
        BinaryOp::Min => Operator::Min,
        BinaryOp::Max => Operator::Max,
        _ => return None,
    })
}
