// What a form says of a job, and how it is asked for.

import { ask, type Violation } from './graphql';
import type { Job, Workflow } from './types';

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
  retries: number;
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
  retries: 0,
  workflow: { tasks: [{ name: 'wait', type: 'util.sleep', args: { duration: '5s' } }] },
};

export function draftOf(job: Job): Draft {
  return {
    name: job.name ?? '',
    description: job.description ?? '',
    active: job.active,
    frequencyType: job.frequencyType,
    cronExpression: job.cronExpression ?? blank.cronExpression,
    intervalMinutes: job.intervalMinutes ?? blank.intervalMinutes,
    timeZone: job.timeZone,
    overlapPolicy: job.overlapPolicy,
    catchUpPolicy: job.catchUpPolicy,
    retries: job.retryPolicy?.retryCount ?? 0,
    workflow: job.workflow,
  };
}

const shared = `$workflow: JSON!, $frequencyType: FrequencyType!, $cronExpression: String, $intervalMinutes: Int, $name: String, $description: String,
  $active: Boolean, $timeZone: String, $overlapPolicy: OverlapPolicy, $catchUpPolicy: CatchUpPolicy, $retryPolicy: RetryPolicyInput, $validateOnly: Boolean`;
const passed = `workflow: $workflow, frequencyType: $frequencyType, cronExpression: $cronExpression, intervalMinutes: $intervalMinutes, name: $name,
  description: $description, active: $active, timeZone: $timeZone, overlapPolicy: $overlapPolicy, catchUpPolicy: $catchUpPolicy,
  retryPolicy: $retryPolicy, validateOnly: $validateOnly`;
const answer = 'id nextRun warnings { message }';

export interface Saved {
  id: string;
  nextRun: string | null;
  warnings: { message: string }[];
}

function variables(d: Draft) {
  const cron = d.frequencyType === 'CRON_BASED';
  return {
    ...d,
    cronExpression: cron ? d.cronExpression : null,
    intervalMinutes: d.frequencyType === 'INTERVAL_BASED' ? d.intervalMinutes : null,
    retryPolicy: d.retries > 0 ? { retryCount: d.retries } : null,
  };
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
  const mask = ['name', 'description', 'active', 'workflow', 'frequencyType', 'timeZone', 'overlapPolicy', 'catchUpPolicy'];
  if (d.frequencyType === 'CRON_BASED') mask.push('cronExpression');
  if (d.frequencyType === 'INTERVAL_BASED') mask.push('intervalMinutes');
  if (d.retries !== (job.retryPolicy?.retryCount ?? 0)) mask.push(d.retries ? 'retryPolicy.retryCount' : 'retryPolicy');
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
