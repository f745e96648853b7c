import type { Backend, Bundle, Field, RunMeta } from '@mlp/runtime';
import { openBuilt } from './bundle.ts';
import { h, message } from './dom.ts';
import { outputsView } from './outputs.ts';
import type { Built } from './protocol.ts';
import { typeText } from './report.ts';

/** Where the panel gets what it runs. */
export interface Source {
  /** The bundle of what is in the editor. */
  build(): Promise<Built>;
  /** The images among the files, by path. */
  images(): ReadonlyMap<string, Blob>;
  /** A photo was dropped here. */
  dropped(file: File): void;
}

/** Runs a pipeline of the bundle on what is dropped, picked or written. */
export class RunPanel {
  readonly element = h('div', { class: 'run' });
  readonly #inputs = new Map<string, unknown>();
  readonly #form = h('div', { class: 'inputs' });
  readonly #answer = h('div', { class: 'answer', 'aria-live': 'polite', 'aria-busy': 'false' });
  readonly #pipelines = h('select', { 'aria-label': 'Pipeline', onchange: () => this.#choose() });
  readonly #backends = h('select', { 'aria-label': 'Backend', onchange: () => void this.run() });
  readonly #button = h('button', { class: 'primary', type: 'button', onclick: () => void this.run() }, 'Run');
  #bundle: { built: Built; bundle: Bundle } | undefined;
  #pipeline = '';
  #turn = 0;

  constructor(private readonly source: Source) {
    this.#backends.append(h('option', { value: 'wasm' }, 'WebAssembly'));
    if ('gpu' in navigator) this.#backends.append(h('option', { value: 'webgpu' }, 'WebGPU'));
    this.element.append(h('div', { class: 'controls' }, this.#pipelines, this.#backends, this.#button), this.#form, this.#answer);
  }

  /** Forgets what was given and answered. */
  clear(): void {
    this.#inputs.clear();
    this.#bundle = undefined;
    this.#pipeline = '';
    this.#form.replaceChildren();
    this.#answer.replaceChildren();
  }

  /** Builds what is in the editor and shows what it takes. */
  async prepare(): Promise<void> {
    const turn = ++this.#turn;
    this.#busy(true);
    try {
      const built = await this.source.build();
      if (turn !== this.#turn || built === this.#bundle?.built) return;
      const bundle = await openBuilt(built);
      if (turn !== this.#turn) return;
      this.#bundle = { built, bundle };
      this.#show();
    } catch (error) {
      if (turn === this.#turn) this.#fail(error);
    } finally {
      if (turn === this.#turn) this.#busy(false);
    }
  }

  /** Takes a photo for the first input that wants one, and runs. */
  async photo(photo: Blob, name: string): Promise<void> {
    if (!this.#bundle) await this.prepare();
    const field = this.#fields().find(({ type }) => type.kind === 'image');
    if (field) await this.#give(field, photo, name);
  }

  /** Computes one answer. */
  async run(): Promise<void> {
    await this.prepare();
    if (!this.#bundle) return;
    const missing = this.#fields().find(({ name }) => !this.#inputs.has(name));
    if (missing) return this.#answer.replaceChildren(h('p', { class: 'soft' }, `Give ${missing.name} first: ${typeText(missing)}.`));
    const turn = ++this.#turn;
    this.#busy(true);
    try {
      const pipeline = this.#bundle.bundle.pipeline(this.#pipeline);
      const prefer = [this.#backends.value as Backend];
      const { output, meta } = await pipeline.runWithMeta(Object.fromEntries(this.#inputs), { prefer });
      if (turn !== this.#turn) return;
      this.#answer.replaceChildren(outputsView(this.#manifest().outputs, this.#manifest().record, output), metaView(meta));
    } catch (error) {
      if (turn === this.#turn) this.#fail(error);
    } finally {
      if (turn === this.#turn) this.#busy(false);
    }
  }

  #manifest() {
    return this.#bundle!.bundle.manifest.pipelines.find(({ name }) => name === this.#pipeline)!;
  }

  #fields(): readonly Field[] {
    return this.#bundle?.bundle.manifest.pipelines.find(({ name }) => name === this.#pipeline)?.inputs ?? [];
  }

  #show(): void {
    const names = this.#bundle!.bundle.manifest.pipelines.map(({ name }) => name);
    this.#pipelines.replaceChildren(...names.map((name) => h('option', { value: name, selected: name === this.#pipeline }, name)));
    this.#pipelines.hidden = names.length < 2;
    this.#choose();
    if (names.length === 0) this.#answer.replaceChildren(h('p', { class: 'soft' }, 'There is no pipeline here that can be run by itself.'));
  }

  #choose(): void {
    this.#pipeline = this.#pipelines.value;
    const fields = this.#fields();
    for (const name of [...this.#inputs.keys()]) if (!fields.some((field) => field.name === name && field.type.kind === 'image')) this.#inputs.delete(name);
    this.#form.replaceChildren(...fields.map((field) => this.#field(field)));
    if (this.#answer.querySelector('.error') || this.#answer.childElementCount === 0) this.#answer.replaceChildren();
  }

  #field(field: Field): HTMLElement {
    const label = h('p', { class: 'label' }, h('strong', {}, field.name), ` ${typeText(field)}`);
    if (field.type.kind === 'image') return h('section', {}, label, ...this.#photoField(field));
    if (field.type.kind === 'sound') {
      const { rate } = field.type;
      return h('section', {}, label, h('input', { type: 'file', accept: 'audio/*', 'aria-label': field.name, onchange: (event: Event) => void this.#sound(field, rate, event) }));
    }
    if (field.type.kind === 'text') {
      const words = h('textarea', { rows: 2, 'aria-label': field.name, oninput: () => this.#inputs.set(field.name, words.value) });
      this.#inputs.set(field.name, '');
      return h('section', {}, label, words);
    }
    const area = h('textarea', { rows: 2, spellcheck: 'false', 'aria-label': field.name, oninput: () => this.#numbers(field, area) }, '1');
    this.#numbers(field, area);
    return h('section', {}, label, area, h('p', { class: 'soft' }, 'Numbers, repeated until the tensor is full.'));
  }

  #photoField(field: Field): HTMLElement[] {
    const given = this.#inputs.get(field.name);
    const picker = h('input', { type: 'file', accept: 'image/*', hidden: true, 'data-photo': field.name, onchange: () => picker.files?.[0] && void this.#dropped(field, picker.files[0]) });
    const over = (inside: boolean) => (event: DragEvent) => {
      event.preventDefault();
      drop.toggleAttribute('data-over', inside);
    };
    const drop = h(
      'button',
      {
        type: 'button',
        class: 'drop',
        onclick: () => picker.click(),
        ondragover: over(true),
        ondragleave: over(false),
        ondrop: (event: DragEvent) => {
          over(false)(event);
          event.stopPropagation();
          const file = [...(event.dataTransfer?.files ?? [])].find(({ type }) => type.startsWith('image/'));
          if (file) void this.#dropped(field, file);
        },
      },
      h('span', { class: 'hint' }, h('strong', {}, 'Drop a photo here'), ' or click to pick one'),
    );
    if (given instanceof Blob) preview(drop, given);
    const samples = [...this.source.images()].map(([path, blob]) => {
      const sample = h('button', { type: 'button', 'aria-label': path.slice(1), title: path.slice(1), onclick: () => void this.#give(field, blob, path.slice(1)) });
      preview(sample, blob);
      return sample;
    });
    return [drop, picker, h('div', { class: 'samples' }, ...(samples.length ? [h('span', {}, 'Or try')] : []), ...samples)];
  }

  async #dropped(field: Field, file: File): Promise<void> {
    this.source.dropped(file);
    await this.#give(field, file, file.name);
  }

  async #give(field: Field, photo: Blob, name: string): Promise<void> {
    this.#inputs.set(field.name, photo);
    this.#form.replaceChildren(...this.#fields().map((field) => this.#field(field)));
    this.#form.querySelector('.drop img')?.setAttribute('alt', name);
    await this.run();
  }

  async #sound(field: Field, rate: number, event: Event): Promise<void> {
    const file = (event.target as HTMLInputElement).files?.[0];
    if (!file) return;
    try {
      const decoded = await new OfflineAudioContext(1, 1, rate).decodeAudioData(await file.arrayBuffer());
      this.#inputs.set(field.name, decoded.getChannelData(0));
      await this.run();
    } catch (error) {
      this.#fail(error);
    }
  }

  #numbers(field: Field, area: HTMLTextAreaElement): void {
    if (field.type.kind !== 'tensor') return;
    const { dtype, shape } = field.type;
    const given = area.value.split(/[\s,;]+/).filter(Boolean);
    const wide = dtype === 'i64' || dtype === 'u64';
    try {
      const values = given.map((text) => (wide ? BigInt(text) : Number(text)));
      area.setCustomValidity(values.length === 0 || values.some((value) => Number.isNaN(value)) ? 'Numbers with commas or spaces between them' : '');
      // Numbers are given again where they are too few; where a size varies, they decide it.
      const length = shape.reduce<number>((product, size) => product * Number(size), 1);
      this.#inputs.set(field.name, Number.isNaN(length) ? values : Array.from({ length }, (_, index) => values[index % values.length] ?? 0));
    } catch {
      area.setCustomValidity('Whole numbers with commas or spaces between them');
    }
  }

  #busy(busy: boolean): void {
    this.#answer.setAttribute('aria-busy', String(busy));
    this.#button.disabled = busy;
    this.element.toggleAttribute('data-busy', busy);
  }

  #fail(error: unknown): void {
    this.#answer.replaceChildren(h('p', { class: 'error', role: 'alert' }, message(error)));
  }
}

/** Shows an image in an element. */
function preview(element: HTMLElement, blob: Blob): void {
  const address = URL.createObjectURL(blob);
  const image = h('img', { src: address, alt: '', onload: () => URL.revokeObjectURL(address), onerror: () => URL.revokeObjectURL(address) });
  element.prepend(image);
}

function metaView({ backend, variant, threads, milliseconds }: RunMeta): HTMLElement {
  const where = backend === 'webgpu' ? 'WebGPU' : 'WebAssembly';
  const more = threads > 1 ? `${variant}, ${threads} threads` : variant;
  return h('p', { class: 'meta', 'data-backend': backend }, `${where} (${more}), ${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`);
}

