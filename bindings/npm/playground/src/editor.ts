import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, snippet, type Completion, type CompletionContext, type CompletionResult } from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, indentWithTab } from '@codemirror/commands';
import { bracketMatching, indentOnInput, indentUnit } from '@codemirror/language';
import { lintGutter, lintKeymap, linter, setDiagnostics, type Diagnostic as Shown } from '@codemirror/lint';
import { highlightSelectionMatches, search, searchKeymap } from '@codemirror/search';
import { EditorState, type Extension, type Text } from '@codemirror/state';
import { drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, hoverTooltip, keymap, lineNumbers, type Tooltip } from '@codemirror/view';
import type { CodeAction, CompletionItem, Diagnostic, Position, Range } from 'vscode-languageserver-types';
import type { Compiler } from './compiler.ts';
import { h } from './dom.ts';
import { colours, mlp, output } from './language.ts';
import { markdown } from './markdown.ts';

/** The place in a text that the protocol means; one past the end of its line is the line's end. */
function offset(text: Text, { line, character }: Position): number {
  if (line >= text.lines) return text.length;
  const { from, to } = text.line(line + 1);
  return Math.min(from + character, to);
}

function position(text: Text, offset: number): Position {
  const line = text.lineAt(offset);
  return { line: line.number - 1, character: offset - line.from };
}

/** What an editor tells the page. */
export interface Listener {
  changed(path: string, text: string): void;
  /** A place was asked for, which may be in another file. */
  opened(path: string, range: Range): void;
}

/** An edit that undoes a mistake. */
export interface Fix {
  readonly title: string;
  apply(): void;
}

/** The editor of source files: one view, a state a file. */
export class Editor {
  readonly view: EditorView;
  readonly #states = new Map<string, EditorState>();
  #path = '';

  constructor(
    parent: HTMLElement,
    private readonly compiler: Compiler,
    private readonly listener: Listener,
  ) {
    this.view = new EditorView({ parent });
  }

  /** The file that is shown. */
  get path(): string {
    return this.#path;
  }

  /** Forgets all files. */
  clear(): void {
    this.#states.clear();
    this.#path = '';
  }

  /** A file from now on, or its text as it is on a disk now. */
  put(path: string, text: string): void {
    const state = this.#state(path, text);
    this.#states.set(path, state);
    if (path === this.#path) this.view.setState(state);
  }

  show(path: string): void {
    if (path === this.#path) return;
    if (this.#states.has(this.#path)) this.#states.set(this.#path, this.view.state);
    this.#path = path;
    this.view.setState(this.#states.get(path) ?? this.#state(path, ''));
  }

  /** Shows what is wrong with a file, with the edits that undo it. */
  diagnose(path: string, diagnostics: readonly Diagnostic[], actions: readonly CodeAction[]): void {
    const state = path === this.#path ? this.view.state : this.#states.get(path);
    if (!state) return;
    const shown = diagnostics.map((diagnostic) => this.#shown(path, state.doc, diagnostic, actions));
    const transaction = setDiagnostics(state, shown);
    if (path === this.#path) this.view.dispatch(transaction);
    else this.#states.set(path, state.update(transaction).state);
  }

  /** Moves the cursor to a place of a file. */
  goto(path: string, range: Range): void {
    this.show(path);
    const { doc } = this.view.state;
    const [anchor, head] = [offset(doc, range.start), offset(doc, range.end)];
    this.view.dispatch({ selection: { anchor, head }, effects: EditorView.scrollIntoView(anchor, { y: 'center' }) });
    this.view.focus();
  }

  /** Replaces parts of the file that is shown. */
  apply(edits: readonly { range: Range; newText: string }[]): void {
    const { doc } = this.view.state;
    this.view.dispatch({ changes: edits.map(({ range, newText }) => ({ from: offset(doc, range.start), to: offset(doc, range.end), insert: newText })), userEvent: 'input.fix' });
  }

  /** The edits that a diagnostic offers, where they are in its own file. */
  fixes(path: string, { range, message }: Diagnostic, actions: readonly CodeAction[]): Fix[] {
    const same = (of: Diagnostic) => of.message === message && of.range.start.line === range.start.line && of.range.start.character === range.start.character;
    return actions
      .filter((action) => action.diagnostics?.some(same))
      .flatMap(({ title, edit }) => {
        const here = Object.entries(edit?.changes ?? {}).find(([uri]) => decodeURIComponent(new URL(uri).pathname) === path);
        if (!here) return [];
        const apply = () => {
          this.show(path);
          this.apply(here[1]);
        };
        return [{ title, apply }];
      });
  }

  #shown(path: string, text: Text, diagnostic: Diagnostic, actions: readonly CodeAction[]): Shown {
    const { range, severity, message: said, code } = diagnostic;
    const message = typeof said === 'string' ? said : said.value;
    const from = offset(text, range.start);
    return {
      from,
      to: Math.max(from, offset(text, range.end)),
      severity: severity === 2 ? 'warning' : 'error',
      source: String(code ?? ''),
      message,
      actions: this.fixes(path, diagnostic, actions).map(({ title, apply }) => ({ name: title, apply })),
    };
  }

  #state(path: string, doc: string): EditorState {
    return EditorState.create({
      doc,
      extensions: [
        ...common(),
        mlp,
        indentUnit.of('  '),
        history(),
        indentOnInput(),
        closeBrackets(),
        highlightActiveLine(),
        highlightActiveLineGutter(),
        lintGutter(),
        // Diagnostics come from the compiler when it has them, not when the editor asks.
        linter(null),
        autocompletion({ override: [(context) => this.#complete(path, context)] }),
        hoverTooltip((view, at) => this.#hover(path, view, at)),
        EditorView.domEventHandlers({ mousedown: (event, view) => this.#follow(path, view, event) }),
        keymap.of([{ key: 'F12', run: (view) => this.#definition(path, view.state.selection.main.head) }, ...closeBracketsKeymap, ...completionKeymap, ...lintKeymap, ...historyKeymap, ...searchKeymap, ...defaultKeymap, indentWithTab]),
        EditorView.contentAttributes.of({ 'aria-label': `Source of ${path.slice(1)}` }),
        EditorView.updateListener.of((update) => update.docChanged && this.listener.changed(path, update.state.doc.toString())),
      ],
    });
  }

  /** A click with the control key follows a name. */
  #follow(path: string, view: EditorView, event: MouseEvent): boolean {
    const at = event.ctrlKey || event.metaKey ? view.posAtCoords(event) : null;
    if (at === null) return false;
    event.preventDefault();
    return this.#definition(path, at);
  }

  /** Goes where the name at a place is declared, where that is a file here. */
  #definition(path: string, at: number): boolean {
    const { line, character } = position(this.view.state.doc, at);
    const went = this.compiler.ask('definition', path, line, character).then((location) => {
      const there = location && decodeURIComponent(new URL(location.uri).pathname);
      if (there && location.uri.startsWith('file:') && this.#states.has(there)) this.listener.opened(there, location.range);
    });
    went.catch(() => {});
    return true;
  }

  async #complete(path: string, context: CompletionContext): Promise<CompletionResult | null> {
    const { doc } = context.state;
    const word = context.matchBefore(/\w*$/);
    const before = doc.sliceString(Math.max(0, context.pos - 1), context.pos);
    if (!context.explicit && !word?.text && !/[.@<([]/.test(before)) return null;
    const { line, character } = position(doc, context.pos);
    const items = await this.compiler.ask('completion', path, line, character).catch(() => []);
    if (context.aborted || items.length === 0) return null;
    const [first] = items;
    const from = first?.textEdit && 'range' in first.textEdit ? offset(doc, first.textEdit.range.start) : (word?.from ?? context.pos);
    return { from, options: items.map(option), validFor: /^\w*$/ };
  }

  async #hover(path: string, view: EditorView, at: number): Promise<Tooltip | null> {
    const { line, character } = position(view.state.doc, at);
    const hover = await this.compiler.ask('hover', path, line, character).catch(() => null);
    if (!hover) return null;
    const { contents, range } = hover;
    const text = typeof contents === 'object' && 'value' in contents ? contents.value : String(contents);
    return {
      pos: range ? offset(view.state.doc, range.start) : at,
      ...(range && { end: offset(view.state.doc, range.end) }),
      above: true,
      create: () => ({ dom: h('div', { class: 'hover' }, ...markdown(text)) }),
    };
  }
}

/** What the protocol's kinds are called here. */
const KINDS: Readonly<Record<number, string>> = { 3: 'function', 5: 'property', 6: 'variable', 7: 'class', 9: 'namespace', 10: 'property', 11: 'constant', 14: 'keyword', 15: 'text', 20: 'enum', 21: 'constant', 22: 'type', 25: 'type' };

function option(item: CompletionItem, index: number): Completion {
  const inserted = item.textEdit?.newText ?? item.insertText ?? item.label;
  const documentation = typeof item.documentation === 'object' ? item.documentation.value : item.documentation;
  return {
    label: item.label,
    ...(item.detail && { detail: item.detail }),
    ...(item.kind && { type: KINDS[item.kind] ?? 'text' }),
    ...(documentation && { info: () => h('div', { class: 'hover' }, ...markdown(documentation)) }),
    // The compiler knows best what fits here.
    boost: 99 - Math.min(index, 198),
    apply: item.insertTextFormat === 2 ? snippet(template(inserted)) : inserted,
  };
}

/** A snippet of the protocol in the editor's own form. */
function template(text: string): string {
  return text.replace(/\\([$}\\])/g, '$1').replace(/\$(\d+)/g, '$${$1}').replace(/\$\{0\}/g, '${}');
}

/** What every view of text here has. */
function common(): Extension[] {
  return [lineNumbers(), drawSelection(), bracketMatching(), search({ top: true }), highlightSelectionMatches(), colours];
}

/** A view of what the compiler wrote. Long texts are drawn only where one looks. */
export function viewer(parent: HTMLElement): (text: string, label: string) => void {
  const view = new EditorView({ parent });
  return (doc, label) =>
    view.setState(
      EditorState.create({
        doc,
        extensions: [...common(), output, EditorState.readOnly.of(true), EditorView.contentAttributes.of({ 'aria-label': label, tabindex: '0' }), keymap.of([...searchKeymap, ...defaultKeymap])],
      }),
    );
}
