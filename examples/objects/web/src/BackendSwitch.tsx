import type { Backend } from '@mlp/runtime';

const BACKENDS: { value: Backend; label: string }[] = [
  { value: 'webgpu', label: 'WebGPU' },
  { value: 'wasm', label: 'WebAssembly' },
];

/** Chooses where the pipeline computes. */
export function BackendSwitch({ value, onChange }: { value: Backend; onChange: (backend: Backend) => void }) {
  return (
    <fieldset className="switch">
      <legend>Compute on</legend>
      {BACKENDS.map((backend) => (
        <label key={backend.value}>
          <input type="radio" name="backend" value={backend.value} checked={value === backend.value} onChange={() => onChange(backend.value)} />
          <span>{backend.label}</span>
        </label>
      ))}
    </fieldset>
  );
}
