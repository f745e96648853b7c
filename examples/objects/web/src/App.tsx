import type { Backend } from '@mlp/runtime';
import { useEffect, useState } from 'react';
import { useClassify } from '../../objects.mlp';
import { Answer } from './Answer.tsx';
import { BackendSwitch } from './BackendSwitch.tsx';
import { PhotoDrop } from './PhotoDrop.tsx';

/** The page: a photo on one side, what is in it on the other. */
export function App() {
  const [photo, setPhoto] = useState<File>();
  const [backend, setBackend] = useState<Backend>(initialBackend);
  // WebAssembly stands in where WebGPU turns out not to work: the answer says which one it came from.
  const classify = useClassify({ prefer: backend === 'webgpu' ? ['webgpu', 'wasm'] : ['wasm'], preload: true });
  const { run } = classify;

  useEffect(() => {
    if (photo) void run({ photo });
  }, [photo, backend, run]);

  return (
    <main>
      <header>
        <h1>What is in this photo?</h1>
        <p>
          A thousand kinds of things, told apart by a neural network that was compiled for this page. The photo <strong>never leaves it</strong>.
        </p>
      </header>
      <PhotoDrop photo={photo} onPhoto={setPhoto} />
      <section className="card result" aria-label="Answer">
        <BackendSwitch value={backend} onChange={setBackend} />
        <Answer state={classify} />
      </section>
      <footer>
        EfficientNet-Lite0 in 8-bit integers · <code>objects.mlp</code> compiled by <code>mlpc</code>
      </footer>
    </main>
  );
}

/** WebGPU where the browser has it; `?backend=wasm` asks for the other. */
function initialBackend(): Backend {
  const asked = new URLSearchParams(location.search).get('backend');
  if (asked === 'wasm' || asked === 'webgpu') return asked;
  return 'gpu' in navigator ? 'webgpu' : 'wasm';
}
