/** What a helper does, as a file: for pages whose policy allows workers from their own origin alone. */
addEventListener('message', ({ data: [module, memory, index] }: MessageEvent<[WebAssembly.Module, WebAssembly.Memory, number]>) => {
  const { work } = new WebAssembly.Instance(module, { env: { memory } }).exports;
  (work as (index: number) => void)(index);
});
