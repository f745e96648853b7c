//! Replays a bundle's dispatch list on wgpu.
