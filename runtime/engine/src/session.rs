//! A pipeline of a bundle, opened on a backend.

use crate::EngineError;
use crate::backend::{Backend, BackendKind};
use crate::bundle;
use crate::photo::Photo;
use crate::value::{Ranked, Tensor, Value};
use mlp_bundle::manifest::{Dim, Encoding, Field, Pipeline, ValueType};
use mlp_bundle::plan::{Plan, Port};
use mlp_bundle::{Bundle, DType};
use mlp_text::{Encoder, Tokens};
use std::collections::BTreeMap;

/// What a pipeline takes and gives, with the lines of the label files that its types name.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The pipeline's name.
    pub name: String,
    /// What it takes, in order.
    pub inputs: Vec<Field>,
    /// What it gives.
    pub outputs: Vec<Field>,
    /// True where the answer is a record of `outputs`.
    pub record: bool,
    /// The labels of each file.
    pub labels: BTreeMap<String, Vec<String>>,
}

/// A pipeline, loaded.
pub struct Session {
    plan: Plan,
    pipeline: Signature,
    backend: Box<dyn Backend>,
    kind: BackendKind,
    /// What makes tokens of texts.
    encoders: Vec<Encoder>,
}

/// The ports' bytes and shapes of one run.
#[derive(Default)]
struct Arguments {
    ports: BTreeMap<String, (Vec<u8>, Vec<u64>)>,
}

impl Arguments {
    fn set(&mut self, port: &str, bytes: Vec<u8>, shape: Vec<u64>) {
        self.ports.insert(port.to_owned(), (bytes, shape));
    }
}

impl Session {
    /// Loads a pipeline of a bundle on a backend; `threads` is how many the native backend may use.
    pub fn open(bundle: &Bundle, pipeline: &str, kind: BackendKind, threads: usize) -> Result<Session, EngineError> {
        let pipeline = bundle.pipeline(pipeline).ok_or_else(|| unknown_pipeline(bundle, pipeline))?.clone();
        let (plan, backend) = bundle::load(bundle, &pipeline, kind, threads)?;
        let mut labels = BTreeMap::new();
        for field in &pipeline.outputs {
            if let ValueType::Label { labels: file, .. } | ValueType::Ranking { labels: file, .. } = &field.ty {
                let text = String::from_utf8_lossy(&bundle.file(file)?).into_owned();
                labels.insert(file.clone(), text.lines().map(str::to_string).collect());
            }
        }
        let encoder = |encoding: &Encoding| Ok(Encoder::new(encoding, &bundle.file(&encoding.tokenizer)?)?);
        let encoders = pipeline.encodings.iter().map(encoder).collect::<Result<_, EngineError>>()?;
        let Pipeline { name, inputs, outputs, record, .. } = pipeline;
        Ok(Session::new(Signature { name, inputs, outputs, record, labels }, plan, backend, kind).with_texts(encoders))
    }

    /// A pipeline whose plan is loaded on a backend of that kind.
    pub fn new(pipeline: Signature, plan: Plan, backend: Box<dyn Backend>, kind: BackendKind) -> Session {
        Session { plan, pipeline, backend, kind, encoders: Vec::new() }
    }

    /// The session with what makes tokens of its texts.
    pub fn with_texts(self, encoders: Vec<Encoder>) -> Session {
        Session { encoders, ..self }
    }

    /// The pipeline's signature.
    pub fn pipeline(&self) -> &Signature {
        &self.pipeline
    }

    /// The backend.
    pub fn kind(&self) -> BackendKind {
        self.kind
    }

    /// The backend and what it runs on, for people.
    pub fn description(&self) -> String {
        format!("{} ({})", self.kind, self.backend.description())
    }

    /// Runs the pipeline on named values; the answer is a record where the signature's is.
    pub fn run(&mut self, inputs: &BTreeMap<String, Value>) -> Result<Value, EngineError> {
        if let Some(extra) = inputs.keys().find(|name| self.pipeline.inputs.iter().all(|field| field.name != **name)) {
            let known = names(&self.pipeline.inputs);
            return Err(EngineError::Input(format!("`{}` has no input `{extra}`; it takes {known}", self.pipeline.name)));
        }
        let mut arguments = Arguments::default();
        for field in &self.pipeline.inputs {
            let value = inputs.get(&field.name).ok_or_else(|| {
                EngineError::Input(format!(
                    "`{}` takes {}, and `{}` is missing",
                    self.pipeline.name,
                    names(&self.pipeline.inputs),
                    field.name
                ))
            })?;
            bind(field, value, &self.plan, &mut arguments)?;
        }
        for encoder in &self.encoders {
            encode(encoder, inputs, &self.plan, &mut arguments)?;
        }
        let given = |port: &Port| arguments.ports.get(&port.name).map_or((&[][..], &[][..]), |(bytes, shape)| (bytes, shape));
        let (ports, shapes): (Vec<&[u8]>, Vec<&[u64]>) = self.plan.inputs.iter().map(given).unzip();
        let symbols = self.plan.symbols_of(&shapes, |_| None).map_err(EngineError::Input)?;
        let outputs = self.backend.run(&ports, &symbols)?;
        let shaped = |(port, bytes): (&Port, Vec<u8>)| (port.name.clone(), (bytes, self.plan.port_shape(port, &symbols)));
        let outputs: BTreeMap<String, (Vec<u8>, Vec<u64>)> = self.plan.outputs.iter().zip(outputs).map(shaped).collect();
        let mut fields = BTreeMap::new();
        for field in &self.pipeline.outputs {
            fields.insert(field.name.clone(), self.answer(&field.ty, &outputs)?);
        }
        match fields.len() {
            1 if !self.pipeline.record => Ok(fields.into_values().next().expect("there is one")),
            _ => Ok(Value::Record(fields)),
        }
    }

    /// Whether a run depends on the runs before it.
    pub fn has_state(&self) -> bool {
        !self.plan.states.is_empty()
    }

    /// Begins anew: the next run is as the first one was. Of a pipeline without state that changes nothing.
    pub fn reset(&mut self) -> Result<(), EngineError> {
        self.backend.reset()
    }

    fn answer(&self, ty: &ValueType, outputs: &BTreeMap<String, (Vec<u8>, Vec<u64>)>) -> Result<Value, EngineError> {
        let known = |name: &str| {
            outputs.get(name).ok_or_else(|| EngineError::Input(format!("the bundle's plan has no output `{name}`: build it again")))
        };
        let port = |name: &str| known(name).map(|(bytes, _)| bytes);
        let label = |file: &str, number: &[u8]| {
            let index = i32::from_le_bytes(number.try_into().unwrap_or_default());
            let line = usize::try_from(index).ok().and_then(|index| self.pipeline.labels.get(file)?.get(index));
            line.cloned().unwrap_or_else(|| index.to_string())
        };
        Ok(match ty {
            ValueType::Tensor { dtype, port: name, rows, .. } => {
                let (bytes, shape) = known(name)?;
                let (bytes, shape) = match rows {
                    Some(rows) => rows.cut(bytes, shape, dtype.size(), port(&rows.port)?).ok_or_else(|| {
                        EngineError::Input(format!("the bundle's plan does not say how many rows `{name}` has: build it again"))
                    })?,
                    None => (bytes.clone(), shape.clone()),
                };
                Value::Tensor(Tensor { dtype: *dtype, shape, bytes })
            }
            ValueType::Image { .. } => return Err(EngineError::Input("images as answers are not supported".into())),
            ValueType::Sound { .. } => return Err(EngineError::Input("sounds as answers are not supported".into())),
            ValueType::Text => return Err(EngineError::Input("texts as answers are not supported".into())),
            ValueType::Label { labels, port: name } => Value::Label(label(labels, port(name)?)),
            ValueType::Ranking { labels, indices, scores, .. } => {
                let scores = port(scores)?.chunks_exact(4).map(|score| f32::from_le_bytes(score.try_into().unwrap_or_default()));
                let labels = port(indices)?.chunks_exact(4).map(|number| label(labels, number));
                Value::Ranking(labels.zip(scores).map(|(label, score)| Ranked { label, score }).collect())
            }
        })
    }
}

fn names(fields: &[Field]) -> String {
    fields.iter().map(|field| format!("`{}`", field.name)).collect::<Vec<_>>().join(", ")
}

fn unknown_pipeline(bundle: &Bundle, name: &str) -> EngineError {
    let known = bundle.manifest.pipelines.iter().map(|pipeline| format!("`{}`", pipeline.name)).collect::<Vec<_>>().join(", ");
    EngineError::Input(format!("the bundle has no pipeline `{name}`; it has {known}"))
}

/// Writes the tokens of texts to their ports.
fn encode(encoder: &Encoder, inputs: &BTreeMap<String, Value>, plan: &Plan, arguments: &mut Arguments) -> Result<(), EngineError> {
    let Encoding { texts, length, ids, mask, types, .. } = encoder.encoding();
    let text = |name: &String| match inputs.get(name) {
        Some(Value::Text(text)) => Ok(text.as_str()),
        _ => Err(EngineError::Input(format!("`{name}` takes a text"))),
    };
    let texts = texts.iter().map(text).collect::<Result<Vec<&str>, EngineError>>()?;
    for port in [ids, mask, types].into_iter().flatten() {
        let known = plan.inputs.iter().find(|known| known.name == *port).map(|port| &plan.buffers[port.buffer]);
        if !known.is_some_and(|buffer| buffer.dtype == DType::I64 && buffer.len == u64::from(*length)) {
            return Err(EngineError::Input(format!("the bundle's plan takes no {length} tokens as `{port}`: build it again")));
        }
    }
    let Tokens { ids: numbers, mask: seen, types: kinds } = encoder.encode(&texts)?;
    for (port, values) in [(ids, numbers), (mask, seen), (types, kinds)] {
        if let Some(port) = port {
            let shape = plan.inputs.iter().find(|known| known.name == *port).map(|known| plan.port_shape(known, &[]));
            arguments.set(port, values.iter().flat_map(|value| value.to_le_bytes()).collect(), shape.unwrap_or_default());
        }
    }
    Ok(())
}

/// Whether a shape is one of those that a declared one allows, as far as its sizes are numbers.
fn takes(declared: &[Dim], given: &[u64]) -> bool {
    let fits = |(declared, given): (&Dim, &u64)| match declared {
        Dim::Const(size) => size == given,
        Dim::Symbol(_) => true,
    };
    declared.len() == given.len() && declared.iter().zip(given).all(fits)
}

/// Writes a value to the ports of its field.
fn bind(field: &Field, value: &Value, plan: &Plan, arguments: &mut Arguments) -> Result<(), EngineError> {
    match (&field.ty, value) {
        (ValueType::Image { max_height, max_width, port, .. }, Value::Photo(photo)) => {
            let Photo { width: columns, height: rows, rgba } = photo.clone().within(*max_width, *max_height);
            arguments.set(port, rgba, vec![rows.into(), columns.into(), 4]);
            Ok(())
        }
        (ValueType::Sound { rate, samples, port }, Value::Sound(sound)) => {
            if sound.rate != *rate {
                let (name, given) = (&field.name, sound.rate);
                return Err(EngineError::Input(format!(
                    "`{name}` takes a sound of {rate}Hz, and was given one of {given}Hz: convert it first"
                )));
            }
            let known = plan.inputs.iter().find(|known| known.name == *port).map(|port| plan.buffers[port.buffer].len);
            let samples = match usize::try_from(*samples) {
                Ok(count) if known == Some(*samples) => count,
                _ => return Err(EngineError::Input(format!("the bundle's plan takes no {samples} samples as `{port}`: build it again"))),
            };
            // Silence after a shorter sound; of a longer one the rest is left out.
            let mut bytes: Vec<u8> = sound.samples.iter().take(samples).flat_map(|sample| sample.to_le_bytes()).collect();
            bytes.resize(samples * 4, 0);
            arguments.set(port, bytes, vec![samples as u64]);
            Ok(())
        }
        (ValueType::Tensor { dtype, shape, port, .. }, Value::Tensor(tensor)) if tensor.dtype == *dtype && takes(shape, &tensor.shape) => {
            arguments.set(port, tensor.bytes.clone(), tensor.shape.clone());
            Ok(())
        }
        (ValueType::Tensor { dtype, shape, .. }, Value::Tensor(tensor)) => {
            let shape: Vec<String> = shape.iter().map(ToString::to_string).collect();
            let (name, shape) = (&field.name, shape.join(", "));
            Err(EngineError::Input(format!("`{name}` takes {dtype}[{shape}], and was given {}{:?}", tensor.dtype, tensor.shape)))
        }
        // It has no port of its own: `encode` writes what it becomes.
        (ValueType::Text, Value::Text(_)) => Ok(()),
        (ValueType::Text, _) => Err(EngineError::Input(format!("`{}` takes a text", field.name))),
        (ValueType::Image { .. }, _) => Err(EngineError::Input(format!("`{}` takes a photo", field.name))),
        (ValueType::Sound { rate, .. }, _) => Err(EngineError::Input(format!("`{}` takes a sound of {rate}Hz", field.name))),
        (ValueType::Tensor { .. }, _) => Err(EngineError::Input(format!("`{}` takes a tensor", field.name))),
        (ValueType::Label { .. } | ValueType::Ranking { .. }, _) => {
            Err(EngineError::Input(format!("`{}` is of a type that no input has", field.name)))
        }
    }
}
