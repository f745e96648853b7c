import type { Field } from '@mlp/runtime';
import { bytes, h } from './dom.ts';
import type { Built } from './protocol.ts';

/** What the compiler says of a build. */
export interface Report {
  readonly pipelines: readonly PipelineReport[];
  readonly files: readonly { name: string; bytes: number }[];
  readonly remarks: readonly string[];
  readonly phases: readonly { phase: string; ms: number }[];
}

interface PipelineReport {
  readonly name: string;
  readonly doc: string;
  readonly inputs: readonly Field[];
  readonly outputs: readonly Field[];
  readonly kernels: number;
  readonly macs: number;
  readonly weights_bytes: number;
  readonly arena_bytes: number;
  readonly arena_least: number;
  readonly memory_bytes: number;
  readonly wasm: string;
  readonly dispatches: number | null;
  readonly costs: readonly { name: string; macs: number; int8: boolean; read: number; written: number; origin: readonly string[] }[];
}

/** A type as the language writes it. */
export function typeText({ type }: Field): string {
  switch (type.kind) {
    case 'tensor':
      return `${type.dtype}[${type.shape.join(', ')}]`;
    case 'image':
      return `image, at most ${type.max_width}×${type.max_height}`;
    case 'sound':
      return `audio<${type.rate}Hz, mono>, ${type.samples} samples`;
    case 'text':
      return 'text';
    case 'label':
      return 'label';
    case 'ranking':
      return `ranking of the best ${type.count}`;
  }
}

/** The report as it is shown. */
export function reportView(built: Built): HTMLElement {
  const report = JSON.parse(built.report) as Report;
  const sizes = new Map(report.files.map((file) => [file.name, file.bytes]));
  const total = report.phases.reduce((sum, { ms }) => sum + ms, 0);
  return h(
    'div',
    { class: 'report', tabindex: 0 },
    ...report.remarks.map((remark) => h('p', { class: 'remark' }, remark)),
    ...report.pipelines.map((pipeline) => pipelineView(pipeline, sizes)),
    h('h3', {}, 'Files'),
    table(['File', 'Size'], report.files.map(({ name, bytes: size }) => [name, bytes(size)])),
    h('h3', {}, `Phases, ${Math.round(total)} ms`),
    table(['Phase', 'Milliseconds'], report.phases.map(({ phase, ms }) => [phase, ms.toFixed(1)])),
  );
}

function pipelineView(pipeline: PipelineReport, sizes: ReadonlyMap<string, number>): HTMLElement {
  const fields = (fields: readonly Field[]) => fields.map((field) => `${field.name}: ${typeText(field)}`).join(', ');
  const facts: [string, string][] = [
    ['Takes', fields(pipeline.inputs)],
    ['Gives', fields(pipeline.outputs)],
    ['Kernels', String(pipeline.kernels)],
    ['Multiply-accumulates', millions(pipeline.macs)],
    ['Weights', bytes(pipeline.weights_bytes)],
    ['WebAssembly', bytes(sizes.get(pipeline.wasm) ?? 0)],
    ['Memory', `${bytes(pipeline.memory_bytes)}, working memory ${bytes(pipeline.arena_bytes)} (least possible ${bytes(pipeline.arena_least)})`],
    ['GPU', pipeline.dispatches === null ? 'cannot run there' : `${pipeline.dispatches} dispatches`],
  ];
  const most = Math.max(1, ...pipeline.costs.map(({ macs }) => macs));
  return h(
    'section',
    { 'data-pipeline': pipeline.name },
    h('h3', {}, pipeline.name),
    h('p', { class: 'soft' }, pipeline.doc),
    h('dl', {}, ...facts.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, value)])),
    table(
      ['Kernel', 'MACs', 'Read', 'Written', 'Made from'],
      pipeline.costs.map(({ name, macs, int8, read, written, origin }) => [
        name,
        macs ? h('span', { class: 'cost', style: `--part: ${macs / most}` }, `${millions(macs)}${int8 ? ' int8' : ''}`) : '',
        bytes(read),
        bytes(written),
        origin.join(', '),
      ]),
    ),
  );
}

function millions(count: number): string {
  return count >= 1e6 ? `${(count / 1e6).toFixed(1)} M` : count.toLocaleString('en');
}

function table(head: readonly string[], rows: readonly (readonly (string | Node)[])[]): HTMLElement {
  return h(
    'table',
    {},
    h('thead', {}, h('tr', {}, ...head.map((name) => h('th', { scope: 'col' }, name)))),
    h('tbody', {}, ...rows.map((row) => h('tr', {}, ...row.map((cell) => h('td', {}, cell))))),
  );
}
