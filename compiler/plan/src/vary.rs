//! Tensors whose sizes are known when a run starts: dense at those sizes in the ports, at the start of tensors of the greatest sizes everywhere else.

use crate::draft::Draft;
use crate::group::Group;
use crate::location::Location;
use crate::planner::Planner;
use crate::scope::{Guard, Scope};
use mlp_bundle::Scalar;
use mlp_bundle::loops::{Affine, BinaryOp, CompareOp, ExprId};
use mlp_graph::{Dim, ValueId};

impl Planner<'_> {
    /// The size of an axis in this run.
    pub(crate) fn size_in_run(&mut self, scope: &mut Scope, value: ValueId, axis: usize) -> ExprId {
        match self.graph.ty(value).shape.0[axis] {
            Dim::Const(size) => scope.i32(size as i32),
            Dim::Symbol(symbol) => scope.symbol(self.symbol(symbol)),
        }
    }

    /// Whether the elements of a run lie where they do at the greatest sizes: only the outermost axis of more than one element varies.
    fn is_prefix(&self, value: ValueId) -> bool {
        let dims = self.dims(value);
        let first = dims.iter().position(|&size| size != 1).unwrap_or(0);
        self.graph.ty(value).shape.0.iter().skip(first + 1).all(|dim| dim.constant().is_some())
    }

    /// The element at `coords` of an input whose sizes vary; 0 beyond them.
    pub(crate) fn extended(&mut self, scope: &mut Scope, x: ValueId, coords: &[Affine]) -> ExprId {
        let home = self.home(x);
        let (mut inside, mut place): (Option<ExprId>, Option<ExprId>) = (None, None);
        let is_prefix = self.is_prefix(x);
        for (axis, index) in coords.iter().enumerate() {
            let (at, size) = (scope.index(index), self.size_in_run(scope, x, axis));
            if self.graph.ty(x).shape.0[axis].constant().is_none() {
                let check = scope.compare(CompareOp::Lt, at, size);
                inside = Some(inside.map_or(check, |all| scope.both(all, check)));
            }
            if !is_prefix {
                place = Some(match place {
                    None => at,
                    Some(before) => {
                        let before = scope.mul(before, size);
                        scope.add(before, at)
                    }
                });
            }
        }
        let element = match place {
            None => scope.load(&home, coords, Guard::Clamp),
            Some(place) => scope.load(&self.flat(&home), &[Scope::dynamic(place)], Guard::Clamp),
        };
        let nothing = scope.constant(Scalar::of(home.dtype, 0));
        inside.map_or(element, |inside| scope.select(inside, element, nothing))
    }

    /// A dense tensor as one axis.
    fn flat(&self, location: &Location) -> Location {
        Location::dense(location.buffer, location.dtype, &[location.shape().iter().product()])
    }

    /// A result at its sizes in this run: element after element, each from where it lies at the greatest sizes.
    pub(crate) fn emit_trim(&mut self, group: &Group) {
        let graph = self.graph;
        let node = &graph.ops[group.frame];
        let (x, result) = (node.operands[0], node.results[0]);
        let home = self.home(group.root);
        if self.is_prefix(result) {
            self.emit_copy(x, &home, Some(group));
            return;
        }
        let flat = self.flat(&home);
        let mut draft = Draft::new(&flat.shape());
        let coords = draft.coords();
        let scope = &mut draft.scope;
        let mut rest = scope.index(&coords[0]);
        let mut from = vec![Affine::default(); self.dims(result).len()];
        for axis in (0..from.len()).rev() {
            if self.dims(result)[axis] == 1 {
                continue;
            }
            let size = self.size_in_run(scope, result, axis);
            from[axis] = Scope::dynamic(scope.binary(BinaryOp::Rem, rest, size));
            rest = scope.div(rest, size);
        }
        let element = self.read(&mut draft.scope, x, &from);
        draft.scope.note(group.frame);
        self.store(&mut draft, &flat, &coords, element);
        self.push_nest("trim", draft);
    }
}
