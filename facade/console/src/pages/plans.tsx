// What would be done with files: before a run, or before it is approved.

import { useState } from 'preact/hooks';
import { ask } from '../graphql';
import { Act, Badge, Dialog, Field, Problem, useLoad } from '../parts';
import { moment } from '../time';
import { planFields, size, type Approval, type Part, type Plan } from '../types';
import { counted } from '../words';

export function Plans({ plans }: { plans: Plan[] }) {
  return (
    <>
      {plans.map((p) => (
        <div key={p.task + p.remote} class="card">
          <p>
            <strong>{p.task}</strong> to <code>{p.remote}</code>: {counted(p.found, 'file')} in the source, {p.unchanged} equal already{p.incomplete && '; time ran out, so these are the numbers so far'}
          </p>
          {p.error && (
            <p class="wrong">
              {p.error.reason}: {p.error.message}
            </p>
          )}
          {p.guard && (
            <p class="wrong">
              {p.guard.reason}: {p.guard.message}
            </p>
          )}
          <ul>
            <Line what="copy" part={p.copy} />
            <Line what="update" part={p.update} />
            <Line what="delete" part={p.delete} />
            <Line what="conflicts" part={p.conflicts} />
          </ul>
        </div>
      ))}
    </>
  );
}

function Line({ what, part }: { what: string; part: Part | null }) {
  if (!part || part.files === 0) return null;
  return (
    <li class={what === 'delete' ? 'wrong' : ''}>
      {what} {part.files} ({size(part.bytes)}): {part.samples.join(', ')}
      {part.files > part.samples.length && ', …'}
    </li>
  );
}

// ApprovalCard shows the plan that waits, and lets it go on or ends it.
export function ApprovalCard({ execution, approval, reload }: { execution: string; approval: Approval; reload: () => void }) {
  const [rejecting, setRejecting] = useState(false);
  return (
    <section class="notice">
      <h2>
        Approval <Badge state={approval.state} />
      </h2>
      <p>
        Asked for at {moment(approval.requestedAt)}, {approval.state === 'PENDING' ? `expires at ${moment(approval.expiresAt)}` : approval.decidedBy && `decided by ${approval.decidedBy}`}.
      </p>
      <Plans plans={approval.plans} />
      {approval.state === 'PENDING' && (
        <div class="bar">
          <Act
            class="primary"
            run={async () => {
              await ask('mutation ($id: ID!, $digest: String!) { approveScheduledJobRun(jobHistoryId: $id, digest: $digest) { id } }', { id: execution, digest: approval.digest });
              reload();
            }}
          >
            Approve exactly this
          </Act>
          <button type="button" onClick={() => setRejecting(true)}>
            Reject
          </button>
        </div>
      )}
      {rejecting && (
        <Dialog
          title="Reject the plan"
          submit="Reject"
          close={() => setRejecting(false)}
          run={async (form) => {
            await ask('mutation ($id: ID!, $reason: String) { rejectScheduledJobRun(jobHistoryId: $id, reason: $reason) { id } }', { id: execution, reason: form.get('reason') });
            reload();
          }}
        >
          <Field label="Reason">
            <input name="reason" maxLength={500} />
          </Field>
        </Dialog>
      )}
    </section>
  );
}

// JobPlan says what a run would do with files now.
export function JobPlan({ job, close }: { job: string; close: () => void }) {
  const { data, error } = useLoad(
    (signal) => ask<{ planJob: { plans: Plan[]; unplannedTasks: string[] } }>(`query ($id: ID!) { planJob(jobId: $id) { unplannedTasks plans { ${planFields} } } }`, { id: job }, signal),
    [job],
  );
  const plan = data?.planJob;
  return (
    <section class="notice" role="status" aria-label="Plan">
      <h2>What would it do now?</h2>
      <Problem error={error} />
      {!plan && !error && <p>Comparing source and destination; nothing is changed.</p>}
      {plan && <Plans plans={plan.plans} />}
      {plan && plan.unplannedTasks.length > 0 && <p>Not known beforehand: {plan.unplannedTasks.join(', ')}.</p>}
      <button type="button" onClick={close}>
        Close
      </button>
    </section>
  );
}
