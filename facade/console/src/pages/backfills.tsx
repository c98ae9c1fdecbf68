// Backfills of a job: asking for one, how far they are, ending them.

import { useEffect, useState } from 'preact/hooks';
import { ask } from '../graphql';
import { Act, Badge, Dialog, Field, Problem } from '../parts';
import { fromInput, moment, zone } from '../time';
import { counted } from '../words';

interface Backfill {
  id: string;
  from: string;
  to: string;
  state: string;
  total: number;
  started: number;
}

const fields = 'id from to state total started';

// BackfillCard shows one backfill until it ends, and can end it.
export function BackfillCard({ id, turn }: { id: string; turn: number }) {
  const [it, setIt] = useState<Backfill>();
  const [error, setError] = useState<unknown>();
  const load = (signal?: AbortSignal) =>
    ask<{ getBackfill: Backfill }>(`query ($id: ID!) { getBackfill(backfillId: $id) { ${fields} } }`, { id }, signal).then(
      ({ getBackfill }) => setIt(getBackfill),
      (e: unknown) => !signal?.aborted && setError(e),
    );
  useEffect(() => {
    const control = new AbortController();
    void load(control.signal);
    return () => control.abort();
  }, [id, turn]);
  if (!it) return <Problem error={error} />;
  return (
    <section class="notice" aria-label={`Backfill ${id}`}>
      <p role="status">
        Backfill <code>{id}</code> of {moment(it.from)} to {moment(it.to)}: <Badge state={it.state} />, {it.started} of {it.total} begun <progress value={it.started} max={it.total} aria-label={`${it.started} of ${it.total} begun`} />
      </p>
      {it.state === 'RUNNING' && (
        <Act
          run={async () => {
            await ask('mutation ($id: ID!) { cancelBackfill(backfillId: $id) { id } }', { id });
            await load();
          }}
        >
          Cancel the backfill
        </Act>
      )}
    </section>
  );
}

const backfill = `mutation ($id: ID!, $from: Date!, $to: Date!, $concurrency: Int, $check: Boolean) {
  backfillJob(jobId: $id, from: $from, to: $to, concurrency: $concurrency, validateOnly: $check) { id total }
}`;

// BackfillDialog says how many executions it would make before it makes them.
export function BackfillDialog({ id, close, made }: { id: string; close: () => void; made: (backfill: string) => void }) {
  const [total, setTotal] = useState('');
  const [wrong, setWrong] = useState('');
  const given = (form: FormData) => ({
    id,
    from: fromInput(String(form.get('from'))),
    to: fromInput(String(form.get('to'))),
    concurrency: Number(form.get('concurrency')),
  });
  const preview = (event: Event) => {
    const form = (event.currentTarget as HTMLElement).closest('form');
    const vars = form && given(new FormData(form));
    if (!vars?.from || !vars.to) return;
    ask<{ backfillJob: { total: number } }>(backfill, { ...vars, check: true }).then(
      ({ backfillJob: b }) => {
        setTotal(`${counted(b.total, 'occurrence')} would run.`);
        setWrong('');
      },
      (e: Error) => {
        setTotal('');
        setWrong(e.message);
      },
    );
  };
  return (
    <Dialog
      title="Backfill a range of the past"
      submit="Run them"
      close={close}
      run={async (form) => {
        made((await ask<{ backfillJob: { id: string } }>(backfill, { ...given(form), check: false })).backfillJob.id);
      }}
    >
      <div onInput={preview}>
        <Field label="From" hint={`In ${zone()}.`}>
          <input name="from" type="datetime-local" required />
        </Field>
        <Field label="To" hint={`In ${zone()}, exclusive.`}>
          <input name="to" type="datetime-local" required />
        </Field>
        <Field label="At a time">
          <input name="concurrency" type="number" min={1} max={100} defaultValue="1" />
        </Field>
      </div>
      <p role="status" class={wrong && 'wrong'}>
        {wrong || total}
      </p>
    </Dialog>
  );
}
