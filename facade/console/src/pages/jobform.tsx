// Making and changing a job: a form and a JSON text of the same thing, checked
// by the service while one types.

import { useEffect, useRef, useState } from 'preact/hooks';
import { blank, create, draftOf, update, wrongAt, type Draft, type Saved } from '../draft';
import { ask, Refusal, type Violation } from '../graphql';
import { Field, Problem, useLoad } from '../parts';
import { go, to } from '../router';
import { moment } from '../time';
import { jobFields, type Job } from '../types';
import { Tasks, type TaskType } from './tasks';

type Props = { instance: string; job?: undefined } | { job: string; instance?: undefined };

export function JobForm({ instance, job: id }: Props) {
  const { data, error } = useLoad(
    async (signal) => ({
      job: id ? (await ask<{ getScheduledJob: Job }>(`query ($id: ID!) { getScheduledJob(jobId: $id) { ${jobFields} } }`, { id }, signal)).getScheduledJob : undefined,
      types: (await ask<{ getTaskTypes: { items: TaskType[] } }>('{ getTaskTypes(page: {first: 1000}) { items { name description argumentsSchema example } } }', {}, signal)).getTaskTypes.items,
    }),
    [id],
  );
  if (!data) return <Problem error={error} />;
  return <Editor instance={instance ?? data.job?.instanceId ?? ''} job={data.job} types={data.types} />;
}

function Editor({ instance, job, types }: { instance: string; job: Job | undefined; types: TaskType[] }) {
  const [draft, setDraft] = useState<Draft>(() => (job ? draftOf(job) : blank));
  const [asText, setAsText] = useState(false);
  const [broken, setBroken] = useState('');
  const check = useCheck(instance, job, draft);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const request = useRef(crypto.randomUUID());
  const set = (change: Partial<Draft>) => setDraft((d) => ({ ...d, ...change }));
  const save = async (event: SubmitEvent) => {
    event.preventDefault();
    setBusy(true);
    try {
      const saved = job ? await update(job, draft, false) : await create(instance, draft, false, request.current);
      go('job', saved.id);
    } catch (e) {
      setError(e);
      setBusy(false);
    }
  };
  return (
    <form onSubmit={save} class="editor">
      <p class="crumbs">
        <a href={to('instance', instance)}>{instance}</a>
        {job && (
          <>
            {' '}
            / <a href={to('job', job.id)}>{job.name || job.id}</a>
          </>
        )}
      </p>
      <h1>{job ? 'Edit the job' : 'New job'}</h1>
      {job?.managedBy && <p class="notice">Managed by {job.managedBy}: what is changed here may be changed back there.</p>}
      <p>
        <label>
          <input type="checkbox" checked={asText} onChange={(e) => setAsText(e.currentTarget.checked)} /> as JSON
        </label>
      </p>
      {asText ? <JSONText draft={draft} set={setDraft} broken={broken} setBroken={setBroken} /> : <Form draft={draft} set={set} types={types} violations={check.violations} />}
      <Preview draft={draft} check={check} />
      <Problem error={error} />
      <p class="actions">
        <a class="button" href={job ? to('job', job.id) : to('instance', instance)}>
          Cancel
        </a>
        <button type="submit" class="primary" disabled={busy || broken !== ''}>
          {job ? 'Save' : 'Make it'}
        </button>
      </p>
    </form>
  );
}

interface Check {
  violations: Violation[];
  saved: Saved | undefined;
  other: string;
}

// useCheck has the service check the draft, a moment after the last change.
function useCheck(instance: string, job: Job | undefined, draft: Draft): Check {
  const [check, setCheck] = useState<Check>({ violations: [], saved: undefined, other: '' });
  useEffect(() => {
    const control = new AbortController();
    const timer = setTimeout(() => {
      (job ? update(job, draft, true, control.signal) : create(instance, draft, true, null, control.signal)).then(
        (saved) => setCheck({ violations: [], saved, other: '' }),
        (e: unknown) => {
          if (control.signal.aborted) return;
          const violations = e instanceof Refusal ? e.violations : [];
          setCheck({ violations, saved: undefined, other: violations.length ? '' : String(e instanceof Error ? e.message : e) });
        },
      );
    }, 350);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [instance, job, JSON.stringify(draft)]);
  return check;
}

// Preview is when the draft would run, or what is wrong with it.
function Preview({ draft, check }: { draft: Draft; check: Check }) {
  const schedule = [draft.frequencyType, draft.cronExpression, draft.intervalMinutes, draft.timeZone];
  const { data } = useLoad(
    async (signal) => {
      if (draft.frequencyType === 'MANUAL') return [];
      const answer = await ask<{ previewSchedule: { times: string[] } }>(
        'query ($type: FrequencyType!, $cron: String, $minutes: Int, $zone: String) { previewSchedule(frequencyType: $type, cronExpression: $cron, intervalMinutes: $minutes, timeZone: $zone, count: 5) { times } }',
        {
          type: draft.frequencyType,
          cron: draft.frequencyType === 'CRON_BASED' ? draft.cronExpression : null,
          minutes: draft.frequencyType === 'INTERVAL_BASED' ? draft.intervalMinutes : null,
          zone: draft.timeZone,
        },
        signal,
      );
      return answer.previewSchedule.times;
    },
    schedule,
  );
  const wrong = check.violations.length > 0;
  return (
    <section class="card" aria-label="Check" role="status">
      {check.saved && <p class="good">✓ The service would take it.</p>}
      {wrong && (
        <>
          <p class="wrong">It would be refused:</p>
          <ul>
            {check.violations.map((v) => (
              <li key={v.field + v.reason}>
                <code>{v.field}</code>: {v.description}
              </li>
            ))}
          </ul>
        </>
      )}
      {check.other && <p class="wrong">{check.other}</p>}
      {check.saved?.warnings.map((w) => <p key={w.message}>{w.message}</p>)}
      {draft.frequencyType === 'MANUAL' ? (
        <p>It runs by hand only.</p>
      ) : (
        check.saved && data && data.length > 0 && <p>Next: {data.map((t) => moment(t)).join(' · ')}</p>
      )}
    </section>
  );
}

function JSONText({ draft, set, broken, setBroken }: { draft: Draft; set: (d: Draft) => void; broken: string; setBroken: (s: string) => void }) {
  const [text, setText] = useState(() => JSON.stringify(draft, null, 2));
  const change = (value: string) => {
    setText(value);
    try {
      set({ ...blank, ...(JSON.parse(value) as Partial<Draft>) });
      setBroken('');
    } catch (e) {
      setBroken(e instanceof Error ? e.message : 'no JSON');
    }
  };
  return (
    <Field label="The job as JSON" wrong={broken || undefined}>
      <textarea class="code" rows={24} spellcheck={false} value={text} onInput={(e) => change(e.currentTarget.value)} />
    </Field>
  );
}

const overlaps: [string, string][] = [
  ['SKIP', 'skip the later one'],
  ['BUFFER_ONE', 'one waits'],
  ['BUFFER_ALL', 'all wait'],
  ['CANCEL_OTHER', 'cancel the running one'],
  ['ALLOW', 'run side by side'],
];
const catchUps: [string, string][] = [
  ['LATEST', 'run the newest'],
  ['ALL', 'run all'],
  ['NONE', 'run none'],
];

function Form({ draft, set, types, violations }: { draft: Draft; set: (change: Partial<Draft>) => void; types: TaskType[]; violations: Violation[] }) {
  const wrong = (field: string) => wrongAt(violations, field);
  return (
    <>
      <Field label="Name" wrong={wrong('name')}>
        <input value={draft.name} onInput={(e) => set({ name: e.currentTarget.value })} />
      </Field>
      <Field label="Description" wrong={wrong('description')}>
        <input value={draft.description} onInput={(e) => set({ description: e.currentTarget.value })} />
      </Field>
      <fieldset>
        <legend>When it runs</legend>
        <Field label="Schedule" wrong={wrong('frequencyType')}>
          <select value={draft.frequencyType} onChange={(e) => set({ frequencyType: e.currentTarget.value })}>
            <option value="INTERVAL_BASED">every so often</option>
            <option value="CRON_BASED">by cron</option>
            <option value="MANUAL">by hand</option>
          </select>
        </Field>
        {draft.frequencyType === 'INTERVAL_BASED' && (
          <Field label="Minutes" wrong={wrong('intervalMinutes')}>
            <input type="number" min={1} max={525600} value={draft.intervalMinutes} onInput={(e) => set({ intervalMinutes: e.currentTarget.valueAsNumber || 0 })} />
          </Field>
        )}
        {draft.frequencyType === 'CRON_BASED' && (
          <>
            <Field label="Cron expression" hint="Minute, hour, day of month, month, day of week." wrong={wrong('cronExpression')}>
              <input class="code" value={draft.cronExpression} onInput={(e) => set({ cronExpression: e.currentTarget.value })} />
            </Field>
            <Field label="Time zone" wrong={wrong('timeZone')}>
              <input value={draft.timeZone} onInput={(e) => set({ timeZone: e.currentTarget.value })} />
            </Field>
          </>
        )}
        <Choice label="When it is due while it runs" value={draft.overlapPolicy} of={overlaps} set={(overlapPolicy) => set({ overlapPolicy })} />
        <Choice label="When times were missed" value={draft.catchUpPolicy} of={catchUps} set={(catchUpPolicy) => set({ catchUpPolicy })} />
        <Field label="Attempts after a failed one" wrong={wrong('retryPolicy')}>
          <input type="number" min={0} max={20} value={draft.retries} onInput={(e) => set({ retries: e.currentTarget.valueAsNumber || 0 })} />
        </Field>
        <label>
          <input type="checkbox" checked={draft.active} onChange={(e) => set({ active: e.currentTarget.checked })} /> active
        </label>
      </fieldset>
      <Tasks workflow={draft.workflow} types={types} violations={violations} set={(workflow) => set({ workflow })} />
    </>
  );
}

function Choice({ label, value, of, set }: { label: string; value: string; of: [string, string][]; set: (value: string) => void }) {
  return (
    <Field label={label}>
      <select value={value} onChange={(e) => set(e.currentTarget.value)}>
        {of.map(([name, text]) => (
          <option key={name} value={name}>
            {text}
          </option>
        ))}
      </select>
    </Field>
  );
}
