// A calendar of the last weeks: each day by its outcomes.

import { useEffect, useRef, useState } from 'preact/hooks';
import { ask } from '../graphql';
import { Problem } from '../parts';
import { date } from '../time';
import { badStates, endStates, type Execution } from '../types';

const weeks = 17;
const day = 86_400_000;
const month = new Intl.DateTimeFormat(undefined, { month: 'short', timeZone: 'UTC' });
// Pages of 1000 executions that are read without being asked for.
const pages = 5;

export type Ended = Pick<Execution, 'id' | 'state' | 'scheduledFor' | 'createdAt'>;

interface Read {
  cursor: string | null;
  // The time from which on all executions are known; empty for all days.
  since: string;
}

const query = `query ($id: ID!, $page: Page) {
  getJobHistory(jobId: $id, page: $page) { cursor hasNextPage items { id state scheduledFor createdAt } }
}`;

// useDays reads a job's executions back to the first day that is shown, and
// keeps of each how it ended. latest are those that were seen elsewhere.
function useDays(job: string, first: number, latest: Ended[]) {
  const known = useRef(new Map<string, { at: string; good: boolean }>());
  const [read, setRead] = useState<Read>();
  const [error, setError] = useState<unknown>();
  const [reading, setReading] = useState(false);
  const control = useRef(new AbortController());
  const keep = (items: Ended[]) => {
    for (const e of items) {
      if (endStates.includes(e.state) && (e.state === 'SUCCEEDED' || badStates.includes(e.state))) known.current.set(e.id, { at: e.scheduledFor ?? e.createdAt, good: e.state === 'SUCCEEDED' });
    }
  };
  const go = async (from: string | null) => {
    setReading(true);
    let cursor = from;
    try {
      for (let n = 0; n < pages; n++) {
        const { getJobHistory: page } = await ask<{ getJobHistory: { items: Ended[]; cursor: string | null; hasNextPage: boolean } }>(
          query,
          { id: job, page: { first: 1000, ...(cursor && { after: cursor }) } },
          control.current.signal,
        );
        keep(page.items);
        const last = page.items.at(-1);
        const enough = !page.hasNextPage || !last || Date.parse(last.createdAt) < first;
        cursor = page.cursor;
        setRead({ cursor: enough ? null : cursor, since: enough ? '' : last.createdAt });
        if (enough) break;
      }
    } catch (e) {
      if (!control.current.signal.aborted) setError(e);
    }
    setReading(false);
  };
  useEffect(() => {
    // A moment after the page's subscription, so that nothing falls between.
    const timer = setTimeout(() => void go(null), 300);
    return () => {
      clearTimeout(timer);
      control.current.abort();
    };
  }, [job]);
  keep(latest);
  const days = new Map<string, { good: number; bad: number }>();
  for (const { at, good } of known.current.values()) {
    const day = date(new Date(at));
    const d = days.get(day) ?? { good: 0, bad: 0 };
    if (good) d.good++;
    else d.bad++;
    days.set(day, d);
  }
  return { days, read, error, reading, more: () => read?.cursor && void go(read.cursor) };
}

function look(d: { good: number; bad: number } | undefined): string {
  if (!d) return 'none';
  if (d.bad === 0) return 'succeeded';
  return d.good === 0 ? 'failed' : 'partially_succeeded';
}

export function HeatMap({ job, latest }: { job: string; latest: Ended[] }) {
  // Days are counted at their noon in UTC, whatever the zone that they are days of.
  const last = new Date(`${date(new Date())}T12:00Z`);
  const first = new Date(last.getTime() - ((last.getUTCDay() + 6) % 7) * day - (weeks - 1) * 7 * day);
  const { days, read, error, reading, more } = useDays(job, first.getTime() - day, latest);
  const since = read?.since ? date(new Date(read.since)) : '';
  const cells = [];
  for (let t = first; t <= last; t = new Date(t.getTime() + day)) {
    // Each column is a week, below the name of a month that begins in it.
    if (t.getUTCDay() === 1) cells.push(<span key={`${t.getTime()}`} class="month">{t.getUTCDate() <= 7 && month.format(t)}</span>);
    const k = t.toISOString().slice(0, 10);
    const d = days.get(k);
    const unknown = !read || k < since;
    cells.push(<span key={k} class={`day ${unknown && !d ? 'unknown' : look(d)}`} title={unknown && !d ? `${k}: not read` : `${k}: ${d?.good ?? 0} succeeded, ${d?.bad ?? 0} did not${k === since ? ', as far as read' : ''}`} />);
  }
  let good = 0;
  let bad = 0;
  for (const d of days.values()) {
    good += d.good;
    bad += d.bad;
  }
  return (
    <section>
      <h2>The last {weeks} weeks</h2>
      <div class="heatmap" role="img" aria-label={`the last ${weeks} weeks: ${good} succeeded, ${bad} did not${since && `; days before ${since} are not read`}`}>
        {cells}
      </div>
      <p class="muted legend">
        {good} succeeded, {bad} did not. <span class="day succeeded" /> all succeeded <span class="day partially_succeeded" /> some did not <span class="day failed" /> none did
        {since && (
          <>
            {' '}
            <span class="day unknown" /> not read: days before {since}
          </>
        )}
      </p>
      {since && (
        <button type="button" disabled={reading} onClick={more}>
          {reading ? 'Reading' : 'Read further'}
        </button>
      )}
      <Problem error={error} />
    </section>
  );
}
