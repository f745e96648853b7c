//! A whole model: inputs bound, stored tensors read, nodes imported in order, outputs named.

use super::attributes::Attributes;
use super::builder::{Builder, addressable};
use super::message::decode;
use super::narrow::Narrow;
use super::node::{NodeImport, Problem};
use super::order::{execution_order, reads};
use super::padded::{follow, leaving};
use super::proto::{GraphProto, ModelProto, NodeProto};
use super::scope::{Opsets, Scope};
use super::signature::{DimSignature, PortSignature, inputs};
use super::{ops, tensor};
use crate::error::{ImportError, Place};
use mlp_bundle::contents::Bytes;
use mlp_graph::ir::Type;
use mlp_graph::{Graph, Origin, Shape, Tensor, ValueId};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// How a model is imported.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// Sizes of the symbolic dimensions of inputs, by name.
    pub dims: BTreeMap<String, u64>,
    /// What the graphs at several sizes have in common, where this is to be one of them.
    pub family: Option<FamilySizes>,
}

/// The greatest sizes of what is unrolled, for graphs of one model at several sizes that are to be joined: with this, recurrent layers are unrolled for as many steps in all
/// of them as in the first, which is the one at the greatest sizes.
#[derive(Clone, Debug, Default)]
pub struct FamilySizes {
    greatest: Arc<Mutex<BTreeMap<u32, u64>>>,
    computes: bool,
}

impl FamilySizes {
    /// Those of graphs in which what follows from sizes is computed when the model runs: for families whose constants do not tell how they go by the sizes.
    pub fn computed() -> FamilySizes {
        FamilySizes { computes: true, ..FamilySizes::default() }
    }

    /// The same kind for another model.
    pub fn fresh(&self) -> FamilySizes {
        FamilySizes { computes: self.computes, ..FamilySizes::default() }
    }

    /// Whether what follows from sizes is computed when the model runs.
    pub(crate) fn computes(&self) -> bool {
        self.computes
    }

    /// The greatest value of a size, which has this one here.
    pub(crate) fn greatest(&self, id: u32, value: u64) -> u64 {
        *self.greatest.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_insert(value)
    }
}

/// The first and last version of ONNX's own operators that importers know.
const OPSETS: std::ops::RangeInclusive<i64> = 1..=28;

/// Reads a model.
///
/// The graph takes the model's inputs and returns its outputs, in order; every shape in it is constant.
pub fn import(bytes: &[u8], options: &ImportOptions) -> Result<Graph, ImportError> {
    import_with_values(bytes, options, &BTreeMap::new())
}

/// Reads a model some of whose inputs have fixed values: they become constants, and the graph does not take them.
///
/// Models that take a shape or a list of axes as an input can only be compiled so.
pub fn import_with_values(bytes: &[u8], options: &ImportOptions, fixed: &BTreeMap<String, Tensor>) -> Result<Graph, ImportError> {
    import_message(&decode(bytes)?, options, fixed)
}

/// [`import`] of bytes that the graph's constants go on sharing.
pub fn import_shared(bytes: Bytes, options: &ImportOptions) -> Result<Graph, ImportError> {
    import_message(&decode(bytes)?, options, &BTreeMap::new())
}

/// Reads a model from its message.
pub(crate) fn import_message(model: &ModelProto, options: &ImportOptions, fixed: &BTreeMap<String, Tensor>) -> Result<Graph, ImportError> {
    let opsets = opsets(model)?;
    let graph = model.graph.as_ref().ok_or_else(|| ImportError::Malformed { detail: "it holds no graph".into() })?;
    let order = execution_order(graph, &|_| false)?;
    let mut builder = Builder::new(&graph.name);
    builder.family = options.family.clone();
    builder.looked_at = super::ahead::looked_at(graph);
    let mut scope = Scope::of_model(&opsets, bind_inputs(graph, options, fixed, &mut builder)?);
    read_stored(graph, &order, &mut builder, &mut scope)?;
    for index in order {
        let node = &graph.node[index];
        let results = import_node(node, index, &mut builder, &scope)?;
        scope.define(&node.output, results);
    }
    let mut counted = Vec::new();
    for output in &graph.output {
        let value = result(&scope, &output.name)?;
        if builder.elements_of(value).is_some() {
            return Err(ImportError::Graph {
                detail: format!("output `{}` is a sequence, and only tensors leave a model", output.name),
                remedy: "join its elements with ConcatFromSequence, or return each with SequenceAt".into(),
            });
        }
        let value = match builder.padded_of(value) {
            Some(padded) => {
                counted.push((&output.name, padded));
                leaving(&mut builder, value, padded).map_err(|problem| ImportError::Graph {
                    detail: format!("output `{}` has rows that mean nothing, which cannot be marked: {problem:?}", output.name),
                    remedy: "end the model before rows are selected".into(),
                })?
            }
            None => value,
        };
        builder.graph.add_output(&output.name, value);
    }
    for (output, padded) in counted {
        builder.graph.count_rows(output, padded.axis as u32, padded.count);
    }
    Ok(builder.graph)
}

/// The value that a graph returns under a name.
pub(super) fn result(scope: &Scope<'_>, name: &str) -> Result<ValueId, ImportError> {
    scope.get(name).ok_or_else(|| ImportError::Graph {
        detail: format!("output `{name}` is computed by no node"),
        remedy: "export the model again".into(),
    })
}

/// The version of each domain's operators; `ai.onnx` is the same as the empty domain.
fn opsets(model: &ModelProto) -> Result<Opsets<'_>, ImportError> {
    let opsets: Opsets<'_> = model.opset_import.iter().map(|set| (canonical(&set.domain), set.version)).collect();
    match opsets.get("") {
        Some(version) if !OPSETS.contains(version) => Err(ImportError::Malformed {
            detail: format!(
                "it uses version {version} of ONNX's operators, and versions {} to {} are supported: convert it with onnx.version_converter.convert_version",
                OPSETS.start(),
                OPSETS.end()
            ),
        }),
        None if opsets.is_empty() => {
            Err(ImportError::Malformed { detail: "it names no operator set; the file is damaged or not ONNX".into() })
        }
        _ => Ok(opsets),
    }
}

/// The name of a domain as tables have it: the standard's own has two.
pub(super) fn canonical(domain: &str) -> &str {
    if domain == "ai.onnx" { "" } else { domain }
}

fn bind_inputs<'a>(
    graph: &'a GraphProto,
    options: &ImportOptions,
    fixed: &BTreeMap<String, Tensor>,
    builder: &mut Builder,
) -> Result<HashMap<&'a str, ValueId>, ImportError> {
    let mut values = HashMap::new();
    let names: HashMap<&str, &'a str> = graph.input.iter().map(|input| (input.name.as_str(), input.name.as_str())).collect();
    for port in inputs(graph)? {
        if let Some((tensor, &name)) = fixed.get(&port.name).zip(names.get(port.name.as_str())) {
            check_fixed(&port, tensor)?;
            builder.origin = Origin { name: port.name.clone() };
            let value = builder.constant(tensor.clone());
            values.insert(name, value);
            continue;
        }
        let dims = bound(&port, options)?;
        let (Some(dtype), Some(&name)) = (port.dtype, names.get(port.name.as_str())) else { continue };
        if !addressable(dtype, &dims) {
            return Err(ImportError::Graph {
                detail: format!("input `{name}` has more than 64 axes or takes more than 4 GiB"),
                remedy: "bind its symbolic dimensions to smaller sizes".into(),
            });
        }
        let value = builder.graph.add_input(name, Type::new(dtype, Shape::fixed(&dims)));
        if let Some(narrow) = narrow_input(graph, name) {
            builder.mark_narrow(value, narrow);
        }
        values.insert(name, value);
    }
    Ok(values)
}

/// The element type of few bits that an input is declared to have, if it is one.
fn narrow_input(graph: &GraphProto, name: &str) -> Option<Narrow> {
    let port = graph.input.iter().find(|input| input.name == name)?;
    Narrow::of(port.r#type.as_ref()?.tensor_type.as_ref()?.elem_type)
}

/// Refuses a fixed value that the input does not take.
fn check_fixed(port: &PortSignature, tensor: &Tensor) -> Result<(), ImportError> {
    let dims = port.dims.iter().flatten();
    let fits = port.dims.as_ref().is_none_or(|dims| dims.len() == tensor.shape().len())
        && dims.zip(tensor.shape()).all(|(dim, &size)| !matches!(dim, DimSignature::Const(declared) if *declared != size));
    if fits && port.dtype == Some(tensor.dtype()) {
        return Ok(());
    }
    Err(ImportError::Graph {
        detail: format!("input `{}` does not take the value given, {}{:?}", port.name, tensor.dtype(), tensor.shape()),
        remedy: "give a value of its declared element type and shape".into(),
    })
}

/// The sizes of an input, symbols replaced by what they are bound to.
fn bound(port: &PortSignature, options: &ImportOptions) -> Result<Vec<u64>, ImportError> {
    let size = |(axis, dim): (usize, &DimSignature)| match dim {
        DimSignature::Const(size) => Ok(*size),
        DimSignature::Symbol(symbol) => options.dims.get(symbol).copied().ok_or_else(|| ImportError::UnboundDim {
            symbol: symbol.clone(),
            input: port.name.clone(),
            axis,
        }),
        DimSignature::Unknown => {
            let symbol = format!("{}.{axis}", port.name);
            Err(ImportError::UnboundDim { symbol, input: port.name.clone(), axis })
        }
    };
    port.dims.iter().flatten().enumerate().map(size).collect()
}

/// Reads the stored tensors that live nodes or outputs name.
pub(super) fn read_stored<'a>(
    graph: &'a GraphProto,
    order: &[usize],
    builder: &mut Builder,
    scope: &mut Scope<'a>,
) -> Result<(), ImportError> {
    let read_by_nodes = order.iter().flat_map(|&index| reads(&graph.node[index]));
    let used: BTreeSet<&str> = read_by_nodes.chain(graph.output.iter().map(|output| output.name.as_str())).collect();
    for proto in graph.initializer.iter().filter(|proto| used.contains(proto.name.as_str())) {
        let refuse = |detail: String| ImportError::Tensor { name: proto.name.clone(), detail };
        if scope.depth > 0 && !builder.may_create(tensor::copied(proto)) {
            return Err(refuse("the stored tensors of bodies take too much memory when they are repeated; store them outside".into()));
        }
        let tensor = tensor::read(proto).map_err(refuse)?;
        builder.origin = Origin { name: origin_name(&proto.name) };
        let value = builder.constant(tensor);
        if let Some(narrow) = Narrow::of(proto.data_type) {
            builder.mark_narrow(value, narrow);
        }
        scope.insert(&proto.name, value);
    }
    Ok(())
}

/// The most bytes of a name that operations keep: a body's nodes are repeated with their names.
const ORIGIN_BYTES: usize = 200;

fn origin_name(name: &str) -> String {
    let end = (0..=ORIGIN_BYTES.min(name.len())).rev().find(|&end| name.is_char_boundary(end)).unwrap_or_default();
    name[..end].to_owned()
}

/// Imports one node of a graph whose names `scope` knows.
pub(super) fn import_node(node: &NodeProto, index: usize, builder: &mut Builder, scope: &Scope<'_>) -> Result<Vec<ValueId>, ImportError> {
    let domain = canonical(&node.domain);
    let op = if domain.is_empty() { node.op_type.clone() } else { format!("{domain}::{}", node.op_type) };
    let place = Place { node: node.name.clone(), op: op.clone(), index };
    let refuse = |problem: Problem| match problem {
        Problem::Unsupported(detail) => ImportError::Unsupported { node: node.name.clone(), op: op.clone(), index, detail },
        Problem::NeedsValue { what, input } => ImportError::NeedsValue { place: place.clone(), what, input },
        Problem::Inside { body, error } => ImportError::Inside { place: place.clone(), body, error },
        Problem::Invalid(detail) => ImportError::Node {
            place: place.clone(),
            detail,
            remedy: "check the model with onnx.checker.check_model(model, full_check=True), and export it again".into(),
        },
    };
    let Some(importer) = ops::importer(domain, &node.op_type) else {
        let reason = ops::left_out::reason(domain, &node.op_type);
        return Err(refuse(Problem::Unsupported(
            reason.unwrap_or("no such operator is known here; express it with others before exporting").into(),
        )));
    };
    let Some(&opset) = scope.opsets.get(domain) else {
        return Err(refuse(Problem::Invalid(format!("the model does not import the operator set of the domain `{domain}`"))));
    };
    let name = if node.name.is_empty() { format!("{}#{index}", node.op_type) } else { origin_name(&node.name) };
    builder.origin = Origin { name };
    let looked_at = node.output.first().and_then(|name| builder.looked_at.get(name).copied());
    let mut import = NodeImport {
        builder,
        attributes: Attributes::new(node),
        opset,
        inputs: node.input.iter().map(|name| scope.get(name)).collect(),
        looked_at,
        wanted: node.output.iter().map(|name| !name.is_empty()).collect(),
        scope,
    };
    if !ops::takes_sequences(domain, &node.op_type)
        && import.inputs.iter().flatten().any(|&input| import.builder.elements_of(input).is_some())
    {
        return Err(refuse(Problem::Unsupported("an input is a sequence; join its elements with ConcatFromSequence first".into())));
    }
    let mut results = importer(&mut import).map_err(refuse)?;
    if import.inputs.iter().flatten().any(|&input| import.builder.sized.has(input)) {
        for result in &mut results {
            *result = import.builder.following(*result).map_err(refuse)?;
        }
    }
    let rows_of = if domain.is_empty() { node.op_type.as_str() } else { "" };
    if let Some(padded) = follow(&import, rows_of, &results).map_err(refuse)? {
        results.iter().for_each(|&result| import.builder.set_padded(result, padded));
    }
    if let Some(output) = (results.len()..node.output.len()).find(|&output| import.wants(output)) {
        return Err(refuse(Problem::Unsupported(format!("output {output} is not computed"))));
    }
    if let Some(name) = import.attributes.unread() {
        return Err(refuse(Problem::Unsupported(format!("attribute `{name}` is not known for this operator (operator set {opset})"))));
    }
    Ok(results)
}
