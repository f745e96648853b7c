import { useEffect, useRef, useState, type DragEvent } from 'react';
import chelsea from '../../chelsea.png';
import espresso from '../../espresso.png';

const SAMPLES = [
  { name: 'espresso.png', url: espresso, alt: 'A cup of espresso' },
  { name: 'chelsea.png', url: chelsea, alt: 'A cat named Chelsea' },
];

/** Where a photo is dropped, picked, pasted, or taken from the samples. */
export function PhotoDrop({ photo, onPhoto }: { photo: File | undefined; onPhoto: (photo: File) => void }) {
  const [over, setOver] = useState(false);
  const picker = useRef<HTMLInputElement>(null);
  const preview = useObjectUrl(photo);

  const take = (files: FileList | null | undefined) => {
    const image = [...(files ?? [])].find((file) => file.type.startsWith('image/'));
    if (image) onPhoto(image);
  };
  const drag = (event: DragEvent, inside: boolean) => {
    event.preventDefault();
    setOver(inside);
  };

  useEffect(() => {
    const paste = (event: ClipboardEvent) => take(event.clipboardData?.files);
    document.addEventListener('paste', paste);
    return () => document.removeEventListener('paste', paste);
  });

  return (
    <section className="card photo" aria-label="Photo">
      <button
        type="button"
        className="drop"
        data-over={over || undefined}
        onClick={() => picker.current?.click()}
        onDragEnter={(event) => drag(event, true)}
        onDragOver={(event) => drag(event, true)}
        onDragLeave={(event) => drag(event, false)}
        onDrop={(event) => {
          drag(event, false);
          take(event.dataTransfer.files);
        }}
      >
        {preview ? <img src={preview} alt={photo?.name ?? ''} /> : <DropArt />}
        <span className="hint">
          <strong>{preview ? 'Drop another photo' : 'Drop a photo here'}</strong> or click to pick one
        </span>
      </button>
      <input ref={picker} type="file" accept="image/*" hidden onChange={(event) => take(event.target.files)} />
      <div className="samples">
        <span>Or try</span>
        {SAMPLES.map((sample) => (
          <button key={sample.name} type="button" onClick={() => void download(sample).then(onPhoto)} aria-label={sample.alt}>
            <img src={sample.url} alt="" />
          </button>
        ))}
      </div>
    </section>
  );
}

/** An address of the file for as long as it is shown. */
function useObjectUrl(file: File | undefined): string | undefined {
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    if (!file) return;
    const made = URL.createObjectURL(file);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [file]);
  return url;
}

async function download({ name, url }: { name: string; url: string }): Promise<File> {
  const blob = await (await fetch(url)).blob();
  return new File([blob], name, { type: blob.type });
}

function DropArt() {
  return (
    <svg viewBox="0 0 96 72" aria-hidden="true">
      <rect x="3" y="3" width="90" height="66" rx="12" />
      <circle cx="68" cy="23" r="7" />
      <path d="M4 56 30 31l19 18 12-11 31 27" />
    </svg>
  );
}
