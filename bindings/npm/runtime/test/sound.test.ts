import assert from 'node:assert/strict';
import { test } from 'node:test';

// No part of what the package exports.
const { readSound } = (await import(new URL('../sound.js', import.meta.url).href)) as typeof import('../src/sound.js');

const buffer = (sampleRate: number, ...channels: number[][]) =>
  ({ sampleRate, numberOfChannels: channels.length, getChannelData: (index: number) => Float32Array.from(channels[index]!) }) as unknown as AudioBuffer;

test('silence follows a short sound, and the rest of a long one is left out', () => {
  assert.deepEqual(readSound([0.5, -0.5], 'voice', 16000, 4), new Float32Array([0.5, -0.5, 0, 0]));
  assert.deepEqual(readSound(new Float32Array([1, 2, 3]), 'voice', 16000, 2), new Float32Array([1, 2]));
  const whole = new Float32Array([1, 2]);
  assert.equal(readSound(whole, 'voice', 16000, 2), whole, 'what fits is not copied');
  assert.deepEqual(readSound(buffer(16000, [0.25]), 'voice', 16000, 2), new Float32Array([0.25, 0]));
});

test('a sound of another rate or of two channels is refused with what helps', () => {
  assert.throws(() => readSound(buffer(44100, [0]), 'voice', 16000, 1), /voice takes 16000 samples a second, and got 44100: .*sampleRate: 16000/);
  assert.throws(() => readSound(buffer(16000, [0], [0]), 'voice', 16000, 1), /one channel, and got 2/);
  assert.throws(() => readSound('sound' as never, 'voice', 16000, 1), /takes a Float32Array/);
});
