//! The manifest of a bundle: what is in it, what each pipeline takes and gives, and what it needs of a device.

use crate::compressed::Compressed;
use crate::dtype::DType;
use crate::plan::Symbol;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the bundle format. A reader refuses any other.
pub const FORMAT_VERSION: u32 = 1;

/// The name of the manifest in a bundle.
pub const MANIFEST_NAME: &str = "manifest.json";

/// What a bundle is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the writer.
    pub format: u32,
    /// The package's name.
    pub name: String,
    /// The compiler's version.
    pub compiler: semver::Version,
    /// The language edition of the source.
    pub edition: u32,
    /// The pipelines, in source order.
    pub pipelines: Vec<Pipeline>,
    /// Every other file of the bundle, by name.
    pub files: BTreeMap<String, FileEntry>,
    /// What the bundle may do beyond computing.
    pub capabilities: Capabilities,
    /// What it was made from.
    pub provenance: Vec<Source>,
}

/// A file's digest and size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Lower-case hexadecimal SHA-256 of its bytes.
    pub sha256: String,
    /// Lower-case hexadecimal BLAKE3 of its bytes, of a large file: native runtimes compare it in SHA-256's place, which takes several times as long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of each [`PIECE`] of a larger file, which browsers compare while the rest arrives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pieces: Vec<String>,
    /// Another file that has the same bytes compressed, for browsers to download.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compressed: Option<Compressed>,
}

/// Bytes of a piece of a file; the last one is shorter.
pub const PIECE: usize = 4 << 20;

/// What a bundle may do beyond computing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Hosts it may talk to: none.
    pub network: Vec<String>,
}

/// A source of the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its path, relative to the package.
    pub path: String,
    /// Lower-case hexadecimal SHA-256 of its bytes.
    pub sha256: String,
    /// Its SPDX licence expression, where the source states one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

/// One pipeline. File names are keys of [`Manifest::files`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pipeline {
    /// Its name in the source.
    pub name: String,
    /// Its doc comment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub doc: String,
    /// What it takes, in order.
    pub inputs: Vec<Field>,
    /// What it gives: one field named `value`, or the record's fields.
    pub outputs: Vec<Field>,
    /// True where the answer is a record of `outputs`.
    pub record: bool,
    /// The tokens that its texts become, each from one text or from two that belong together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub encodings: Vec<Encoding>,
    /// The integers of each run, in the plan's order, which is that of the parameters of the modules' `run`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub symbols: Vec<Symbol>,
    /// The names of the plan's input ports, in the plan's order, which is that of the GPU program's inputs.
    pub input_ports: Vec<String>,
    /// The names of the plan's output ports, in the plan's order, which is that of the GPU program's outputs.
    pub output_ports: Vec<String>,
    /// The portable plan, JSON.
    pub plan: String,
    /// The weights.
    pub weights: String,
    /// The WebAssembly form.
    pub wasm: WasmModules,
    /// The GPU form ([`crate::gpu::GpuProgram`], JSON), where the plan can run on a GPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<String>,
    /// Sizes for people and budgets.
    pub report: Report,
}

/// The WebAssembly modules of a pipeline.
///
/// A module imports nothing and exports `memory` (its minimum equal to its maximum) and `run(symbol...: i32)`. A host copies the
/// weights file to `weights_offset` once, writes inputs to `arena_offset` + the buffer's offset, calls `run`, moves `states`, and reads outputs there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WasmModules {
    /// The module for fixed-width SIMD.
    pub simd128: String,
    /// The module that also needs relaxed SIMD.
    pub relaxed: String,
    /// Pages of 64 KiB.
    pub memory_pages: u32,
    /// First byte of the weights in memory.
    pub weights_offset: u64,
    /// First byte of the arena in memory.
    pub arena_offset: u64,
    /// Where each port's buffer lies in the arena, by port name, in bytes from the arena's start.
    pub ports: BTreeMap<String, u64>,
    /// What a host moves within the arena after each `run`, so that the next one reads it; zeros before the first one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<StateMove>,
    /// The modules for several threads, where those save time worth the while. A reader that does not know them runs the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threads: Option<WasmThreads>,
}

/// A state of a pipeline in the memory of its modules. Places are in bytes from the arena's start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateMove {
    /// Its name.
    pub name: String,
    /// What a run leaves.
    pub from: u64,
    /// Where the next one reads it.
    pub to: u64,
    /// How much of it there is.
    pub bytes: u64,
}

/// The WebAssembly modules of a pipeline for several threads, which compute the same bits as the modules for one.
///
/// A module imports `env.memory`, a shared memory of `memory_pages` and `helper_pages` for each thread but the first, and nothing else. It exports
/// `run`, as the modules for one thread do, with weights, arena and ports at the same places; `work(index: i32)`, which a host calls in an instance of the same
/// module on another thread, with numbers from 1 on; `stop()`, upon which all calls of `work` return; and `helpers() -> i32`, how many have been made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WasmThreads {
    /// The module for fixed-width SIMD.
    pub simd128: String,
    /// The module that also needs relaxed SIMD.
    pub relaxed: String,
    /// Pages of 64 KiB of the module itself.
    pub memory_pages: u32,
    /// Pages for each thread but the first.
    pub helper_pages: u32,
}

/// How texts become tokens before a run: `I64 [1, length]` each of their numbers, of what is text and what fills up, and of which text they belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encoding {
    /// The inputs that are texts, one or two.
    pub texts: Vec<String>,
    /// The file of the tokenizer ([`crate::tokenizer::Packed`], JSON).
    pub tokenizer: String,
    /// Whether the tokens are added that say where a text begins and ends.
    pub special: bool,
    /// How many tokens a run takes; what is longer and not cut off is refused.
    pub length: u32,
    /// What becomes of longer texts, where anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncate: Option<Truncate>,
    /// The number that fills up.
    pub pad: u32,
    /// The side that is filled up.
    pub pad_side: Side,
    /// The port of the numbers, where the plan reads them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<String>,
    /// The port of 1 where there is a token and 0 where it is filled up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// The port of 0 in the first text and 1 in the second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<String>,
}

/// How tokens are cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truncate {
    /// How many are left, those that say where a text begins and ends among them. Of two texts the longer one gives first.
    pub most: u32,
    /// The side that is cut off.
    pub side: Side,
}

/// A side of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Its beginning.
    Left,
    /// Its end.
    #[default]
    Right,
}

/// A named value of a pipeline's signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: ValueType,
}

/// The size of a dimension of a tensor: a number, or the name of one of [`Pipeline::symbols`], whose value a run's inputs decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dim {
    /// A number.
    Const(u64),
    /// A symbol's value.
    Symbol(String),
}

impl std::fmt::Display for Dim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Dim::Const(size) => write!(f, "{size}"),
            Dim::Symbol(name) => f.write_str(name),
        }
    }
}

/// How much of a tensor a run gives: it computes as many rows as there can be, and says how many of them, from the first on, are the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// The axis of the rows.
    pub axis: u32,
    /// The output port that says how many they are, an `I32` scalar. Several tensors may share it, and nobody is shown it.
    pub port: String,
}

impl Rows {
    /// The bytes and the shape of the rows that are the answer, of a tensor of that shape whose elements take so many bytes; `count` is what the port gave. None
    /// where they do not go together.
    pub fn cut(&self, bytes: &[u8], shape: &[u64], element: usize, count: &[u8]) -> Option<(Vec<u8>, Vec<u64>)> {
        let axis = usize::try_from(self.axis).ok()?;
        let &size = shape.get(axis)?;
        let count = u64::try_from(i32::from_le_bytes(count.try_into().ok()?)).unwrap_or(0).min(size);
        let inner = shape[axis + 1..].iter().try_fold(element as u64, |product, &size| product.checked_mul(size))?;
        let (whole, kept) = (usize::try_from(size.checked_mul(inner)?).ok()?, usize::try_from(count * inner).ok()?);
        let mut shape = shape.to_vec();
        shape[axis] = count;
        if whole == 0 {
            return Some((Vec::new(), shape));
        }
        Some((bytes.chunks(whole).flat_map(|block| block.get(..kept).unwrap_or(block)).copied().collect(), shape))
    }
}

/// The type of a value, with the plan's ports that carry it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum ValueType {
    /// A dense tensor.
    Tensor {
        /// The element type.
        dtype: DType,
        /// The size of each dimension; of the one that `rows` names, the most that there can be.
        shape: Vec<Dim>,
        /// The port.
        port: String,
        /// How much of it a run gives, where the run decides.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rows: Option<Rows>,
    },
    /// A photo: rows of RGBA bytes, `[height, width, 4]`. A host shrinks a photo that exceeds the bounds before it writes it: by the least whole factor
    /// `f` for which both sides fit, each output pixel the mean of an `f x f` block, rounded half up, partial blocks at the right and lower edges dropped.
    Image {
        /// The greatest height in pixels.
        max_height: u32,
        /// The greatest width in pixels.
        max_width: u32,
        /// The port of the pixels.
        port: String,
        /// The symbol of the height.
        height: String,
        /// The symbol of the width.
        width: String,
    },
    /// A sound of one channel: `F32 [samples]`, from -1 to 1. A host writes silence (zeros) after a shorter sound, and leaves out the rest of a longer one. It refuses a
    /// sound that it knows to have another rate.
    Sound {
        /// Samples a second.
        rate: u32,
        /// How many samples are read.
        samples: u64,
        /// The port.
        port: String,
    },
    /// A text, which has no port of its own: [`Pipeline::encodings`] says which ports it becomes.
    Text,
    /// One of the lines of a file: an `I32` scalar, the line's number from 0.
    Label {
        /// The file of the labels, one a line.
        labels: String,
        /// The port.
        port: String,
    },
    /// The best `count` labels with their scores, best first: `[count]` of `I32` and of `F32`.
    Ranking {
        /// The file of the labels, one a line.
        labels: String,
        /// How many.
        count: u32,
        /// The port of the labels' numbers.
        indices: String,
        /// The port of the scores.
        scores: String,
    },
}

impl Report {
    /// How many times the least possible arena the arena is.
    pub fn arena_ratio(&self) -> Option<f64> {
        (self.arena_least > 0).then(|| self.arena_bytes as f64 / self.arena_least as f64)
    }
}

/// Sizes for people and budgets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Bytes of the arena.
    pub arena_bytes: u64,
    /// The most bytes of values that are needed at one time: no arena can be smaller. 0 where the compiler did not say.
    #[serde(default)]
    pub arena_least: u64,
    /// Bytes of the weights.
    pub weights_bytes: u64,
    /// Multiply-accumulates of one run at the symbols' upper bounds.
    pub macs: u64,
    /// Kernels.
    pub kernels: u32,
}

#[cfg(test)]
mod tests {
    use super::Rows;

    #[test]
    fn rows_are_cut_along_their_axis() {
        let bytes: Vec<u8> = (0..12).collect();
        let rows = |axis| Rows { axis, port: String::new() };
        let count = |count: i32| count.to_le_bytes();
        assert_eq!(rows(0).cut(&bytes, &[3, 4], 1, &count(2)), Some(((0..8).collect(), vec![2, 4])));
        assert_eq!(rows(1).cut(&bytes, &[2, 3], 2, &count(1)), Some((vec![0, 1, 6, 7], vec![2, 1])));
        assert_eq!(rows(1).cut(&bytes, &[3, 4], 1, &count(0)), Some((vec![], vec![3, 0])));
        // What a broken plan might give stays inside.
        assert_eq!(rows(0).cut(&bytes, &[3, 4], 1, &count(9)), Some((bytes.clone(), vec![3, 4])));
        assert_eq!(rows(0).cut(&bytes, &[3, 4], 1, &count(-1)), Some((vec![], vec![0, 4])));
        assert_eq!(rows(2).cut(&bytes, &[3, 4], 1, &count(1)), None);
        assert_eq!(rows(0).cut(&bytes, &[3, 4], 1, &[1]), None);
    }
}
