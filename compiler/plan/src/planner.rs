//! The state of planning: where values lie, the constants, and the kernels so far.

use crate::PlanOptions;
use crate::constants::{Constants, Kept};
use crate::draft::Draft;
use crate::group::{Groups, Role};
use crate::location::Location;
use crate::shapes::Shapes;
use cranelift_entity::{PrimaryMap, SecondaryMap};
use mlp_bundle::DType;
use mlp_bundle::loops::{Affine, Body, BufferId, ExprId, Kernel, Store, SymbolId};
use mlp_bundle::plan::Symbol;
use mlp_graph::shape::SymId;
use mlp_graph::{Graph, Op, OpId, Tensor, ValueId};

/// A buffer before it has a place.
pub(crate) struct Pending {
    pub(crate) name: String,
    pub(crate) dtype: DType,
    pub(crate) len: u64,
    /// Where the constant that it holds begins in the weights; none in the arena.
    pub(crate) constant: Option<u64>,
}

/// The state of planning one graph.
pub(crate) struct Planner<'g> {
    pub(crate) options: PlanOptions,
    pub(crate) graph: &'g Graph,
    pub(crate) shapes: Shapes,
    pub(crate) groups: Groups,
    pub(crate) buffers: PrimaryMap<BufferId, Pending>,
    pub(crate) constants: Constants,
    pub(crate) kernels: Vec<Kernel>,
    pub(crate) symbols: PrimaryMap<SymbolId, Symbol>,
    pub(crate) symbol_of: SecondaryMap<SymId, Option<SymbolId>>,
    /// Memory of frames that are stored apart from their tail.
    pub(crate) frames: SecondaryMap<ValueId, Option<Location>>,
    /// Dense copies of values that are read otherwise.
    pub(crate) copies: SecondaryMap<ValueId, Option<Location>>,
    locations: SecondaryMap<ValueId, Option<Location>>,
}

impl<'g> Planner<'g> {
    pub(crate) fn new(graph: &'g Graph, shapes: Shapes, groups: Groups, options: PlanOptions) -> Planner<'g> {
        // Packing pads some; more room is found where it is not enough.
        let room = graph.tensors.values().map(|tensor| tensor.bytes().len()).sum();
        Planner {
            options,
            graph,
            shapes,
            groups,
            buffers: PrimaryMap::new(),
            constants: Constants::with_room(room),
            kernels: Vec::new(),
            symbols: PrimaryMap::new(),
            symbol_of: SecondaryMap::new(),
            frames: SecondaryMap::new(),
            copies: SecondaryMap::new(),
            locations: SecondaryMap::new(),
        }
    }

    pub(crate) fn dims(&self, value: ValueId) -> &[u64] {
        self.shapes.dims(value)
    }

    pub(crate) fn dtype(&self, value: ValueId) -> DType {
        self.graph.ty(value).dtype
    }

    pub(crate) fn role(&self, value: ValueId) -> Role {
        self.groups.roles[value]
    }

    /// A new arena buffer.
    pub(crate) fn buffer(&mut self, name: String, dtype: DType, len: u64) -> BufferId {
        self.buffers.push(Pending { name, dtype, len, constant: None })
    }

    /// A new arena buffer that holds a tensor of that shape.
    pub(crate) fn dense(&mut self, name: String, dtype: DType, shape: &[u64]) -> Location {
        let buffer = self.buffer(name, dtype, shape.iter().product());
        Location::dense(buffer, dtype, shape)
    }

    /// The buffer of a constant, whose bytes `write` appends to the weights; shared with equal ones.
    pub(crate) fn constant(&mut self, name: &str, dtype: DType, write: impl FnOnce(&mut Vec<u8>)) -> BufferId {
        let next = self.buffers.next_key();
        let Kept { buffer, offset, bytes } = self.constants.keep(dtype, next, write);
        if buffer == next {
            let len = bytes / dtype.size() as u64;
            self.buffers.push(Pending { name: name.to_owned(), dtype, len, constant: Some(offset) });
        }
        buffer
    }

    /// The buffer of a constant tensor.
    pub(crate) fn constant_tensor(&mut self, name: &str, tensor: &Tensor) -> Location {
        let buffer = self.constant(name, tensor.dtype(), |file| file.extend_from_slice(tensor.bytes()));
        Location::dense(buffer, tensor.dtype(), tensor.shape())
    }

    /// The data of a value that is constant, seen through reshapes.
    pub(crate) fn tensor(&self, value: ValueId) -> Option<Tensor> {
        let node = self.graph.defining(value)?;
        match node.op {
            Op::Constant(tensor) => Some(self.graph.tensors[tensor].clone()),
            Op::Reshape => self.tensor(node.operands[0])?.reshaped(self.dims(value)).ok(),
            _ => None,
        }
    }

    /// A readable name for a value: that of the operation that defines it.
    pub(crate) fn value_name(&self, value: ValueId) -> String {
        match self.graph.definition(value) {
            Some((op, 0)) => self.graph.origin_name(op),
            Some((op, index)) => format!("{}:{index}", self.graph.origin_name(op)),
            None => value.to_string(),
        }
    }

    /// Says where a value lies.
    pub(crate) fn place(&mut self, value: ValueId, location: Location) {
        self.locations[value] = Some(location);
    }

    /// Whether a value has its place already.
    pub(crate) fn is_placed(&self, value: ValueId) -> bool {
        self.locations[value].is_some()
    }

    /// Where a stored value lies; its memory is made where it has none yet.
    pub(crate) fn home(&mut self, value: ValueId) -> Location {
        if let Some(location) = &self.locations[value] {
            return location.clone();
        }
        let location = match self.tensor(value) {
            Some(tensor) if self.role(value) == Role::Constant => self.constant_tensor(&self.value_name(value), &tensor),
            _ => {
                let dims = self.dims(value).to_vec();
                self.dense(self.value_name(value), self.dtype(value), &dims)
            }
        };
        self.locations[value] = Some(location.clone());
        location
    }

    /// Where a value lies, seen through index maps that strides can say; none where it is computed.
    pub(crate) fn view(&mut self, value: ValueId) -> Option<Location> {
        match self.role(value) {
            Role::Inline => {}
            Role::Inner | Role::Dead => return None,
            _ => return Some(self.home(value)),
        }
        let node = self.graph.defining(value)?;
        let dims = self.dims(value).to_vec();
        match &node.op {
            Op::Reshape => self.view(node.operands[0])?.reshaped(&dims),
            Op::Transpose { perm } => Some(self.view(node.operands[0])?.transposed(perm)),
            Op::Slice { starts, steps } => self.view(node.operands[0])?.sliced(starts, steps, &dims),
            _ => None,
        }
    }

    /// Appends a kernel, named after what it is and its place in the order.
    pub(crate) fn push_kernel(&mut self, what: &str, origins: &[OpId], body: Body) {
        let name = format!("{what}_{}", self.kernels.len());
        let mut ops = origins.to_vec();
        ops.sort_unstable();
        let origin = ops.into_iter().map(|op| self.graph.origin_name(op)).collect();
        self.kernels.push(Kernel { name, origin, body });
    }

    /// Appends a nest, unless it has no point to compute.
    pub(crate) fn push_nest(&mut self, what: &str, draft: Draft) {
        let origins = draft.scope.origins.clone();
        if let Some(nest) = draft.finish() {
            self.push_kernel(what, &origins, Body::Nest(nest));
        }
    }

    /// A store of one element of `location`.
    pub(crate) fn store(&mut self, draft: &mut Draft, location: &Location, coords: &[Affine], value: ExprId) {
        let access = draft.scope.access(location, coords, crate::scope::Guard::Clamp);
        draft.stores.push(Store { access, value });
    }
}
