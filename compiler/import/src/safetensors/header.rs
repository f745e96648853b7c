//! The header of a safetensors file: JSON, read without trust.

use super::{SafetensorsError, Stored, malformed};
use mlp_bundle::DType;
use mlp_graph::Tensor;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;

/// The name under which texts about the file stand.
const METADATA: &str = "__metadata__";
/// No tensor may have more axes than this.
const MAX_RANK: usize = 16;
/// No tensor may take more than this: the address space of a WebAssembly module.
const MAX_BYTES: u64 = 1 << 32;

/// What the header says of each tensor, in its order.
pub(super) struct Header(Vec<(String, Info)>);

/// What the header says of a tensor.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Result<Header, SafetensorsError> {
        if bytes.first() != Some(&b'{') {
            return Err(malformed("its header does not start with `{`; is it a safetensors file at all?"));
        }
        serde_json::from_slice(bytes).map_err(|error| malformed(format!("its header is wrong: {error}; save the file again")))
    }

    /// The tensors with the places of their bytes, which fill the `length` bytes of data without gap or overlap.
    pub(super) fn place(self, length: u64) -> Result<BTreeMap<String, Stored>, SafetensorsError> {
        let mut infos = self.0;
        // Tensors without elements lie between others.
        infos.sort_by_key(|(_, info)| info.data_offsets);
        let mut tensors = BTreeMap::new();
        let mut end = 0;
        for (name, info) in infos {
            let refuse = |detail: String| SafetensorsError::Tensor { name: name.clone(), detail };
            let stored = info.stored().map_err(refuse)?;
            let (start, stop) = info.data_offsets;
            if start != end {
                let what = if start < end { "overlap those of another tensor" } else { "leave a gap before them" };
                return Err(refuse(format!("its bytes {start}..{stop} {what}; the file is damaged, save it again")));
            }
            if stop > length {
                return Err(refuse(format!("its bytes end at {stop}, but the file has {length} bytes of data; it is cut short")));
            }
            end = stop;
            if tensors.insert(name.clone(), stored).is_some() {
                return Err(refuse("the header names it twice".to_owned()));
            }
        }
        if end != length {
            return Err(malformed(format!("{} bytes at its end belong to no tensor; the file is damaged, save it again", length - end)));
        }
        Ok(tensors)
    }
}

impl Info {
    fn stored(&self) -> Result<Stored, String> {
        let dtype = dtype(&self.dtype).ok_or_else(|| {
            format!("the element type {:?} is not supported; save it as F32, F16 or BF16", self.dtype.chars().take(32).collect::<String>())
        })?;
        if self.shape.len() > MAX_RANK {
            return Err(format!("it has {} axes; at most {MAX_RANK} are supported", self.shape.len()));
        }
        let size = self.shape.iter().try_fold(dtype.size() as u64, |product, &dim| product.checked_mul(dim));
        let size = size.filter(|&size| size <= MAX_BYTES).ok_or_else(|| format!("{dtype}{:?} takes more than 4 GiB", self.shape))?;
        let (start, stop) = self.data_offsets;
        if stop.checked_sub(start) != Some(size) {
            return Err(format!("{dtype}{:?} takes {size} bytes, but its bytes are {start}..{stop}", self.shape));
        }
        let place = |offset: u64| usize::try_from(offset).map_err(|_| format!("its bytes {start}..{stop} are out of range"));
        Ok(Stored { dtype, shape: self.shape.clone(), start: place(start)?, end: place(stop)? })
    }
}

/// How safetensors calls element types.
const DTYPES: &[(&str, DType)] = &[
    ("BOOL", DType::Bool),
    ("U8", DType::U8),
    ("I8", DType::I8),
    ("U16", DType::U16),
    ("I16", DType::I16),
    ("U32", DType::U32),
    ("I32", DType::I32),
    ("U64", DType::U64),
    ("I64", DType::I64),
    ("F16", DType::F16),
    ("BF16", DType::BF16),
    ("F32", DType::F32),
    ("F64", DType::F64),
];

fn dtype(name: &str) -> Option<DType> {
    DTYPES.iter().find(|(known, _)| *known == name).map(|(_, dtype)| *dtype)
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Header, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

/// Reads the entries in order: names that stand twice would be lost in a map.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with an entry for each tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut infos = Vec::new();
        let mut described = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == METADATA {
                if std::mem::replace(&mut described, true) {
                    return Err(A::Error::custom("`__metadata__` stands twice"));
                }
                // Nothing in it matters here, but it must be what it is to be.
                map.next_value::<BTreeMap<String, String>>()?;
                continue;
            }
            infos.push((name, map.next_value::<Info>()?));
        }
        Ok(Header(infos))
    }
}

/// The bytes of a file with these tensors.
pub(super) fn write(tensors: &[(&str, &Tensor)]) -> Vec<u8> {
    let mut entries = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, tensor) in tensors {
        let start = data.len();
        data.extend_from_slice(tensor.bytes());
        let dtype = DTYPES.iter().find(|(_, dtype)| *dtype == tensor.dtype()).map_or("", |(name, _)| name);
        let info = serde_json::json!({ "dtype": dtype, "shape": tensor.shape(), "data_offsets": [start, data.len()] });
        entries.insert((*name).to_owned(), info);
    }
    let mut header = serde_json::Value::Object(entries).to_string().into_bytes();
    // The data starts at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    bytes
}
