//! The attributes of a node, read by name and kind, each at most once; what nobody read is reported.

use super::narrow::Narrow;
use super::proto::{AttributeProto, AttributeType, GraphProto, NodeProto};
use super::{sparse, tensor};
use mlp_graph::Tensor;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// Attributes that old exporters write and that change nothing.
const IGNORED: [&str; 1] = ["consumed_inputs"];

/// The attributes of one node.
pub(crate) struct Attributes<'a> {
    all: &'a [AttributeProto],
    read: RefCell<BTreeSet<&'a str>>,
}

impl<'a> Attributes<'a> {
    pub(crate) fn new(node: &'a NodeProto) -> Attributes<'a> {
        Attributes { all: &node.attribute, read: RefCell::default() }
    }

    /// The attribute, if the node has it with one of these kinds.
    fn find(&self, name: &str, kind: AttributeType) -> Result<Option<&'a AttributeProto>, String> {
        let Some(attribute) = self.all.iter().find(|attribute| attribute.name == name) else { return Ok(None) };
        self.read.borrow_mut().insert(&attribute.name);
        if !attribute.ref_attr_name.is_empty() {
            return Err(format!("attribute `{name}` refers to an attribute of a function, but this is the main graph"));
        }
        if attribute.r#type != kind as i32 {
            return Err(format!("attribute `{name}` should be of the kind {kind:?}"));
        }
        Ok(Some(attribute))
    }

    pub(crate) fn int(&self, name: &str) -> Result<Option<i64>, String> {
        Ok(self.find(name, AttributeType::Int)?.map(|attribute| attribute.i))
    }

    pub(crate) fn ints(&self, name: &str) -> Result<Option<&'a [i64]>, String> {
        Ok(self.find(name, AttributeType::Ints)?.map(|attribute| attribute.ints.as_slice()))
    }

    pub(crate) fn float(&self, name: &str) -> Result<Option<f32>, String> {
        Ok(self.find(name, AttributeType::Float)?.map(|attribute| attribute.f))
    }

    pub(crate) fn floats(&self, name: &str) -> Result<Option<&'a [f32]>, String> {
        Ok(self.find(name, AttributeType::Floats)?.map(|attribute| attribute.floats.as_slice()))
    }

    pub(crate) fn string(&self, name: &str) -> Result<Option<&'a str>, String> {
        let Some(attribute) = self.find(name, AttributeType::String)? else { return Ok(None) };
        std::str::from_utf8(&attribute.s).map(Some).map_err(|_| format!("attribute `{name}` is not UTF-8"))
    }

    /// The names in a list of strings.
    pub(crate) fn strings(&self, name: &str) -> Result<Option<Vec<&'a str>>, String> {
        let Some(attribute) = self.find(name, AttributeType::Strings)? else { return Ok(None) };
        let text = |bytes: &'a Vec<u8>| std::str::from_utf8(bytes).map_err(|_| format!("attribute `{name}` is not UTF-8"));
        attribute.strings.iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// A graph that the node runs.
    pub(crate) fn graph(&self, name: &str) -> Result<Option<&'a GraphProto>, String> {
        let Some(attribute) = self.find(name, AttributeType::Graph)? else { return Ok(None) };
        attribute.g.as_deref().map(Some).ok_or_else(|| format!("attribute `{name}` holds no graph"))
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<Option<Tensor>, String> {
        let Some(attribute) = self.find(name, AttributeType::Tensor)? else { return Ok(None) };
        let proto = attribute.t.as_ref().ok_or_else(|| format!("attribute `{name}` holds no tensor"))?;
        tensor::read(proto).map(Some).map_err(|detail| format!("attribute `{name}`: {detail}"))
    }

    /// The element type of few bits of a tensor, if it has one.
    pub(crate) fn narrow(&self, name: &str) -> Option<Narrow> {
        let attribute = self.all.iter().find(|attribute| attribute.name == name)?;
        Narrow::of(attribute.t.as_ref()?.data_type)
    }

    /// A sparse tensor with all its zeros.
    pub(crate) fn sparse_tensor(&self, name: &str) -> Result<Option<Tensor>, String> {
        let Some(attribute) = self.find(name, AttributeType::SparseTensor)? else { return Ok(None) };
        let proto = attribute.sparse_tensor.as_ref().ok_or_else(|| format!("attribute `{name}` holds no tensor"))?;
        let dense = sparse::dense(proto).and_then(|dense| tensor::read(&dense));
        dense.map(Some).map_err(|detail| format!("attribute `{name}`: {detail}"))
    }

    /// How much memory the values of all attributes take when they become constants, beyond what the message itself holds.
    pub(crate) fn copied(&self) -> u64 {
        let lists = |attribute: &AttributeProto| (4 * attribute.floats.len() + 8 * attribute.ints.len()) as u64;
        let sparse = |attribute: &AttributeProto| attribute.sparse_tensor.as_ref().map_or(0, |tensor| sparse::most(tensor));
        let stored = |attribute: &AttributeProto| attribute.t.as_deref().map_or(0, tensor::copied);
        let parts = self.all.iter().flat_map(|attribute| [lists(attribute), sparse(attribute), stored(attribute)]);
        parts.fold(0, u64::saturating_add)
    }

    /// An attribute that nothing read, so that it cannot have been honoured.
    pub(crate) fn unread(&self) -> Option<&'a str> {
        let read = self.read.borrow();
        self.all.iter().map(|attribute| attribute.name.as_str()).find(|name| !read.contains(name) && !IGNORED.contains(name))
    }
}
