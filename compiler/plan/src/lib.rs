//! Plans kernels, layouts, weights and memory of a tensor graph.
