// A calendar of the last weeks: each day by its worst outcome.

import { badStates, type Execution } from '../types';

const weeks = 17;
const day = 86_400_000;

interface Day {
  good: number;
  bad: number;
}

function key(t: Date): string {
  return `${t.getFullYear()}-${String(t.getMonth() + 1).padStart(2, '0')}-${String(t.getDate()).padStart(2, '0')}`;
}

export function HeatMap({ executions, partial, now }: { executions: Execution[]; partial: boolean; now: number }) {
  const days = new Map<string, Day>();
  for (const e of executions) {
    const k = key(new Date(e.scheduledFor ?? e.createdAt));
    const d = days.get(k) ?? { good: 0, bad: 0 };
    if (e.state === 'SUCCEEDED') d.good++;
    if (badStates.includes(e.state)) d.bad++;
    days.set(k, d);
  }
  const today = new Date(now);
  const last = new Date(today.getFullYear(), today.getMonth(), today.getDate(), 12);
  const first = new Date(last.getTime() - ((last.getDay() + 6) % 7) * day - (weeks - 1) * 7 * day);
  const cells = [];
  for (let t = first; t <= last; t = new Date(t.getTime() + day)) {
    const k = key(t);
    const d = days.get(k);
    const look = !d || d.good + d.bad === 0 ? 'none' : d.bad === 0 ? 'succeeded' : d.good === 0 ? 'failed' : 'partially_succeeded';
    cells.push(<span key={k} class={`day ${look}`} title={`${k}: ${d?.good ?? 0} succeeded, ${d?.bad ?? 0} did not`} />);
  }
  const good = [...days.values()].reduce((n, d) => n + d.good, 0);
  const bad = [...days.values()].reduce((n, d) => n + d.bad, 0);
  return (
    <>
      <div class="heatmap" role="img" aria-label={`the last ${weeks} weeks: ${good} succeeded, ${bad} did not`}>
        {cells}
      </div>
      <p class="muted">
        {good} succeeded, {bad} did not{partial && ', of the latest 1000 executions'}.
      </p>
    </>
  );
}
