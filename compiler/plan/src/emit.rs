//! From groups to kernels, in order: the frame's nest or contraction, then the tail's expressions, then one store of the root.

use crate::PlanError;
use crate::draft::Draft;
use crate::group::{Group, Role};
use crate::location::Location;
use crate::planner::Planner;
use crate::resize::Request;
use crate::scope::Guard;
use mlp_bundle::DType;
use mlp_bundle::loops::{Affine, ExprId};
use mlp_graph::{Op, ValueId};
use std::collections::HashMap;

impl Planner<'_> {
    /// Makes the kernels of all groups.
    pub(crate) fn emit_all(&mut self) -> Result<(), PlanError> {
        let groups = self.groups.groups.clone();
        // Outer concatenations first, so that an inner one lies in its part of the outer.
        for group in groups.iter().rev() {
            if let Op::Concat { axis } = self.graph.ops[group.frame].op {
                self.place_parts(group, axis as usize);
            }
        }
        groups.iter().try_for_each(|group| self.emit(group))
    }

    fn emit(&mut self, group: &Group) -> Result<(), PlanError> {
        let graph = self.graph;
        let node = &graph.ops[group.frame];
        match &node.op {
            Op::Concat { axis } => self.emit_concat(group, *axis as usize),
            Op::Conv { .. } | Op::QuantizedConv { .. } => self.emit_conv(group),
            Op::MatMul => self.emit_matmul(group),
            Op::QuantizedMatMul { .. } => self.emit_quantized_matmul(group),
            Op::Reduce { kind, axes, .. } => self.emit_reduce(group, *kind, axes),
            Op::ArgReduce { max, axis, last, .. } => self.emit_arg_reduce(group, *max, *axis as usize, *last),
            Op::QuantizedMean { .. } => self.emit_quantized_mean(group),
            Op::TopK { k, axis, largest } => self.emit_top_k(group, *k, *axis as usize, *largest),
            Op::Pool { kind, spatial, layout } => self.emit_pool(group, *kind, spatial, *layout),
            Op::MaxPoolIndices { spatial, column_major } => self.emit_pool_indices(group, spatial, *column_major),
            Op::Softmax { axis } if self.options.rows && self.dtype(node.operands[0]).compute() == DType::F32 => {
                self.emit_row_softmax(group, *axis as usize);
            }
            Op::Softmax { axis } => self.emit_softmax(group, *axis as usize),
            Op::Normalize { axis, epsilon, centred } => self.emit_normalize(group, *axis as usize, f32::from_bits(*epsilon), *centred),
            Op::Attention { scale, guarded } => self.emit_attention(group, *scale, *guarded),
            Op::ImageResize { height, width, fit, filter, fill } => {
                let request = Request { target: [*height, *width], fit: *fit, filter: *filter, fill: f32::from_bits(*fill) };
                self.emit_resize(group, request)?;
            }
            Op::ImageSize => self.emit_image_size(group),
            Op::Trim => self.emit_trim(group),
            _ => self.emit_map(group),
        }
        Ok(())
    }

    /// A map or movement: each element of the frame on its own.
    fn emit_map(&mut self, group: &Group) {
        let result = self.graph.ops[group.frame].results[0];
        let mut draft = Draft::new(self.dims(result));
        let coords = draft.coords();
        let value = self.compute(&mut draft.scope, group.frame, &coords);
        self.finish_tail(&mut draft, group, value, coords);
        let what = match self.graph.ops[group.frame].op {
            Op::Reshape | Op::Transpose { .. } | Op::Broadcast | Op::Slice { .. } | Op::Pad { .. } => "move",
            Op::Gather { .. } => "gather",
            _ => "map",
        };
        self.push_nest(what, draft);
    }

    /// Computes a group's tail from its frame's value at `coords`, and stores the root.
    pub(crate) fn finish_tail(&mut self, draft: &mut Draft, group: &Group, frame: ExprId, coords: Vec<Affine>) {
        let graph = self.graph;
        draft.scope.note(group.frame);
        let mut last = (graph.ops[group.frame].results[0], frame);
        draft.scope.bind(last.0, frame);
        let mut places = HashMap::from([(last.0, coords)]);
        for &op in &group.tail {
            let node = &graph.ops[op];
            let result = node.results[0];
            let from = *node.operands.iter().find(|operand| places.contains_key(operand)).expect("a tail reads its group");
            let mut coords = places[&from].clone();
            let value = if node.op == Op::Reshape {
                draft.scope.note(op);
                coords = draft.scope.divided(&coords, self.dims(from), self.dims(result));
                draft.scope.recall(from, &[]).expect("members are bound")
            } else {
                self.compute(&mut draft.scope, op, &coords)
            };
            draft.scope.bind(result, value);
            places.insert(result, coords);
            last = (result, value);
        }
        let home = self.home(group.root);
        self.store(draft, &home, &places[&last.0], last.1);
    }

    /// The whole group as a map of a frame that is stored at `location`: what is left where a contraction cannot take its tail.
    pub(crate) fn emit_tail(&mut self, group: &Group, location: &Location) {
        let mut draft = Draft::new(&location.shape());
        let coords = draft.coords();
        let frame = draft.scope.load(location, &coords, Guard::Clamp);
        self.finish_tail(&mut draft, group, frame, coords);
        self.push_nest("map", draft);
    }

    /// Lets what only a concatenation reads be stored where it belongs.
    fn place_parts(&mut self, group: &Group, axis: usize) {
        let graph = self.graph;
        let node = &graph.ops[group.frame];
        let home = self.home(group.root);
        let mut start = 0;
        for &operand in &node.operands {
            let size = self.dims(operand)[axis];
            let stored = matches!(self.role(operand), Role::Root | Role::Assembled);
            if stored && self.reads(operand) == 1 && !self.is_placed(operand) && self.shapes.elements(operand) > 0 {
                self.place(operand, home.part(axis, start, size));
            }
            start += size;
        }
    }

    /// How often a value is read or handed out.
    fn reads(&self, value: ValueId) -> usize {
        let operands = self.graph.order.iter().flat_map(|&op| &self.graph.ops[op].operands);
        operands.chain(self.graph.outputs.iter().map(|port| &port.value)).filter(|&&read| read == value).count()
    }

    /// Copies the parts that do not lie in their place already.
    fn emit_concat(&mut self, group: &Group, axis: usize) {
        let graph = self.graph;
        let home = self.home(group.root);
        let mut start = 0;
        for &operand in &graph.ops[group.frame].operands {
            let dims = self.dims(operand).to_vec();
            let part = home.part(axis, start, dims[axis]);
            start += dims[axis];
            let stored = matches!(self.role(operand), Role::Root | Role::Assembled);
            if stored && self.home(operand) == part {
                continue;
            }
            self.emit_copy(operand, &part, Some(group));
        }
    }

    /// Copies a value to some place.
    pub(crate) fn emit_copy(&mut self, value: ValueId, to: &Location, group: Option<&Group>) {
        let mut draft = Draft::new(&to.shape());
        let coords = draft.coords();
        let element = self.read(&mut draft.scope, value, &coords);
        let maker = self.graph.definition(value).map(|(op, _)| op);
        maker.into_iter().chain(group.map(|group| group.frame)).for_each(|op| draft.scope.note(op));
        self.store(&mut draft, to, &coords, element);
        self.push_nest("copy", draft);
    }
}
