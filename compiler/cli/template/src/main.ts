import { Mosaic } from './{{name}}.mlp';

/** The element of that id. */
function element<T extends HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element #${id}`);
  return found as T;
}

const status = element('status');

/** Shows a photo as tiles. It never leaves the page. */
async function show(photo: File): Promise<void> {
  const { output, meta } = await Mosaic.runWithMeta({ photo });
  const tiles = Array.from({ length: output.length / 3 }, (_, tile) => {
    const node = document.createElement('i');
    node.style.background = `rgb(${output.subarray(3 * tile, 3 * tile + 3).join(' ')})`;
    return node;
  });
  element('tiles').replaceChildren(...tiles);
  status.textContent = `${meta.milliseconds.toFixed(1)} ms on ${meta.backend}`;
}

element<HTMLInputElement>('photo').addEventListener('change', (event) => {
  const photo = (event.currentTarget as HTMLInputElement).files?.[0];
  if (photo) show(photo).catch((error: unknown) => (status.textContent = String(error)));
});
