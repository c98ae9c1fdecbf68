// One instance: its jobs, what needs attention first.

import { useMemo, useRef, useState } from 'preact/hooks';
import { ask, each } from '../graphql';
import { concern, useLatest, type Concern, type Outcome } from '../latest';
import { Act, Badge, Dialog, Field, Problem, Strip, useLoad, Windowed } from '../parts';
import { to, useTitle } from '../router';
import { fromInput, moment, until, useNow, zone } from '../time';
import { instanceFields, jobRow, title, type Instance, type JobRow } from '../types';
import { counted, words } from '../words';
import { Crumbs } from './crumbs';

function labelsOf(job: JobRow): string[] {
  return Object.entries(job.labels).map(([k, v]) => `${k}=${v}`);
}

// fits says whether a job has every word of a search: in its name, id or
// labels; key=value must be a label.
function fits(job: JobRow, search: string): boolean {
  const labels = labelsOf(job).map((l) => l.toLowerCase());
  const text = `${job.name ?? ''} ${job.id}`.toLowerCase();
  return search
    .toLowerCase()
    .split(/\s+/)
    .every((word) => (word.includes('=') ? labels.includes(word) : text.includes(word) || labels.some((l) => l.includes(word))));
}

// useJobs reads all jobs of an instance. reload is to be called as often as one
// likes: it spends at most a tenth of the time on reading.
function useJobs(instance: string) {
  const busy = useRef(false);
  const cost = useRef(100);
  const timer = useRef(0);
  const list = useLoad(
    async (signal) => {
      busy.current = true;
      const started = performance.now();
      try {
        return (await ask<{ getScheduledJobs: JobRow[] }>(`query ($id: ID!) { getScheduledJobs(instanceId: $id) { ${jobRow} } }`, { id: instance }, signal)).getScheduledJobs;
      } finally {
        cost.current = performance.now() - started;
        busy.current = false;
      }
    },
    [instance],
  );
  const reload = () => {
    timer.current ||= window.setTimeout(() => {
      timer.current = 0;
      if (busy.current) reload();
      else list.reload();
    }, Math.max(300, 10 * cost.current));
  };
  return { jobs: list.data, error: list.error, reload, reloadNow: list.reload };
}

// useConcerns are the jobs that a search finds, those that need attention first.
function useConcerns(instance: string, list: ReturnType<typeof useJobs>, paused: boolean, search: string, now: number) {
  const [latest, connected, turn] = useLatest(instance, list.jobs?.length, list.reload);
  const tenSeconds = Math.floor(now / 10_000);
  const rows = useMemo(() => {
    const all = (list.jobs ?? []).filter((j) => fits(j, search)).map((job) => ({ job, concern: concern(job, latest, paused, now) }));
    const wrong = all.filter((r) => r.concern).sort((a, b) => (a.concern?.rank ?? 0) - (b.concern?.rank ?? 0));
    return { shown: [...wrong, ...all.filter((r) => !r.concern)], concerns: wrong.length };
  }, [list.jobs, search, tenSeconds, turn, paused]);
  return { ...rows, latest, connected };
}

export function InstancePage({ id }: { id: string }) {
  const now = useNow();
  const instance = useLoad((signal) => ask<{ getInstance: Instance }>(`query ($id: ID!) { getInstance(instanceId: $id) { ${instanceFields} } }`, { id }, signal), [id]);
  const it = instance.data?.getInstance;
  useTitle(it?.title || id);
  const list = useJobs(id);
  const [search, setSearch] = useState('');
  const { shown, concerns, latest, connected } = useConcerns(id, list, !!it?.pause, search, now);
  const [pausing, setPausing] = useState(false);
  const labels = useMemo(() => [...new Set((list.jobs ?? []).flatMap(labelsOf))].sort(), [list.jobs]);
  const open = [...latest.open.values()].reduce((n, l) => n + l.length, 0);
  const reload = () => {
    instance.reload();
    list.reloadNow();
  };
  return (
    <>
      <Crumbs />
      <h1>{it?.title || id}</h1>
      <p class="sub">
        <code>{id}</code> · {list.jobs ? counted(list.jobs.length, 'job') : 'loading'} · {counted(open, 'open execution')} · {connected ? 'live' : 'connecting'}
      </p>
      <Problem error={instance.error ?? list.error} />
      {it?.pause && (
        <p class="notice">
          <Badge state="PAUSED" /> since {moment(it.pause.since)} by {it.pause.actor}: {it.pause.reason || 'no reason given'}
          {it.pause.until && `, until ${moment(it.pause.until)}`}{' '}
          <Act
            run={async () => {
              await ask('mutation ($id: ID!) { resumeInstance(instanceId: $id) { id } }', { id });
              reload();
            }}
          >
            Resume
          </Act>
        </p>
      )}
      <div class="bar">
        <input type="search" list="labels" aria-label="Search jobs by name, id or label" placeholder="Search: name, id, key=value" value={search} onInput={(e) => setSearch(e.currentTarget.value)} />
        <datalist id="labels">
          {labels.slice(0, 200).map((l) => (
            <option key={l} value={l} />
          ))}
        </datalist>
        <a class="button primary" href={to('instance', id, 'new')}>
          New job
        </a>
        <a class="button" href={to('instance', id, 'notices')}>
          Notices
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
      <Remotes instance={id} now={now} />
      <p class={concerns ? 'attention' : 'muted'} role="status">
        {list.jobs && (concerns ? `${concerns} ${concerns === 1 ? 'job needs' : 'jobs need'} attention` : shown.length ? 'Nothing needs attention' : '')}
      </p>
      {shown.length > 0 && (
        <Windowed
          count={shown.length}
          height={60}
          label="Jobs"
          row={(i) => {
            const found = shown[i];
            return found && <JobLine job={found.job} concern={found.concern} ended={latest.ended.get(found.job.id) ?? []} open={latest.open.get(found.job.id)?.[0]} now={now} find={setSearch} />;
          }}
        />
      )}
      {list.jobs?.length === 0 && <p>No job yet.</p>}
      {list.jobs && list.jobs.length > 0 && shown.length === 0 && <p>No job fits the search.</p>}
      {pausing && <PauseAll id={id} close={() => setPausing(false)} reload={reload} />}
    </>
  );
}

interface Remote {
  name: string;
  state: string;
  reason: string | null;
  expiresAt: string | null;
}

// How many resources are looked at.
const resources = 200;

// loadRemotes reads the remotes whose credentials are refused or end soon.
async function loadRemotes(instance: string, signal: AbortSignal): Promise<{ owner: string; remote: Remote }[]> {
  const { getResources: list } = await ask<{ getResources: { items: { id: string; title: string }[] } }>(
    'query ($id: ID!, $first: Int) { getResources(instanceId: $id, page: {first: $first}) { items { id title } } }',
    { id: instance, first: resources },
    signal,
  );
  const configs = await each<{ remotes: Remote[] }>(list.items.map((r) => r.id), 'getJobConfig(resourceId: $)', 'remotes { name state reason expiresAt }', signal);
  return list.items.flatMap((r, i) =>
    (configs[i]?.remotes ?? [])
      .filter((remote) => remote.state === 'REAUTH_REQUIRED' || (remote.expiresAt && Date.parse(remote.expiresAt) - Date.now() < soon))
      .map((remote) => ({ owner: r.title || r.id, remote })),
  );
}

// Remotes tells of credentials that somebody must renew.
function Remotes({ instance, now }: { instance: string; now: number }) {
  const { data } = useLoad((signal) => loadRemotes(instance, signal), [instance, Math.floor(now / 300_000)]);
  if (!data?.length) return null;
  return (
    <ul class="notice remotes">
      {data.map(({ owner, remote }) => (
        <li key={owner + remote.name}>
          <a href={to('instance', instance, 'config')}>
            {owner}: {remote.name}
          </a>{' '}
          {remote.state === 'REAUTH_REQUIRED' ? <strong class="why">sign in anew: {remote.reason}</strong> : <b class="soon">credentials expire {until(remote.expiresAt, now)}</b>}
        </li>
      ))}
    </ul>
  );
}

function PauseAll({ id, close, reload }: { id: string; close: () => void; reload: () => void }) {
  return (
    <Dialog
      title="Pause every job"
      submit="Pause"
      close={close}
      run={async (form) => {
        await ask('mutation ($id: ID!, $reason: String, $until: Date) { pauseInstance(instanceId: $id, reason: $reason, until: $until) { id } }', {
          id,
          reason: form.get('reason'),
          until: fromInput(String(form.get('until'))),
        });
        reload();
      }}
    >
      <Field label="Reason">
        <input name="reason" maxLength={500} />
      </Field>
      <Field label="Until" hint={`In ${zone()}; empty: until somebody resumes it.`}>
        <input name="until" type="datetime-local" />
      </Field>
    </Dialog>
  );
}

interface Line {
  job: JobRow;
  concern: Concern | undefined;
  ended: Outcome[];
  open: Outcome | undefined;
  now: number;
  find: (label: string) => void;
}

// What ends within this time ends soon.
const soon = 7 * 86_400_000;

function JobLine({ job, concern, ended, open, now, find }: Line) {
  const left = job.endTime ? Date.parse(job.endTime) - now : -1;
  const ends = left >= 0 && left < soon ? job.endTime : null;
  return (
    <div class={`job ${concern ? 'concern' : ''}`}>
      <span class="what">
        <span class="name">
          <a href={to('job', job.id)}>{title(job)}</a>{' '}
          {labelsOf(job).map((l) => (
            <button type="button" key={l} class="label" title={`Show jobs with ${l}`} onClick={() => find(l)}>
              {l}
            </button>
          ))}
        </span>
        {concern ? (
          <strong class="why" title={concern.text}>
            {concern.execution ? <a href={to('execution', concern.execution)}>{concern.text}</a> : concern.text}
          </strong>
        ) : (
          <small>
            {words(job)} {ends && <b class="soon">ends {until(ends, now)}</b>}
          </small>
        )}
      </span>
      <Strip outcomes={ended} />
      <span class="state">
        {open ? (
          <a href={to('execution', open.id)}>
            <Badge state={open.state} />
          </a>
        ) : (
          <Badge state={job.state} />
        )}
      </span>
      <span class="when">
        {job.nextRun && <span title={moment(job.nextRun)}>{until(job.nextRun, now)}</span>}
        {job.lastRun && <small title={moment(job.lastRun)}>ran {until(job.lastRun, now)}</small>}
      </span>
    </div>
  );
}
