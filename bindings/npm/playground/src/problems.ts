import type { Diagnostic, Range } from 'vscode-languageserver-types';
import { h } from './dom.ts';
import type { Fix } from './editor.ts';

/** Something that is wrong, and what would undo it. */
export interface Problem {
  readonly diagnostic: Diagnostic;
  readonly fixes: readonly Fix[];
}

/** The list of what is wrong, under the editor. */
export class Problems {
  readonly element = h('div', { class: 'problems', 'aria-live': 'polite' });
  readonly #of = new Map<string, readonly Problem[]>();

  constructor(private readonly goto: (path: string, range: Range) => void) {
    this.#draw();
  }

  put(path: string, problems: readonly Problem[]): void {
    this.#of.set(path, problems);
    this.#draw();
  }

  clear(): void {
    this.#of.clear();
    this.#draw();
  }

  /** How many there are in a file. */
  count(path: string): number {
    return this.#of.get(path)?.length ?? 0;
  }

  #draw(): void {
    const all = [...this.#of].flatMap(([path, problems]) => problems.map((problem) => ({ path, problem })));
    // Errors first: a warning often is what an error left unused.
    all.sort((one, other) => (one.problem.diagnostic.severity ?? 1) - (other.problem.diagnostic.severity ?? 1));
    const rows = all.map(({ path, problem }) => this.#row(path, problem));
    this.element.replaceChildren(rows.length ? h('ul', {}, ...rows) : h('p', { class: 'soft' }, 'No problems.'));
  }

  #row(path: string, { diagnostic: { range, severity, code, message }, fixes }: Problem): HTMLElement {
    const place = `${path.slice(1)}:${range.start.line + 1}:${range.start.character + 1}`;
    const [first = '', ...more] = (typeof message === 'string' ? message : message.value).split('\n');
    return h(
      'li',
      { 'data-severity': severity === 2 ? 'warning' : 'error', 'data-place': place },
      h(
        'button',
        { type: 'button', class: 'problem', onclick: () => this.goto(path, range) },
        h('span', { class: 'code' }, String(code ?? '')),
        h('span', { class: 'message' }, first, ...more.map((line) => h('small', {}, line))),
        h('span', { class: 'place' }, place),
      ),
      ...fixes.map(({ title, apply }) => h('button', { type: 'button', class: 'fix', onclick: apply }, title)),
    );
  }
}
