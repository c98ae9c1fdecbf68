// What a form says of a job, and how it is asked for.

import { ask, type Violation } from './graphql';
import type { Job, RetryPolicy, Workflow } from './types';

export interface Draft {
  name: string;
  description: string;
  active: boolean;
  frequencyType: string;
  cronExpression: string;
  intervalMinutes: number;
  timeZone: string;
  overlapPolicy: string;
  catchUpPolicy: string;
  catchUpWindow: string | null;
  retryPolicy: RetryPolicy | null;
  dstGapPolicy: string;
  dstOverlapPolicy: string;
  startTime: string | null;
  endTime: string | null;
  jitter: string | null;
  excludedDates: string[];
  maxExecutions: number;
  executionTimeLimit: string | null;
  pauseAfterFailures: number;
  priority: number;
  labels: Record<string, string>;
  workflow: Workflow;
}

export const blank: Draft = {
  name: '',
  description: '',
  active: true,
  frequencyType: 'INTERVAL_BASED',
  cronExpression: '30 2 * * *',
  intervalMinutes: 60,
  timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC',
  overlapPolicy: 'SKIP',
  catchUpPolicy: 'LATEST',
  catchUpWindow: null,
  retryPolicy: null,
  dstGapPolicy: 'SHIFT_FORWARD',
  dstOverlapPolicy: 'FIRST',
  startTime: null,
  endTime: null,
  jitter: null,
  excludedDates: [],
  maxExecutions: 0,
  executionTimeLimit: null,
  pauseAfterFailures: 0,
  priority: 0,
  labels: {},
  workflow: { tasks: [{ name: 'wait', type: 'util.sleep', args: { duration: '5s' } }] },
};

// draftOf is what of a job can be edited.
export function draftOf(job: Job): Draft {
  const draft: Draft = { ...blank };
  for (const key of Object.keys(blank) as (keyof Draft)[]) {
    const value = job[key];
    if (value !== null && value !== undefined) Object.assign(draft, { [key]: value });
  }
  return draft;
}

const kinds: Record<keyof Draft, string> = {
  workflow: 'JSON',
  frequencyType: 'FrequencyType',
  cronExpression: 'String',
  intervalMinutes: 'Int',
  name: 'String',
  description: 'String',
  active: 'Boolean',
  timeZone: 'String',
  overlapPolicy: 'OverlapPolicy',
  catchUpPolicy: 'CatchUpPolicy',
  catchUpWindow: 'Duration',
  retryPolicy: 'RetryPolicyInput',
  dstGapPolicy: 'DstGapPolicy',
  dstOverlapPolicy: 'DstOverlapPolicy',
  startTime: 'Date',
  endTime: 'Date',
  jitter: 'Duration',
  excludedDates: '[String!]',
  maxExecutions: 'Int',
  executionTimeLimit: 'Duration',
  pauseAfterFailures: 'Int',
  priority: 'Int',
  labels: 'Labels',
};
const fields = Object.keys(kinds) as (keyof Draft)[];
const needed = ['workflow', 'frequencyType'];
const shared = `${fields.map((f) => `$${f}: ${kinds[f]}${needed.includes(f) ? '!' : ''}`).join(', ')}, $validateOnly: Boolean`;
const passed = `${fields.map((f) => `${f}: $${f}`).join(', ')}, validateOnly: $validateOnly`;
const answer = 'id nextRun warnings { message }';

export interface Saved {
  id: string;
  nextRun: string | null;
  warnings: { message: string }[];
}

// foreign are the fields that the draft's kind of schedule does not have.
function foreign(d: Draft): string[] {
  const cron = ['cronExpression', 'dstGapPolicy', 'dstOverlapPolicy'];
  if (d.frequencyType === 'CRON_BASED') return ['intervalMinutes'];
  return d.frequencyType === 'INTERVAL_BASED' ? cron : ['intervalMinutes', ...cron];
}

function variables(d: Draft) {
  return { ...d, ...Object.fromEntries(foreign(d).map((f) => [f, null])) };
}

// create makes a job, or with validateOnly checks whether it could be made.
export async function create(instance: string, d: Draft, validateOnly: boolean, requestId: string | null, signal?: AbortSignal): Promise<Saved> {
  const { createScheduledJob } = await ask<{ createScheduledJob: Saved }>(
    `mutation ($instance: ID!, $requestId: String, ${shared}) { createScheduledJob(instanceId: $instance, requestId: $requestId, ${passed}) { ${answer} } }`,
    { ...variables(d), instance, validateOnly, requestId },
    signal,
  );
  return createScheduledJob;
}

// update changes a job as it was read; somebody else's change in between is
// refused.
export async function update(job: Job, d: Draft, validateOnly: boolean, signal?: AbortSignal): Promise<Saved> {
  const mask = fields.filter((f) => !foreign(d).includes(f));
  const { updateScheduledJob } = await ask<{ updateScheduledJob: Saved }>(
    `mutation ($id: ID!, $instance: ID!, $etag: String, $mask: [String!], ${shared}) {
      updateScheduledJob(jobId: $id, instanceId: $instance, etag: $etag, updateMask: $mask, ${passed}) { ${answer} } }`,
    { ...variables(d), id: job.id, instance: job.instanceId, etag: job.etag, mask, validateOnly },
    signal,
  );
  return updateScheduledJob;
}

// wrongAt is what is wrong at a field or below it.
export function wrongAt(violations: Violation[], field: string): string | undefined {
  const found = violations.filter((v) => v.field === field || v.field.startsWith(`${field}.`) || v.field.startsWith(`${field}[`));
  return found.length ? found.map((v) => (v.field === field ? v.description : `${v.field}: ${v.description}`)).join('; ') : undefined;
}
