//! Replays the GPU program of a bundle on wgpu: Vulkan, Metal or Direct3D 12.
//!
//! A [`GpuSession`] compiles every pipeline and makes every bind group once. Each [`run`](GpuSession::run) is one command buffer, one
//! submission and one read-back. The browser runtime replays the same program with WebGPU.

mod adapter;
mod error;
mod pipeline;
mod session;

pub use adapter::AdapterInfo;
pub use error::GpuError;
pub use session::GpuSession;
