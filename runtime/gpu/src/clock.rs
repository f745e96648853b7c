//! Waiting for a device, and how long it takes for something.

use crate::GpuError;
use crate::adapter::Device;
use crate::pipeline::Way;
use crate::session::encode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

impl Device {
    /// How long the device takes to compute something once, on average over `times` in a row.
    pub(crate) fn time(&self, way: &Way, times: u32) -> Result<Duration, GpuError> {
        let timed = self.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let total = if timed { self.time_on_device(way, times)? } else { self.time_on_host(way, times)? };
        Ok(total / times)
    }

    fn time_on_host(&self, way: &Way, times: u32) -> Result<Duration, GpuError> {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: None });
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            (0..times).for_each(|_| encode(&mut pass, way));
        }
        let commands = encoder.finish();
        let start = Instant::now();
        self.queue.submit([commands]);
        self.wait()?;
        Ok(start.elapsed())
    }

    fn time_on_device(&self, way: &Way, times: u32) -> Result<Duration, GpuError> {
        let device = &self.device;
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
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label: None, timestamp_writes: Some(writes) });
            (0..times).for_each(|_| encode(&mut pass, way));
        }
        encoder.resolve_query_set(&queries, 0..2, &resolved, 0);
        encoder.copy_buffer_to_buffer(&resolved, 0, &mapped, 0, 16);
        self.queue.submit([encoder.finish()]);
        let bytes = self.map(&mapped, 16)?;
        let tick = |n: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[n * 8 + i]));
        let nanoseconds = tick(1).saturating_sub(tick(0)) as f64 * f64::from(self.queue.get_timestamp_period());
        Ok(Duration::from_nanos(nanoseconds as u64))
    }

    /// The first `bytes` of a buffer, once everything submitted is done.
    pub(crate) fn map(&self, buffer: &wgpu::Buffer, bytes: u64) -> Result<Vec<u8>, GpuError> {
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
        self.device.poll(wgpu::PollType::wait_indefinitely()).map(|_| ()).map_err(|error| GpuError::Failed(error.to_string()))
    }
}
