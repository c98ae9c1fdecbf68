// What became of each job lately, kept up to date while one looks.

import { useEffect, useRef, useState } from 'preact/hooks';
import { ask, follow } from './graphql';
import { badStates, endStates, type JobError, type JobRow } from './types';

// How many outcomes of a job are shown.
const strip = 10;
// How many executions are read at first, of all jobs together.
const atFirst = 20_000;

export interface Outcome {
  id: string;
  jobId: string;
  state: string;
  error: Pick<JobError, 'reason' | 'message'> | null;
}

export interface Latest {
  // By job, its latest ended executions, oldest first.
  ended: Map<string, Outcome[]>;
  // By job, its executions that have not ended.
  open: Map<string, Outcome[]>;
}

const fields = 'id jobId state error { reason message }';

function number(id: string): number {
  return Number(id.slice(id.indexOf('_') + 1));
}

function without(list: Outcome[] | undefined, id: string): Outcome[] {
  return (list ?? []).filter((o) => o.id !== id);
}

// note keeps what an execution has become; its end is final.
export function note(latest: Latest, e: Outcome): void {
  const open = without(latest.open.get(e.jobId), e.id);
  const ended = latest.ended.get(e.jobId) ?? [];
  if (endStates.includes(e.state)) {
    latest.ended.set(e.jobId, [...without(ended, e.id), e].sort((a, b) => number(a.id) - number(b.id)).slice(-strip));
  } else if (!ended.some((o) => o.id === e.id)) {
    open.push(e);
  }
  if (open.length) latest.open.set(e.jobId, open);
  else latest.open.delete(e.jobId);
}

// useLatest keeps what became of the latest executions of an instance's jobs.
// The number rises whenever that changes; changed is called then, too.
export function useLatest(instance: string, jobs: number | undefined, changed: () => void): [Latest, boolean, number] {
  const latest = useRef<Latest>({ ended: new Map(), open: new Map() });
  const [turn, draw] = useState(0);
  const [connected, setConnected] = useState(false);
  useEffect(() => {
    const now: Latest = (latest.current = { ended: new Map(), open: new Map() });
    let drawing = 0;
    const stop = follow<{ execution: Outcome; cursor: string }>({
      query: `subscription ($id: ID!, $cursor: Cursor) { executionChanged(instanceId: $id, cursor: $cursor) { cursor execution { ${fields} } } }`,
      field: 'executionChanged',
      variables: { id: instance },
      connected: setConnected,
      next: ({ execution }) => {
        note(now, execution);
        // A herd changes thousands a second; people read a few times a second.
        drawing ||= window.setTimeout(() => {
          drawing = 0;
          draw((n) => n + 1);
          changed();
        }, 300);
      },
    });
    return () => {
      clearTimeout(drawing);
      stop();
    };
  }, [instance]);
  const some = jobs !== undefined && jobs > 0;
  useEffect(() => {
    if (!some) return;
    const now = latest.current;
    const control = new AbortController();
    // A moment after the subscription, so that nothing falls between the two.
    const asked = setTimeout(() => {
      ask<{ getScheduledJobs: { history: Outcome[] }[] }>(
        `query ($id: ID!, $count: Int) { getScheduledJobs(instanceId: $id) { history(first: $count) { ${fields} } } }`,
        { id: instance, count: Math.min(strip, Math.max(1, Math.floor(atFirst / jobs))) },
        control.signal,
      ).then(
        ({ getScheduledJobs }) => {
          for (const { history } of getScheduledJobs) history.filter((e) => endStates.includes(e.state)).forEach((e) => note(now, e));
          draw((n) => n + 1);
        },
        () => undefined,
      );
    }, 200);
    return () => {
      control.abort();
      clearTimeout(asked);
    };
  }, [instance, some]);
  return [latest.current, connected, turn];
}

export interface Concern {
  // Why somebody should look; the smaller the rank, the sooner.
  rank: number;
  text: string;
  execution?: string;
}

// concern is why somebody should look at a job; undefined for none.
export function concern(job: JobRow, latest: Latest, instancePaused: boolean, now: number): Concern | undefined {
  const waits = latest.open.get(job.id)?.find((e) => e.state === 'AWAITING_APPROVAL');
  if (waits) return { rank: 1, text: 'awaits approval', execution: waits.id };
  if (job.pause?.actor === 'system') return { rank: 2, text: `paused by the system: ${job.pause.reason ?? 'no reason given'}` };
  const last = latest.ended.get(job.id)?.at(-1);
  if (last && badStates.includes(last.state)) {
    return { rank: 3, text: last.state.toLowerCase().replaceAll('_', ' ') + (last.error ? `: ${last.error.message || last.error.reason}` : ''), execution: last.id };
  }
  if (!instancePaused && job.nextRun && now - Date.parse(job.nextRun) > 60_000) return { rank: 4, text: 'overdue' };
  return undefined;
}
