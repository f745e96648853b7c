import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.css': 'text/css',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.txt': 'text/plain; charset=utf-8',
};

/**
 * Serves folders, or contents from memory, on localhost. `mounts` has what stands under each prefix: a path, or bytes and texts by name; the longest
 * prefix counts. Pages are isolated from other origins, so that they have exact clocks. `served` is told each path that is asked for,
 * `headers` go with every answer.
 */
export async function serve(mounts, { served = () => {}, headers: more = {} } = {}) {
  const prefixes = Object.keys(mounts).sort((a, b) => b.length - a.length);
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
    served(path);
    const prefix = prefixes.find((candidate) => path.startsWith(candidate));
    const name = prefix && normalize(path.slice(prefix.length) || 'index.html');
    if (!name || name.startsWith('..')) return response.writeHead(404).end();
    const headers = {
      'content-type': TYPES[extname(name)] ?? 'application/octet-stream',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
      ...more,
    };
    const mount = mounts[prefix];
    if (typeof mount === 'object') {
      if (!Object.hasOwn(mount, name)) return response.writeHead(404).end();
      return response.writeHead(200, headers).end(mount[name]);
    }
    const file = join(mount, name);
    const found = await stat(file).catch(() => undefined);
    if (!found?.isFile()) return response.writeHead(404).end();
    response.writeHead(200, { ...headers, 'content-length': found.size });
    return createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}

/** A page without anything, for tests that bring their own code. */
export const BLANK = { 'index.html': '<!doctype html><meta charset="utf-8"><title>test</title>' };
