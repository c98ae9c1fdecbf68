// One job: when it runs, what became of it, and what to do about it.

import { useEffect, useRef, useState } from 'preact/hooks';
import { ask, follow } from '../graphql';
import { Act, Badge, Dialog, Field, Problem, useLoad } from '../parts';
import { go, to, useTitle } from '../router';
import { fromInput, moment, zone } from '../time';
import { badStates, endStates, jobFields, title, type Execution, type Job, type Occurrence } from '../types';
import { words } from '../words';
import { BackfillCard, BackfillDialog } from './backfills';
import { Coming } from './coming';
import { Crumbs, Waiting } from './crumbs';
import { HeatMap, type Ended } from './heatmap';
import { JobPlan } from './plans';
import { Timeline } from './timeline';

interface Loaded {
  job: Job;
  summary: string;
  coming: Occurrence[];
  executions: Execution[];
  more: boolean;
  skips: Occurrence[];
}

const occurrence = 'scheduledFor outcome reason executionId until count movedTo';
const query = `query ($id: ID!, $now: Date!, $count: Int!) {
  getScheduledJob(jobId: $id) { ${jobFields} }
  explainJob(jobId: $id, from: $now) { summary }
  getJobOccurrences(jobId: $id, from: $now) { items { ${occurrence} } }
  getJobHistory(jobId: $id, page: {first: $count}) { hasNextPage items { id jobId state trigger triggerId scheduledFor startedAt finishedAt createdAt attempt error { code reason message } } }
}`;
const told = `query ($id: ID!, $from: Date!, $to: Date!, $after: Cursor) {
  getJobOccurrences(jobId: $id, from: $from, to: $to, page: {first: 1000, after: $after}) { cursor items { ${occurrence} } }
}`;

// load reads a job, its newest executions, count of them, and what was skipped
// since the oldest of these.
async function load(id: string, count: number, signal: AbortSignal): Promise<Loaded> {
  const now = new Date().toISOString();
  const head = await ask<{
    getScheduledJob: Job;
    explainJob: { summary: string };
    getJobOccurrences: { items: Occurrence[] };
    getJobHistory: { items: Execution[]; hasNextPage: boolean };
  }>(query, { id, now, count }, signal);
  const { items: executions, hasNextPage: more } = head.getJobHistory;
  const from = more ? executions.at(-1)?.createdAt : head.getScheduledJob.createdAt;
  const skips: Occurrence[] = [];
  let after: string | null = null;
  do {
    const { getJobOccurrences: page }: { getJobOccurrences: { items: Occurrence[]; cursor: string | null } } = await ask(told, { id, from, to: now, after }, signal);
    skips.push(...page.items.filter((o) => o.outcome === 'SKIPPED'));
    after = page.cursor;
  } while (after);
  return { job: head.getScheduledJob, summary: head.explainJob.summary, coming: head.getJobOccurrences.items, executions, more, skips };
}

type Asking = 'plan' | 'pause' | 'backfill' | 'delete' | undefined;

// A page of the timeline, and how long it gets.
const step = 50;
const most = 1000;

export function JobPage({ id }: { id: string }) {
  const [count, setCount] = useState(step);
  const [turn, setTurn] = useState(0);
  const { data, error, reload } = useLoad((signal) => load(id, count, signal), [id, count]);
  const [asking, setAsking] = useState<Asking>();
  const [backfills, setBackfills] = useState<string[]>([]);
  const job = data?.job;
  const changes = useRef<Ended[]>([]);
  useTitle(job && title(job));
  useEffect(() => {
    if (!job) return;
    let timer = 0;
    const stop = follow<{ execution: Execution; cursor: string }>({
      query: 'subscription ($instance: ID!, $id: ID!, $cursor: Cursor) { executionChanged(instanceId: $instance, jobId: $id, cursor: $cursor) { cursor execution { id state scheduledFor createdAt } } }',
      field: 'executionChanged',
      variables: { instance: job.instanceId, id },
      next: ({ execution }) => {
        changes.current.push(execution);
        timer ||= window.setTimeout(() => {
          timer = 0;
          setTurn((n) => n + 1);
          reload();
        }, 1000);
      },
    });
    // What changed between the load and the subscription.
    const again = setTimeout(reload, 1000);
    return () => {
      clearTimeout(timer);
      clearTimeout(again);
      stop();
    };
  }, [job?.instanceId]);
  if (!data || !job) return <Waiting error={error} />;
  // Those that one has just asked for, and those that others have.
  const open = data.executions.filter((e) => e.triggerId && !endStates.includes(e.state)).map((e) => e.triggerId ?? '');
  return (
    <>
      <Crumbs instance={job.instanceId} />
      <h1>{title(job)}</h1>
      <p class="sub">
        <code>{id}</code> · <Badge state={job.state} /> · {words(job)} {job.managedBy && <>· managed by {job.managedBy}</>}
        {Object.entries(job.labels).map(([k, v]) => (
          <span key={k} class="label">
            {k}={v}
          </span>
        ))}
      </p>
      {job.description && <p>{job.description}</p>}
      <p>{data.summary}</p>
      {job.pause && (
        <p class="notice">
          {job.pause.instanceId ? 'All jobs of the instance are paused' : 'Paused'} since {moment(job.pause.since)} by {job.pause.actor}: {job.pause.reason || 'no reason given'}
          {job.pause.until && `, until ${moment(job.pause.until)}`}
          {job.pause.instanceId && (
            <>
              {'. '}
              <a href={to('instance', job.pause.instanceId)}>Resume them there</a>
            </>
          )}
        </p>
      )}
      <Problem error={error} />
      <Latest executions={data.executions} />
      <Actions job={job} setAsking={setAsking} reload={reload} />
      {asking === 'plan' && <JobPlan job={id} close={() => setAsking(undefined)} />}
      {[...new Set([...backfills, ...open])].map((b) => (
        <BackfillCard key={b} id={b} turn={turn} />
      ))}
      <Coming job={id} items={data.coming} warnings={job.warnings} reload={reload} />
      <section>
        <h2>Timeline</h2>
        <Timeline executions={data.executions} skips={data.skips} />
        {data.more && count < most && (
          <button type="button" onClick={() => setCount((n) => Math.min(most, n + 4 * step))}>
            Older
          </button>
        )}
        {data.more && count >= most && (
          <p class="muted">
            These are the {most} newest; the command line reads on: <code>carillon execution list --job {id} --limit 0</code>
          </p>
        )}
      </section>
      <HeatMap job={id} latest={changes.current.splice(0)} />
      <Questions
        id={id}
        asking={asking}
        instance={job.instanceId}
        close={() => setAsking(undefined)}
        reload={reload}
        made={(b) => {
          setBackfills((have) => [...have, b]);
          reload();
        }}
      />
    </>
  );
}

// Latest tells first what somebody should look at: a plan that waits, what runs,
// or how the last one failed.
function Latest({ executions }: { executions: Execution[] }) {
  const open = executions.filter((e) => !endStates.includes(e.state));
  const waits = open.find((e) => e.state === 'AWAITING_APPROVAL');
  const last = executions.find((e) => endStates.includes(e.state) && e.state !== 'CANCELLED');
  const it = waits ?? open.find((e) => e.state === 'RUNNING') ?? (last && badStates.includes(last.state) ? last : undefined);
  if (!it) return null;
  return (
    <p class={it === last ? 'problem' : 'notice'}>
      <Badge state={it.state} /> <a href={to('execution', it.id)}>{it.id}</a> {it === last && it.error && `${it.error.reason}: ${it.error.message}`}
      {it === waits && 'A guard stopped it: look at its plan, then approve or reject it.'}
    </p>
  );
}

function Actions({ job, setAsking, reload }: { job: Job; setAsking: (what: Asking) => void; reload: () => void }) {
  const id = job.id;
  return (
    <div class="bar">
      <Act
        class="primary"
        run={async () => {
          const { runScheduledJob: e } = await ask<{ runScheduledJob: Execution }>('mutation ($id: ID!) { runScheduledJob(jobId: $id) { id } }', { id });
          go('execution', e.id);
        }}
      >
        Run now
      </Act>
      {job.active ? (
        <button type="button" onClick={() => setAsking('pause')}>
          Pause
        </button>
      ) : (
        <Act
          run={async () => {
            await ask('mutation ($id: ID!) { resumeScheduledJob(jobId: $id) { id } }', { id });
            reload();
          }}
        >
          Resume
        </Act>
      )}
      {job.workflow.tasks?.some((t) => t.type === 'sync.files' || t.type === 'rclone.sync') && (
        <button type="button" onClick={() => setAsking('plan')}>
          Plan
        </button>
      )}
      <a class="button" href={to('job', id, 'edit')}>
        Edit
      </a>
      {job.frequencyType !== 'MANUAL' && (
        <button type="button" onClick={() => setAsking('backfill')}>
          Backfill
        </button>
      )}
      <button type="button" onClick={() => setAsking('delete')}>
        Delete
      </button>
    </div>
  );
}

// Questions are the dialogs of the page.
function Questions({ id, asking, instance, close, reload, made }: { id: string; asking: Asking; instance: string; close: () => void; reload: () => void; made: (backfill: string) => void }) {
  if (asking === 'pause') {
    return (
      <Dialog
        title="Pause the job"
        submit="Pause"
        close={close}
        run={async (form) => {
          await ask('mutation ($id: ID!, $reason: String, $until: Date) { pauseScheduledJob(jobId: $id, reason: $reason, until: $until) { id } }', {
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
  if (asking === 'backfill') return <BackfillDialog id={id} close={close} made={made} />;
  if (asking === 'delete') {
    return (
      <Dialog
        title="Delete the job?"
        submit="Delete"
        close={close}
        run={async () => {
          await ask('mutation ($id: ID!) { deleteScheduledJob(jobId: $id) { success } }', { id });
          go('instance', instance);
        }}
      >
        <p>What waits ends, what runs is cancelled. Its executions and logs stay until they are too old.</p>
      </Dialog>
    );
  }
  return null;
}
