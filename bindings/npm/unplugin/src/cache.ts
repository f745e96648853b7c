import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

/** Bundles that are kept: a handful of sources and a few states of each. */
const KEPT = 32;

/** Bundles by their content. A changed source gets another path, so no bundler ever serves a stale one. */
export class BundleCache {
  #count = 0;

  constructor(readonly directory: string) {}

  /** The folder where the compiler keeps prepared models, beside the bundles. */
  get models(): string {
    return resolve(this.directory, '.models');
  }

  /** The path of an empty folder to build into. */
  async scratch(): Promise<string> {
    const folder = join(this.directory, `.building-${process.pid}-${this.#count++}`);
    await rm(folder, { recursive: true, force: true });
    await mkdir(this.directory, { recursive: true });
    return folder;
  }

  /** Moves a built folder to the place of its content. */
  async keep(folder: string): Promise<string> {
    const hash = createHash('sha256');
    for (const name of ['manifest.json', 'index.js', 'index.d.ts']) hash.update(await readFile(join(folder, name)));
    const place = join(this.directory, hash.digest('hex').slice(0, 16));
    if (existsSync(place)) {
      await rm(folder, { recursive: true, force: true });
      await utimes(place, new Date(), new Date());
    } else {
      await rename(folder, place);
      await this.#prune();
    }
    return place;
  }

  async #prune(): Promise<void> {
    const names = (await readdir(this.directory)).filter((name) => !name.startsWith('.'));
    const ages = await Promise.all(names.map(async (name) => ({ name, at: (await stat(join(this.directory, name))).mtimeMs })));
    const old = ages.sort((a, b) => b.at - a.at).slice(KEPT);
    await Promise.all(old.map(({ name }) => rm(join(this.directory, name), { recursive: true, force: true })));
  }
}

/** The cache folder of the package around `start`: inside of it, so that what a bundle imports is found from there. */
export function defaultCache(start: string): string {
  let folder = resolve(start);
  while (!existsSync(join(folder, 'package.json'))) {
    const above = dirname(folder);
    if (above === folder) return join(resolve(start), 'node_modules', '.cache', 'mlp');
    folder = above;
  }
  return join(folder, 'node_modules', '.cache', 'mlp');
}

/** Writes the types of `NAME.mlp` to `NAME.d.mlp.ts`, and leaves a file alone that has them. */
export async function writeTypes(source: string, bundle: string): Promise<void> {
  const types = await readFile(join(bundle, 'index.d.ts'), 'utf8');
  const target = source.replace(/\.mlp$/, '.d.mlp.ts');
  const known = await readFile(target, 'utf8').catch(() => undefined);
  if (known !== types) await writeFile(target, types);
}
