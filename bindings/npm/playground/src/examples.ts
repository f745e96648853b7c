import bert from '../../../../examples/transformer/bert.mlp?raw';
import tiny from '../../../../examples/transformer/tiny.mlp?raw';
import tinyWeights from '../../../../examples/transformer/tiny.safetensors?url';
import chelsea from '../../../../examples/objects/chelsea.png?url';
import network from '../../../../examples/objects/efficientnet_lite0.onnx?url';
import espresso from '../../../../examples/objects/espresso.png?url';
import labels from '../../../../examples/objects/labels.txt?url';
import objects from '../../../../examples/objects/objects.mlp?raw';
import mosaic from '../../../../compiler/cli/template/src/main.mlp?raw';

/** A package to start from. */
export interface Example {
  readonly name: string;
  readonly title: string;
  /** Source files, the one that is built first. */
  readonly sources: Readonly<Record<string, string>>;
  /** Addresses of the other files. */
  readonly files: Readonly<Record<string, string>>;
}

/** What the page offers. */
export const EXAMPLES: readonly Example[] = [
  {
    name: 'objects',
    title: 'Objects: what is in a photo',
    sources: { '/objects.mlp': objects },
    files: { '/labels.txt': labels, '/efficientnet_lite0.onnx': network, '/espresso.png': espresso, '/chelsea.png': chelsea },
  },
  {
    name: 'mosaic',
    title: 'Mosaic: a pipeline without a model',
    sources: { '/mosaic.mlp': mosaic },
    files: { '/espresso.png': espresso, '/chelsea.png': chelsea },
  },
  {
    name: 'transformer',
    title: 'Transformer: layers in the language',
    sources: { '/tiny.mlp': tiny, '/bert.mlp': bert },
    files: { '/tiny.safetensors': tinyWeights },
  },
];

/** The bytes at an address. */
export async function download(address: string): Promise<Uint8Array<ArrayBuffer>> {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`the server answered ${response.status} for ${address}`);
  return new Uint8Array(await response.arrayBuffer());
}
