//! Reads ONNX models into the tensor graph.
