import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** The root of the repository. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** The compiler: `given`, the environment variable MLPC, the release build of this tree, or the one on the path. */
export function compiler(given) {
  const built = `${ROOT}target/release/mlpc`;
  return given ?? process.env.MLPC ?? (existsSync(built) ? built : 'mlpc');
}

/** Runs the compiler and returns what it printed. A failure is an error with what it said, unless `lenient`. */
export async function mlpc(args, { path, lenient = false } = {}) {
  const command = compiler(path);
  try {
    const { stdout, stderr } = await promisify(execFile)(command, args, { cwd: ROOT, maxBuffer: 1 << 28 });
    return { status: 0, stdout, stderr };
  } catch (error) {
    if (error.code === 'ENOENT') throw new Error(`${command} was not found: build it with \`cargo build --release\`, or name it in the environment variable MLPC`);
    if (lenient && typeof error.code === 'number') return { status: error.code, stdout: error.stdout, stderr: error.stderr };
    throw new Error(`${command} ${args.join(' ')} failed:\n${error.stderr || error.stdout || error.message}`);
  }
}
