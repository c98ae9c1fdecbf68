// One execution: its workflow as a graph, its tasks, its log as it grows.

import { useEffect, useState } from 'preact/hooks';
import { ask, follow } from '../graphql';
import { Act, Badge, useLoad } from '../parts';
import { go, to, useTitle } from '../router';
import { moment, span, took, useNow } from '../time';
import { endStates, executionFields, size, type Counters, type Execution, type Job } from '../types';
import { counted } from '../words';
import { Crumbs, Waiting } from './crumbs';
import { Files } from './files';
import { Graph } from './graph';
import { Log } from './log';
import { ApprovalCard } from './plans';
import { triggers } from './timeline';

type Loaded = Execution & { instanceId: string; signedLogUrl: string | null };

export function ExecutionPage({ id }: { id: string }) {
  const now = useNow();
  const { data, error, reload } = useLoad(
    (signal) => ask<{ getScheduledJobHistory: Loaded }>(`query ($id: ID!) { getScheduledJobHistory(jobHistoryId: $id) { ${executionFields} instanceId signedLogUrl } }`, { id }, signal),
    [id],
  );
  const loaded = data?.getScheduledJobHistory;
  useTitle(`${id}${loaded ? ` ${loaded.state.toLowerCase().replaceAll('_', ' ')}` : ''}`);
  const [live, setLive] = useState<Execution>();
  const job = useLoad(
    async (signal) => (loaded ? (await ask<{ getScheduledJob: Job | null }>('query ($id: ID!) { getScheduledJob(jobId: $id) { id name workflow } }', { id: loaded.jobId }, signal)).getScheduledJob : null),
    [loaded?.jobId],
  );
  useEffect(() => {
    if (!loaded || endStates.includes(loaded.state)) return;
    const stop = follow<{ execution: Execution; cursor: string }>({
      query: `subscription ($instance: ID!, $job: ID!, $cursor: Cursor) { executionChanged(instanceId: $instance, jobId: $job, cursor: $cursor) { cursor execution { ${executionFields} } } }`,
      field: 'executionChanged',
      variables: { instance: loaded.instanceId, job: loaded.jobId },
      next: ({ execution }) => execution.id === loaded.id && setLive(execution),
    });
    // What changed between the load and the subscription.
    const again = setTimeout(reload, 1000);
    return () => {
      clearTimeout(again);
      stop();
    };
  }, [loaded?.id]);
  if (!loaded) return <Waiting error={error} />;
  // What was loaded last knows the end, whatever the subscription missed.
  const e = endStates.includes(loaded.state) ? loaded : (live ?? loaded);
  const ended = endStates.includes(e.state);
  // What stands above already.
  const said = (message: string) => e.error?.message.includes(message) || e.approval?.plans.some((p) => p.guard?.message === message);
  return (
    <>
      <Crumbs instance={loaded.instanceId} job={{ id: e.jobId, name: job.data?.name ?? null }} />
      <h1>{e.id}</h1>
      <p class="sub" role="status">
        <Badge state={e.state} /> · {triggers[e.trigger] ?? e.trigger.toLowerCase()}
        {e.triggerId && ` (${e.triggerId})`}
        {e.attempt > 1 && ` · attempt ${e.attempt}`}
        {e.trigger !== 'MANUAL' && ` · due ${moment(e.scheduledFor)}`}
        {e.startedAt ? ` · started ${moment(e.startedAt)} · ${ended ? took(e.startedAt, e.finishedAt) : span(Math.max(0, now - Date.parse(e.startedAt)))}` : ended ? '' : ' · waits'}
      </p>
      {e.error && e.approval?.state !== 'PENDING' && (
        <div class="problem">
          <p>
            <strong>{e.error.reason}</strong>: {e.error.message}
          </p>
        </div>
      )}
      <div class="bar">
        {ended ? (
          <Act
            run={async () => {
              const { runScheduledJob } = await ask<{ runScheduledJob: { id: string } }>('mutation ($id: ID!) { runScheduledJob(jobId: $id) { id } }', { id: e.jobId });
              go('execution', runScheduledJob.id);
            }}
          >
            Run again
          </Act>
        ) : (
          <Act run={() => ask('mutation ($id: ID!) { cancelScheduledJobRun(jobHistoryId: $id) { id } }', { id })}>Cancel</Act>
        )}
      </div>
      {e.waitingFor && (
        <p class="notice">
          Waits: {e.waitingFor.reason.toLowerCase().replaceAll('_', ' ')} {e.waitingFor.executionId && <a href={to('execution', e.waitingFor.executionId)}>{e.waitingFor.executionId}</a>}
        </p>
      )}
      {e.approval && <ApprovalCard execution={id} approval={e.approval} reload={reload} />}
      <section>
        <h2>Tasks</h2>
        <Graph tasks={e.tasks} workflow={job.data?.workflow ?? {}} now={now} />
        <ul class="tasks">
          {e.tasks.map((t) => (
            <li key={t.name}>
              <Badge state={t.state} /> <strong>{t.name}</strong> <code>{t.type}</code> {t.finishedAt && took(t.startedAt, t.finishedAt)} {t.attempt > 1 && `attempt ${t.attempt}`} {t.nextAttemptAt && !ended && `tries again at ${moment(t.nextAttemptAt)}`}
              {t.counters && t.state !== 'AWAITING_APPROVAL' && <TaskCounters counters={t.counters} />}
              {t.remotes
                .filter((r) => r.error && r.error.message !== t.error?.message)
                .map((r) => (
                  <p key={r.remote}>
                    <code>{r.remote}</code> {r.error?.reason}: {r.error?.message}
                  </p>
                ))}
              {t.fileErrors.map((f) => (
                <p key={f.reason}>
                  {counted(f.count, 'file')} {f.reason}: {f.message} ({f.samples.join(', ')})
                </p>
              ))}
              {t.error && !said(t.error.message) && (
                <p>
                  {t.error.reason}: {t.error.message}
                </p>
              )}
            </li>
          ))}
        </ul>
      </section>
      {e.tasks.some((t) => t.counters) && <Files key={e.state} execution={id} />}
      <section>
        <h2>Log</h2>
        <Log execution={id} download={loaded.signedLogUrl} onEnd={reload} />
      </section>
    </>
  );
}

// TaskCounters is how far a sync is, and what it did.
function TaskCounters({ counters: c }: { counters: Counters }) {
  const done = c.copied + c.updated + c.deleted;
  const parts = [
    c.found && `${c.found} found`,
    c.copied && `${c.copied} copied`,
    c.updated && `${c.updated} updated`,
    c.deleted && `${c.deleted} deleted`,
    c.skipped && `${c.skipped} left`,
    c.failed && `${c.failed} failed`,
    c.conflicts && `${c.conflicts} in conflict`,
    c.found && !done && !c.failed && 'nothing to do',
    c.bytes !== '0' && size(c.bytes),
  ];
  return (
    <span class="counters">
      {' '}
      {c.totalFiles > 0 && done < c.totalFiles && <progress value={done} max={c.totalFiles} aria-label={`${done} of ${c.totalFiles} files`} />} <small>{parts.filter(Boolean).join(' · ')}</small>
    </span>
  );
}
