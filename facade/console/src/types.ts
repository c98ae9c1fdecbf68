// What the console asks of the service, and the queries that it asks with.

export interface Pause {
  reason: string | null;
  actor: string;
  since: string;
  until: string | null;
  instanceId: string | null;
}

export interface Instance {
  id: string;
  title: string;
  description: string;
  pause: Pause | null;
}

export const instanceFields = 'id title description pause { reason actor since until instanceId }';

export interface Warning {
  code: string;
  message: string;
}

export interface JobError {
  code: string;
  reason: string;
  message: string;
}

export interface Execution {
  id: string;
  jobId: string;
  state: string;
  trigger: string;
  triggerId: string | null;
  scheduledFor: string | null;
  startedAt: string | null;
  finishedAt: string | null;
  createdAt: string;
  attempt: number;
  error: JobError | null;
  tasks: Task[];
  approval: Approval | null;
  waitingFor: { reason: string; executionId: string | null } | null;
}

export interface Part {
  files: number;
  bytes: string;
  samples: string[];
}

export interface Plan {
  task: string;
  remote: string;
  copy: Part | null;
  update: Part | null;
  delete: Part | null;
  conflicts: Part | null;
  found: number;
  unchanged: number;
  guard: JobError | null;
  incomplete: boolean;
  error: JobError | null;
}

export interface Approval {
  state: string;
  digest: string;
  plans: Plan[];
  requestedAt: string;
  expiresAt: string;
  decidedBy: string;
}

export interface Counters {
  found: number;
  copied: number;
  updated: number;
  deleted: number;
  skipped: number;
  failed: number;
  conflicts: number;
  bytes: string;
  totalFiles: number;
  totalBytes: string;
}

export interface Task {
  name: string;
  type: string;
  state: string;
  startedAt: string | null;
  finishedAt: string | null;
  attempt: number;
  nextAttemptAt: string | null;
  error: JobError | null;
  counters: Counters | null;
  remotes: { remote: string; state: string; error: JobError | null }[];
  fileErrors: { reason: string; count: number; message: string; samples: string[] }[];
}

export interface JobRow {
  id: string;
  name: string | null;
  state: string;
  frequencyType: string;
  cronExpression: string | null;
  intervalMinutes: number | null;
  timeZone: string;
  labels: Record<string, string>;
  nextRun: string | null;
  endTime: string | null;
  lastRun: string | null;
  pause: Pause | null;
}

export interface WorkflowTask {
  name: string;
  type: string;
  args?: Record<string, unknown>;
  inputs?: string | string[];
  [other: string]: unknown;
}

export interface Workflow {
  tasks?: WorkflowTask[];
  [other: string]: unknown;
}

export interface RetryPolicy {
  retryCount: number;
  minBackoff: string | null;
  maxBackoff: string | null;
  maxDoublings: number | null;
  maxRetryDuration: string | null;
}

export interface Job extends JobRow {
  instanceId: string;
  description: string | null;
  active: boolean;
  workflow: Workflow;
  overlapPolicy: string;
  catchUpPolicy: string;
  catchUpWindow: string | null;
  retryPolicy: RetryPolicy | null;
  dstGapPolicy: string;
  dstOverlapPolicy: string;
  startTime: string | null;
  jitter: string | null;
  excludedDates: string[];
  maxExecutions: number;
  executionTimeLimit: string | null;
  pauseAfterFailures: number;
  priority: number;
  managedBy: string;
  etag: string;
  warnings: Warning[];
  updatedAt: string;
  createdAt: string;
}

export interface Occurrence {
  scheduledFor: string;
  outcome: string;
  reason: string | null;
  executionId: string | null;
  until: string | null;
  count: number;
  movedTo: string | null;
}

export interface LogLine {
  time: string;
  level: string;
  task: string | null;
  message: string;
  attributes: Record<string, unknown> | null;
  cursor: string;
}

export const jobRow = 'id name state frequencyType cronExpression intervalMinutes timeZone labels nextRun endTime lastRun pause { reason actor since until instanceId }';
export const jobFields = `${jobRow} instanceId description active workflow overlapPolicy catchUpPolicy catchUpWindow retryPolicy { retryCount minBackoff maxBackoff maxDoublings maxRetryDuration } dstGapPolicy dstOverlapPolicy startTime jitter excludedDates maxExecutions executionTimeLimit pauseAfterFailures priority managedBy etag warnings { code message } updatedAt createdAt`;
const errorFields = 'error { code reason message }';
const partFields = '{ files bytes samples }';
export const planFields = `task remote found unchanged incomplete copy ${partFields} update ${partFields} delete ${partFields} conflicts ${partFields} guard { code reason message } ${errorFields}`;
const taskFields = `name type state startedAt finishedAt attempt nextAttemptAt ${errorFields} counters { found copied updated deleted skipped failed conflicts bytes totalFiles totalBytes } remotes { remote state ${errorFields} } fileErrors { reason count message samples }`;
export const executionFields = `id jobId state trigger triggerId scheduledFor startedAt finishedAt createdAt attempt ${errorFields} tasks { ${taskFields} } waitingFor { reason executionId } approval { state digest requestedAt expiresAt decidedBy plans { ${planFields} } }`;

export const endStates = ['SUCCEEDED', 'PARTIALLY_SUCCEEDED', 'FAILED', 'CANCELLED', 'WORKER_LOST'];
export const badStates = ['FAILED', 'WORKER_LOST', 'PARTIALLY_SUCCEEDED'];

export function title(job: { id: string; name: string | null }): string {
  return job.name || job.id;
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

// size is a number of bytes, which comes as text, for people.
export function size(bytes: string | number): string {
  let n = Number(bytes);
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  return `${unit ? n.toFixed(1) : n} ${units[unit]}`;
}
