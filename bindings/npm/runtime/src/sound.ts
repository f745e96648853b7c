import { MlpError } from './errors.js';

/**
 * What a pipeline accepts where its source says `audio`: samples from -1 to 1 at the pipeline's rate, or what `decodeAudioData` of an `AudioContext` of that
 * rate gives. A shorter sound is followed by silence; of a longer one the rest is left out.
 */
export type SoundInput = Float32Array | readonly number[] | AudioBuffer;

/** As many samples of a sound as a pipeline reads. */
export function readSound(input: SoundInput, name: string, rate: number, samples: number): Float32Array {
  const given = isBuffer(input) ? channel(input, name, rate) : input;
  if (typeof given !== 'object' || !(given.length >= 0)) {
    throw new MlpError('INPUT', `${name} takes a Float32Array of samples or an AudioBuffer, and got ${typeof given}`);
  }
  if (given instanceof Float32Array && given.length === samples) return given;
  const read = new Float32Array(samples);
  read.set(given instanceof Float32Array ? given.subarray(0, samples) : given.slice(0, samples));
  return read;
}

function isBuffer(input: SoundInput): input is AudioBuffer {
  return typeof input === 'object' && input !== null && 'getChannelData' in input;
}

function channel(buffer: AudioBuffer, name: string, rate: number): Float32Array {
  if (buffer.sampleRate !== rate) {
    throw new MlpError('INPUT', `${name} takes ${rate} samples a second, and got ${buffer.sampleRate}: decode it with new AudioContext({ sampleRate: ${rate} })`);
  }
  if (buffer.numberOfChannels !== 1) {
    throw new MlpError('INPUT', `${name} takes one channel, and got ${buffer.numberOfChannels}: give the samples of one, or their mean`);
  }
  return buffer.getChannelData(0);
}
