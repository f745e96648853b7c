//! An ensemble of trees as tables.

use crate::onnx::node::{Problem, invalid};

/// Levels of a tree: each is a step at run time.
const DEPTH: usize = 1024;

/// How a node compares a feature with its split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Branch {
    LessOrEqual,
    Less,
    GreaterOrEqual,
    Greater,
    Equal,
    NotEqual,
}

impl Branch {
    /// Whether a feature that is less, equal, greater, or no number goes the way of "true".
    pub(super) fn outcomes(self, missing_is_true: bool) -> [bool; 4] {
        let [less, equal, greater] = match self {
            Branch::LessOrEqual => [true, true, false],
            Branch::Less => [true, false, false],
            Branch::GreaterOrEqual => [false, true, true],
            Branch::Greater => [false, false, true],
            Branch::Equal => [false, true, false],
            Branch::NotEqual => [true, false, true],
        };
        // A comparison with NaN is false but for "not equal".
        [less, equal, greater, missing_is_true || self == Branch::NotEqual]
    }
}

/// What a leaf says of a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Weight {
    pub(super) node: u32,
    pub(super) target: u32,
    pub(super) value: f64,
}

/// Whether trees say something of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// Some tree does at each of its leaves.
    Always,
    /// It depends on the row.
    Sometimes,
    /// No leaf does.
    Never,
}

/// All nodes of all trees, leaves among them.
#[derive(Debug, Default)]
pub(super) struct Forest {
    /// Which feature a node compares.
    pub(super) features: Vec<u32>,
    /// What it compares it with.
    pub(super) splits: Vec<f64>,
    /// The node after it where the feature is less, equal, greater, or no number; itself for a leaf.
    pub(super) next: Vec<[u32; 4]>,
    /// The first node of each tree.
    pub(super) roots: Vec<u32>,
    /// What leaves say.
    pub(super) weights: Vec<Weight>,
    /// Targets, or classes.
    pub(super) targets: u32,
    /// The nodes that walks reach, each after those that follow it.
    pub(super) order: Vec<u32>,
}

impl Forest {
    /// No tree yet.
    pub(super) fn new(targets: u32) -> Forest {
        Forest { targets, ..Forest::default() }
    }

    /// Adds a node, a leaf for now.
    pub(super) fn leaf(&mut self) -> u32 {
        let node = self.features.len() as u32;
        self.features.push(0);
        self.splits.push(0.0);
        self.next.push([node; 4]);
        node
    }

    /// Makes a node compare.
    pub(super) fn branch(&mut self, node: u32, feature: u32, split: f64, outcomes: [bool; 4], yes: u32, no: u32) {
        self.features[node as usize] = feature;
        self.splits[node as usize] = split;
        self.next[node as usize] = outcomes.map(|outcome| if outcome { yes } else { no });
    }

    /// Checks that every walk from a root ends at a leaf, and that none is too long.
    pub(super) fn finish(mut self) -> Result<Forest, Problem> {
        if self.roots.is_empty() {
            return invalid("it holds no tree");
        }
        if let Some(weight) = self.weights.iter().find(|weight| weight.target >= self.targets) {
            return invalid(format!("a leaf has a weight for target {} of {}", weight.target, self.targets));
        }
        let mut height: Vec<Option<usize>> = vec![None; self.features.len()];
        let mut open = vec![false; self.features.len()];
        let mut pending = self.roots.clone();
        while let Some(&node) = pending.last() {
            let at = node as usize;
            if height[at].is_some() {
                pending.pop();
                continue;
            }
            let after: Vec<u32> = self.next[at].iter().copied().filter(|&next| next != node).collect();
            let unknown: Vec<u32> = after.iter().copied().filter(|&next| height[next as usize].is_none()).collect();
            if unknown.is_empty() {
                height[at] = Some(after.iter().filter_map(|&next| height[next as usize]).max().map_or(0, |below| below + 1));
                self.order.push(node);
                pending.pop();
            } else if std::mem::replace(&mut open[at], true) {
                // It waits for nodes that were all visited since: one of them waits for it.
                return invalid(format!("the walk through node {node} comes back to it, so that the nodes are no trees"));
            } else {
                pending.extend(unknown);
            }
        }
        let depth = self.roots.iter().filter_map(|&root| height[root as usize]).max().unwrap_or(0);
        if depth > DEPTH {
            return invalid(format!("a tree is {depth} levels deep; {DEPTH} are supported"));
        }
        Ok(self)
    }

    /// How many nodes there are.
    pub(super) fn len(&self) -> usize {
        self.features.len()
    }

    /// 1 for each node that says something of a target, else 0.
    pub(super) fn presences(&self, target: u32) -> Vec<f64> {
        let mut table = vec![0.0; self.len()];
        self.weights.iter().filter(|weight| weight.target == target).for_each(|weight| table[weight.node as usize] = 1.0);
        table
    }

    /// The weight of each node for each target, row-major; `missing` where it has none. Several add up.
    pub(super) fn table(&self, missing: f64) -> Vec<f64> {
        let mut table = vec![missing; self.features.len() * self.targets as usize];
        for weight in &self.weights {
            let entry = &mut table[weight.node as usize * self.targets as usize + weight.target as usize];
            *entry = if *entry == missing { weight.value } else { *entry + weight.value };
        }
        table
    }

    /// Whether trees say something of a target.
    pub(super) fn presence(&self, target: u32) -> Presence {
        // First of leaves, then of nodes: whether all leaves below do.
        let mut has = vec![false; self.features.len()];
        self.weights.iter().filter(|weight| weight.target == target).for_each(|weight| has[weight.node as usize] = true);
        if !self.order.iter().any(|&node| has[node as usize]) {
            return Presence::Never;
        }
        for &node in &self.order {
            let next = self.next[node as usize];
            if next != [node; 4] {
                has[node as usize] = next.iter().all(|&next| has[next as usize]);
            }
        }
        if self.roots.iter().any(|&root| has[root as usize]) { Presence::Always } else { Presence::Sometimes }
    }

    /// Whether no weight is negative: scores are probabilities then.
    pub(super) fn is_positive(&self) -> bool {
        self.weights.iter().all(|weight| weight.value >= 0.0)
    }
}
