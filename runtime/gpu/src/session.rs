//! A program on a device, ready to run again and again.

use crate::GpuError;
use crate::adapter::{AdapterInfo, Device};
use crate::pipeline::{Buffers, Compiler, Step, Way, caught, params_place};
use crate::tune;
use mlp_bundle::gpu::{GpuProgram, PARAMS_STRIDE, StateTransfer, Transfer};
use std::time::Duration;

/// A GPU program with its weights on a device.
pub struct GpuSession {
    device: Device,
    program: GpuProgram,
    compiler: Compiler,
    buffers: Buffers,
    steps: Vec<Step>,
    /// Where outputs are copied to be read, one after another.
    readback: wgpu::Buffer,
}

impl GpuSession {
    /// Opens a device, uploads the weights and compiles every kernel. Of a kernel's variants it takes what [`tune`](GpuSession::tune) found best for the same
    /// program on the same adapter in this process, or else what suits the kind of adapter. The program is trusted as far as [`GpuProgram::verify`] goes;
    /// what the device refuses is an error here.
    pub fn new(program: &GpuProgram, weights: &[u8]) -> Result<GpuSession, GpuError> {
        let weight_bytes = (weights.len() as u64).next_multiple_of(16).max(16);
        let device = Device::open(program, weight_bytes)?;
        if let Some(feature) = program.features.iter().find(|feature| !device.offers(feature)) {
            return Err(GpuError::Lacks { feature: feature.clone() });
        }
        let buffers = caught(&device.device, "weights and activations", || allocate(&device.device, program, weight_bytes))?;
        write(&device.queue, &buffers.weights, 0, weights);
        for (number, dispatch) in program.dispatches.iter().enumerate() {
            let variants = dispatch.variants.iter().map(|variant| &variant.params);
            for (way, params) in std::iter::once(&dispatch.params).chain(variants).enumerate() {
                let place = params_place(program, number) + way;
                write(&device.queue, &buffers.params, (place * PARAMS_STRIDE) as u64, bytemuck::cast_slice(params));
            }
        }
        let mut compiler = Compiler::new(&device.device, program);
        let choice = tune::remembered(program, &device.info).unwrap_or_else(|| tune::guess(program, &device.info));
        let chosen = choice.into_iter().enumerate();
        let steps = chosen.map(|(number, way)| compiler.step(number, way, &buffers)).collect::<Result<Vec<_>, _>>()?;
        let room = |transfer: &Transfer| buffers.slots.get(transfer.slot as usize).map_or(0, wgpu::Buffer::size);
        let states = program.states.iter().flat_map(|StateTransfer { from, to }| [from, to]);
        if program
            .inputs
            .iter()
            .chain(&program.outputs)
            .chain(states)
            .any(|transfer| transfer.offset.saturating_add(rounded(transfer)) > room(transfer))
        {
            return Err(GpuError::BadProgram("an input, an output or a state leaves its buffer".into()));
        }
        let readback = device.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size: program.outputs.iter().map(rounded).sum::<u64>().max(4),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Ok(GpuSession { device, program: program.clone(), compiler, buffers, steps, readback })
    }

    /// What the session runs on.
    pub fn adapter(&self) -> &AdapterInfo {
        &self.device.info
    }

    /// Runs once. `inputs` are dense little-endian tensors in the order of the plan's inputs, an input with symbolic sizes as long as the sizes make it;
    /// `symbols` are the values of all of the plan's symbols. Outputs come whole, as long as their buffers.
    pub fn run(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<Vec<u8>>, GpuError> {
        self.upload(inputs, symbols)?;
        let mut encoder = self.device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            for step in &self.steps {
                encode(&mut pass, &step.way);
            }
        }
        self.keep_states(&mut encoder);
        let mut at = 0;
        for output in &self.program.outputs {
            encoder.copy_buffer_to_buffer(&self.buffers.slots[output.slot as usize], output.offset, &self.readback, at, rounded(output));
            at += rounded(output);
        }
        self.device.queue.submit([encoder.finish()]);
        self.read()
    }

    /// Runs once and measures each kernel on the device, in the program's order. Takes longer than [`run`](GpuSession::run).
    pub fn profile(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<(String, Duration)>, GpuError> {
        self.upload(inputs, symbols)?;
        let times = self.steps.iter().map(|step| Ok((step.kernel.clone(), self.device.time(&step.way, 1)?))).collect();
        let mut encoder = self.device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        self.keep_states(&mut encoder);
        self.device.queue.submit([encoder.finish()]);
        times
    }

    /// Sets the states back to zeros, as they are before the first run.
    pub fn reset(&mut self) {
        let mut encoder = self.device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        for StateTransfer { to, .. } in &self.program.states {
            encoder.clear_buffer(&self.buffers.slots[to.slot as usize], to.offset, Some(rounded(to)));
        }
        self.device.queue.submit([encoder.finish()]);
    }

    /// Copies what a run has made of the states to where the next one reads it.
    fn keep_states(&self, encoder: &mut wgpu::CommandEncoder) {
        let slot = |transfer: &Transfer| &self.buffers.slots[transfer.slot as usize];
        for StateTransfer { from, to } in &self.program.states {
            encoder.copy_buffer_to_buffer(slot(from), from.offset, slot(to), to.offset, rounded(to));
        }
    }

    /// Measures the variants of the kernels that take most of a run, for about as long as `budget`, or as a few runs take on a slow device, beside what
    /// compiling them takes, and runs the fastest of each from then on. The choice is remembered for this program and adapter until the process ends. Results
    /// stay the same: integers to the bit, floats but for the order of sums.
    pub fn tune(&mut self, budget: Duration) -> Result<(), GpuError> {
        let GpuSession { device, program, compiler, buffers, steps, .. } = self;
        tune::tune(device, program, compiler, buffers, steps, budget)
    }

    /// The variant that each kernel runs as, in the program's order; empty where it is what every device runs.
    pub fn variants(&self) -> Vec<&str> {
        let name = |(step, dispatch): (&Step, &mlp_bundle::gpu::Dispatch)| {
            let variant = step.chosen.checked_sub(1).map(|index| &dispatch.variants[index]);
            self.program.modules[variant.map_or(dispatch.module, |variant| variant.module) as usize].variant.as_str()
        };
        self.steps.iter().zip(&self.program.dispatches).map(name).collect()
    }

    fn upload(&self, inputs: &[&[u8]], symbols: &[u32]) -> Result<(), GpuError> {
        if inputs.len() != self.program.inputs.len() {
            return Err(GpuError::BadArguments(format!("the pipeline takes {} inputs, not {}", self.program.inputs.len(), inputs.len())));
        }
        for (number, (bytes, transfer)) in inputs.iter().zip(&self.program.inputs).enumerate() {
            if bytes.len() as u64 > transfer.bytes {
                return Err(GpuError::BadArguments(format!(
                    "input {number} has {} bytes; there is room for {}",
                    bytes.len(),
                    transfer.bytes
                )));
            }
            write(&self.device.queue, &self.buffers.slots[transfer.slot as usize], transfer.offset, bytes);
        }
        let mut words = Vec::new();
        for symbol in &self.program.uniforms {
            let value = symbols.get(symbol.as_u32() as usize);
            let missing = || GpuError::BadArguments(format!("{} symbols are not enough: {symbol} is asked for", symbols.len()));
            words.push(*value.ok_or_else(missing)?);
        }
        write(&self.device.queue, &self.buffers.symbols, 0, bytemuck::cast_slice(&words));
        Ok(())
    }

    fn read(&self) -> Result<Vec<Vec<u8>>, GpuError> {
        let bytes = self.device.map(&self.readback, self.program.outputs.iter().map(rounded).sum())?;
        let mut rest = bytes.as_slice();
        let mut outputs = Vec::new();
        for output in &self.program.outputs {
            let (mine, others) = rest.split_at(rounded(output) as usize);
            outputs.push(mine[..output.bytes as usize].to_vec());
            rest = others;
        }
        Ok(outputs)
    }
}

pub(crate) fn encode(pass: &mut wgpu::ComputePass<'_>, way: &Way) {
    let [x, y, z] = way.workgroups;
    pass.set_pipeline(&way.pipeline);
    pass.set_bind_group(0, &way.group, &[]);
    pass.dispatch_workgroups(x, y, z);
}

/// Bytes that a transfer moves: copies are made of whole words.
fn rounded(transfer: &Transfer) -> u64 {
    transfer.bytes.next_multiple_of(4)
}

fn allocate(device: &wgpu::Device, program: &GpuProgram, weights: u64) -> Buffers {
    let buffer = |label, size: u64, usage| {
        device.create_buffer(&wgpu::BufferDescriptor { label: Some(label), size: size.max(16), usage, mapped_at_creation: false })
    };
    let storage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let uniform = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
    Buffers {
        slots: program.slots.iter().map(|&size| buffer("slot", size, storage | wgpu::BufferUsages::COPY_SRC)).collect(),
        weights: buffer("weights", weights, storage),
        symbols: buffer("symbols", (program.uniforms.len() as u64 * 4).next_multiple_of(16), uniform),
        params: buffer("parameters", (params_place(program, program.dispatches.len()) * PARAMS_STRIDE) as u64, uniform),
    }
}

/// Writes bytes; what does not fill the last word is padded with zeros.
fn write(queue: &wgpu::Queue, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) {
    let whole = bytes.len() / 4 * 4;
    if whole > 0 {
        queue.write_buffer(buffer, offset, &bytes[..whole]);
    }
    if whole < bytes.len() {
        let mut last = [0; 4];
        last[..bytes.len() - whole].copy_from_slice(&bytes[whole..]);
        queue.write_buffer(buffer, offset + whole as u64, &last);
    }
}
