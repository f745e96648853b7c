//! Replays the GPU program of a bundle on wgpu: Vulkan, Metal or Direct3D 12.
//!
//! A [`GpuSession`] compiles every pipeline and makes every bind group once. Each [`run`](GpuSession::run) is one command buffer, one
//! submission and one read-back. [`tune`](GpuSession::tune) times the variants of kernels on the device and takes the fastest. The browser runtime replays the same program with WebGPU.

mod adapter;
mod clock;
mod error;
mod pipeline;
mod session;
mod tune;

pub use adapter::AdapterInfo;
pub use error::GpuError;
pub use session::GpuSession;
