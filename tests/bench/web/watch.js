/** Runs in a page before any of its scripts: counts what is asked of the GPU, and keeps an eye on every WebAssembly memory. */
export function watch() {
  const counts = { dispatches: 0, submits: 0, maps: 0 };
  const count = (type, method, name) => {
    const prototype = globalThis[type]?.prototype;
    const original = prototype?.[method];
    if (!original) return;
    prototype[method] = function (...args) {
      counts[name]++;
      return original.apply(this, args);
    };
  };
  count('GPUComputePassEncoder', 'dispatchWorkgroups', 'dispatches');
  count('GPUComputePassEncoder', 'dispatchWorkgroupsIndirect', 'dispatches');
  count('GPUQueue', 'submit', 'submits');
  count('GPUBuffer', 'mapAsync', 'maps');

  const memories = new Set();
  const note = (found) => {
    for (const value of Object.values(found ?? {})) if (value instanceof WebAssembly.Memory) memories.add(value);
  };
  const from = (result, imports) => {
    for (const module of Object.values(imports ?? {})) note(module);
    note((result.instance ?? result).exports);
    return result;
  };
  for (const name of ['instantiate', 'instantiateStreaming']) {
    const original = WebAssembly[name];
    WebAssembly[name] = (source, imports, ...rest) => original.call(WebAssembly, source, imports, ...rest).then((result) => from(result, imports));
  }
  WebAssembly.Instance = new Proxy(WebAssembly.Instance, {
    construct: (target, [module, imports]) => from(new target(module, imports), imports),
  });
  globalThis.counts = counts;
  // A memory never shrinks, so its size is its peak.
  globalThis.wasmBytes = () => [...memories].reduce((sum, memory) => sum + memory.buffer.byteLength, 0);
}
