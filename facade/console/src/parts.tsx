// Small parts that every page uses.

import { cloneElement, type ComponentChildren, type RefObject, type VNode } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { Refusal } from './graphql';

export const marks: Record<string, string> = {
  SUCCEEDED: '✓',
  DELIVERED: '✓',
  OK: '✓',
  STARTED: '✓',
  FAILED: '✕',
  WORKER_LOST: '✕',
  PARTIALLY_SUCCEEDED: '!',
  AWAITING_APPROVAL: '?',
  RUNNING: '▶',
  QUEUED: '…',
  PENDING: '…',
  CANCELLING: '■',
  CANCELLED: '■',
  SKIPPED: '–',
  PAUSED: '❚❚',
  ACTIVE: '●',
  EXHAUSTED: '○',
};

// Badge tells a state by colour, sign and word.
export function Badge({ state }: { state: string }) {
  return (
    <span class={`badge ${state.toLowerCase()}`}>
      <span aria-hidden="true">{marks[state] ?? ''}</span> {state.toLowerCase().replaceAll('_', ' ')}
    </span>
  );
}

// Strip is the last outcomes of a job, oldest first.
export function Strip({ outcomes }: { outcomes: { id: string; state: string }[] }) {
  const said = outcomes.map((o) => o.state.toLowerCase().replaceAll('_', ' '));
  return (
    <span class="strip" role="img" aria-label={`last outcomes: ${said.join(', ') || 'no execution yet'}`}>
      {outcomes.map((o, i) => (
        <span key={o.id} class={o.state.toLowerCase()} title={`${o.id} ${said[i]}`} />
      ))}
    </span>
  );
}

export function Problem({ error }: { error: unknown }) {
  if (!error) return null;
  const violations = error instanceof Refusal ? error.violations : [];
  return (
    <div class="problem" role="alert">
      <p>{error instanceof Error ? error.message : String(error)}</p>
      {violations.length > 1 && (
        <ul>
          {violations.map((v) => (
            <li key={v.field + v.reason}>
              <code>{v.field}</code>: {v.description}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

export interface Loaded<T> {
  data: T | undefined;
  error: unknown;
  reload: () => void;
}

// useLoad loads something, again whenever one of keys changes. A reload that is
// asked for while something is loading comes after it: what changes all the time
// is shown all the same.
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, keys: unknown[]): Loaded<T> {
  const [state, setState] = useState<{ data?: T; error?: unknown }>({});
  const latest = useRef(load);
  latest.current = load;
  const again = useRef(() => undefined as void);
  useEffect(() => {
    const control = new AbortController();
    let asked = 0;
    const run = async () => {
      if (asked++) return;
      for (let served = 0; served < asked && !control.signal.aborted; ) {
        served = asked;
        try {
          const data = await latest.current(control.signal);
          if (!control.signal.aborted) setState({ data });
        } catch (error) {
          if (!control.signal.aborted) setState((s) => ({ ...s, error }));
        }
      }
      asked = 0;
    };
    again.current = () => void run();
    void run();
    return () => control.abort();
  }, keys);
  return { data: state.data, error: state.error, reload: () => again.current() };
}

// Act is a button for something that takes a while and can be refused.
export function Act({ run, children, class: look }: { run: () => Promise<unknown>; children: ComponentChildren; class?: string }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const click = async () => {
    setBusy(true);
    setError(undefined);
    try {
      await run();
    } catch (e) {
      setError(e);
    }
    setBusy(false);
  };
  return (
    <>
      <button type="button" class={look} disabled={busy} onClick={click}>
        {children}
      </button>
      <Problem error={error} />
    </>
  );
}

// Dialog is a form in a modal window. The browser keeps the focus inside and
// closes it on Escape. One that stays shows what came of it.
export function Dialog({ title, submit, stays, close, run, children }: { title: string; submit: string; stays?: boolean; close: () => void; run: (form: FormData) => Promise<unknown>; children: ComponentChildren }) {
  const ref = useRef<HTMLDialogElement>(null);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  useEffect(() => ref.current?.showModal(), []);
  const send = async (event: SubmitEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      await run(new FormData(event.target as HTMLFormElement));
      if (!stays) return close();
    } catch (e) {
      setError(e);
    }
    setBusy(false);
  };
  return (
    <dialog ref={ref} onClose={close} aria-labelledby="dialog-title">
      <h2 id="dialog-title">{title}</h2>
      <form onSubmit={send}>
        {children}
        <Problem error={error} />
        <p class="actions">
          <button type="button" onClick={() => ref.current?.close()}>
            {stays ? 'Close' : 'Cancel'}
          </button>
          <button type="submit" class="primary" disabled={busy}>
            {submit}
          </button>
        </p>
      </form>
    </dialog>
  );
}

// Field is a labelled input with what is wrong about it. The input is told by
// its label alone; hint and refusal describe it.
export function Field({ label, hint, wrong, children }: { label: string; hint?: string; wrong?: string | undefined; children: VNode }) {
  const id = useId();
  const about = [hint && `${id}-hint`, wrong && `${id}-wrong`].filter(Boolean).join(' ');
  const input = cloneElement(children, { id, ...(about && { 'aria-describedby': about }), ...(wrong && { 'aria-invalid': true }) });
  const box = (children.props as { type?: string }).type === 'checkbox';
  return (
    <div class={box ? 'field check' : 'field'}>
      {box && input}
      <label for={id}>{label}</label>
      {!box && input}
      {hint && <small id={`${id}-hint`}>{hint}</small>}
      {wrong && (
        <small id={`${id}-wrong`} class="wrong" role="alert">
          {wrong}
        </small>
      )}
    </div>
  );
}

const buffer = 12;

// Windowed shows the rows of a long list that are in view. Rows have one
// height; a row is told its place, for assistive technology. looked hears which
// rows are in view after each scrolling.
export interface WindowedProps {
  count: number;
  height: number;
  row: (index: number) => ComponentChildren;
  label: string;
  // Keeps the end in view.
  end?: boolean;
  box?: RefObject<HTMLDivElement | null>;
  looked?: (first: number, last: number, atEnd: boolean) => void;
}

export function Windowed({ count, height, row, label, end, box, looked }: WindowedProps) {
  const own = useRef<HTMLDivElement>(null);
  const ref = box ?? own;
  const tell = useRef(looked);
  tell.current = looked;
  const [view, setView] = useState({ top: 0, size: 600 });
  useEffect(() => {
    const box = ref.current;
    if (!box) return;
    const look = () => setView({ top: box.scrollTop, size: box.clientHeight });
    const scrolled = () => {
      look();
      const bottom = box.scrollTop + box.clientHeight;
      tell.current?.(Math.floor(box.scrollTop / height), Math.ceil(bottom / height), bottom >= box.scrollHeight - 2);
    };
    const watch = new ResizeObserver(look);
    watch.observe(box);
    box.addEventListener('scroll', scrolled, { passive: true });
    look();
    return () => watch.disconnect();
  }, []);
  useEffect(() => {
    if (end && ref.current) ref.current.scrollTop = ref.current.scrollHeight;
  }, [count, end]);
  const first = Math.max(0, Math.floor(view.top / height) - buffer);
  const last = Math.min(count, Math.ceil((view.top + view.size) / height) + buffer);
  const rows = [];
  for (let i = first; i < last; i++) {
    rows.push(
      <div key={i} role="listitem" aria-setsize={count} aria-posinset={i + 1} class="row" style={{ top: `${i * height}px`, height: `${height}px` }}>
        {row(i)}
      </div>,
    );
  }
  return (
    <div class="windowed" ref={ref} tabIndex={0} role="region" aria-label={label}>
      <div role="list" style={{ height: `${Math.max(count * height, 1)}px` }} aria-label={label}>
        {rows}
      </div>
    </div>
  );
}
