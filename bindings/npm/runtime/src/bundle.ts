import { MlpError, typed } from './errors.js';
import { checkFormat, type Manifest } from './manifest.js';
import { definePipeline, type Pipeline } from './pipeline.js';

/** A bundle that was opened by address, without generated code. */
export interface Bundle {
  readonly manifest: Manifest;
  /** The pipeline of that name, or the only one. */
  pipeline(name?: string): Pipeline<Record<string, unknown>, unknown>;
}

/** Reads the `manifest.json` at `url`; the bundle's other files are found beside it. */
export async function openBundle(url: URL | string, options: { fetch?: typeof globalThis.fetch; signal?: AbortSignal } = {}): Promise<Bundle> {
  const fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
  const base = new URL(url, typeof location === 'object' ? location.href : undefined);
  let manifest: Manifest;
  try {
    const response = await fetch(base, options.signal ? { signal: options.signal } : {});
    if (!response.ok) throw new MlpError('NETWORK', `the server answered ${response.status} for ${base.href}`);
    manifest = (await response.json()) as Manifest;
  } catch (error) {
    throw typed(error, 'NETWORK', `${base.href} could not be read`);
  }
  checkFormat(manifest?.format);
  const { pipelines, files } = manifest;
  const urls = Object.fromEntries(Object.keys(files).map((name) => [name, new URL(encodeURIComponent(name), base)]));
  return {
    manifest,
    pipeline(name) {
      const pipeline = name === undefined && pipelines.length === 1 ? pipelines[0] : pipelines.find((candidate) => candidate.name === name);
      if (!pipeline) throw new MlpError('FORMAT', `the bundle has no pipeline ${name ?? ''} (it has ${pipelines.map((p) => p.name).join(', ')})`);
      return definePipeline({ format: manifest.format, pipeline, files, urls: () => urls }, { fetch });
    },
  };
}
