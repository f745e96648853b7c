import { MlpError, type LoadOptions, type Pipeline, type Progress, type Run, type RunOptions } from '@mlp/runtime';

/** A pipeline whose loads and runs end when the test says so, and which notes who uses it. */
export class Steered implements Pipeline<{ word: object }, string> {
  readonly name = 'Steered';
  readonly runs: { input: object; options: RunOptions; answer: (text: string) => void; fail: (error: Error) => void }[] = [];
  readonly loads: { progress: (step: Progress) => void; done: () => void; fail: (error: Error) => void }[] = [];
  hasState = false;
  resets = 0;
  separated: Steered[] = [];
  loaded = false;
  users = 0;

  async run(input: { word: object }, options: RunOptions = {}): Promise<string> {
    return (await this.runWithMeta(input, options)).output;
  }

  runWithMeta(input: { word: object }, options: RunOptions = {}): Promise<Run<string>> {
    return new Promise((resolve, reject) => {
      options.signal?.addEventListener('abort', () => reject(options.signal!.reason as Error));
      const answer = (output: string) => resolve({ output, meta: { backend: 'wasm', variant: 'simd128', threads: 1, milliseconds: 1 } });
      this.runs.push({ input: input.word, options, answer, fail: reject });
    });
  }

  load(options: LoadOptions = {}): Promise<'wasm'> {
    return new Promise((resolve, reject) => {
      options.signal?.addEventListener('abort', () => reject(new MlpError('ABORTED', 'stopped', { cause: options.signal!.reason })));
      const done = () => {
        this.loaded = true;
        resolve('wasm');
      };
      this.loads.push({ progress: (step) => options.onProgress?.(step), done, fail: reject });
    });
  }

  runOnGpu(): never {
    throw new MlpError('NO_BACKEND', 'hooks keep no outputs on a GPU');
  }

  inputViews(): never {
    throw new MlpError('NO_BACKEND', 'hooks write no views');
  }

  async tune(): Promise<void> {}

  async reset(): Promise<void> {
    this.resets++;
  }

  separate(): Steered {
    const other = new Steered();
    other.hasState = this.hasState;
    this.separated.push(other);
    return other;
  }

  isLoaded(): boolean {
    return this.loaded;
  }

  retain(): () => void {
    this.users++;
    return () => this.users--;
  }

  dispose(): void {
    this.loaded = false;
  }
}
