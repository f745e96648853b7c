// Shared by the pages of onnxruntime-web: its builds differ in the module alone.
const TYPES = { f32: 'float32', i64: 'int64', i32: 'int32', u8: 'uint8', i8: 'int8', bool: 'bool', f64: 'float64' };

export async function open(ort, { model, dims, outputs, options }, provider) {
  ort.env.wasm.numThreads = options.threads ?? 1;
  ort.env.wasm.wasmPaths = '/onnxruntime-web/';
  const session = await ort.InferenceSession.create(model, {
    executionProviders: [provider],
    graphOptimizationLevel: 'all',
    freeDimensionOverrides: dims,
  });
  return (inputs) => {
    const feeds = Object.fromEntries(inputs.map(({ name, dtype, shape, data }) => [name, new ort.Tensor(TYPES[dtype], data, shape)]));
    return async () => {
      const answer = await session.run(feeds);
      return outputs.map(({ name }) => answer[name].data);
    };
  };
}
