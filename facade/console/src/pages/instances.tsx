// The instances, and one of them: its jobs, what needs attention first.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { ask, follow } from '../graphql';
import { Act, Badge, Dialog, Field, Problem, Strip, useLoad, Windowed } from '../parts';
import { go, to } from '../router';
import { fromInput, moment, until, useNow } from '../time';
import { badStates, endStates, executionFields, jobRow, title, words, type Execution, type JobRow, type Pause } from '../types';

interface Instance {
  id: string;
  title: string;
  description: string;
  pause: Pause | null;
}

const instanceFields = 'id title description pause { reason actor since until }';

export function InstancesPage() {
  const { data, error, reload } = useLoad(
    (signal) => ask<{ getInstances: { items: Instance[] } }>(`{ getInstances(page: {first: 1000}) { items { ${instanceFields} } } }`, {}, signal),
    [],
  );
  const [adding, setAdding] = useState(false);
  const items = data?.getInstances.items;
  // A client of one instance has nothing to choose.
  useEffect(() => {
    if (items?.length === 1 && items[0]) go('instance', items[0].id);
  }, [items]);
  return (
    <>
      <h1>Instances</h1>
      <Problem error={error} />
      <ul class="cards">
        {items?.map((i) => (
          <li key={i.id}>
            <a href={to('instance', i.id)}>{i.title || i.id}</a> <code>{i.id}</code> {i.pause && <Badge state="PAUSED" />}
            <p>{i.description}</p>
          </li>
        ))}
      </ul>
      {items?.length === 0 && <p>There is none that you can see.</p>}
      <button type="button" onClick={() => setAdding(true)}>
        New instance
      </button>
      {adding && (
        <Dialog
          title="New instance"
          submit="Make it"
          close={() => setAdding(false)}
          run={async (form) => {
            await ask('mutation ($title: String!) { createInstance(title: $title) { id } }', { title: form.get('title') });
            reload();
          }}
        >
          <Field label="Title">
            <input name="title" required />
          </Field>
        </Dialog>
      )}
    </>
  );
}

const strip = 10;

interface Latest {
  // By job, the states of its latest ended executions, by execution.
  ended: Map<string, Map<string, string>>;
  // By execution, those that have not ended.
  open: Map<string, Execution>;
}

// note keeps an execution that has ended, and of each job the newest few.
function note(latest: Latest, e: { id: string; jobId: string; state: string }): void {
  const states = latest.ended.get(e.jobId) ?? new Map<string, string>();
  states.set(e.id, e.state);
  if (states.size > strip) {
    const oldest = [...states.keys()].reduce((a, b) => (number(a) < number(b) ? a : b));
    states.delete(oldest);
  }
  latest.ended.set(e.jobId, states);
}

function number(id: string): number {
  return Number(id.slice(id.indexOf('_') + 1));
}

// outcomes are the last states of a job, oldest first.
function outcomes(latest: Latest, job: string): string[] {
  return [...(latest.ended.get(job) ?? [])].sort(([a], [b]) => number(a) - number(b)).map(([, state]) => state);
}

// useLatest keeps what became of the instance's latest executions, live. The
// number rises whenever that changes.
function useLatest(instance: string, changed: () => void): [Latest, boolean, number] {
  const latest = useRef<Latest>({ ended: new Map(), open: new Map() });
  const [turn, draw] = useState(0);
  const [connected, setConnected] = useState(false);
  useEffect(() => {
    const now: Latest = (latest.current = { ended: new Map(), open: new Map() });
    const control = new AbortController();
    // A moment after the subscription, so that nothing falls between the two.
    const asked = setTimeout(() => {
      ask<{ getInstanceJobHistory: { items: Execution[] } }>(
        'query ($id: ID!) { getInstanceJobHistory(instanceId: $id, page: {first: 1000}) { items { id jobId state } } }',
        { id: instance },
        control.signal,
      ).then(
        ({ getInstanceJobHistory: { items } }) => {
          items.filter((e) => endStates.includes(e.state)).forEach((e) => note(now, e));
          draw((n) => n + 1);
        },
        () => undefined,
      );
    }, 200);
    let drawing = 0;
    const stop = follow<{ execution: Execution; cursor: string }>({
      query: `subscription ($id: ID!, $cursor: Cursor) { executionChanged(instanceId: $id, cursor: $cursor) { cursor execution { ${executionFields} } } }`,
      field: 'executionChanged',
      variables: { id: instance },
      connected: setConnected,
      next: ({ execution: e }) => {
        if (endStates.includes(e.state)) {
          now.open.delete(e.id);
          note(now, e);
        } else {
          now.open.set(e.id, e);
        }
        // A herd changes thousands a second; people read a few times a second.
        if (!drawing) {
          drawing = window.setTimeout(() => {
            drawing = 0;
            draw((n) => n + 1);
            changed();
          }, 300);
        }
      },
    });
    return () => {
      control.abort();
      clearTimeout(asked);
      clearTimeout(drawing);
      stop();
    };
  }, [instance]);
  return [latest.current, connected, turn];
}

// concern is why somebody should look at a job; empty for none.
function concern(job: JobRow, latest: Latest, now: number): string {
  for (const e of latest.open.values()) {
    if (e.jobId === job.id && e.state === 'AWAITING_APPROVAL') return 'awaits approval';
  }
  if (job.pause?.actor === 'system') return job.pause.reason ?? 'paused by the system';
  const last = outcomes(latest, job.id).at(-1);
  if (last && badStates.includes(last)) return last.toLowerCase().replaceAll('_', ' ');
  if (job.nextRun && now - Date.parse(job.nextRun) > 60_000) return 'overdue';
  return '';
}

// fits says whether a job has every word of a search: in its name, id or
// labels; key=value must be a label.
function fits(job: JobRow, search: string): boolean {
  const labels = Object.entries(job.labels).map(([k, v]) => `${k}=${v}`.toLowerCase());
  const text = `${job.name ?? ''} ${job.id}`.toLowerCase();
  return search
    .toLowerCase()
    .split(/\s+/)
    .every((word) => (word.includes('=') ? labels.includes(word) : text.includes(word) || labels.some((l) => l.includes(word))));
}

export function InstancePage({ id }: { id: string }) {
  const now = useNow();
  const instance = useLoad((signal) => ask<{ getInstance: Instance }>(`query ($id: ID!) { getInstance(instanceId: $id) { ${instanceFields} } }`, { id }, signal), [id]);
  const list = useLoad((signal) => ask<{ getScheduledJobs: JobRow[] }>(`query ($id: ID!) { getScheduledJobs(instanceId: $id) { ${jobRow} } }`, { id }, signal), [id]);
  const [latest, connected, turn] = useLatest(id, list.reload);
  const [search, setSearch] = useState('');
  const [pausing, setPausing] = useState(false);
  const jobs = list.data?.getScheduledJobs;
  const minute = Math.floor(now / 10_000);
  const shown = useMemo(() => {
    const rows = (jobs ?? []).filter((j) => fits(j, search)).map((job) => ({ job, concern: concern(job, latest, now) }));
    return [...rows.filter((r) => r.concern), ...rows.filter((r) => !r.concern)];
  }, [jobs, search, minute, turn]);
  const it = instance.data?.getInstance;
  const concerns = shown.filter((r) => r.concern).length;
  return (
    <>
      <h1>{it?.title || id}</h1>
      <p class="sub">
        <code>{id}</code> · {jobs ? `${jobs.length} jobs` : 'loading'} · {latest.open.size} open executions · <span class={connected ? '' : 'muted'}>{connected ? 'live' : 'connecting'}</span>
      </p>
      <Problem error={instance.error ?? list.error} />
      {it?.pause && (
        <p class="notice">
          <Badge state="PAUSED" /> since {moment(it.pause.since)} by {it.pause.actor}: {it.pause.reason || 'no reason given'}
          {it.pause.until && `, until ${moment(it.pause.until)}`}{' '}
          <Act
            run={async () => {
              await ask('mutation ($id: ID!) { resumeInstance(instanceId: $id) { id } }', { id });
              instance.reload();
              list.reload();
            }}
          >
            Resume
          </Act>
        </p>
      )}
      <div class="bar">
        <input type="search" aria-label="Search jobs by name, id or label" placeholder="Search: name, id, key=value" value={search} onInput={(e) => setSearch(e.currentTarget.value)} />
        <a class="button primary" href={to('instance', id, 'new')}>
          New job
        </a>
        <a class="button" href={to('instance', id, 'config')}>
          Credentials
        </a>
        {it && !it.pause && (
          <button type="button" onClick={() => setPausing(true)}>
            Pause all
          </button>
        )}
      </div>
      {concerns > 0 && (
        <p class="attention" role="status">
          {concerns} {concerns === 1 ? 'job needs' : 'jobs need'} attention
        </p>
      )}
      {jobs && (
        <Windowed
          count={shown.length}
          height={56}
          label="Jobs"
          row={(i) => {
            const found = shown[i];
            return found && <JobLine job={found.job} concern={found.concern} states={outcomes(latest, found.job.id)} now={now} />;
          }}
        />
      )}
      {jobs?.length === 0 && <p>No job yet.</p>}
      {pausing && (
        <Dialog
          title="Pause every job"
          submit="Pause"
          close={() => setPausing(false)}
          run={async (form) => {
            await ask('mutation ($id: ID!, $reason: String, $until: Date) { pauseInstance(instanceId: $id, reason: $reason, until: $until) { id } }', {
              id,
              reason: form.get('reason'),
              until: fromInput(String(form.get('until'))),
            });
            instance.reload();
            list.reload();
          }}
        >
          <Field label="Reason">
            <input name="reason" maxLength={500} />
          </Field>
          <Field label="Until" hint="Empty: until somebody resumes it.">
            <input name="until" type="datetime-local" />
          </Field>
        </Dialog>
      )}
    </>
  );
}

function JobLine({ job, concern, states, now }: { job: JobRow; concern: string; states: string[]; now: number }) {
  return (
    <div class={`job ${concern ? 'concern' : ''}`}>
      <span class="what">
        <a href={to('job', job.id)}>{title(job)}</a> {concern && <strong class="why">{concern}</strong>}
        <small>{words(job)}</small>
      </span>
      <Strip states={states} />
      <Badge state={job.state} />
      <span class="when" title={job.nextRun ?? ''}>
        {job.nextRun ? until(job.nextRun, now) : ''}
      </span>
    </div>
  );
}
