//! A program on a device, ready to run again and again.

use crate::GpuError;
use crate::adapter::{AdapterInfo, Device};
use crate::pipeline::{Buffers, Step, caught, steps};
use mlp_bundle::gpu::{GpuProgram, PARAMS_STRIDE, Transfer};
use mlp_bundle::loops::SymbolId;
use std::sync::mpsc;
use std::time::Duration;

/// A GPU program with its weights on a device.
pub struct GpuSession {
    device: Device,
    buffers: Buffers,
    steps: Vec<Step>,
    inputs: Vec<Transfer>,
    outputs: Vec<Transfer>,
    uniforms: Vec<SymbolId>,
    /// Where outputs are copied to be read, one after another.
    readback: wgpu::Buffer,
}

impl GpuSession {
    /// Opens a device, uploads the weights and compiles every kernel. The program is trusted as far as
    /// [`GpuProgram::verify`] goes; what the device refuses is an error here.
    pub fn new(program: &GpuProgram, weights: &[u8]) -> Result<GpuSession, GpuError> {
        let weight_bytes = (weights.len() as u64).next_multiple_of(16).max(16);
        let device = Device::open(program, weight_bytes)?;
        let buffers = caught(&device.device, "weights and activations", || allocate(&device.device, program, weight_bytes))?;
        write(&device.queue, &buffers.weights, 0, weights);
        for (number, dispatch) in program.dispatches.iter().enumerate() {
            write(&device.queue, &buffers.params, (number * PARAMS_STRIDE) as u64, bytemuck::cast_slice(&dispatch.params));
        }
        let steps = steps(&device.device, program, &buffers)?;
        let room = |transfer: &Transfer| buffers.slots.get(transfer.slot as usize).map_or(0, wgpu::Buffer::size);
        if program.inputs.iter().chain(&program.outputs).any(|transfer| transfer.offset.saturating_add(rounded(transfer)) > room(transfer))
        {
            return Err(GpuError::BadProgram("an input or output leaves its buffer".into()));
        }
        let readback = device.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("readback"),
            size: program.outputs.iter().map(rounded).sum::<u64>().max(4),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Ok(GpuSession {
            device,
            buffers,
            steps,
            inputs: program.inputs.clone(),
            outputs: program.outputs.clone(),
            uniforms: program.uniforms.clone(),
            readback,
        })
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
                encode(&mut pass, step);
            }
        }
        let mut at = 0;
        for output in &self.outputs {
            encoder.copy_buffer_to_buffer(&self.buffers.slots[output.slot as usize], output.offset, &self.readback, at, rounded(output));
            at += rounded(output);
        }
        self.device.queue.submit([encoder.finish()]);
        self.read()
    }

    /// Runs once and measures each kernel on the device, in the program's order. Takes longer than [`run`](GpuSession::run).
    pub fn profile(&mut self, inputs: &[&[u8]], symbols: &[u32]) -> Result<Vec<(String, Duration)>, GpuError> {
        self.upload(inputs, symbols)?;
        let timed = self.device.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let mut times = Vec::new();
        for step in &self.steps {
            let time = if timed { self.time_on_device(step)? } else { self.time_on_host(step)? };
            times.push((step.kernel.clone(), time));
        }
        Ok(times)
    }

    fn time_on_host(&self, step: &Step) -> Result<Duration, GpuError> {
        let mut encoder = self.device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        encode(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()), step);
        let commands = encoder.finish();
        let start = std::time::Instant::now();
        self.device.queue.submit([commands]);
        self.wait()?;
        Ok(start.elapsed())
    }

    fn time_on_device(&self, step: &Step) -> Result<Duration, GpuError> {
        let device = &self.device.device;
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor { label: None, ty: wgpu::QueryType::Timestamp, count: 2 });
        let buffer = |usage| device.create_buffer(&wgpu::BufferDescriptor { label: None, size: 256, usage, mapped_at_creation: false });
        let resolved = buffer(wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC);
        let mapped = buffer(wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST);
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        let writes = wgpu::ComputePassTimestampWrites {
            query_set: &queries,
            beginning_of_pass_write_index: Some(0),
            end_of_pass_write_index: Some(1),
        };
        let pass = wgpu::ComputePassDescriptor { label: None, timestamp_writes: Some(writes) };
        encode(&mut encoder.begin_compute_pass(&pass), step);
        encoder.resolve_query_set(&queries, 0..2, &resolved, 0);
        encoder.copy_buffer_to_buffer(&resolved, 0, &mapped, 0, 16);
        self.device.queue.submit([encoder.finish()]);
        let bytes = self.map(&mapped, 16)?;
        let tick = |n: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[n * 8 + i]));
        let nanoseconds = tick(1).saturating_sub(tick(0)) as f64 * f64::from(self.device.queue.get_timestamp_period());
        Ok(Duration::from_nanos(nanoseconds as u64))
    }

    fn upload(&self, inputs: &[&[u8]], symbols: &[u32]) -> Result<(), GpuError> {
        if inputs.len() != self.inputs.len() {
            return Err(GpuError::BadArguments(format!("the pipeline takes {} inputs, not {}", self.inputs.len(), inputs.len())));
        }
        for (number, (bytes, transfer)) in inputs.iter().zip(&self.inputs).enumerate() {
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
        for symbol in &self.uniforms {
            let value = symbols.get(symbol.as_u32() as usize);
            let missing = || GpuError::BadArguments(format!("{} symbols are not enough: {symbol} is asked for", symbols.len()));
            words.push(*value.ok_or_else(missing)?);
        }
        write(&self.device.queue, &self.buffers.symbols, 0, bytemuck::cast_slice(&words));
        Ok(())
    }

    fn read(&self) -> Result<Vec<Vec<u8>>, GpuError> {
        let bytes = self.map(&self.readback, self.outputs.iter().map(rounded).sum())?;
        let mut rest = bytes.as_slice();
        let mut outputs = Vec::new();
        for output in &self.outputs {
            let (mine, others) = rest.split_at(rounded(output) as usize);
            outputs.push(mine[..output.bytes as usize].to_vec());
            rest = others;
        }
        Ok(outputs)
    }

    /// The first `bytes` of a buffer, once everything submitted is done.
    fn map(&self, buffer: &wgpu::Buffer, bytes: u64) -> Result<Vec<u8>, GpuError> {
        if bytes == 0 {
            self.wait()?;
            return Ok(Vec::new());
        }
        let (done, mapped) = mpsc::channel();
        buffer.map_async(wgpu::MapMode::Read, 0..bytes, move |result| {
            // The receiver is gone only if waiting has failed, which is reported already.
            let _ = done.send(result);
        });
        self.wait()?;
        let failed = |error: &dyn std::fmt::Display| GpuError::Failed(error.to_string());
        mapped.recv().map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        let copy = buffer.get_mapped_range(0..bytes).map_err(|error| failed(&error))?.to_vec();
        buffer.unmap();
        Ok(copy)
    }

    fn wait(&self) -> Result<(), GpuError> {
        self.device.device.poll(wgpu::PollType::wait_indefinitely()).map(|_| ()).map_err(|error| GpuError::Failed(error.to_string()))
    }
}

fn encode(pass: &mut wgpu::ComputePass<'_>, step: &Step) {
    let [x, y, z] = step.workgroups;
    pass.set_pipeline(&step.pipeline);
    pass.set_bind_group(0, &step.group, &[]);
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
        params: buffer("parameters", (program.dispatches.len() * PARAMS_STRIDE) as u64, uniform),
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
