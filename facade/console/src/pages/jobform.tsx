// Making and changing a job: a form and a JSON text of the same thing, checked
// by the service while one types.

import { useEffect, useState } from 'preact/hooks';
import { blank, create, draftOf, update, type Draft, type Saved } from '../draft';
import { ask, Refusal, type Violation } from '../graphql';
import { Field, Problem, useLoad } from '../parts';
import { go, to, useTitle } from '../router';
import { moment, zone } from '../time';
import { jobFields, type Job } from '../types';
import { words } from '../words';
import { Crumbs, Waiting } from './crumbs';
import { Form } from './fields';
import type { Resource, TaskType } from './tasks';

type Props = { instance: string; job?: undefined } | { job: string; instance?: undefined };

export function JobForm({ instance, job: id }: Props) {
  const { data, error } = useLoad(
    async (signal) => {
      const job = id ? (await ask<{ getScheduledJob: Job }>(`query ($id: ID!) { getScheduledJob(jobId: $id) { ${jobFields} } }`, { id }, signal)).getScheduledJob : undefined;
      const of = instance ?? job?.instanceId ?? '';
      const { types, resources } = await ask<{ types: { items: TaskType[] }; resources: { items: Resource[] } }>(
        'query ($of: ID!) { types: getTaskTypes(page: {first: 1000}) { items { name description argumentsSchema example } } resources: getResources(instanceId: $of, page: {first: 1000}) { items { id title } } }',
        { of },
        signal,
      );
      return { job, of, types: types.items, resources: resources.items };
    },
    [id],
  );
  if (!data) return <Waiting error={error} />;
  return <Editor instance={data.of} job={data.job} types={data.types} resources={data.resources} />;
}

function Editor({ instance, job, types, resources }: { instance: string; job: Job | undefined; types: TaskType[]; resources: Resource[] }) {
  useTitle(job ? `Edit ${job.name || job.id}` : 'New job');
  const [draft, setDraft] = useState<Draft>(() => (job ? draftOf(job) : blank));
  const [asText, setAsText] = useState(false);
  const [broken, setBroken] = useState('');
  const check = useCheck(instance, job, draft);
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const [request] = useState(() => crypto.getRandomValues(new Uint32Array(4)).join('-'));
  const set = (change: Partial<Draft>) => setDraft((d) => ({ ...d, ...change }));
  const save = async (event: SubmitEvent) => {
    event.preventDefault();
    setBusy(true);
    try {
      const saved = job ? await update(job, draft, false) : await create(instance, draft, false, request);
      go('job', saved.id);
    } catch (e) {
      setError(e);
      setBusy(false);
    }
  };
  return (
    <form onSubmit={save} class="editor">
      <Crumbs instance={instance} job={job} />
      <h1>{job ? 'Edit the job' : 'New job'}</h1>
      {job?.managedBy && <p class="notice">Managed by {job.managedBy}: what is changed here may be changed back there.</p>}
      <p>
        <label>
          <input type="checkbox" checked={asText} onChange={(e) => setAsText(e.currentTarget.checked)} /> as JSON
        </label>
      </p>
      <div class="columns">
        <div>{asText ? <JSONText draft={draft} set={setDraft} broken={broken} setBroken={setBroken} /> : <Form draft={draft} set={set} types={types} resources={resources} violations={check.violations} />}</div>
        <div class="side">
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
        </div>
      </div>
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

const preview = `query ($type: FrequencyType!, $cron: String, $minutes: Int, $zone: String, $gap: DstGapPolicy, $twice: DstOverlapPolicy, $start: Date, $end: Date, $jitter: Duration, $excluded: [String!]) {
  previewSchedule(frequencyType: $type, cronExpression: $cron, intervalMinutes: $minutes, timeZone: $zone, dstGapPolicy: $gap, dstOverlapPolicy: $twice,
    startTime: $start, endTime: $end, jitter: $jitter, excludedDates: $excluded, count: 5) { times }
}`;

// Preview is when the draft would run, or what is wrong with it.
function Preview({ draft, check }: { draft: Draft; check: Check }) {
  const cron = draft.frequencyType === 'CRON_BASED';
  const schedule = {
    type: draft.frequencyType,
    cron: cron ? draft.cronExpression : null,
    minutes: draft.frequencyType === 'INTERVAL_BASED' ? draft.intervalMinutes : null,
    zone: draft.timeZone,
    gap: cron ? draft.dstGapPolicy : null,
    twice: cron ? draft.dstOverlapPolicy : null,
    start: draft.startTime,
    end: draft.endTime,
    jitter: draft.jitter,
    excluded: draft.excludedDates,
  };
  const { data } = useLoad(
    async (signal) => (draft.frequencyType === 'MANUAL' ? [] : (await ask<{ previewSchedule: { times: string[] } }>(preview, schedule, signal)).previewSchedule.times),
    [JSON.stringify(schedule)],
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
        check.saved &&
        data && (
          <>
            <p>{words(draft)}. Next times, in {zone()}:</p>
            {data.length > 0 ? (
              <ol>
                {data.map((t) => (
                  <li key={t}>{moment(t)}</li>
                ))}
              </ol>
            ) : (
              <p>none</p>
            )}
          </>
        )
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
