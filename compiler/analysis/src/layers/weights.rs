//! The tensors of a model's file: found by key, compared with what layers expect, and counted.

use super::calls::Given;
use super::elaborate::Elaborator;
use super::keys::join;
use super::rules::{Extent, WeightSpec};
use crate::network::NetworkWeight;
use crate::world::{WeightTensor, Weights};
use mlp_syntax::{Code, Diagnostic, closest};
use std::collections::{BTreeMap, BTreeSet};

/// The most keys that a message lists.
const MAX_LISTED: usize = 6;
/// The most missing keys that are reported of one model: a wrong path makes many of them.
const MAX_MISSING: usize = 8;

/// The tensors of a file, by key.
pub(super) struct FileWeights {
    /// None where the file cannot be read, which is reported; then every key is taken as given.
    tensors: Option<BTreeMap<String, WeightTensor>>,
    used: BTreeSet<String>,
    missing: usize,
}

impl FileWeights {
    pub(super) fn new(weights: Option<Weights>) -> FileWeights {
        let by_key = |weights: Weights| weights.tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        FileWeights { tensors: weights.map(by_key), used: BTreeSet::new(), missing: 0 }
    }

    /// The keys that no layer read, without those below the paths `unused`. Counters of training are never read.
    pub(super) fn left(&self, unused: &[String]) -> Vec<&str> {
        let keys = self.tensors.iter().flatten().map(|(key, _)| key.as_str());
        let meant = |key: &str| unused.iter().any(|path| is_below(key, path));
        keys.filter(|key| !self.used.contains(*key) && !key.ends_with(".num_batches_tracked") && !meant(key)).collect()
    }

    /// True where a key is that path or below it; true where nothing is known.
    pub(super) fn has(&self, path: &str) -> bool {
        self.tensors.as_ref().is_none_or(|tensors| tensors.keys().any(|key| is_below(key, path)))
    }

    /// All keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.tensors.iter().flatten().map(|(key, _)| key.as_str())
    }
}

fn is_below(key: &str, path: &str) -> bool {
    key.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl Elaborator<'_, '_> {
    /// A weight of a call; none where the file does not have it as the layer wants it, which is reported.
    pub(super) fn weight(&mut self, given: &Given<'_>, spec: WeightSpec, path: &str) -> Option<NetworkWeight> {
        let key = join(path, spec.name);
        let Some(tensors) = &self.weights.tensors else {
            let shape = spec.shape.iter().map(|extent| extent.least()).collect();
            return Some(NetworkWeight { name: spec.name, key, shape });
        };
        let Some(tensor) = tensors.get(&key).cloned() else {
            self.missing(given, &key);
            return None;
        };
        let expected = format!("[{}]", spec.shape.iter().map(Extent::to_string).collect::<Vec<_>>().join(", "));
        let found = format!("{}{:?}", tensor.dtype, tensor.shape);
        self.weights.used.insert(key.clone());
        let fits = tensor.shape.len() == spec.shape.len() && spec.shape.iter().zip(&tensor.shape).all(|(extent, size)| extent.fits(*size));
        if fits && tensor.dtype.is_float() {
            return Some(NetworkWeight { name: spec.name, key, shape: tensor.shape });
        }
        let (remark, help) = if tensor.dtype.is_float() {
            let help = format!(
                "change the numbers of the call, or the path of its weights\n  expected  {expected}\n  file has  {:?}",
                tensor.shape
            );
            (format!("`{}` expects {expected}", given.target.name), help)
        } else {
            (format!("its elements are `{}`", tensor.dtype), "save the weights as `F32`, `F16` or `BF16`".to_owned())
        };
        let message = format!("`{key}` is {found} in the file, and `{}` expects floats of shape {expected}", given.target.name);
        self.report(Diagnostic::new(Code::E0306, message).label(given.at, remark).help(help));
        None
    }

    fn missing(&mut self, given: &Given<'_>, key: &str) {
        self.weights.missing += 1;
        if self.weights.missing > MAX_MISSING {
            return;
        }
        let close = closest(key, self.weights.keys());
        let remark = match close {
            Some(close) => format!("did you mean `{close}`?"),
            None => "no tensor of the file has this key".to_owned(),
        };
        let help = self.weights.near(key);
        let message = format!("the file has no weight `{key}`, which `{}` reads", given.target.name);
        self.report(Diagnostic::new(Code::E0305, message).label(given.weights_at, remark).help(help));
    }
}

impl FileWeights {
    /// What the file has where a key was looked for.
    fn near(&self, key: &str) -> String {
        let mut path = key;
        loop {
            path = path.rsplit_once('.').map_or("", |(path, _)| path);
            let below: Vec<&str> = self.keys().filter(|key| path.is_empty() || is_below(key, path)).collect();
            match (below.is_empty(), path.is_empty()) {
                (true, true) => return "the file holds no tensors".to_owned(),
                (true, false) => continue,
                (false, _) => {}
            }
            let listed: Vec<String> = below.iter().take(MAX_LISTED).map(|key| format!("`{key}`")).collect();
            let more = if below.len() > MAX_LISTED { format!(" and {} more", below.len() - MAX_LISTED) } else { String::new() };
            let place = if path.is_empty() { "the file has".to_owned() } else { format!("below `{path}` the file has") };
            return format!("{place} {}{more}", listed.join(", "));
        }
    }
}

impl Extent {
    fn fits(self, size: u64) -> bool {
        match self {
            Extent::Exactly(wanted) => size == wanted,
            Extent::AtLeast(least) => size >= least,
        }
    }

    fn least(self) -> u64 {
        match self {
            Extent::Exactly(size) | Extent::AtLeast(size) => size,
        }
    }
}

impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Extent::Exactly(size) => write!(f, "{size}"),
            Extent::AtLeast(size) => write!(f, "{size} or more"),
        }
    }
}
