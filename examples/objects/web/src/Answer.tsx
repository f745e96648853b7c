import type { RunState } from '@mlp/react';
import type { Progress, RunMeta } from '@mlp/runtime';
import type { ClassifyOutput } from '../../objects.mlp';

/** The ranking, and on the way to it how far things are. */
export function Answer({ state }: { state: RunState<ClassifyOutput> }) {
  return (
    <div className="answer" aria-live="polite" aria-busy={state.status === 'loading' || state.status === 'running'}>
      {state.data ? <Ranking top={state.data.top} stale={state.status !== 'success'} /> : state.status !== 'loading' && <Waiting status={state.status} />}
      {state.status === 'loading' && <Loading progress={state.progress} />}
      {state.status === 'error' && (
        <p role="alert" className="error">
          <strong>{state.error.code}</strong> {state.error.message}
        </p>
      )}
      {state.status === 'success' && <Meta meta={state.meta} />}
    </div>
  );
}

function Ranking({ top, stale }: { top: ClassifyOutput['top']; stale: boolean }) {
  return (
    <ol className="ranking" data-stale={stale || undefined}>
      {top.map(({ label, index, score }) => (
        <li key={index}>
          <span className="label">{label}</span>
          <data value={score}>{percent(score)}</data>
          <span className="bar" style={{ '--score': score }} />
        </li>
      ))}
    </ol>
  );
}

function Waiting({ status }: { status: RunState<never>['status'] }) {
  return <p className="waiting">{status === 'running' ? 'Looking…' : status === 'error' ? '' : 'Ready. The five likeliest answers show here.'}</p>;
}

function Loading({ progress: { loaded, total } }: { progress: Progress }) {
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  return (
    <div className="loading">
      <label htmlFor="progress">{loaded < total || !total ? 'Downloading the network' : 'Getting ready'}</label>
      <span>
        {megabytes(loaded)} of {megabytes(total)} MB
      </span>
      <progress id="progress" value={loaded} max={Math.max(1, total)} />
    </div>
  );
}

function Meta({ meta }: { meta: RunMeta }) {
  return (
    <dl className="meta">
      <div>
        <dt>Computed on</dt>
        <dd data-backend={meta.backend}>
          {meta.backend === 'webgpu' ? 'WebGPU' : 'WebAssembly'} <small>{meta.variant}</small>
        </dd>
      </div>
      <div>
        <dt>Time</dt>
        <dd>
          {meta.milliseconds.toFixed(meta.milliseconds < 10 ? 1 : 0)} <small>ms</small>
        </dd>
      </div>
    </dl>
  );
}

function percent(score: number): string {
  return `${(100 * score).toFixed(score < 0.1 ? 1 : 0)} %`;
}
