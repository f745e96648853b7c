//! Shader modules, pipelines and bind groups of a program.

use crate::GpuError;
use mlp_bundle::gpu::{Binding, Dispatch, ENABLE_SUBGROUPS, GpuProgram, PARAMS_STRIDE};
use std::collections::HashMap;

/// A dispatch with the way to compute it that was chosen.
pub(crate) struct Step {
    pub(crate) kernel: String,
    /// The number of the way: 0 is what every device runs, others are the dispatch's variants.
    pub(crate) chosen: usize,
    pub(crate) way: Way,
}

/// One way to compute a dispatch, ready to be encoded.
pub(crate) struct Way {
    pub(crate) pipeline: wgpu::ComputePipeline,
    pub(crate) group: wgpu::BindGroup,
    pub(crate) workgroups: [u32; 3],
}

/// The buffers that bindings name.
pub(crate) struct Buffers {
    pub(crate) slots: Vec<wgpu::Buffer>,
    pub(crate) weights: wgpu::Buffer,
    pub(crate) symbols: wgpu::Buffer,
    /// The parameters of all dispatches and their variants, in order, [`PARAMS_STRIDE`] bytes apart.
    pub(crate) params: wgpu::Buffer,
}

/// The kinds of bindings, which decide a pipeline's layout.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Read,
    Write,
    Uniform,
}

fn kind(binding: &Binding) -> Kind {
    match binding {
        Binding::Read(_) | Binding::Weights { .. } => Kind::Read,
        Binding::Write(_) => Kind::Write,
        Binding::Symbols | Binding::Params => Kind::Uniform,
    }
}

/// Compiles modules and pipelines as they are asked for, each once: a pipeline a module, entry point and layout.
pub(crate) struct Compiler {
    device: wgpu::Device,
    program: GpuProgram,
    modules: HashMap<u32, wgpu::ShaderModule>,
    pipelines: HashMap<(u32, String, Vec<Kind>), wgpu::ComputePipeline>,
}

impl Compiler {
    pub(crate) fn new(device: &wgpu::Device, program: &GpuProgram) -> Compiler {
        Compiler { device: device.clone(), program: program.clone(), modules: HashMap::new(), pipelines: HashMap::new() }
    }

    /// A dispatch with its way of that number.
    pub(crate) fn step(&mut self, number: usize, chosen: usize, buffers: &Buffers) -> Result<Step, GpuError> {
        let way = self.way(number, chosen, buffers)?;
        Ok(Step { kernel: self.program.dispatches[number].kernel.clone(), chosen, way })
    }

    /// One way to compute a dispatch.
    pub(crate) fn way(&mut self, number: usize, way: usize, buffers: &Buffers) -> Result<Way, GpuError> {
        let whole = &self.program.dispatches[number];
        let dispatch = whole.variant(way).ok_or_else(|| GpuError::BadProgram(format!("kernel `{}` has no variant {way}", whole.kernel)))?;
        let place = params_place(&self.program, number) + way;
        let kinds: Vec<Kind> = dispatch.bindings.iter().map(kind).collect();
        let layout = layout(&self.device, &kinds);
        let pipeline = self.pipeline(&dispatch, kinds, &layout)?;
        let group = bind(&self.device, &dispatch, place, &layout, buffers)?;
        Ok(Way { pipeline, group, workgroups: dispatch.workgroups })
    }

    fn pipeline(
        &mut self,
        dispatch: &Dispatch,
        kinds: Vec<Kind>,
        layout: &wgpu::BindGroupLayout,
    ) -> Result<wgpu::ComputePipeline, GpuError> {
        let key = (dispatch.module, dispatch.entry.clone(), kinds);
        if let Some(pipeline) = self.pipelines.get(&key) {
            return Ok(pipeline.clone());
        }
        let module = match self.modules.get(&dispatch.module) {
            Some(module) => module.clone(),
            None => {
                let source = self.program.modules.get(dispatch.module as usize);
                let source = source.ok_or_else(|| GpuError::BadProgram(format!("kernel `{}` names a missing shader", dispatch.kernel)))?;
                let module = shader(&self.device, source)?;
                self.modules.insert(dispatch.module, module.clone());
                module
            }
        };
        let pipeline = compile(&self.device, dispatch, &module, layout)?;
        self.pipelines.insert(key, pipeline.clone());
        Ok(pipeline)
    }
}

/// Where the parameters of a dispatch lie, counted in [`PARAMS_STRIDE`]; those of its variants follow.
pub(crate) fn params_place(program: &GpuProgram, number: usize) -> usize {
    program.dispatches[..number].iter().map(|dispatch| dispatch.variants.len() + 1).sum()
}

fn shader(device: &wgpu::Device, module: &mlp_bundle::gpu::ShaderModule) -> Result<wgpu::ShaderModule, GpuError> {
    // naga has subgroups where the device was asked for them, and does not know the directive yet.
    let wgsl = module.wgsl.strip_prefix(ENABLE_SUBGROUPS).unwrap_or(&module.wgsl);
    caught(device, &module.label, || {
        device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(&module.label),
            source: wgpu::ShaderSource::Wgsl(wgsl.into()),
        })
    })
}

fn compile(
    device: &wgpu::Device,
    dispatch: &Dispatch,
    module: &wgpu::ShaderModule,
    layout: &wgpu::BindGroupLayout,
) -> Result<wgpu::ComputePipeline, GpuError> {
    caught(device, &dispatch.kernel, || {
        let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: None,
            bind_group_layouts: &[Some(layout)],
            immediate_size: 0,
        });
        device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&dispatch.kernel),
            layout: Some(&layout),
            module,
            entry_point: Some(&dispatch.entry),
            // Nothing here uses workgroup memory before writing it.
            compilation_options: wgpu::PipelineCompilationOptions { zero_initialize_workgroup_memory: false, ..Default::default() },
            cache: None,
        })
    })
}

fn layout(device: &wgpu::Device, kinds: &[Kind]) -> wgpu::BindGroupLayout {
    let entry = |(number, kind): (usize, &Kind)| wgpu::BindGroupLayoutEntry {
        binding: number as u32,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty: match kind {
                Kind::Read => wgpu::BufferBindingType::Storage { read_only: true },
                Kind::Write => wgpu::BufferBindingType::Storage { read_only: false },
                Kind::Uniform => wgpu::BufferBindingType::Uniform,
            },
            has_dynamic_offset: false,
            min_binding_size: None,
        },
        count: None,
    };
    let entries: Vec<_> = kinds.iter().enumerate().map(entry).collect();
    device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
}

fn bind(
    device: &wgpu::Device,
    dispatch: &Dispatch,
    place: usize,
    layout: &wgpu::BindGroupLayout,
    buffers: &Buffers,
) -> Result<wgpu::BindGroup, GpuError> {
    let missing = || GpuError::BadProgram(format!("kernel `{}` names a missing buffer", dispatch.kernel));
    let resource = |binding: &Binding| match *binding {
        Binding::Read(slot) | Binding::Write(slot) => Ok(buffers.slots.get(slot as usize).ok_or_else(missing)?.as_entire_binding()),
        Binding::Symbols => Ok(buffers.symbols.as_entire_binding()),
        Binding::Params => {
            let size = std::num::NonZero::new(dispatch.params.len() as u64 * 4).ok_or_else(missing)?;
            let offset = (place * PARAMS_STRIDE) as u64;
            Ok(wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &buffers.params, offset, size: Some(size) }))
        }
        Binding::Weights { offset, bytes } => {
            let size = std::num::NonZero::new(bytes).ok_or_else(missing)?;
            Ok(wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer: &buffers.weights, offset, size: Some(size) }))
        }
    };
    let resources = dispatch.bindings.iter().map(resource).collect::<Result<Vec<_>, GpuError>>()?;
    let entries: Vec<_> =
        resources.into_iter().enumerate().map(|(number, resource)| wgpu::BindGroupEntry { binding: number as u32, resource }).collect();
    caught(device, &dispatch.kernel, || {
        device.create_bind_group(&wgpu::BindGroupDescriptor { label: Some(&dispatch.kernel), layout, entries: &entries })
    })
}

/// Runs something that may be refused, and gives the refusal as an error.
pub(crate) fn caught<T>(device: &wgpu::Device, kernel: &str, make: impl FnOnce() -> T) -> Result<T, GpuError> {
    let invalid = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let made = make();
    let memory = pollster::block_on(memory.pop());
    let invalid = pollster::block_on(invalid.pop());
    match memory.or(invalid) {
        Some(error) => Err(GpuError::Refused { kernel: kernel.to_owned(), reason: error.to_string() }),
        None => Ok(made),
    }
}
