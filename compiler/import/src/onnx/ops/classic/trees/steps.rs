//! A forest as records that a walk reads one after the other.
//!
//! The two records that follow one lie side by side, so that a record names the first of them, and a comparison is added to that. A leaf is followed
//! by itself. What a record compares, and where it leads, are three tables; where all comparisons of a forest are of one form, as they are in what
//! training gives, it is in the code, else two bits of the record say which it is.

use super::forest::Forest;
use crate::onnx::node::{Problem, unsupported};

/// Of a record's word in [`Form::Mixed`], the bit that says that an equal feature goes on as a greater one does.
pub(super) const EQUAL_IS_MORE: u32 = 1;

/// The bit that says that a NaN goes on as a greater feature does.
pub(super) const MISSING_IS_MORE: u32 = 2;

/// How records compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// All as one: with `<` where `strict`, else with `<=`, and a NaN goes on as a lesser feature or as a greater one.
    Same { strict: bool, missing_is_less: bool },
    /// As bits of their words say.
    Mixed,
}

impl Form {
    /// The bits of a record's word below its followers: the lowest tells whether there are two.
    pub(super) fn bits(self) -> u32 {
        if self == Form::Mixed { 3 } else { 1 }
    }
}

/// All records of all trees, the roots first.
#[derive(Debug)]
pub(super) struct Steps {
    /// Which feature a record compares; 0 for a leaf.
    pub(super) features: Vec<u32>,
    /// What it compares it with.
    pub(super) splits: Vec<f64>,
    /// The first of the records after it, shifted by [`Form::bits`], and those bits.
    pub(super) words: Vec<u32>,
    /// The node of the forest that it is, for leaves.
    pub(super) nodes: Vec<u32>,
    pub(super) form: Form,
    pub(super) trees: usize,
    /// Steps from a root to the farthest leaf.
    pub(super) levels: usize,
}

impl Steps {
    fn push(&mut self, feature: u32, split: f64, word: u32) {
        self.features.push(feature);
        self.splits.push(split);
        self.words.push(word);
    }

    /// A table by node as one by record: `columns` numbers each.
    pub(super) fn weights(&self, table: &[f64], columns: usize) -> Vec<f64> {
        self.nodes.iter().flat_map(|&node| table[node as usize * columns..][..columns].iter().copied()).collect()
    }
}

/// What a record compares. `less` and `more` are states: nodes, and after them the second comparisons of nodes that ask for equality.
#[derive(Clone, Copy, Debug)]
struct Test {
    node: u32,
    split: f64,
    strict: bool,
    missing_is_less: bool,
    less: u32,
    more: u32,
}

impl Forest {
    /// The node of a state, and whether the state is its second comparison.
    fn node_of(&self, state: u32) -> (u32, bool) {
        let count = self.len() as u32;
        if state < count { (state, false) } else { (state - count, true) }
    }

    /// The comparison of a state; none for a leaf.
    fn test(&self, state: u32) -> Option<Test> {
        let (node, second) = self.node_of(state);
        let [less, equal, more, missing] = self.next[node as usize];
        let split = self.splits[node as usize];
        let once = |strict| Test { node, split, strict, missing_is_less: missing == less, less, more };
        if [less, equal, more, missing] == [node; 4] {
            return None;
        }
        Some(if second {
            Test { node, split, strict: true, missing_is_less: false, less, more: equal }
        } else if less == equal && equal == more && missing != less {
            // Every number is at most infinite.
            Test { node, split: f64::INFINITY, strict: false, missing_is_less: false, less, more: missing }
        } else if less == equal {
            once(false)
        } else if equal == more {
            once(true)
        } else {
            // An equal feature goes elsewhere than both others: `x <= s`, and then `x < s`.
            Test { node, split, strict: false, missing_is_less: missing == equal, less: self.len() as u32 + node, more }
        })
    }

    /// Steps from a root to the farthest leaf.
    fn levels(&self) -> usize {
        let count = self.len() as u32;
        let mut height = vec![0_usize; 2 * self.len()];
        for &node in &self.order {
            for state in [count + node, node] {
                let after = self.test(state).map(|test| [test.less, test.more].into_iter().filter(|&next| next != node));
                let below = after.map(|after| after.map(|next| height[next as usize]).max().unwrap_or(0) + 1);
                height[state as usize] = below.unwrap_or(0);
            }
        }
        self.roots.iter().map(|&root| height[root as usize]).max().unwrap_or(0)
    }

    /// The one form of all comparisons that walks reach, where they have one.
    fn form(&self, states: &[u32]) -> Form {
        let mut forms = states.iter().filter_map(|&state| self.test(state)).map(|test| (test.strict, test.missing_is_less));
        let (strict, missing_is_less) = forms.next().unwrap_or_default();
        if forms.all(|form| form == (strict, missing_is_less)) { Form::Same { strict, missing_is_less } } else { Form::Mixed }
    }

    /// The records of all trees, those of one tree together.
    pub(super) fn steps(&self) -> Result<Steps, Problem> {
        let mut states = self.roots.clone();
        let mut firsts = Vec::new();
        let mut known = vec![None; 2 * self.len()];
        let mut follow = |states: &mut Vec<u32>, record: usize| {
            let state = states[record];
            let test = self.test(state)?;
            Some(*known[state as usize].get_or_insert_with(|| {
                states.extend([test.less, test.more]);
                states.len() - 2
            }))
        };
        let mut later = Vec::new();
        for root in 0..self.roots.len() {
            firsts.push(follow(&mut states, root));
            while self.roots.len() + later.len() < states.len() {
                later.push(follow(&mut states, self.roots.len() + later.len()));
            }
        }
        firsts.extend(later);
        let form = self.form(&states);
        if states.len() > (i32::MAX as usize) >> form.bits() {
            return unsupported(format!("a forest of {} nodes is too large to be indexed", states.len()));
        }
        let mut steps = Steps {
            features: Vec::with_capacity(states.len()),
            splits: Vec::with_capacity(states.len()),
            words: Vec::with_capacity(states.len()),
            nodes: states.iter().map(|&state| self.node_of(state).0).collect(),
            form,
            trees: self.roots.len(),
            levels: self.levels(),
        };
        for (record, (&state, first)) in states.iter().zip(firsts).enumerate() {
            let word = (first.unwrap_or(record) as u32) << form.bits() | u32::from(first.is_some());
            let Some(test) = self.test(state) else {
                steps.push(0, 0.0, word);
                continue;
            };
            let bits = u32::from(test.strict) << EQUAL_IS_MORE | u32::from(!test.missing_is_less) << MISSING_IS_MORE;
            steps.push(self.features[test.node as usize], test.split, if form == Form::Mixed { word | bits } else { word });
        }
        Ok(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::super::forest::{Branch, Forest};
    use super::*;

    /// Where a walk by the nodes ends.
    fn by_nodes(forest: &Forest, root: u32, x: &[f64]) -> u32 {
        let mut at = root as usize;
        for _ in 0..forest.len() {
            let (value, split) = (x[forest.features[at] as usize], forest.splits[at]);
            let outcome = [value < split, value == split, value > split, true].iter().position(|&holds| holds);
            at = forest.next[at][outcome.unwrap()] as usize;
        }
        at as u32
    }

    /// Where a walk by the records ends.
    fn by_records(steps: &Steps, tree: usize, x: &[f64]) -> u32 {
        let mut at = tree;
        for _ in 0..steps.levels {
            let (value, split, word) = (x[steps.features[at] as usize], steps.splits[at], steps.words[at]);
            let more = match steps.form {
                Form::Same { strict, missing_is_less } => match value.partial_cmp(&split) {
                    Some(order) => order.is_gt() || order.is_eq() && strict,
                    None => !missing_is_less,
                },
                Form::Mixed if value == split => word >> EQUAL_IS_MORE & 1 == 1,
                Form::Mixed if value.is_nan() || split.is_nan() => word >> MISSING_IS_MORE & 1 == 1,
                Form::Mixed => value > split,
            };
            at = ((word >> steps.form.bits()) + (word & u32::from(more))) as usize;
        }
        steps.nodes[at]
    }

    /// A tree of random shape over two features; `branch` chooses the comparisons.
    fn grow(forest: &mut Forest, random: &mut impl FnMut(u32) -> u32, branch: &mut impl FnMut(u32) -> (Branch, bool), depth: u32) -> u32 {
        let node = forest.leaf();
        if depth > 0 && random(4) > 0 {
            let (yes, no) = (grow(forest, random, branch, depth - 1), grow(forest, random, branch, depth - 1));
            let split = [-1.0, 0.0, 1.0, f64::INFINITY, f64::NAN][random(5) as usize];
            let (kind, missing_is_true) = branch(random(1000));
            forest.branch(node, random(2), split, kind.outcomes(missing_is_true), yes, no);
        }
        node
    }

    #[test]
    fn records_lead_where_nodes_lead() {
        use Branch::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        let mut state = 7_u32;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % below
        };
        let kinds: [(&[Branch], &[bool]); 6] = [
            (&[LessOrEqual], &[false]),
            (&[LessOrEqual], &[true]),
            (&[Less], &[false]),
            (&[GreaterOrEqual], &[false]),
            (&[Less, LessOrEqual, Greater, GreaterOrEqual], &[false, true]),
            (&[Less, LessOrEqual, Greater, Equal, NotEqual], &[false, true]),
        ];
        let values = [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
        let mut mixed = 0;
        for round in 0..120 {
            let (branches, missing) = kinds[round % kinds.len()];
            let mut branch = |n: u32| (branches[n as usize % branches.len()], missing[n as usize / 7 % missing.len()]);
            let mut forest = Forest::new(1);
            for _ in 0..3 {
                let root = grow(&mut forest, &mut random, &mut branch, 5);
                forest.roots.push(root);
            }
            let forest = forest.finish().unwrap_or_else(|_| panic!("they are trees"));
            let steps = forest.steps().unwrap_or_else(|_| panic!("they are small"));
            mixed += usize::from(steps.form == Form::Mixed);
            for (tree, &root) in forest.roots.iter().enumerate() {
                for x in values.iter().flat_map(|&a| values.map(|b| [a, b])) {
                    assert_eq!(by_records(&steps, tree, &x), by_nodes(&forest, root, &x), "{forest:?} {steps:?} {x:?}");
                }
            }
        }
        assert!((20..=40).contains(&mixed), "{mixed} of 120 forests have comparisons of several forms");
    }
}
