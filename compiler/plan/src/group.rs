//! Which operations become one kernel.
//!
//! A *group* starts at a frame: an operation whose result is computed at its own coordinates (a contraction, a reduction, or a map whose
//! result many read). It then takes in every map that reads the frame's value at the same coordinates, as long as one value at most
//! leaves the group: its root, the one value of the group that gets memory. A group of maps takes in table look-ups as well, so that a walk
//! whose place many read is one kernel for several steps. Everything else is inlined: a map that one operation
//! reads is computed where it is read, and a movement operation is an index map that costs nothing. So an operation belongs to a
//! group's tail, to the expressions of whoever reads it, or starts a group.

use crate::PlanOptions;
use crate::shapes::Shapes;
use crate::topk::MAX_KEPT;
use cranelift_entity::SecondaryMap;
use mlp_bundle::DType;
use mlp_graph::{Graph, Op, OpId, ValueId};
use std::collections::{BTreeSet, HashMap};

/// Buffers that one kernel may read: with one or two written ones, WebGPU's default of eight storage buffers a stage is kept.
const MAX_READS: usize = 6;

/// Operations that one kernel may compute a point.
const MAX_SIZE: usize = 48;

/// Buffers that are kept free for what follows a normalization: its scale and its bias.
const ROW_PARAMETERS: usize = 2;

/// Operations that a reduction may compute for each element it reads.
const MAX_PROLOGUE: usize = 8;

/// How a value comes about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nobody needs it.
    #[default]
    Dead,
    /// A graph input.
    Input,
    /// A constant.
    Constant,
    /// It is computed where it is read.
    Inline,
    /// It lives inside a group.
    Inner,
    /// A group stores it.
    Root,
    /// Its parts are stored one by one: a concatenation.
    Assembled,
}

/// One fusion group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The operation it starts at.
    pub(crate) frame: OpId,
    /// The maps and reshapes that follow, in order.
    pub(crate) tail: Vec<OpId>,
    /// What it stores.
    pub(crate) root: ValueId,
}

/// All decisions.
pub(crate) struct Groups {
    /// How each value comes about.
    pub(crate) roles: SecondaryMap<ValueId, Role>,
    /// The groups, in an order of execution, and concatenations among them.
    pub(crate) groups: Vec<Group>,
}

/// What an operation means for fusion.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Constant,
    /// Elementwise.
    Map,
    /// An index map.
    Movement,
    Gather,
    Concat,
    /// A reduction that reads each element of its operand once.
    Reduction,
    /// A kernel over rows, which reads each element a few times, all but the first from the cache.
    Rows,
    /// Anything else that starts a group.
    Anchor,
}

fn kind(op: &Op, options: &PlanOptions) -> Kind {
    match op {
        Op::Softmax { .. } | Op::Normalize { .. } if options.rows => Kind::Rows,
        Op::Constant(_) => Kind::Constant,
        Op::Unary(_) | Op::Binary(_) | Op::Compare(_) | Op::Select | Op::Cast(_) | Op::Bitcast(_) => Kind::Map,
        Op::Quantize { .. } | Op::Dequantize { .. } | Op::QuantizedAdd { .. } | Op::BatchNorm { .. } => Kind::Map,
        Op::Reshape | Op::Transpose { .. } | Op::Broadcast | Op::Slice { .. } | Op::Pad { .. } => Kind::Movement,
        Op::Gather { .. } => Kind::Gather,
        Op::Symbol(_) | Op::Size { .. } | Op::Extend => Kind::Map,
        Op::Concat { .. } => Kind::Concat,
        // A long ranking reads each element as often as there are others.
        Op::TopK { k, .. } if *k > MAX_KEPT => Kind::Anchor,
        Op::Reduce { .. } | Op::ArgReduce { .. } | Op::QuantizedMean { .. } | Op::TopK { .. } => Kind::Reduction,
        _ => Kind::Anchor,
    }
}

/// A float type that must be rounded through memory.
fn is_narrow_float(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

struct Grouping<'g> {
    options: &'g PlanOptions,
    graph: &'g Graph,
    shapes: &'g Shapes,
    users: SecondaryMap<ValueId, Vec<OpId>>,
    outputs: SecondaryMap<ValueId, u32>,
    position: SecondaryMap<OpId, usize>,
    claimed: SecondaryMap<OpId, bool>,
    roles: SecondaryMap<ValueId, Role>,
    /// Operations computed where an inline value is read; 0 where it is only moved.
    size: SecondaryMap<ValueId, usize>,
    /// Stored values and constants that an inline value reads.
    leaves: SecondaryMap<ValueId, BTreeSet<ValueId>>,
    groups: Vec<Group>,
}

/// Decides what is fused with what.
pub(crate) fn group(graph: &Graph, shapes: &Shapes, options: &PlanOptions) -> Groups {
    let mut grouping = Grouping {
        options,
        graph,
        shapes,
        users: graph.users(),
        outputs: SecondaryMap::new(),
        position: SecondaryMap::new(),
        claimed: SecondaryMap::new(),
        roles: SecondaryMap::new(),
        size: SecondaryMap::new(),
        leaves: SecondaryMap::new(),
        groups: Vec::new(),
    };
    grouping.drop_dead();
    for port in &graph.inputs {
        grouping.roles[port.value] = Role::Input;
    }
    for (position, &op) in graph.order.iter().enumerate() {
        grouping.position[op] = position;
    }
    for &op in &graph.order {
        if !grouping.claimed[op] && !grouping.is_dead(op) {
            grouping.decide(op);
        }
    }
    let Grouping { mut groups, roles, position, .. } = grouping;
    let last = |group: &Group| position[*group.tail.last().unwrap_or(&group.frame)];
    groups.sort_by_key(last);
    Groups { roles, groups }
}

impl Grouping<'_> {
    /// Counts outputs, and forgets the users that nobody needs.
    fn drop_dead(&mut self) {
        for port in &self.graph.outputs {
            self.outputs[port.value] += 1;
        }
        for &op in self.graph.order.iter().rev() {
            if self.is_dead(op) {
                for &operand in &self.graph.ops[op].operands {
                    self.users[operand].retain(|&user| user != op);
                }
            }
        }
    }

    fn kind(&self, op: OpId) -> Kind {
        kind(&self.graph.ops[op].op, self.options)
    }

    fn is_dead(&self, op: OpId) -> bool {
        self.graph.ops[op].results.iter().all(|&result| self.users[result].is_empty() && self.outputs[result] == 0)
    }

    fn decide(&mut self, op: OpId) {
        let node = &self.graph.ops[op];
        let result = node.results[0];
        match self.kind(op) {
            Kind::Constant => self.roles[result] = Role::Constant,
            Kind::Map | Kind::Gather => {
                self.account(op);
                if self.may_inline(op) { self.roles[result] = Role::Inline } else { self.start(op) }
            }
            Kind::Movement => {
                self.account(op);
                let moves = self.size[result] == 0 || self.may_inline(op);
                let stored = self.outputs[result] > 0 && node.op != Op::Reshape;
                if moves && !stored && self.users[result].iter().all(|&user| self.takes_movement(user, result)) {
                    self.roles[result] = Role::Inline;
                } else {
                    self.start(op);
                }
            }
            Kind::Concat => {
                self.roles[result] = Role::Assembled;
                self.groups.push(Group { frame: op, tail: Vec::new(), root: result });
            }
            Kind::Reduction | Kind::Rows | Kind::Anchor => {
                self.account(op);
                self.start(op);
            }
        }
    }

    /// Works out what an operation reads, and stores operands where that is too much.
    fn account(&mut self, op: OpId) {
        let node = &self.graph.ops[op];
        let result = node.results[0];
        let own = usize::from(self.kind(op) != Kind::Movement);
        let reads = if self.kind(op) == Kind::Rows { MAX_READS - ROW_PARAMETERS } else { MAX_READS };
        loop {
            let (mut size, mut leaves) = (own, BTreeSet::new());
            for &operand in &node.operands {
                size += self.size_of(operand);
                leaves.extend(self.leaves_of(operand));
            }
            let inline = |operand: &&ValueId| self.roles[**operand] == Role::Inline;
            let widest = node.operands.iter().filter(inline).max_by_key(|&&operand| (self.leaves[operand].len(), self.size[operand]));
            match widest {
                Some(&operand) if leaves.len() > reads || size > MAX_SIZE => self.store(operand),
                _ => {
                    self.size[result] = size;
                    self.leaves[result] = leaves;
                    return;
                }
            }
        }
    }

    fn size_of(&self, value: ValueId) -> usize {
        if self.roles[value] == Role::Inline { self.size[value] } else { 0 }
    }

    /// The buffers read for a value: none for a constant that becomes part of the code.
    fn leaves_of(&self, value: ValueId) -> BTreeSet<ValueId> {
        if self.roles[value] == Role::Inline {
            return self.leaves[value].clone();
        }
        let in_code = self.graph.constant_of(value).is_some_and(|tensor| tensor.uniform().is_some());
        if in_code { BTreeSet::new() } else { BTreeSet::from([value]) }
    }

    /// Gives an inline value memory after all.
    fn store(&mut self, value: ValueId) {
        let (op, _) = self.graph.definition(value).expect("an inline value is a result");
        self.roles[value] = Role::Root;
        self.groups.push(Group { frame: op, tail: Vec::new(), root: value });
    }

    /// Whether a map's result can be computed where it is read.
    fn may_inline(&self, op: OpId) -> bool {
        let result = self.graph.ops[op].results[0];
        let users = &self.users[result];
        let narrow = is_narrow_float(self.graph.ty(result).dtype);
        let Some(&user) = users.first() else { return false };
        self.outputs[result] == 0 && !narrow && users.iter().all(|&other| other == user) && self.takes_map(user, result)
    }

    /// Whether an operation may compute its operand as it reads it.
    fn takes_map(&self, user: OpId, operand: ValueId) -> bool {
        let node = &self.graph.ops[user];
        let grows = self.shapes.elements(node.results[0]) > self.shapes.elements(operand);
        match self.kind(user) {
            _ if self.claimed[user] => false,
            Kind::Map => !grows || self.size[operand] <= 1,
            Kind::Movement => node.op != Op::Reshape && (!grows || matches!(node.op, Op::Pad { .. })),
            // Only the indices: of the other operand a gather may read one element many times.
            Kind::Gather => operand != node.operands[0],
            Kind::Reduction | Kind::Rows => self.size[operand] <= MAX_PROLOGUE,
            _ => false,
        }
    }

    /// Whether an operation reads an index map's result as well as it would read memory.
    fn takes_movement(&self, user: OpId, moved: ValueId) -> bool {
        self.graph.ops[user].op != Op::Reshape || self.is_view(moved) || self.shapes.joins(self.graph.ops[user].results[0], moved)
    }

    /// Whether a value is a stored one under another shape.
    fn is_view(&self, mut value: ValueId) -> bool {
        while let Some(node) = self.graph.defining(value) {
            if node.op != Op::Reshape {
                break;
            }
            value = node.operands[0];
            if self.roles[value] != Role::Inline {
                return true;
            }
        }
        false
    }

    /// Starts a group at an operation and takes in what follows.
    fn start(&mut self, op: OpId) {
        let node = &self.graph.ops[op];
        self.claimed[op] = true;
        // Attention has no expressions that a tail could join.
        let grows = node.results.len() == 1 && !matches!(node.op, Op::Attention { .. } | Op::Trim);
        let (tail, root) = if grows { self.grow(op) } else { (Vec::new(), node.results[0]) };
        for &member in tail.iter().chain([&op]) {
            self.claimed[member] = true;
            for &result in &self.graph.ops[member].results {
                self.roles[result] = Role::Inner;
            }
        }
        if node.results.len() == 1 {
            self.roles[root] = Role::Root;
        } else {
            node.results.iter().for_each(|&result| self.roles[result] = Role::Root);
        }
        self.groups.push(Group { frame: op, tail, root });
    }

    /// The longest tail after which one value is left to others, and that value.
    fn grow(&self, op: OpId) -> (Vec<OpId>, ValueId) {
        let frame = self.graph.ops[op].results[0];
        let mut members = vec![frame];
        let mut open = HashMap::from([(frame, self.uses(frame))]);
        let mut leaves = self.leaves[frame].clone();
        let mut size = self.size[frame];
        let (mut tail, mut best): (Vec<OpId>, _) = (Vec::new(), (0, frame));
        while let Some(next) = self.next_user(&members, &tail) {
            let node = &self.graph.ops[next];
            if !self.follows(next, &members) {
                break;
            }
            let result = node.results[0];
            size += 1;
            for operand in &node.operands {
                match open.get_mut(operand) {
                    Some(uses) => *uses -= 1,
                    None => {
                        size += self.size_of(*operand);
                        leaves.extend(self.leaves_of(*operand));
                    }
                }
            }
            if leaves.len() > MAX_READS || size > MAX_SIZE {
                break;
            }
            tail.push(next);
            members.push(result);
            open.insert(result, self.uses(result));
            if open.iter().all(|(&value, &uses)| (uses > 0) == (value == result)) {
                best = (tail.len(), result);
            }
        }
        tail.truncate(best.0);
        (tail, best.1)
    }

    fn uses(&self, value: ValueId) -> usize {
        self.users[value].len() + self.outputs[value] as usize
    }

    /// The first operation in order, not taken in yet, that reads a member.
    fn next_user(&self, members: &[ValueId], tail: &[OpId]) -> Option<OpId> {
        let users = members.iter().flat_map(|&member| self.users[member].iter().copied());
        users.filter(|user| !tail.contains(user)).min_by_key(|&user| self.position[user])
    }

    /// Whether an operation computes its result at the coordinates of the members that it reads.
    fn follows(&self, op: OpId, members: &[ValueId]) -> bool {
        let node = &self.graph.ops[op];
        let result = node.results[0];
        if self.claimed[op] || node.operands.iter().any(|operand| is_narrow_float(self.graph.ty(*operand).dtype)) {
            return false;
        }
        let read = node.operands.iter().filter(|operand| members.contains(operand));
        match self.kind(op) {
            Kind::Map => read.into_iter().all(|&operand| self.shapes.dims(operand) == self.shapes.dims(result)),
            Kind::Movement => node.op == Op::Reshape && self.shapes.joins(members[0], result),
            // A look-up at each element, in a table that is there before: nothing that a contraction's epilogue should do.
            Kind::Gather => {
                let (table, indices) = (node.operands[0], node.operands[1]);
                let of_maps =
                    self.graph.definition(members[0]).is_some_and(|(frame, _)| matches!(self.kind(frame), Kind::Map | Kind::Gather));
                of_maps && !members.contains(&table) && self.shapes.dims(indices) == self.shapes.dims(result)
            }
            _ => false,
        }
    }
}
