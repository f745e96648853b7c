import { MlpError, typed } from './errors.js';

/** Rows of RGBA bytes, as an `ImageData` has them. */
export interface Pixels {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray | Uint8Array;
}

/** What a pipeline accepts where its source says `image`. A `Blob` or `File` is a PNG, JPEG, WebP or whatever else the browser decodes. */
export type ImageInput = ImageBitmap | HTMLImageElement | HTMLCanvasElement | OffscreenCanvas | ImageData | Pixels | Blob;

/** The pixels of an image, shrunk to the bounds. */
export async function readImage(input: ImageInput, name: string, maxHeight: number, maxWidth: number): Promise<Pixels> {
  const pixels = isPixels(input) ? input : await decode(input, name);
  const { width, height, data } = pixels;
  if (!(width > 0 && height > 0) || data.length !== width * height * 4) {
    throw new MlpError('INPUT', `${name} is not an image: ${width}x${height} pixels with ${data.length} bytes instead of RGBA rows`);
  }
  return shrink(pixels, maxHeight, maxWidth);
}

function isPixels(input: unknown): input is Pixels {
  return ArrayBuffer.isView((input as Partial<Pixels> | undefined)?.data);
}

/**
 * Draws anything but pixels and reads it back. Files and elements go through `createImageBitmap` without colour conversion, so that a
 * photo gives the numbers in its file: the ones that every other backend sees.
 */
async function decode(input: Exclude<ImageInput, Pixels>, name: string): Promise<Pixels> {
  const direct = isA('ImageBitmap', input) || isA('HTMLCanvasElement', input) || isA('OffscreenCanvas', input);
  let bitmap: ImageBitmap | HTMLCanvasElement | OffscreenCanvas;
  try {
    bitmap = direct
      ? (input as ImageBitmap)
      : await createImageBitmap(input as Blob | HTMLImageElement, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
  } catch (error) {
    throw typed(error, 'INPUT', `${name} is not an image that this browser can decode`);
  }
  try {
    const { width, height } = bitmap;
    const context = canvas(width, height).getContext('2d', { willReadFrequently: true });
    if (!context || !width || !height) throw new MlpError('INPUT', `${name} is an image of ${width}x${height} pixels, which cannot be drawn`);
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, width, height);
  } finally {
    if (!direct) (bitmap as ImageBitmap).close();
  }
}

function isA(type: 'ImageBitmap' | 'HTMLCanvasElement' | 'OffscreenCanvas', value: unknown): boolean {
  const constructor = (globalThis as Record<string, unknown>)[type];
  return typeof constructor === 'function' && value instanceof constructor;
}

function canvas(width: number, height: number): OffscreenCanvas {
  if (typeof OffscreenCanvas === 'function') return new OffscreenCanvas(width, height);
  return Object.assign(document.createElement('canvas'), { width, height }) as unknown as OffscreenCanvas;
}

/**
 * Shrinks pixels that exceed the bounds by the least whole factor for which both sides fit. Each pixel is the mean of a block, rounded half up;
 * partial blocks at the right and lower edges are dropped, and a side shorter than the factor keeps one pixel. Every host of a bundle does exactly this.
 */
export function shrink(pixels: Pixels, maxHeight: number, maxWidth: number): Pixels {
  const side = (pixels: number, factor: number) => Math.max(1, Math.floor(pixels / factor));
  let factor = 1;
  while (side(pixels.height, factor) > maxHeight || side(pixels.width, factor) > maxWidth) factor++;
  if (factor === 1) return pixels;
  const [width, height] = [side(pixels.width, factor), side(pixels.height, factor)];
  const [columns, rows] = [Math.min(factor, pixels.width), Math.min(factor, pixels.height)];
  const area = columns * rows;
  const data = new Uint8Array(width * height * 4);
  const sums = new Float64Array(width * 4);
  for (let y = 0; y < height; y++) {
    sums.fill(0);
    for (let row = y * factor; row < y * factor + rows; row++) {
      let from = row * pixels.width * 4;
      for (let x = 0; x < sums.length; x += 4) {
        for (let column = 0; column < columns; column++, from += 4) {
          sums[x]! += pixels.data[from]!;
          sums[x + 1]! += pixels.data[from + 1]!;
          sums[x + 2]! += pixels.data[from + 2]!;
          sums[x + 3]! += pixels.data[from + 3]!;
        }
      }
    }
    const to = y * sums.length;
    for (let i = 0; i < sums.length; i++) data[to + i] = Math.floor((2 * sums[i]! + area) / (2 * area));
  }
  return { width, height, data };
}
