import { MlpError } from './errors.js';
import type { PipelineManifest, Size, SizeSymbol } from './manifest.js';

/** The values of a pipeline's symbols in one run: what inputs say of them, then what is worked out of that. */
export class Sizes {
  readonly #known = new Map<string, number>();

  constructor(private readonly pipeline: PipelineManifest) {}

  /** Notes that an input has this size where its type has `declared`: of `32 * n`, it tells `n`. */
  note(input: string, declared: Size, given: number): void {
    let [name, value] = [declared, given];
    const { symbols = [] } = this.pipeline;
    const { terms, divisor } = symbols.find((symbol) => symbol.name === declared)?.formula ?? { terms: [] };
    const factors = terms.flatMap((term) => term.factors);
    if (factors.length === 1 && divisor === 1) {
      let slope = 1;
      for (const { coefficient, factors } of terms) {
        if (factors.length) slope = coefficient;
        else value -= coefficient;
      }
      [name, value] = [symbols[factors[0]!]!.name, value / slope];
    }
    const meant = typeof name === 'number' ? name : (this.#known.get(name) ?? value);
    if (meant !== value || value < 0 || value % 1) throw new MlpError('INPUT', `${input} takes ${declared}, and was given ${given} in its place`);
    this.#known.set(String(name), value);
  }

  /** All values, in the order of the pipeline's symbols. */
  values(): number[] {
    const values: number[] = [];
    for (const { name, min, max, formula } of this.pipeline.symbols ?? []) {
      const given = this.#known.get(name);
      const value = formula ? work(formula, values) : given;
      if (value === undefined || (given ?? value) !== value || value < min || value > max) {
        throw new MlpError('INPUT', `${name} is ${given ?? value}, and ${this.pipeline.name} takes ${min} to ${max}`);
      }
      values.push(value);
    }
    return values;
  }
}

/** The shape that a number of elements leaves where one size is a symbol; where several are, one of other elements. */
export function inferred(shape: readonly Size[], elements: number): number[] {
  const others = shape.reduce<number>((product, size) => product * (typeof size === 'number' ? size : 1), 1);
  return shape.map((size) => (typeof size === 'number' ? size : elements / others));
}

function work({ terms, divisor }: NonNullable<SizeSymbol['formula']>, values: readonly number[]): number {
  return Math.floor(terms.reduce((sum, { coefficient, factors }) => sum + factors.reduce((product, index) => product * values[index]!, coefficient), 0) / divisor);
}

/** A shape in a run with these symbols; at their greatest where none are given. */
export function sized({ symbols = [] }: PipelineManifest, shape: readonly Size[], values?: readonly number[]): number[] {
  const at = (size: Size) => symbols.findIndex((symbol) => symbol.name === size);
  return shape.map((size) => (typeof size === 'number' ? size : ((values ? values[at(size)] : symbols[at(size)]?.max) ?? 0)));
}

/** Whether a shape varies from run to run. */
export function varies(shape: readonly Size[]): boolean {
  return shape.some((size) => typeof size === 'string');
}
