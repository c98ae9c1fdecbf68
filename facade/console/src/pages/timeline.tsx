// What became of a job, newest first: its executions, and between them the
// times at which it did not run, with the reason.

import { Badge } from '../parts';
import { to } from '../router';
import { moment, span, took } from '../time';
import { endStates, type Execution, type Occurrence } from '../types';

// A skipped time, by its reason; {} stands for the execution in the way.
const reasons: Record<string, string> = {
  OVERLAP: '{} had not ended',
  MISSED: 'nothing ran at its time',
  PAUSED: 'the job was paused',
  SUPERSEDED: 'the schedule was changed',
  EXCLUDED: 'the day is excluded',
  QUOTA: 'a quota was used up',
  REMOTE_BUSY: '{} worked on the same folder',
  SKIPPED_BY_CALLER: 'somebody left it out',
  SCHEDULE_INVALID: 'the stored schedule is damaged',
};

// What made an execution.
export const triggers: Record<string, string> = { SCHEDULE: 'by schedule', MANUAL: 'by hand', BACKFILL: 'backfill' };

interface Row {
  at: number;
  execution?: Execution;
  skip?: Occurrence;
}

function rows(executions: Execution[], skips: Occurrence[]): Row[] {
  const all: Row[] = executions.map((execution) => ({ at: Date.parse(execution.startedAt ?? execution.createdAt), execution }));
  for (const skip of skips) all.push({ at: Date.parse(skip.until ?? skip.scheduledFor), skip });
  return all.sort((a, b) => b.at - a.at);
}

export function Timeline({ executions, skips }: { executions: Execution[]; skips: Occurrence[] }) {
  const longest = Math.max(1, ...executions.map(lasted));
  const all = rows(executions, skips);
  if (all.length === 0) return <p>Nothing yet.</p>;
  return (
    <ul class="rows timeline" aria-label="Timeline">
      {all.map(({ execution: e, skip }) => (e ? <Ran key={e.id} execution={e} longest={longest} /> : skip && <Skipped key={skip.scheduledFor + skip.reason} skip={skip} />))}
    </ul>
  );
}

function lasted(e: Execution): number {
  return e.startedAt && e.finishedAt ? Date.parse(e.finishedAt) - Date.parse(e.startedAt) : 0;
}

function Ran({ execution: e, longest }: { execution: Execution; longest: number }) {
  const late = e.startedAt && e.scheduledFor && e.trigger === 'SCHEDULE' ? Date.parse(e.startedAt) - Date.parse(e.scheduledFor) : 0;
  return (
    <li>
      <span>
        <time dateTime={e.startedAt ?? e.createdAt}>{moment(e.startedAt ?? e.createdAt)}</time>
        {late > 1000 && <small> {span(late)} late</small>}
      </span>
      <span>
        <Badge state={e.state} />
      </span>
      <span>
        <a href={to('execution', e.id)}>{e.id}</a>{' '}
        <small>
          {triggers[e.trigger] ?? e.trigger.toLowerCase()}
          {e.trigger === 'BACKFILL' && ` of ${moment(e.scheduledFor)}`}
          {e.attempt > 1 && `, attempt ${e.attempt}`}
        </small>
      </span>
      <span class="lasted">
        {endStates.includes(e.state) && (
          <>
            {took(e.startedAt, e.finishedAt)}
            <span class={`length ${e.state.toLowerCase()}`} style={{ width: `${Math.round((100 * lasted(e)) / longest)}%` }} />
          </>
        )}
      </span>
      {e.error && <span class="wrong">{e.error.message || e.error.reason}</span>}
    </li>
  );
}

function Skipped({ skip }: { skip: Occurrence }) {
  const [before, after] = (reasons[skip.reason ?? ''] ?? (skip.reason ?? '').toLowerCase().replaceAll('_', ' ')).split('{}');
  return (
    <li>
      <span>
        <time dateTime={skip.scheduledFor}>{moment(skip.scheduledFor)}</time>
        {skip.count > 1 && ` to ${moment(skip.until)}`}
      </span>
      <span>
        <Badge state="SKIPPED" />
      </span>
      <span class="why-skipped">
        {skip.count > 1 && `${skip.count} times: `}
        {before}
        {after !== undefined && (skip.executionId ? <a href={to('execution', skip.executionId)}>{skip.executionId}</a> : 'another')}
        {after}
      </span>
    </li>
  );
}
