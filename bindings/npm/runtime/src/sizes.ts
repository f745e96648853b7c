import { MlpError } from './errors.js';
import type { PipelineManifest, Size, SizeSymbol } from './manifest.js';

/** The values of a pipeline's symbols in one run: what inputs say of them, then what is worked out of that. */
export class Sizes {
  readonly #known = new Map<string, number>();

  constructor(readonly pipeline: PipelineManifest) {}

  /** Notes that an input has this size where its type has `declared`. */
  note(input: string, declared: Size, given: number): void {
    if (typeof declared === 'number') {
      if (declared !== given) throw new MlpError('INPUT', `${input} has a size of ${declared}, and was given one of ${given}`);
      return;
    }
    const [name, value] = this.#solved(input, declared, given);
    const before = this.#known.get(name);
    if (before !== undefined && before !== value) throw new MlpError('INPUT', `${input} makes ${name} ${value}, and another input ${before}`);
    this.#known.set(name, value);
  }

  /** The size that a number of elements leaves for the one symbol of a shape; none where there are several, or other elements. */
  static inferred(shape: readonly Size[], elements: number): number[] | undefined {
    const symbols = shape.filter((size) => typeof size === 'string');
    const others = shape.reduce<number>((product, size) => (typeof size === 'number' ? product * size : product), 1);
    if (symbols.length > 1 || elements % others !== 0 || (!symbols.length && elements !== others)) return undefined;
    return shape.map((size) => (typeof size === 'number' ? size : elements / others));
  }

  /** All values, in the order of the pipeline's symbols. */
  values(): number[] {
    const values: number[] = [];
    for (const { name, min, max, formula } of this.pipeline.symbols ?? []) {
      const given = this.#known.get(name);
      const meant = formula ? work(formula, values) : given;
      if (meant === undefined) throw new MlpError('FORMAT', `the bundle does not say what ${name} is`);
      if (given !== undefined && given !== meant) throw new MlpError('INPUT', `${name} is ${meant} for inputs of these sizes, and was given as ${given}`);
      if (meant < min || meant > max) throw new MlpError('INPUT', `${name} is ${meant}, and ${this.pipeline.name} takes ${min} to ${max}`);
      values.push(meant);
    }
    return values;
  }

  /** The symbol that decides a size, and its value: of `32 * n`, that of `n`. */
  #solved(input: string, name: string, size: number): [string, number] {
    const symbols = this.pipeline.symbols ?? [];
    const formula = symbols.find((symbol) => symbol.name === name)?.formula;
    const factors = formula?.terms.flatMap((term) => term.factors) ?? [];
    if (!formula || factors.length !== 1 || formula.divisor !== 1) return [name, size];
    let [rest, slope] = [size, 1];
    for (const { coefficient, factors } of formula.terms) {
      if (factors.length) slope = coefficient;
      else rest -= coefficient;
    }
    const of = symbols[factors[0]!];
    if (!of || rest % slope !== 0 || rest / slope < 0) throw new MlpError('INPUT', `${input} takes a size ${name}, and was given one of ${size}`);
    return [of.name, rest / slope];
  }
}

function work({ terms, divisor }: NonNullable<SizeSymbol['formula']>, values: readonly number[]): number {
  const sum = terms.reduce((sum, { coefficient, factors }) => sum + factors.reduce((product, index) => product * (values[index] ?? NaN), coefficient), 0);
  return Math.floor(sum / divisor);
}

/** A shape in a run with these symbols. */
export function sized(pipeline: PipelineManifest, shape: readonly Size[], symbols: readonly number[]): number[] {
  return shape.map((size) => {
    const value = typeof size === 'number' ? size : symbols[(pipeline.symbols ?? []).findIndex((symbol) => symbol.name === size)];
    if (value === undefined) throw new MlpError('FORMAT', `the bundle does not say what ${size} is`);
    return value;
  });
}

/** Whether a shape varies from run to run. */
export function varies(shape: readonly Size[]): boolean {
  return shape.some((size) => typeof size === 'string');
}

/** The greatest shape that a tensor can have. */
export function greatest(pipeline: PipelineManifest, shape: readonly Size[]): number[] {
  return sized(
    pipeline,
    shape,
    (pipeline.symbols ?? []).map((symbol) => symbol.max),
  );
}
