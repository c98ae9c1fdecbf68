// One job: when it runs, what became of each due instant, and what to do about
// it.

import { useEffect, useState } from 'preact/hooks';
import { ask, follow } from '../graphql';
import { Act, Badge, Dialog, Field, Problem, useLoad } from '../parts';
import { go, to } from '../router';
import { fromInput, moment, took, toInput, until, useNow } from '../time';
import { jobFields, title, words, type Execution, type Job, type Occurrence } from '../types';
import { HeatMap } from './heatmap';
import { JobPlan } from './plans';

interface Loaded {
  getScheduledJob: Job;
  getJobHistory: { items: Execution[]; hasNextPage: boolean };
  getJobOccurrences: { items: Occurrence[] };
  explainJob: { summary: string };
}

const query = `query ($id: ID!, $from: Date!) {
  getScheduledJob(jobId: $id) { ${jobFields} }
  getJobHistory(jobId: $id, page: {first: 1000}) { hasNextPage items { id jobId state trigger scheduledFor startedAt finishedAt createdAt attempt error { code reason message } } }
  getJobOccurrences(jobId: $id, from: $from, page: {first: 200}) { items { scheduledFor outcome reason executionId until count movedTo } }
  explainJob(jobId: $id) { summary }
}`;

type Asking = 'plan' | 'pause' | 'backfill' | 'delete' | { move: Occurrence } | undefined;

export function JobPage({ id }: { id: string }) {
  const now = useNow();
  const { data, error, reload } = useLoad((signal) => ask<Loaded>(query, { id, from: new Date(Date.now() - 6 * 3_600_000).toISOString() }, signal), [id]);
  const [asking, setAsking] = useState<Asking>();
  const job = data?.getScheduledJob;
  useEffect(() => {
    if (!job) return;
    let timer = 0;
    const stop = follow<{ execution: Execution; cursor: string }>({
      query: 'subscription ($instance: ID!, $id: ID!, $cursor: Cursor) { executionChanged(instanceId: $instance, jobId: $id, cursor: $cursor) { cursor execution { id state } } }',
      field: 'executionChanged',
      variables: { instance: job.instanceId, id },
      next: () => {
        timer ||= window.setTimeout(() => {
          timer = 0;
          reload();
        }, 500);
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
  if (!data || !job) return <Problem error={error} />;
  const change = (mutation: string) => async () => {
    await ask(`mutation ($id: ID!) { ${mutation}(jobId: $id) { id } }`, { id });
    reload();
  };
  return (
    <>
      <p class="crumbs">
        <a href={to('instance', job.instanceId)}>{job.instanceId}</a>
      </p>
      <h1>{title(job)}</h1>
      <p class="sub">
        <code>{id}</code> · <Badge state={job.state} /> · {words(job)} {job.managedBy && <>· managed by {job.managedBy}</>}
      </p>
      {job.description && <p>{job.description}</p>}
      <p>{data.explainJob.summary}</p>
      {job.pause && (
        <p class="notice">
          Paused since {moment(job.pause.since)} by {job.pause.actor}: {job.pause.reason || 'no reason given'}
          {job.pause.until && `, until ${moment(job.pause.until)}`}
        </p>
      )}
      {job.warnings.map((w) => (
        <p class="notice" key={w.code + w.message}>
          {w.message}
        </p>
      ))}
      <Problem error={error} />
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
          <Act run={change('resumeScheduledJob')}>Resume</Act>
        )}
        {job.workflow.tasks?.some((t) => t.type === 'sync.files' || t.type === 'rclone.sync') && (
          <button type="button" onClick={() => setAsking('plan')}>
            Plan
          </button>
        )}
        <a class="button" href={to('job', id, 'edit')}>
          Edit
        </a>
        <button type="button" onClick={() => setAsking('backfill')}>
          Backfill
        </button>
        <button type="button" onClick={() => setAsking('delete')}>
          Delete
        </button>
      </div>
      {asking === 'plan' && <JobPlan job={id} close={() => setAsking(undefined)} />}
      <section>
        <h2>Due instants</h2>
        <Ledger job={id} items={data.getJobOccurrences.items} now={now} reload={reload} move={(o) => setAsking({ move: o })} />
      </section>
      <section>
        <h2>Days</h2>
        <HeatMap executions={data.getJobHistory.items} partial={data.getJobHistory.hasNextPage} now={now} />
      </section>
      <section>
        <h2>Executions</h2>
        <Executions items={data.getJobHistory.items.slice(0, 50)} />
      </section>
      <Questions id={id} asking={asking} instance={job.instanceId} close={() => setAsking(undefined)} reload={reload} />
    </>
  );
}

// Ledger is what became of each due instant and which come next.
function Ledger({ job, items, now, reload, move }: { job: string; items: Occurrence[]; now: number; reload: () => void; move: (o: Occurrence) => void }) {
  const change = (mutation: string, o: Occurrence) => async () => {
    await ask(`mutation ($job: ID!, $at: Date!) { ${mutation}(jobId: $job, scheduledFor: $at) { outcome } }`, { job, at: o.scheduledFor });
    reload();
  };
  if (items.length === 0) return <p>None in the last six hours, and none to come.</p>;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Due instants">
      <table>
        <thead>
          <tr>
            <th>Due</th>
            <th>Outcome</th>
            <th>Why</th>
            <th>
              <span class="hidden">Actions</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {items.toReversed().map((o) => {
            const coming = Date.parse(o.scheduledFor) > now;
            const changed = o.movedTo !== null || o.reason === 'SKIPPED_BY_CALLER';
            return (
              <tr key={o.scheduledFor + o.outcome + (o.reason ?? '')}>
                <td>
                  <time dateTime={o.scheduledFor}>{moment(o.scheduledFor)}</time>
                  {o.count > 1 && (
                    <>
                      {' '}
                      to {moment(o.until)}, {o.count} instants
                    </>
                  )}{' '}
                  {coming && <small>{until(o.scheduledFor, now)}</small>}
                </td>
                <td>
                  <Badge state={o.outcome} />
                </td>
                <td>
                  {o.reason?.toLowerCase().replaceAll('_', ' ')}
                  {o.movedTo && ` moved to ${moment(o.movedTo)}`} {o.executionId && <a href={to('execution', o.executionId)}>{o.executionId}</a>}
                </td>
                <td class="actions">
                  {coming && !changed && (
                    <>
                      <Act run={change('skipOccurrence', o)}>Skip</Act>
                      <button type="button" onClick={() => move(o)}>
                        Move
                      </button>
                    </>
                  )}
                  {coming && changed && <Act run={change('restoreOccurrence', o)}>Restore</Act>}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

export function Executions({ items }: { items: Execution[] }) {
  if (items.length === 0) return <p>None yet.</p>;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Executions">
      <table>
        <thead>
          <tr>
            <th>Execution</th>
            <th>State</th>
            <th>By</th>
            <th>Started</th>
            <th>Took</th>
            <th>Why</th>
          </tr>
        </thead>
        <tbody>
          {items.map((e) => (
            <tr key={e.id}>
              <td>
                <a href={to('execution', e.id)}>{e.id}</a>
              </td>
              <td>
                <Badge state={e.state} />
              </td>
              <td>{e.trigger.toLowerCase()}</td>
              <td>{moment(e.startedAt)}</td>
              <td>{took(e.startedAt, e.finishedAt)}</td>
              <td>{e.error && `${e.error.reason}: ${e.error.message}`}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

// Questions are the dialogs of the page.
function Questions({ id, asking, instance, close, reload }: { id: string; asking: Asking; instance: string; close: () => void; reload: () => void }) {
  if (asking === 'plan') return null;
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
        <Field label="Until" hint="Empty: until somebody resumes it.">
          <input name="until" type="datetime-local" />
        </Field>
      </Dialog>
    );
  }
  if (asking === 'backfill') return <BackfillDialog id={id} close={close} reload={reload} />;
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
  if (asking) {
    return (
      <Dialog
        title="Move one occurrence"
        submit="Move"
        close={close}
        run={async (form) => {
          await ask('mutation ($id: ID!, $at: Date!, $to: Date!) { moveOccurrence(jobId: $id, scheduledFor: $at, moveTo: $to) { outcome } }', {
            id,
            at: asking.move.scheduledFor,
            to: fromInput(String(form.get('to'))),
          });
          reload();
        }}
      >
        <p>Due {moment(asking.move.scheduledFor)}.</p>
        <Field label="Start at">
          <input name="to" type="datetime-local" step="1" required defaultValue={toInput(asking.move.scheduledFor)} />
        </Field>
      </Dialog>
    );
  }
  return null;
}

const backfill = `mutation ($id: ID!, $from: Date!, $to: Date!, $concurrency: Int, $check: Boolean) {
  backfillJob(jobId: $id, from: $from, to: $to, concurrency: $concurrency, validateOnly: $check) { id total }
}`;

// BackfillDialog says how many executions it would make before it makes them.
function BackfillDialog({ id, close, reload }: { id: string; close: () => void; reload: () => void }) {
  const [total, setTotal] = useState<string>('');
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
      ({ backfillJob: b }) => setTotal(`${b.total} occurrences would run.`),
      (e: Error) => setTotal(e.message),
    );
  };
  return (
    <Dialog
      title="Backfill a range of the past"
      submit="Run them"
      close={close}
      run={async (form) => {
        await ask(backfill, { ...given(form), check: false });
        reload();
      }}
    >
      <div onInput={preview}>
        <Field label="From">
          <input name="from" type="datetime-local" required />
        </Field>
        <Field label="To" hint="Exclusive.">
          <input name="to" type="datetime-local" required />
        </Field>
        <Field label="At a time">
          <input name="concurrency" type="number" min={1} max={100} defaultValue="1" />
        </Field>
      </div>
      <p role="status">{total}</p>
    </Dialog>
  );
}
