//! A value at some coordinates, as an expression: a load where it is stored, and what computes it where it is inlined.

use crate::group::Role;
use crate::location::Location;
use crate::narrow;
use crate::planner::Planner;
use crate::scope::{Guard, Scope};
use mlp_bundle::loops::{Affine, BinaryOp, CompareOp, ExprId};
use mlp_bundle::{DType, Scalar};
use mlp_graph::{Op, OpId, ValueId};

impl Planner<'_> {
    /// The element of `value` at `coords`. Coordinates outside the value give some element of it.
    pub(crate) fn read(&mut self, scope: &mut Scope, value: ValueId, coords: &[Affine]) -> ExprId {
        if let Some(expr) = scope.recall(value, coords) {
            return expr;
        }
        let expr = self.read_new(scope, value, coords);
        scope.remember(value, coords, expr);
        expr
    }

    fn read_new(&mut self, scope: &mut Scope, value: ValueId, coords: &[Affine]) -> ExprId {
        if let Some(scalar) = self.tensor(value).and_then(|tensor| tensor.uniform()) {
            return scope.constant(scalar);
        }
        if self.shapes.elements(value) == 0 {
            return scope.constant(Scalar::of(self.dtype(value), 0));
        }
        if let Some(location) = self.view(value) {
            return scope.load(&location, coords, Guard::Clamp);
        }
        debug_assert!(matches!(self.role(value), Role::Inline | Role::Inner | Role::Root));
        let (op, _) = self.graph.definition(value).expect("an input has a place");
        self.compute(scope, op, coords)
    }

    /// The first result of a map or movement operation at `coords`.
    pub(crate) fn compute(&mut self, scope: &mut Scope, op: OpId, coords: &[Affine]) -> ExprId {
        scope.note(op);
        let graph = self.graph;
        let node = &graph.ops[op];
        if let Op::Symbol(symbol) = node.op {
            let symbol = self.symbol(symbol);
            return scope.symbol(symbol);
        }
        if let Op::Size { value, .. } = node.op {
            return scope.i32(value as i32);
        }
        let x = node.operands[0];
        match &node.op {
            Op::Extend => self.extended(scope, x, coords),
            Op::Reshape => {
                let (from, to) = (self.dims(node.results[0]).to_vec(), self.dims(x).to_vec());
                let coords = scope.divided(coords, &from, &to);
                self.read(scope, x, &coords)
            }
            Op::Transpose { perm } => {
                let mut moved = vec![Affine::default(); perm.len()];
                for (index, &axis) in perm.iter().enumerate() {
                    moved[axis as usize] = coords[index].clone();
                }
                self.read(scope, x, &moved)
            }
            Op::Broadcast => self.read_broadcast(scope, x, coords),
            Op::Slice { starts, steps } => {
                let walk = coords.iter().zip(starts.iter().zip(steps));
                let moved: Vec<Affine> = walk.map(|(index, (&start, &step))| scope.linear(index, step, start)).collect();
                self.read(scope, x, &moved)
            }
            Op::Pad { before, .. } => {
                let moved: Vec<Affine> =
                    coords.iter().zip(before).map(|(index, &before)| scope.linear(index, 1, -(before as i64))).collect();
                let otherwise = self.read(scope, node.operands[1], &[]);
                self.read_guarded(scope, x, &moved, otherwise)
            }
            Op::Gather { axis } => self.gather(scope, node.operands[1], x, *axis as usize, coords),
            Op::Concat { axis } => self.choose(scope, &node.operands, *axis as usize, coords),
            _ => self.map(scope, op, coords),
        }
    }

    /// An operand of a broadcasting operation whose result is at `coords`.
    pub(crate) fn read_broadcast(&mut self, scope: &mut Scope, value: ValueId, coords: &[Affine]) -> ExprId {
        let dims = self.dims(value).to_vec();
        let last = &coords[coords.len() - dims.len()..];
        let stretch = |(index, &size): (&Affine, &u64)| if size == 1 { Affine::default() } else { index.clone() };
        let coords: Vec<Affine> = last.iter().zip(&dims).map(stretch).collect();
        self.read(scope, value, &coords)
    }

    /// The element of `value` at `coords`, or `otherwise` where they lie outside of it.
    pub(crate) fn read_guarded(&mut self, scope: &mut Scope, value: ValueId, coords: &[Affine], otherwise: ExprId) -> ExprId {
        let dims = self.dims(value).to_vec();
        if dims.contains(&0) {
            return otherwise;
        }
        if let (mlp_bundle::loops::Expr::Const(scalar), Some(location)) = (scope.exprs[otherwise].clone(), self.view(value)) {
            return scope.load(&location, coords, Guard::Else(scalar));
        }
        let inside = scope.is_inside(coords, &dims);
        let element = self.read(scope, value, coords);
        match inside {
            Some(inside) => scope.select(inside, element, otherwise),
            None => element,
        }
    }

    fn gather(&mut self, scope: &mut Scope, indices: ValueId, x: ValueId, axis: usize, coords: &[Affine]) -> ExprId {
        let size = self.dims(x)[axis] as i64;
        let rank = self.dims(indices).len();
        let index = self.read(scope, indices, &coords[axis..axis + rank]);
        let natural = self.interval(indices).is_some_and(|(low, high)| low >= 0 && high <= i64::from(i32::MAX));
        let mut index =
            if natural && scope.ty(index) == DType::I32 { Scope::dynamic(index) } else { self.resolve_index(scope, index, size) };
        let table = self.narrow_table(x);
        if table.is_none() && self.view(x).is_none() {
            // What is computed from the index must see it clamped; a load clamps it anyway.
            let expr = scope.index(&index);
            index = Scope::dynamic(scope.clamp_i32(expr, 0, size as i32 - 1));
        }
        let mut moved = coords[..axis].to_vec();
        moved.push(index);
        moved.extend_from_slice(&coords[axis + rank..]);
        match table {
            Some(table) => scope.load(&table, &moved, Guard::Clamp),
            None => self.read(scope, x, &moved),
        }
    }

    /// Where a table of floats lies in fewer bits; none where it is small, or its numbers are of 32 bits.
    fn narrow_table(&mut self, value: ValueId) -> Option<Location> {
        let bytes = self.dims(value).iter().product::<u64>() * DType::F32.size() as u64;
        let gathered = self.dtype(value) == DType::F32 && self.role(value) == Role::Constant && bytes >= narrow::LEAST_BYTES;
        if !gathered || !self.options.narrow_weights {
            return None;
        }
        let tensor = self.tensor(value)?;
        // Read where they lie: most tables are refused at their first numbers.
        let numbers = tensor.bytes().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let (dtype, bytes) = narrow::table(numbers)?;
        let buffer = self.constant(&self.value_name(value), dtype, |file| file.extend(bytes));
        Some(Location::dense(buffer, dtype, tensor.shape()))
    }

    /// A gathered index: negative ones count from the end. The load clamps it; 64-bit ones are clamped before they are narrowed.
    fn resolve_index(&mut self, scope: &mut Scope, index: ExprId, size: i64) -> Affine {
        let index = match scope.ty(index) {
            DType::I64 => {
                let (low, high) = (scope.constant(Scalar::I64(-size)), scope.constant(Scalar::I64(size - 1)));
                let index = scope.max(index, low);
                let index = scope.min(index, high);
                scope.cast(DType::I32, index)
            }
            DType::U64 => {
                let high = scope.constant(Scalar::U64(size as u64 - 1));
                let index = scope.min(index, high);
                scope.cast(DType::I32, index)
            }
            DType::U32 => {
                let high = scope.constant(Scalar::U32(size as u32 - 1));
                let index = scope.min(index, high);
                return Scope::dynamic(scope.cast(DType::I32, index));
            }
            _ => index,
        };
        let nil = scope.i32(0);
        let negative = scope.compare(CompareOp::Lt, index, nil);
        let size = scope.i32(size as i32);
        let wrapped = scope.add(index, size);
        Scope::dynamic(scope.select(negative, wrapped, index))
    }

    /// A concatenation where it is read: the part that the index falls into.
    fn choose(&mut self, scope: &mut Scope, parts: &[ValueId], axis: usize, coords: &[Affine]) -> ExprId {
        let mut start: i64 = parts.iter().map(|&part| self.dims(part)[axis] as i64).sum();
        let mut result = None;
        for &part in parts.iter().rev() {
            let size = self.dims(part)[axis] as i64;
            start -= size;
            if size == 0 {
                continue;
            }
            let mut moved = coords.to_vec();
            moved[axis] = scope.linear(&coords[axis], 1, -start);
            let element = self.read(scope, part, &moved);
            result = Some(match result {
                None => element,
                Some(after) => {
                    let (at, end) = (scope.index(&coords[axis]), scope.i32((start + size) as i32));
                    let before = scope.compare(CompareOp::Lt, at, end);
                    scope.select(before, element, after)
                }
            });
        }
        result.expect("a value with elements has a part with elements")
    }

    /// Keeps the low bits of a narrow integer, as a store would.
    pub(crate) fn wrapped(&self, scope: &mut Scope, dtype: DType, x: ExprId) -> ExprId {
        let (mask, shift) = match dtype {
            DType::U8 => (0xff, 0),
            DType::U16 => (0xffff, 0),
            DType::I8 => (0, 24),
            DType::I16 => (0, 16),
            _ => return x,
        };
        if shift == 0 {
            let mask = scope.i32(mask);
            return scope.binary(BinaryOp::And, x, mask);
        }
        let shift = scope.i32(shift);
        let x = scope.binary(BinaryOp::Shl, x, shift);
        scope.binary(BinaryOp::Shr, x, shift)
    }
}
