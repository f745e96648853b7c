import type { Field, Ranked, Shaped } from '@mlp/runtime';
import { h } from './dom.ts';
import { typeText } from './report.ts';

/** The answer of a pipeline, field by field. */
export function outputsView(fields: readonly Field[], record: boolean, output: unknown): HTMLElement {
  const value = (field: Field) => (record ? (output as Record<string, unknown>)[field.name] : output);
  return h(
    'div',
    { class: 'outputs' },
    ...fields.map((field) =>
      h('section', { 'data-output': field.name }, h('p', { class: 'label' }, h('strong', {}, record ? field.name : 'answer'), ` ${typeText(field)}`), valueView(field, value(field))),
    ),
  );
}

function valueView({ type }: Field, value: unknown): HTMLElement {
  switch (type.kind) {
    case 'ranking':
      return rankingView(value as readonly Ranked[]);
    case 'tensor':
      return isShaped(value) ? tensorView(value.shape, value.data) : tensorView(type.shape.map(Number), value as ArrayLike<number | bigint>);
    default:
      return h('p', { class: 'word' }, String(value));
  }
}

/** A tensor whose sizes vary comes with its shape. */
function isShaped(value: unknown): value is Shaped {
  return typeof value === 'object' && value !== null && 'shape' in value && 'data' in value;
}

function rankingView(ranking: readonly Ranked[]): HTMLElement {
  return h(
    'ol',
    { class: 'ranking' },
    ...ranking.map(({ label, score }) =>
      h('li', {}, h('span', { class: 'label' }, label), h('data', { value: score }, `${(100 * score).toFixed(1)} %`), h('span', { class: 'bar', style: `--score: ${Math.min(1, Math.max(0, score))}` })),
    ),
  );
}

/** The most numbers that are written out. */
const SHOWN = 24;
/** The most pixels of a side that are drawn. */
const DRAWN = 1024;

function tensorView(shape: readonly number[], values: ArrayLike<number | bigint>): HTMLElement {
  const numbers = Array.from({ length: Math.min(SHOWN, values.length) }, (_, index) => Number(values[index]).toLocaleString('en', { maximumSignificantDigits: 5 }));
  const text = h('p', { class: 'numbers' }, numbers.join('  ') + (values.length > SHOWN ? ' …' : ''));
  const [height = 0, width = 0, channels = 0] = shape;
  const picture = shape.length === 3 && channels === 3 && height <= DRAWN && width <= DRAWN ? [pictureView(height, width, values)] : [];
  return h('div', { class: 'tensor' }, ...picture, text, h('p', { class: 'soft' }, statistics(values)));
}

/** A tensor that looks like an image, from 0 to 255 or, where nothing is greater, from 0 to 1. */
function pictureView(height: number, width: number, values: ArrayLike<number | bigint>): HTMLElement {
  const canvas = h('canvas', { width, height, role: 'img', 'aria-label': `The tensor as a picture of ${width} by ${height} pixels` });
  const most = Array.from(values, Number).reduce((most, value) => Math.max(most, value), 0);
  const scale = most <= 1 ? 255 : 1;
  const pixels = new Uint8ClampedArray(width * height * 4);
  for (let pixel = 0; pixel < width * height; pixel++) {
    for (let channel = 0; channel < 3; channel++) pixels[4 * pixel + channel] = scale * Number(values[3 * pixel + channel]);
    pixels[4 * pixel + 3] = 255;
  }
  canvas.getContext('2d')?.putImageData(new ImageData(pixels, width, height), 0, 0);
  return canvas;
}

function statistics(values: ArrayLike<number | bigint>): string {
  let [least, most, sum] = [Infinity, -Infinity, 0];
  for (let index = 0; index < values.length; index++) {
    const value = Number(values[index]);
    least = Math.min(least, value);
    most = Math.max(most, value);
    sum += value;
  }
  const show = (value: number) => value.toLocaleString('en', { maximumSignificantDigits: 5 });
  return values.length ? `${values.length.toLocaleString('en')} numbers from ${show(least)} to ${show(most)}, mean ${show(sum / values.length)}` : 'empty';
}
