import { spawn } from 'node:child_process';
import { resolve } from 'node:path';

/** What the compiler says about a place in a source. */
export interface Diagnostic {
  readonly code?: string;
  readonly severity: string;
  readonly message: string;
  /** Places in sources, the one that matters first; lines and columns count from 1. */
  readonly labels?: readonly { readonly file: string; readonly line: number; readonly column: number; readonly text?: string }[];
  readonly help?: string | null;
}

/** What one build of the compiler gave. */
export interface Built {
  readonly bundle: string;
  /** Every file that the bundle was made from: a change of one makes it stale. */
  readonly dependencies: readonly string[];
  readonly diagnostics: readonly Diagnostic[];
}

/** The compiler refused the source, or could not be run. */
export class CompileError extends Error {
  override readonly name = 'CompileError';

  constructor(
    message: string,
    readonly diagnostics: readonly Diagnostic[] = [],
    readonly dependencies: readonly string[] = [],
  ) {
    super(message);
  }
}

/** Builds `file` into the folder `out`, and keeps prepared models in the folder `models` unless the environment names another; `flags` are more of the compiler's. */
export async function compile(mlpc: string, file: string, out: string, models: string, flags: readonly string[] = []): Promise<Built> {
  const { status, stdout, stderr } = await run(mlpc, ['build', file, '-o', out, '--json', ...flags], { MLP_CACHE_DIR: models, ...process.env });
  const report = parse(stdout);
  const errors = report?.diagnostics?.filter(({ severity }) => severity === 'error') ?? [];
  if (status === 0 && report?.bundle && !errors.length) {
    return { bundle: report.bundle, dependencies: absolute(report.dependencies), diagnostics: report.diagnostics ?? [] };
  }
  const message = errors.map(describe).join('\n\n') || stderr.trim() || `${mlpc} stopped with ${status} and said nothing`;
  throw new CompileError(message, errors, absolute(report?.dependencies));

  /** The source is always one of them, and the compiler may name the others from where it runs. */
  function absolute(dependencies: readonly string[] = []): string[] {
    return [...new Set([file, ...dependencies.map((dependency) => resolve(dependency))])];
  }
}

/** A diagnostic in words. */
export function describe({ code, message, labels, help }: Diagnostic): string {
  const places = labels?.map(({ line, column, text }) => `\n  ${line}:${column} ${text ?? ''}`.trimEnd()) ?? [];
  return `${code ? `${code}: ` : ''}${message}${places.join('')}${help ? `\n  help: ${help}` : ''}`;
}

/** The report is the last line that is printed; a crash leaves none. */
function parse(stdout: string): Partial<Built> | undefined {
  const last = stdout.trimEnd().split('\n').at(-1) ?? '';
  try {
    return JSON.parse(last) as Partial<Built>;
  } catch {
    return undefined;
  }
}

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv): Promise<{ status: number | string; stdout: string; stderr: string }> {
  return new Promise((done, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
    const text = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (part: string) => (text.stdout += part));
    child.stderr.setEncoding('utf8').on('data', (part: string) => (text.stderr += part));
    child.on('error', (error: NodeJS.ErrnoException) => {
      const missing = `the compiler ${command} was not found: install it with \`cargo install --path compiler/cli\` in a checkout of mlp, or say where it is with the plugin's option mlpc or the environment variable MLPC`;
      reject(new CompileError(error.code === 'ENOENT' ? missing : `the compiler ${command} could not be started: ${error.message}`));
    });
    child.on('close', (status, signal) => done({ status: status ?? String(signal), ...text }));
  });
}
