import { openBundle, type Bundle } from '@mlp/runtime';
import type { Built } from './protocol.ts';

/** An address that no server has: the files of a bundle in memory stand under it. */
const HERE = 'https://bundle.invalid/';

/** Opens a bundle that lies in memory. */
export function openBuilt({ manifest, files }: Built): Promise<Bundle> {
  const fetch: typeof globalThis.fetch = async (input) => {
    const name = decodeURIComponent(new URL(String(input instanceof Request ? input.url : input)).pathname.slice(1));
    if (name === 'manifest.json') return new Response(manifest);
    const bytes = Object.hasOwn(files, name) ? files[name] : undefined;
    return bytes ? new Response(bytes) : new Response(null, { status: 404 });
  };
  return openBundle(`${HERE}manifest.json`, { fetch });
}
