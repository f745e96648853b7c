//! The choice of an adapter and its device.

use crate::GpuError;
use mlp_bundle::gpu::GpuProgram;
use std::sync::LazyLock;

/// The way to the system's GPU drivers, opened once: some stop answering when a process comes in by too many.
static INSTANCE: LazyLock<wgpu::Instance> =
    LazyLock::new(|| wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env()));

/// What a session runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterInfo {
    /// The adapter's name, such as `llvmpipe (LLVM 15.0.6, 256 bits)`.
    pub name: String,
    /// The driver and its version.
    pub driver: String,
    /// The interface to it: `vulkan`, `metal`, `dx12`.
    pub backend: String,
    /// True where a CPU stands in for a GPU.
    pub software: bool,
}

/// A device with its queue.
pub(crate) struct Device {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    pub(crate) info: AdapterInfo,
}

impl Device {
    /// Opens the most powerful adapter, or the one that the environment variable `WGPU_ADAPTER_NAME` names in part.
    pub(crate) fn open(program: &GpuProgram, weights: u64) -> Result<Device, GpuError> {
        pollster::block_on(async {
            let adapter = choose(&INSTANCE).await?;
            let found = adapter.get_info();
            let info = AdapterInfo {
                name: found.name,
                driver: format!("{} {}", found.driver, found.driver_info).trim().to_owned(),
                backend: found.backend.to_string(),
                software: found.device_type == wgpu::DeviceType::Cpu,
            };
            let limits = limits(&adapter, &info, program, weights)?;
            // A clock to measure variants, and what some of them need.
            let features = adapter.features() & (wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::SUBGROUP);
            let wanted =
                wgpu::DeviceDescriptor { label: Some("mlp"), required_features: features, required_limits: limits, ..Default::default() };
            let refused = |error: wgpu::RequestDeviceError| GpuError::NoDevice { adapter: info.name.clone(), reason: error.to_string() };
            let (device, queue) = adapter.request_device(&wanted).await.map_err(refused)?;
            Ok(Device { device, queue, info })
        })
    }
}

async fn choose(instance: &wgpu::Instance) -> Result<wgpu::Adapter, GpuError> {
    if let Ok(wanted) = std::env::var("WGPU_ADAPTER_NAME") {
        let all = instance.enumerate_adapters(wgpu::Backends::all()).await;
        let name = |adapter: &wgpu::Adapter| adapter.get_info().name;
        let found = all.iter().map(name).collect::<Vec<_>>().join(", ");
        let fits = |adapter: &wgpu::Adapter| name(adapter).to_lowercase().contains(&wanted.to_lowercase());
        return all.into_iter().find(fits).ok_or(GpuError::NoSuchAdapter { wanted, found });
    }
    let options = wgpu::RequestAdapterOptions { power_preference: wgpu::PowerPreference::HighPerformance, ..Default::default() };
    instance.request_adapter(&options).await.map_err(|error| GpuError::NoAdapter(error.to_string()))
}

/// WebGPU's portable limits, with room for the program's buffers.
fn limits(adapter: &wgpu::Adapter, info: &AdapterInfo, program: &GpuProgram, weights: u64) -> Result<wgpu::Limits, GpuError> {
    let there = adapter.limits();
    let mut limits = wgpu::Limits::default();
    let largest = program.slots.iter().copied().max().unwrap_or(0).max(weights).max(16);
    limits.max_buffer_size = limits.max_buffer_size.max(largest);
    for (what, needed, present) in [
        ("bytes in one buffer", limits.max_buffer_size, there.max_buffer_size),
        (
            "storage buffers in a kernel",
            u64::from(limits.max_storage_buffers_per_shader_stage),
            u64::from(there.max_storage_buffers_per_shader_stage),
        ),
        ("bytes in one binding", limits.max_storage_buffer_binding_size, there.max_storage_buffer_binding_size),
    ] {
        if needed > present {
            let what = format!("it needs {needed} {what}, the adapter has {present}");
            return Err(GpuError::TooLarge { adapter: info.name.clone(), what });
        }
    }
    Ok(limits)
}
