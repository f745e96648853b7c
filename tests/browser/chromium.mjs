import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

/** Where Chromium may be, the one that is asked for first. */
const PLACES = [process.env.CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

const FLAGS = [
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
];

/** Starts a headless Chromium with WebGPU on the processor, so that it is the same on every machine. Returns its context and its profile's folder; `close` ends it. */
export async function launch() {
  const executablePath = PLACES.find((place) => place && existsSync(place));
  if (!executablePath) {
    throw new Error('Chromium was not found. Install it (Debian: `apt-get install chromium`) or name it in the environment variable CHROMIUM.');
  }
  const profile = await mkdtemp(join(tmpdir(), 'mlp-chromium-'));
  const args = process.getuid?.() === 0 ? [...FLAGS, '--no-sandbox'] : FLAGS;
  const context = await chromium.launchPersistentContext(profile, { executablePath, headless: true, args, viewport: { width: 1180, height: 820 } });
  return {
    context,
    profile,
    async close() {
      await context.close();
      await rm(profile, { recursive: true, force: true });
    },
  };
}
