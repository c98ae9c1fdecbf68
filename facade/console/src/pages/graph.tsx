// A workflow as a picture: tasks in columns, each right of what it needs.

import { marks } from '../parts';
import { span, took } from '../time';
import type { Task, Workflow } from '../types';

const width = 190;
const height = 60;
const gapX = 48;
const gapY = 16;

interface Place {
  task: Task;
  x: number;
  y: number;
  inputs: string[];
}

// place puts each task one column right of the last of its inputs.
function place(tasks: Task[], workflow: Workflow): Place[] {
  const inputs = new Map<string, string[]>();
  for (const t of workflow.tasks ?? []) inputs.set(t.name, typeof t.inputs === 'string' ? [t.inputs] : (t.inputs ?? []));
  const columns = new Map<string, number>();
  const column = (name: string, depth = 0): number => {
    const known = columns.get(name);
    if (known !== undefined) return known;
    // The job may have been changed since; a picture must end all the same.
    const found = depth > 100 ? 0 : Math.max(-1, ...(inputs.get(name) ?? []).map((i) => column(i, depth + 1))) + 1;
    columns.set(name, found);
    return found;
  };
  const filled: number[] = [];
  return tasks.map((task) => {
    const c = column(task.name);
    const r = filled[c] ?? 0;
    filled[c] = r + 1;
    return { task, x: c * (width + gapX), y: r * (height + gapY), inputs: inputs.get(task.name) ?? [] };
  });
}

// time is how long a task took, or takes so far.
function time(t: Task, now: number): string {
  if (t.state === 'RUNNING' && t.startedAt) return span(Math.max(0, now - Date.parse(t.startedAt)));
  return t.startedAt ? took(t.startedAt, t.finishedAt) : '';
}

export function Graph({ tasks, workflow, now }: { tasks: Task[]; workflow: Workflow; now: number }) {
  const places = place(tasks, workflow);
  const at = new Map(places.map((p) => [p.task.name, p]));
  const right = Math.max(0, ...places.map((p) => p.x)) + width;
  const bottom = Math.max(0, ...places.map((p) => p.y)) + height;
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="Workflow">
      <svg class="graph" width={right + 2} height={bottom + 2} viewBox={`-1 -1 ${right + 2} ${bottom + 2}`} role="img" aria-label={`${tasks.length} tasks: ${tasks.map((t) => `${t.name} ${t.state.toLowerCase()}`).join(', ')}`}>
        {places.flatMap((p) =>
          p.inputs.map((name) => {
            const from = at.get(name);
            if (!from) return null;
            const [x1, y1, x2, y2] = [from.x + width, from.y + height / 2, p.x, p.y + height / 2];
            return <path key={`${name}>${p.task.name}`} d={`M${x1},${y1} C${x1 + gapX / 2},${y1} ${x2 - gapX / 2},${y2} ${x2},${y2}`} />;
          }),
        )}
        {places.map((p) => (
          <g key={p.task.name} class={p.task.state.toLowerCase()} transform={`translate(${p.x},${p.y})`}>
            <title>{`${p.task.name} (${p.task.type}): ${p.task.state.toLowerCase()}`}</title>
            <rect width={width} height={height} rx="6" />
            <text x="10" y="18">
              {p.task.name.length > 20 ? `${p.task.name.slice(0, 19)}…` : p.task.name}
            </text>
            <text x="10" y="35" class="type">
              {p.task.type}
            </text>
            <text x="10" y="52" class="type">
              {`${marks[p.task.state] ?? ''} ${p.task.state.toLowerCase().replaceAll('_', ' ')} ${time(p.task, now)}`}
            </text>
          </g>
        ))}
      </svg>
    </div>
  );
}
