//! The attributes of tree ensembles.

use super::forest::{Branch, Forest, Weight};
use crate::onnx::node::{NodeImport, Problem, invalid};
use std::collections::HashMap;

/// The numbers of an attribute, or of its form as a tensor, which doubles need.
fn numbers(node: &NodeImport<'_>, name: &str) -> Result<Vec<f64>, Problem> {
    let tensor = node.attributes.tensor(&format!("{name}_as_tensor"))?;
    let floats = node.attributes.floats(name)?;
    Ok(match (tensor, floats) {
        (Some(tensor), _) if !tensor.is_empty() => tensor.to_f64(),
        (_, floats) => floats.unwrap_or_default().iter().map(|&value| value.into()).collect(),
    })
}

/// What is added to the sums.
pub(super) fn base_values(node: &NodeImport<'_>) -> Result<Vec<f64>, Problem> {
    numbers(node, "base_values")
}

fn lists_differ(what: &str, count: usize, expected: usize) -> Problem {
    Problem::Invalid(format!("{what} has {count} entries for {expected} nodes"))
}

/// A list of whole numbers, one a node.
fn of_nodes<'a>(node: &NodeImport<'a>, name: &str, count: usize) -> Result<&'a [i64], Problem> {
    let list = node.attributes.ints(name)?.unwrap_or_default();
    if list.len() == count { Ok(list) } else { Err(lists_differ(name, list.len(), count)) }
}

/// Which nodes send a NaN the way of "true".
fn missing(node: &NodeImport<'_>, count: usize) -> Result<Vec<bool>, Problem> {
    let list = node.attributes.ints("nodes_missing_value_tracks_true")?.unwrap_or_default();
    Ok((0..count).map(|index| list.get(index) == Some(&1)).collect())
}

/// The trees of `TreeEnsembleClassifier` and `TreeEnsembleRegressor`, whose nodes are named by tree and number; `kind` is `class` or `target`.
pub(super) fn classic(node: &NodeImport<'_>, kind: &str, targets: i64) -> Result<Forest, Problem> {
    let targets = u32::try_from(targets).ok().filter(|&targets| targets > 0).ok_or("there is no target")?;
    let trees = node.attributes.ints("nodes_treeids")?.unwrap_or_default();
    let count = trees.len();
    let ids = of_nodes(node, "nodes_nodeids", count)?;
    let features = of_nodes(node, "nodes_featureids", count)?;
    let (yes, no) = (of_nodes(node, "nodes_truenodeids", count)?, of_nodes(node, "nodes_falsenodeids", count)?);
    let modes = node.attributes.strings("nodes_modes")?.unwrap_or_default();
    let splits = numbers(node, "nodes_values")?;
    let missing = missing(node, count)?;
    // How often training went through a node says nothing of the result.
    let _ = numbers(node, "nodes_hitrates")?;
    for (what, length) in [("nodes_modes", modes.len()), ("nodes_values", splits.len())] {
        if length != count {
            return Err(lists_differ(what, length, count));
        }
    }
    let mut forest = Forest::new(targets);
    let mut places = HashMap::new();
    for (&tree, &id) in trees.iter().zip(ids) {
        if places.insert((tree, id), forest.leaf()).is_some() {
            return invalid(format!("node {id} of tree {tree} is there twice"));
        }
    }
    let find = |tree: i64, id: i64| places.get(&(tree, id)).copied().ok_or_else(|| format!("tree {tree} has no node {id}"));
    for index in 0..count {
        if index == 0 || trees[index] != trees[index - 1] {
            forest.roots.push(index as u32);
        }
        let Some(branch) = branch(modes[index])? else { continue };
        let feature = u32::try_from(features[index]).map_err(|_| format!("node {} reads feature {}", ids[index], features[index]))?;
        let (yes, no) = (find(trees[index], yes[index])?, find(trees[index], no[index])?);
        forest.branch(index as u32, feature, splits[index], branch.outcomes(missing[index]), yes, no);
    }
    weights(node, kind, &mut forest, find)?;
    forest.finish()
}

/// The branch that a mode names; none of a leaf.
fn branch(mode: &str) -> Result<Option<Branch>, Problem> {
    Ok(Some(match mode {
        "LEAF" => return Ok(None),
        "BRANCH_LEQ" => Branch::LessOrEqual,
        "BRANCH_LT" => Branch::Less,
        "BRANCH_GTE" => Branch::GreaterOrEqual,
        "BRANCH_GT" => Branch::Greater,
        "BRANCH_EQ" => Branch::Equal,
        "BRANCH_NEQ" => Branch::NotEqual,
        other => return invalid(format!("a node's mode is `{other}`")),
    }))
}

/// What the leaves say.
fn weights(node: &NodeImport<'_>, kind: &str, forest: &mut Forest, find: impl Fn(i64, i64) -> Result<u32, String>) -> Result<(), Problem> {
    let list = |what: &str| node.attributes.ints(&format!("{kind}_{what}")).map(Option::unwrap_or_default);
    let (trees, nodes, ids) = (list("treeids")?, list("nodeids")?, list("ids")?);
    let values = numbers(node, &format!("{kind}_weights"))?;
    if trees.len() != values.len() || nodes.len() != values.len() || ids.len() != values.len() {
        return invalid(format!("{} weights are given for {} leaves", values.len(), nodes.len()));
    }
    for (index, &value) in values.iter().enumerate() {
        let target = u32::try_from(ids[index]).map_err(|_| format!("a leaf has a weight for target {}", ids[index]))?;
        forest.weights.push(Weight { node: find(trees[index], nodes[index])?, target, value });
    }
    Ok(())
}

/// The trees of `TreeEnsemble`: inner nodes and leaves are numbered apart, and a node may test whether a feature is in a set.
pub(super) fn ensemble(node: &NodeImport<'_>) -> Result<Forest, Problem> {
    let attributes = &node.attributes;
    let modes = attributes.tensor("nodes_modes")?.and_then(|modes| modes.to_i64()).unwrap_or_default();
    let splits = attributes.tensor("nodes_splits")?.map(|splits| splits.to_f64()).unwrap_or_default();
    let values = attributes.tensor("leaf_weights")?.map(|weights| weights.to_f64()).unwrap_or_default();
    let members = attributes.tensor("membership_values")?.map(|values| values.to_f64()).unwrap_or_default();
    let _ = attributes.tensor("nodes_hitrates")?;
    let count = modes.len();
    let features = of_nodes(node, "nodes_featureids", count)?;
    let (yes, yes_leaf) = (of_nodes(node, "nodes_truenodeids", count)?, of_nodes(node, "nodes_trueleafs", count)?);
    let (no, no_leaf) = (of_nodes(node, "nodes_falsenodeids", count)?, of_nodes(node, "nodes_falseleafs", count)?);
    let missing = missing(node, count)?;
    let targets = u32::try_from(attributes.int("n_targets")?.unwrap_or(1)).map_err(|_| "attribute `n_targets` is negative")?;
    if splits.len() != count {
        return Err(lists_differ("nodes_splits", splits.len(), count));
    }
    let mut forest = Forest::new(targets);
    for _ in 0..count + values.len() {
        forest.leaf();
    }
    let place = |index: i64, leaf: i64| {
        let (first, size) = if leaf != 0 { (count, values.len()) } else { (0, count) };
        let place = usize::try_from(index).ok().filter(|&index| index < size).map(|index| (first + index) as u32);
        place
            .ok_or_else(|| Problem::Invalid(format!("a node is followed by {} {index} of {size}", if leaf != 0 { "leaf" } else { "node" })))
    };
    let mut sets = members.split(|value| value.is_nan());
    for index in 0..count {
        let feature = u32::try_from(features[index]).map_err(|_| format!("node {index} reads feature {}", features[index]))?;
        let (yes, no) = (place(yes[index], yes_leaf[index])?, place(no[index], no_leaf[index])?);
        let branch = match modes[index] {
            0 => Branch::LessOrEqual,
            1 => Branch::Less,
            2 => Branch::GreaterOrEqual,
            3 => Branch::Greater,
            4 => Branch::Equal,
            5 => Branch::NotEqual,
            6 => {
                let set = sets.next().unwrap_or_default();
                member(&mut forest, index as u32, feature, set, missing[index], [yes, no]);
                continue;
            }
            other => return invalid(format!("the mode of node {index} is {other}")),
        };
        forest.branch(index as u32, feature, splits[index], branch.outcomes(missing[index]), yes, no);
    }
    for &root in attributes.ints("tree_roots")?.unwrap_or_default() {
        forest.roots.push(place(root, 0)?);
    }
    let ids = attributes.ints("leaf_targetids")?.unwrap_or_default();
    if ids.len() != values.len() {
        return invalid(format!("{} leaves have {} weights", ids.len(), values.len()));
    }
    for (index, (&id, &value)) in ids.iter().zip(&values).enumerate() {
        let target = u32::try_from(id).map_err(|_| format!("a leaf has a weight for target {id}"))?;
        forest.weights.push(Weight { node: (count + index) as u32, target, value });
    }
    forest.finish()
}

/// A test for a set: one comparison an element.
fn member(forest: &mut Forest, node: u32, feature: u32, set: &[f64], missing_is_true: bool, [yes, no]: [u32; 2]) {
    let mut at = node;
    for (index, &value) in set.iter().enumerate() {
        let last = index + 1 == set.len();
        let otherwise = if last { no } else { forest.leaf() };
        let outcomes = Branch::Equal.outcomes(missing_is_true);
        forest.branch(at, feature, value, outcomes, yes, otherwise);
        at = otherwise;
    }
    if set.is_empty() {
        forest.branch(node, feature, 0.0, [false, false, false, missing_is_true], yes, no);
    }
}
