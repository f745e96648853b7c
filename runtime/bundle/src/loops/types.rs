//! The types of an expression DAG, and the rules they obey.

use super::{Access, BinaryOp, BufferId, Expr, ExprId, Exprs, SymbolId, UnaryOp};
use crate::dtype::{DType, Scalar};
use cranelift_entity::{EntityRef, SecondaryMap};

/// What the type rules need to know about a kernel's surroundings.
pub struct Scope<'a> {
    /// The element type of a buffer; none where there is no such buffer.
    pub buffer: &'a dyn Fn(BufferId) -> Option<DType>,
    /// How many symbols the plan has.
    pub symbols: usize,
    /// How many axes the kernel has.
    pub axes: usize,
    /// The initial values of the accumulators that `Acc` reads.
    pub accs: &'a [Scalar],
    /// The types that `Total` reads.
    pub totals: &'a [DType],
}

/// The compute type of every expression, or the first rule that is broken.
pub fn infer(exprs: &Exprs, scope: &Scope<'_>) -> Result<SecondaryMap<ExprId, Option<DType>>, String> {
    let mut types = SecondaryMap::with_default(None);
    for (id, expr) in exprs.iter() {
        let ty = type_of(id, expr, scope, &types).map_err(|reason| format!("{id}: {reason}"))?;
        types[id] = Some(ty);
    }
    Ok(types)
}

type Types = SecondaryMap<ExprId, Option<DType>>;

fn type_of(id: ExprId, expr: &Expr, scope: &Scope<'_>, types: &Types) -> Result<DType, String> {
    let operand = |operand: ExprId| -> Result<DType, String> {
        if operand.index() >= id.index() {
            return Err(format!("operand {operand} is not defined before it"));
        }
        types[operand].ok_or_else(|| format!("operand {operand} has no type"))
    };
    match expr {
        Expr::Const(value) => Ok(value.dtype()),
        Expr::Axis(axis) if usize::from(*axis) < scope.axes => Ok(DType::I32),
        Expr::Axis(axis) => Err(format!("there is no axis {axis}")),
        Expr::Symbol(symbol) => symbol_type(*symbol, scope),
        Expr::Acc(index) => {
            scope.accs.get(usize::from(*index)).map(|init| init.dtype()).ok_or_else(|| format!("there is no accumulator {index}"))
        }
        Expr::Total(index) => scope.totals.get(usize::from(*index)).copied().ok_or_else(|| format!("there is no total {index}")),
        Expr::Load(access) => {
            check_dynamic(access, &operand)?;
            let dtype = (scope.buffer)(access.buffer).ok_or_else(|| format!("there is no buffer {}", access.buffer))?;
            Ok(dtype.compute())
        }
        Expr::Unary(op, x) => unary_type(*op, operand(*x)?),
        Expr::Binary(op, x, y) => binary_type(*op, operand(*x)?, operand(*y)?),
        Expr::Compare(_, x, y) => same(operand(*x)?, operand(*y)?).map(|_| DType::Bool),
        Expr::Select(condition, x, y) => {
            if operand(*condition)? != DType::Bool {
                return Err("the condition of a select is not bool".into());
            }
            same(operand(*x)?, operand(*y)?)
        }
        Expr::Cast(to, x) => {
            operand(*x)?;
            compute_type(*to)
        }
        Expr::Bitcast(to, x) => {
            let from = operand(*x)?;
            if from.size() != to.size() || from == DType::Bool {
                return Err(format!("{from} and {to} differ in size"));
            }
            compute_type(*to)
        }
        Expr::Requantize { value, multiplier, shift } => {
            if operand(*value)? != DType::I32 || operand(*multiplier)? != DType::I32 || !(1..=62).contains(shift) {
                return Err("requantize takes two i32 and a shift of 1 to 62".into());
            }
            Ok(DType::I32)
        }
    }
}

fn symbol_type(symbol: SymbolId, scope: &Scope<'_>) -> Result<DType, String> {
    if symbol.index() < scope.symbols { Ok(DType::I32) } else { Err(format!("there is no symbol {symbol}")) }
}

fn check_dynamic(access: &Access, operand: &dyn Fn(ExprId) -> Result<DType, String>) -> Result<(), String> {
    for dim in &access.dims {
        if let Some(index) = dim.index.dynamic
            && operand(index)? != DType::I32
        {
            return Err(format!("the index {index} is not i32"));
        }
    }
    Ok(())
}

fn same(x: DType, y: DType) -> Result<DType, String> {
    if x == y { Ok(x) } else { Err(format!("the operands are {x} and {y}, not of one type")) }
}

fn compute_type(to: DType) -> Result<DType, String> {
    if to.compute() == to { Ok(to) } else { Err(format!("{to} is a storage type, not one to compute in")) }
}

fn unary_type(op: UnaryOp, x: DType) -> Result<DType, String> {
    let fits = match op {
        UnaryOp::Neg | UnaryOp::Abs => x != DType::Bool,
        UnaryOp::Not => !x.is_float(),
        _ => x.is_float(),
    };
    if fits { Ok(x) } else { Err(format!("{op:?} does not take {x}")) }
}

fn binary_type(op: BinaryOp, x: DType, y: DType) -> Result<DType, String> {
    let ty = same(x, y)?;
    let fits = match op {
        BinaryOp::Add | BinaryOp::Mul => true,
        BinaryOp::Sub | BinaryOp::Div | BinaryOp::Rem | BinaryOp::Min | BinaryOp::Max => ty != DType::Bool,
        BinaryOp::Pow => ty.is_float(),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor => !ty.is_float(),
        BinaryOp::Shl | BinaryOp::Shr => ty.is_int(),
    };
    if fits { Ok(ty) } else { Err(format!("{op:?} does not take {ty}")) }
}
