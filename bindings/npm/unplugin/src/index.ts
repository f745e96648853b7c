/**
 * Makes `import { useClassify } from './objects.mlp'` work: compiles the source with the native `mlpc`, hands the bundler the generated module, whose
 * files any bundler ships that knows `new URL('./file', import.meta.url)`, and writes the types beside the source.
 *
 * @packageDocumentation
 */
import { join, resolve } from 'node:path';
import { createUnplugin, type UnpluginFactory, type UnpluginInstance } from 'unplugin';
import { BundleCache, defaultCache, writeTypes } from './cache.js';
import { compile, CompileError, describe, type Built } from './compiler.js';
import type { Options } from './options.js';

export type { Options } from './options.js';

/** The headers that isolate a page from other origins. */
const ISOLATION = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

/** A compiled source and where its bundle lies. */
interface Compiled extends Built {
  readonly index: string;
}

const factory: UnpluginFactory<Options | undefined> = (options = {}) => {
  const mlpc = options.mlpc ?? process.env['MLPC'] ?? 'mlpc';
  const dependents = new Map<string, Set<string>>();
  const busy = new Map<string, Promise<Compiled>>();
  let root = process.cwd();
  let cache: BundleCache | undefined;

  const build = async (file: string): Promise<Compiled> => {
    cache ??= new BundleCache(options.cacheDir ?? defaultCache(root));
    const built = await compile(mlpc, file, await cache.scratch(), cache.models, options.compressWeights ? ['--compress-weights'] : []);
    const bundle = await cache.keep(built.bundle);
    if (options.types !== false) await writeTypes(file, bundle);
    return { ...built, bundle, index: join(bundle, 'index.js') };
  };

  /** A bundler may ask for one file from several environments at once. */
  const buildOnce = (file: string): Promise<Compiled> => {
    const running = busy.get(file) ?? build(file).finally(() => busy.delete(file));
    busy.set(file, running);
    return running;
  };

  const follow = (file: string, dependencies: readonly string[]) => {
    for (const dependency of dependencies) dependents.set(dependency, (dependents.get(dependency) ?? new Set()).add(file));
  };

  return {
    name: 'mlp',
    enforce: 'pre',
    load: {
      filter: { id: /\.mlp$/ },
      async handler(file) {
        try {
          const { index, dependencies, diagnostics } = await buildOnce(file);
          follow(file, dependencies);
          for (const dependency of dependencies) this.addWatchFile(dependency);
          for (const diagnostic of diagnostics) this.warn(describe(diagnostic));
          return { code: `export * from ${JSON.stringify(index)};\n`, map: null };
        } catch (error) {
          if (!(error instanceof CompileError)) throw error;
          follow(file, error.dependencies);
          for (const dependency of error.dependencies) this.addWatchFile(dependency);
          return this.error(located(file, error));
        }
      },
    },
    vite: {
      config: () => ({
        // They hold state that the page and the generated module must share.
        optimizeDeps: { exclude: ['@mlp/runtime', '@mlp/react'] },
        resolve: { dedupe: ['react', 'react-dom'] },
        ...(options.crossOriginIsolated && { server: { headers: ISOLATION }, preview: { headers: ISOLATION } }),
      }),
      configResolved(config) {
        root = config.root;
      },
      hotUpdate({ file, modules }) {
        const sources = dependents.get(file);
        if (!sources) return;
        const stale = [...sources].flatMap((source) => [...(this.environment.moduleGraph.getModulesByFile(source) ?? [])]);
        return [...new Set([...modules, ...stale])];
      },
    },
  };
};

/** An error that overlays and terminals show at its place in the source. */
function located(file: string, error: CompileError) {
  const place = error.diagnostics[0]?.labels?.[0];
  if (!place) return { message: error.message, id: file };
  return { message: error.message, id: file, loc: { file: resolve(place.file), line: place.line, column: place.column - 1 } };
}

/** The plugin for every bundler that unplugin knows; `@mlp/unplugin/vite` and `@mlp/unplugin/webpack` are the ones that are tested. */
export const unplugin: UnpluginInstance<Options | undefined> = /*#__PURE__*/ createUnplugin(factory);
