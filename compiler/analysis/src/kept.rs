//! What a check leaves for the next one of the same package, so that a keystroke costs what it changes.

use crate::program::PipelineId;
use crate::scope::{Entry, Symbol};
use foldhash::fast::RandomState;
use mlp_syntax::{Code, Diagnostic, FileId, Location, Parsed, Same};
use std::collections::HashMap;

/// The names of a file.
pub(crate) type Names = HashMap<String, Entry, RandomState>;

/// What is kept beside the program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// How each file was parsed; none for modules of the standard library.
    pub(crate) parsed: Vec<Option<Parsed>>,
    /// The names of each file.
    pub(crate) names: Vec<Names>,
    /// What each item of each file declares.
    pub(crate) declared: Vec<Vec<Option<Symbol>>>,
    /// How what was found of each item of each file came about; none where it has to be found again.
    pub(crate) traces: Vec<Vec<Option<Trace>>>,
    /// The pipelines that each pipeline calls, and where.
    pub(crate) calls: Vec<Vec<(PipelineId, Location)>>,
}

/// How what was found of an item came about.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    /// Where the item started.
    pub(crate) start: u32,
    /// Its place in the program, among those of its kind.
    pub(crate) index: usize,
    /// The names that were looked up in the file, and whether that made imports used.
    pub(crate) names: Vec<(String, bool)>,
    /// Warnings of names inside it that nothing reads; what has other findings is not kept.
    pub(crate) remarks: Vec<Diagnostic>,
}

impl Trace {
    /// That of an item of a file which was just checked, with what was found in it; none where it cannot be kept.
    pub(crate) fn new(file: FileId, start: u32, index: usize, mut names: Vec<(String, bool)>, found: &[Diagnostic]) -> Option<Trace> {
        let harmless = |one: &Diagnostic| one.code == Code::E0109 && one.labels.iter().all(|label| label.at.file == file);
        names.sort_unstable();
        names.dedup();
        found.iter().all(harmless).then(|| Trace { start, index, names, remarks: found.to_vec() })
    }
}

/// How a file of this check relates to the one before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Successor {
    pub(crate) same: Same,
    /// How many items the file had.
    pub(crate) items: usize,
}

impl Successor {
    /// That of a text that was the same.
    pub(crate) fn same(items: usize) -> Successor {
        Successor { same: Same { front: items, back: 0 }, items }
    }

    /// Which item an item of the file, which has so many now, was before; none where its text is another.
    pub(crate) fn before(self, item: usize, items: usize) -> Option<usize> {
        if item < self.same.front {
            Some(item)
        } else if item + self.same.back >= items {
            Some(item + self.items - items)
        } else {
            None
        }
    }
}
