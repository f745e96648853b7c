import './style.css';
import type { Range } from 'vscode-languageserver-types';
import { Builder } from './builder.ts';
import { Compiler } from './compiler.ts';
import { bytes, h, message } from './dom.ts';
import { Editor, viewer } from './editor.ts';
import { download, EXAMPLES, type Example } from './examples.ts';
import { Problems } from './problems.ts';
import type { Built, Checked, View } from './protocol.ts';
import { reportView } from './report.ts';
import { RunPanel } from './run.ts';
import { Tabs, type Tab } from './tabs.ts';

/** Milliseconds without an edit after which what is shown beside the editor is made anew. */
const IDLE = 350;

const language = new Compiler('language');
const builder = new Builder(new Compiler('builder'));
const sources = new Map<string, string>();
const files = new Map<string, Blob>();

const status = h('span', { class: 'status', role: 'status' }, 'Loading the compiler…');
const examples = h('select', { 'aria-label': 'Example', onchange: () => void open(EXAMPLES.find(({ name }) => name === examples.value)!) }, ...EXAMPLES.map(({ name, title }) => h('option', { value: name }, title)));
const picker = h('input', { type: 'file', multiple: true, hidden: true, 'data-files': true, onchange: () => void add([...(picker.files ?? [])]) });
const fileList = h('div', { class: 'files', role: 'group', 'aria-label': 'Files' });
const editorPane = h('div', { class: 'editor' });
const editor = new Editor(editorPane, language, { changed, opened });
const problems = new Problems(opened);

const run = new RunPanel({
  build: () => builder.build(editor.path),
  images: () => new Map([...files].filter(([, { type }]) => type.startsWith('image/'))),
  dropped: (file) => void put(file),
});
const tabs = new Tabs([
  { id: 'run', title: 'Run', panel: run.element, show: () => void run.prepare() },
  textTab('syntax', 'Syntax tree', () => view('syntax')),
  textTab('program', 'Typed program', () => view('program')),
  textTab('graph', 'Graph', () => view('graph')),
  textTab('kernels', 'Kernels', async () => (await build()).kernels),
  textTab('wgsl', 'WGSL', async () => (await build()).wgsl || '// No pipeline here can run on a GPU.'),
  textTab('typescript', 'TypeScript', async () => {
    const { types, javascript } = await build();
    return `// index.d.ts\n${types}\n// index.js\n${javascript}`;
  }),
  reportTab(),
]);

document.getElementById('app')!.replaceWith(
  h(
    'div',
    { class: 'page', ondragover: (event: DragEvent) => event.preventDefault(), ondrop: (event: DragEvent) => void drop(event) },
    h(
      'header',
      {},
      h('h1', {}, h('span', { class: 'mark' }, 'mlp'), ' playground'),
      examples,
      h('button', { type: 'button', onclick: () => picker.click(), title: 'Source files, models, labels, photos; they stay in this page' }, 'Add files'),
      picker,
      h('button', { type: 'button', onclick: () => void format() }, 'Format'),
      status,
    ),
    h('main', {}, h('section', { class: 'pane', 'aria-label': 'Source' }, fileList, editorPane, problems.element), h('section', { class: 'pane', 'aria-label': 'Result' }, tabs.list, tabs.panels)),
  ),
);

/** Goes to a place, which may be in another file. */
function opened(path: string, range: Range): void {
  if (path !== editor.path) show(path);
  editor.goto(path, range);
}

function view(view: View): Promise<string> {
  return builder.view(view, editor.path);
}

function build(): Promise<Built> {
  return builder.build(editor.path);
}

/** A tab of text. An older answer never replaces a newer one. */
function textTab(id: string, title: string, make: () => Promise<string>): Tab {
  const panel = h('div', { class: 'text', 'aria-busy': 'false' });
  const error = h('p', { class: 'error', role: 'alert', hidden: true });
  const box = h('div', { class: 'viewer' });
  const draw = viewer(box);
  panel.append(error, box);
  return { id, title, panel, show: latest(panel, error, make, (text) => draw(text, title)) };
}

function reportTab(): Tab {
  const panel = h('div', { class: 'text', 'aria-busy': 'false' });
  const error = h('p', { class: 'error', role: 'alert', hidden: true });
  const box = h('div', { class: 'viewer' });
  panel.append(error, box);
  return { id: 'report', title: 'Report', panel, show: latest(panel, error, build, (built) => box.replaceChildren(reportView(built))) };
}

/** Asks, and shows the answer unless it was asked again meanwhile. */
function latest<T>(panel: HTMLElement, error: HTMLElement, make: () => Promise<T>, draw: (made: T) => void): () => void {
  let turn = 0;
  return () => {
    const mine = ++turn;
    panel.setAttribute('aria-busy', 'true');
    make()
      .then(
        (made) => {
          if (mine !== turn) return;
          error.hidden = true;
          draw(made);
        },
        (failure: unknown) => {
          if (mine !== turn) return;
          error.textContent = message(failure);
          error.hidden = false;
        },
      )
      .finally(() => mine === turn && panel.setAttribute('aria-busy', 'false'));
  };
}

let idle: ReturnType<typeof setTimeout> | undefined;

/** Something changed: what is shown beside the editor is made anew once nothing changes any more. */
function stale(): void {
  clearTimeout(idle);
  idle = setTimeout(() => tabs.refresh(), IDLE);
}

let checking: Promise<void> | undefined;
const unchecked = new Set<string>();

/** The text of a source file changed. While a check is on its way, later texts wait, and only the last is checked. */
function changed(path: string, text: string): void {
  sources.set(path, text);
  builder.put(path, text);
  unchecked.add(path);
  stale();
  checking ??= check().finally(() => (checking = undefined));
}

async function check(): Promise<void> {
  for (const [path] of unchecked.entries()) {
    unchecked.delete(path);
    await told(language.ask('edit', path, sources.get(path) ?? ''));
  }
}

/** Shows what a check found. */
async function told(checked: Promise<Checked>): Promise<void> {
  try {
    const { found, milliseconds } = await checked;
    for (const { path, diagnostics } of found) {
      if (!sources.has(path) || unchecked.has(path)) continue;
      const actions = diagnostics.length ? await language.ask('actions', path) : [];
      if (unchecked.has(path)) continue;
      editor.diagnose(path, diagnostics, actions);
      problems.put(
        path,
        diagnostics.map((diagnostic) => ({ diagnostic, fixes: editor.fixes(path, diagnostic, actions) })),
      );
    }
    status.textContent = `Checked in ${milliseconds.toFixed(1)} ms`;
    status.dataset.milliseconds = String(milliseconds);
  } catch (error) {
    status.textContent = message(error);
  }
  list();
}

/** Takes the place of everything that is open. */
async function open(example: Example): Promise<void> {
  status.textContent = `Opening ${example.title}…`;
  const loaded = await Promise.all(Object.entries(example.files).map(async ([path, address]) => [path, await download(address)] as const));
  await close();
  for (const [path, contents] of loaded) await write(path, contents);
  for (const [path, text] of Object.entries(example.sources).reverse()) await source(path, text);
  show(Object.keys(example.sources)[0]!);
}

async function close(): Promise<void> {
  for (const path of [...sources.keys(), ...files.keys()]) await language.ask('remove', path);
  sources.clear();
  files.clear();
  unchecked.clear();
  builder.clear();
  editor.clear();
  problems.clear();
  run.clear();
}

/** A source file from outside. */
async function source(path: string, text: string): Promise<void> {
  sources.set(path, text);
  builder.put(path, text);
  editor.put(path, text);
  await told(language.ask('edit', path, text));
}

const IMAGES = /\.(png|jpe?g|webp|gif|avif)$/i;

/** Any other file. */
async function write(path: string, contents: Uint8Array<ArrayBuffer>): Promise<void> {
  const type = IMAGES.exec(path)?.[1]?.toLowerCase();
  files.set(path, new Blob([contents], type ? { type: `image/${type === 'jpg' ? 'jpeg' : type}` } : {}));
  builder.put(path, contents);
  await told(language.ask('write', path, contents));
}

async function put(file: File): Promise<void> {
  const path = `/${file.name}`;
  if (path.endsWith('.mlp')) await source(path, await file.text());
  else await write(path, new Uint8Array(await file.arrayBuffer()));
}

/** Files from a disk: sources are shown, a photo is looked at, everything else lies beside. */
async function add(added: readonly File[]): Promise<void> {
  for (const file of added) await put(file);
  stale();
  const shown = added.find(({ name }) => name.endsWith('.mlp'));
  if (shown) show(`/${shown.name}`);
  const photo = added.find(({ name }) => IMAGES.test(name));
  if (photo && !shown) {
    tabs.show('run');
    await run.photo(photo, photo.name);
  }
}

async function drop(event: DragEvent): Promise<void> {
  event.preventDefault();
  await add([...(event.dataTransfer?.files ?? [])]);
}

async function format(): Promise<void> {
  await checking;
  const edits = await language.ask('formatting', editor.path).catch(() => null);
  if (edits === null) status.textContent = 'A file with errors is not formatted';
  else if (edits.length) editor.apply(edits);
  else status.textContent = 'Already in the one style';
}

function show(path: string): void {
  if (path !== editor.path) run.clear();
  editor.show(path);
  list();
  tabs.show(tabs.current ?? 'run');
}

/** Draws the list of files anew. */
function list(): void {
  const shown = [...sources.keys()].sort().map((path) =>
    h('button', { type: 'button', class: 'file', 'aria-pressed': String(path === editor.path), 'data-problems': problems.count(path) || undefined, onclick: () => show(path) }, path.slice(1)),
  );
  const others = [...files].map(([path, { size }]) => h('span', { class: 'file beside', title: `${path.slice(1)}, ${bytes(size)}` }, path.slice(1)));
  fileList.replaceChildren(...shown, ...others);
}

const asked = EXAMPLES.find(({ name }) => name === new URLSearchParams(location.search).get('example')) ?? EXAMPLES[0]!;
examples.value = asked.name;
open(asked).catch((error: unknown) => (status.textContent = message(error)));
