// The fields of a job, as a form.

import { wrongAt, type Draft } from '../draft';
import type { Violation } from '../graphql';
import { Field } from '../parts';
import { fromInput, toInput, zone } from '../time';
import { cronWords } from '../words';
import { Tasks, type Resource, type TaskType } from './tasks';

const zones = ['UTC', ...Intl.supportedValuesOf('timeZone')];

// retries keeps what else a policy says.
function retries(draft: Draft, retryCount: number) {
  if (retryCount === 0) return null;
  return { minBackoff: null, maxBackoff: null, maxDoublings: null, maxRetryDuration: null, ...draft.retryPolicy, retryCount };
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

export function Form({ draft, set, types, resources, violations }: { draft: Draft; set: (change: Partial<Draft>) => void; types: TaskType[]; resources: Resource[]; violations: Violation[] }) {
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
            <Field label="Cron expression" hint={cronWords(draft.cronExpression) || 'Minute, hour, day of month, month, day of week.'} wrong={wrong('cronExpression')}>
              <input class="code" value={draft.cronExpression} onInput={(e) => set({ cronExpression: e.currentTarget.value })} />
            </Field>
            <Field label="Time zone" wrong={wrong('timeZone')}>
              <input list="zones" value={draft.timeZone} onInput={(e) => set({ timeZone: e.currentTarget.value })} />
            </Field>
            <datalist id="zones">
              {zones.map((z) => (
                <option key={z} value={z} />
              ))}
            </datalist>
          </>
        )}
        <Choice label="When it is due while it runs" value={draft.overlapPolicy} of={overlaps} set={(overlapPolicy) => set({ overlapPolicy })} />
        <Choice label="When times were missed" value={draft.catchUpPolicy} of={catchUps} set={(catchUpPolicy) => set({ catchUpPolicy })} />
        <Field label="Attempts after a failed one" wrong={wrong('retryPolicy')}>
          <input type="number" min={0} max={20} value={draft.retryPolicy?.retryCount ?? 0} onInput={(e) => set({ retryPolicy: retries(draft, e.currentTarget.valueAsNumber || 0) })} />
        </Field>
        <label>
          <input type="checkbox" checked={draft.active} onChange={(e) => set({ active: e.currentTarget.checked })} /> active
        </label>
      </fieldset>
      <More draft={draft} set={set} wrong={wrong} />
      <Tasks types={types} resources={resources} workflow={draft.workflow} violations={violations} set={(workflow) => set({ workflow })} />
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

interface MoreProps {
  draft: Draft;
  set: (change: Partial<Draft>) => void;
  wrong: (field: string) => string | undefined;
}

// More is what most jobs leave as it is; it opens when something there is
// refused.
function More({ draft, set, wrong }: MoreProps) {
  const duration = (label: string, field: 'catchUpWindow' | 'jitter' | 'executionTimeLimit', hint: string) => (
    <Field label={label} hint={hint} wrong={wrong(field)}>
      <input value={draft[field] ?? ''} onInput={(e) => set({ [field]: e.currentTarget.value || null })} />
    </Field>
  );
  const time = (label: string, field: 'startTime' | 'endTime') => (
    <Field label={label} hint={`In ${zone()}.`} wrong={wrong(field)}>
      <input type="datetime-local" step="1" value={draft[field] ? toInput(draft[field]) : ''} onInput={(e) => set({ [field]: fromInput(e.currentTarget.value) })} />
    </Field>
  );
  const number = (label: string, field: 'maxExecutions' | 'pauseAfterFailures' | 'priority', hint: string) => (
    <Field label={label} hint={hint} wrong={wrong(field)}>
      <input type="number" value={draft[field]} onInput={(e) => set({ [field]: e.currentTarget.valueAsNumber || 0 })} />
    </Field>
  );
  const fields = ['catchUpWindow', 'jitter', 'executionTimeLimit', 'startTime', 'endTime', 'maxExecutions', 'pauseAfterFailures', 'priority', 'labels', 'excludedDates'];
  return (
    <details open={fields.some(wrong) || undefined}>
      <summary>Labels, limits and exceptions</summary>
      <Field label="Labels" hint="key=value, one a line." wrong={wrong('labels')}>
        <textarea rows={2} defaultValue={Object.entries(draft.labels).map(([k, v]) => `${k}=${v}`).join('\n')} onInput={(e) => set({ labels: labelsOf(e.currentTarget.value) })} />
      </Field>
      {duration('Time limit of an execution', 'executionTimeLimit', 'Such as 3600s; empty: none.')}
      {number('Pause after failures in a row', 'pauseAfterFailures', '0: never.')}
      {number('Priority', 'priority', 'Within the instance; the higher, the sooner, when not all can run.')}
      {draft.frequencyType !== 'MANUAL' && (
        <>
          {time('Not before', 'startTime')}
          {time('Not after', 'endTime')}
          {number('Executions by schedule at most', 'maxExecutions', '0: any number.')}
          {duration('Jitter', 'jitter', 'Each start is later by up to this long, such as 60s.')}
          {duration('How old a missed time may be', 'catchUpWindow', 'Such as 86400s; older ones are not made up.')}
          <Field label="Excluded dates" hint="Such as 2026-12-25, one a line." wrong={wrong('excludedDates')}>
            <textarea rows={2} defaultValue={draft.excludedDates.join('\n')} onInput={(e) => set({ excludedDates: e.currentTarget.value.split('\n').map((d) => d.trim()).filter(Boolean) })} />
          </Field>
        </>
      )}
      {draft.frequencyType === 'CRON_BASED' && (
        <>
          <Choice
            label="A local time that the clock skips"
            value={draft.dstGapPolicy}
            of={[
              ['SHIFT_FORWARD', 'runs right after the jump'],
              ['SKIP', 'does not run'],
            ]}
            set={(dstGapPolicy) => set({ dstGapPolicy })}
          />
          <Choice
            label="A local time that comes twice"
            value={draft.dstOverlapPolicy}
            of={[
              ['FIRST', 'runs the first time'],
              ['BOTH', 'runs both times'],
            ]}
            set={(dstOverlapPolicy) => set({ dstOverlapPolicy })}
          />
        </>
      )}
    </details>
  );
}

function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const line of text.split('\n')) {
    const [key, ...rest] = line.split('=');
    if (key?.trim()) labels[key.trim()] = rest.join('=').trim();
  }
  return labels;
}
