// Webhooks of an instance, and what was sent to them.

import { useEffect, useState } from 'preact/hooks';
import { ask, each } from '../graphql';
import { Act, Badge, Dialog, Field, Problem, useLoad } from '../parts';
import { to, useTitle } from '../router';
import { moment } from '../time';
import { Crumbs } from './crumbs';

interface Webhook {
  id: string;
  url: string;
  description: string;
  jobIds: string[];
  labels: Record<string, string>;
  events: string[];
  failuresInARow: number;
  freshness: string | null;
  enabled: boolean;
  etag: string;
  disabledReason: string | null;
  previousSecretUntil: string | null;
  secret: string | null;
}

interface Delivery {
  id: string;
  webhookId: string;
  event: string;
  jobId: string | null;
  executionId: string | null;
  state: string;
  createdAt: string;
  nextAttemptAt: string | null;
  attempts: { time: string; status: number; reason: string; message: string }[];
}

const fields = 'id url description jobIds labels events failuresInARow freshness enabled etag disabledReason previousSecretUntil secret';

// What people read of each event.
const events: Record<string, string> = {
  FIRST_FAILURE: 'a first failure',
  NTH_FAILURE: 'the n-th failure in a row',
  RECOVERED: 'a recovery',
  PAUSED_BY_SYSTEM: 'a pause by the service',
  APPROVAL_NEEDED: 'a plan that waits for approval',
  REAUTH_REQUIRED: 'refused credentials',
  NOT_FRESH: 'no success for too long',
  FRESH: 'fresh again',
};

export function NoticesPage({ instance }: { instance: string }) {
  const { data, error, reload } = useLoad(
    (signal) => ask<{ getWebhooks: { items: Webhook[] } }>(`query ($id: ID!) { getWebhooks(instanceId: $id, page: {first: 1000}) { items { ${fields} } } }`, { id: instance }, signal),
    [instance],
  );
  useTitle(`Notices of ${instance}`);
  const [editing, setEditing] = useState<Webhook | 'new'>();
  const [secret, setSecret] = useState('');
  return (
    <>
      <Crumbs instance={instance} />
      <h1>Notices</h1>
      <p>A webhook hears once of each change that it asks for, by a signed call.</p>
      <Problem error={error} />
      {secret && (
        <p class="card" role="status">
          The secret, which is not shown again: <code>{secret}</code>
        </p>
      )}
      {data?.getWebhooks.items.length === 0 && <p>No webhook yet: nobody is told when a job fails.</p>}
      {data?.getWebhooks.items.map((w) => (
        <WebhookCard key={w.id} webhook={w} edit={() => setEditing(w)} reload={reload} tell={setSecret} />
      ))}
      <button type="button" onClick={() => setEditing('new')}>
        New webhook
      </button>
      {editing && (
        <WebhookDialog
          webhook={editing === 'new' ? undefined : editing}
          close={() => setEditing(undefined)}
          run={async (given) => {
            if (editing === 'new') {
              const made = await ask<{ createWebhook: Webhook }>(
                `mutation ($id: ID!, $url: String!, $description: String, $jobIds: [ID!], $labels: Labels, $events: [NoticeEvent!]!, $failuresInARow: Int, $freshness: Duration, $enabled: Boolean) { createWebhook(instanceId: $id, url: $url, description: $description, jobIds: $jobIds, labels: $labels, events: $events, failuresInARow: $failuresInARow, freshness: $freshness, enabled: $enabled) { ${fields} } }`,
                { id: instance, ...given },
              );
              setSecret(made.createWebhook.secret ?? '');
            } else {
              await ask(
                'mutation ($id: ID!, $etag: String, $url: String, $description: String, $jobIds: [ID!], $labels: Labels, $events: [NoticeEvent!], $failuresInARow: Int, $freshness: Duration, $enabled: Boolean) { updateWebhook(webhookId: $id, etag: $etag, url: $url, description: $description, jobIds: $jobIds, labels: $labels, events: $events, failuresInARow: $failuresInARow, freshness: $freshness, enabled: $enabled, updateMask: ["url", "description", "jobIds", "labels", "events", "failuresInARow", "freshness", "enabled"]) { id } }',
                { id: editing.id, etag: editing.etag, ...given },
              );
            }
            reload();
          }}
        />
      )}
      <Deliveries instance={instance} webhooks={data?.getWebhooks.items ?? []} />
    </>
  );
}

function about(w: Webhook): string {
  if (w.jobIds.length) return w.jobIds.join(', ');
  const labels = Object.entries(w.labels).map(([key, value]) => `${key}=${value}`);
  return labels.length ? `jobs with ${labels.join(', ')}` : 'every job';
}

function WebhookCard({ webhook: w, edit, reload, tell }: { webhook: Webhook; edit: () => void; reload: () => void; tell: (secret: string) => void }) {
  const [deleting, setDeleting] = useState(false);
  return (
    <section class="card" aria-label={w.description || w.url}>
      <h2>
        {w.description || w.url} <code>{w.id}</code>
      </h2>
      <p>
        {w.description && <code>{w.url}</code>} {about(w)}: {w.events.map((e) => events[e] ?? e).join(', ')}
        {w.failuresInARow > 0 && ` (${w.failuresInARow})`}
        {w.freshness && ` (${w.freshness})`}
      </p>
      {!w.enabled && <p class="why">Disabled{w.disabledReason === 'GONE' ? ': the receiver answered that it is gone' : ''}.</p>}
      <p class="actions">
        <button type="button" onClick={edit}>
          Edit
        </button>
        <Act
          run={async () => {
            await ask('mutation ($id: ID!) { testWebhook(webhookId: $id) { id } }', { id: w.id });
          }}
        >
          Send a test
        </Act>
        <Act
          run={async () => {
            const made = await ask<{ rotateWebhookSecret: Webhook }>(`mutation ($id: ID!) { rotateWebhookSecret(webhookId: $id) { ${fields} } }`, { id: w.id });
            tell(made.rotateWebhookSecret.secret ?? '');
            reload();
          }}
        >
          Rotate the secret
        </Act>
        <button type="button" onClick={() => setDeleting(true)}>
          Delete
        </button>
      </p>
      {deleting && (
        <Dialog
          title={`Delete ${w.description || w.url}?`}
          submit="Delete"
          close={() => setDeleting(false)}
          run={async () => {
            await ask('mutation ($id: ID!) { deleteWebhook(webhookId: $id) { success } }', { id: w.id });
            reload();
          }}
        >
          <p>Nothing is told to it any more, and its deliveries are forgotten.</p>
        </Dialog>
      )}
    </section>
  );
}

function WebhookDialog({ webhook: w, close, run }: { webhook: Webhook | undefined; close: () => void; run: (given: Record<string, unknown>) => Promise<void> }) {
  const labels = Object.entries(w?.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return (
    <Dialog
      title={w ? `Edit ${w.id}` : 'New webhook'}
      submit={w ? 'Save' : 'Make it'}
      close={close}
      run={(form) => {
        const words = (name: string) => String(form.get(name) ?? '').split(/[\s,]+/).filter(Boolean);
        return run({
          url: form.get('url'),
          description: form.get('description'),
          jobIds: words('jobs'),
          labels: Object.fromEntries(words('labels').map((pair) => [pair.split('=')[0], pair.split('=').slice(1).join('=')])),
          events: form.getAll('event'),
          failuresInARow: Number(form.get('failures') || 0),
          freshness: String(form.get('freshness') ?? '').trim() || null,
          enabled: form.get('enabled') === 'on',
        });
      }}
    >
      <Field label="URL">
        <input name="url" type="url" required defaultValue={w?.url} />
      </Field>
      <Field label="Description">
        <input name="description" defaultValue={w?.description} />
      </Field>
      <Field label="Only these jobs" hint="Such as job_3, job_7; empty for every job.">
        <input name="jobs" defaultValue={w?.jobIds.join(', ')} />
      </Field>
      <Field label="Only jobs with these labels" hint="Such as team=survey.">
        <input name="labels" defaultValue={labels.join(', ')} />
      </Field>
      <fieldset>
        <legend>Tell of</legend>
        {Object.entries(events).map(([event, text]) => (
          <label key={event} class="check">
            <input type="checkbox" name="event" value={event} defaultChecked={w ? w.events.includes(event) : event === 'FIRST_FAILURE' || event === 'RECOVERED'} /> {text}
          </label>
        ))}
      </fieldset>
      <Field label="n" hint="The n of the n-th failure in a row, from 2.">
        <input name="failures" type="number" min="0" max="1000" defaultValue={w?.failuresInARow ? String(w.failuresInARow) : ''} />
      </Field>
      <Field label="Fresh for" hint="Such as 3600s; by the job's schedule when empty.">
        <input name="freshness" defaultValue={w?.freshness ?? ''} />
      </Field>
      <label class="check">
        <input type="checkbox" name="enabled" defaultChecked={w?.enabled ?? true} /> Enabled
      </label>
    </Dialog>
  );
}

// useJobNames are the names of jobs by id; those that have none, or are gone, are
// missing.
function useJobNames(ids: string[]): Map<string, string> {
  const wanted = [...new Set(ids)].sort();
  const { data } = useLoad(
    async (signal) => {
      const jobs = await each<{ name: string | null }>(wanted, 'getScheduledJob(jobId: $)', 'name', signal);
      return new Map(wanted.flatMap((id, i) => (jobs[i]?.name ? [[id, jobs[i].name]] : [])));
    },
    [wanted.join()],
  );
  return data ?? new Map();
}

function Deliveries({ instance, webhooks }: { instance: string; webhooks: Webhook[] }) {
  const [state, setState] = useState('');
  const { data, error, reload } = useLoad(
    (signal) =>
      ask<{ getDeliveries: { items: Delivery[] } }>(
        'query ($id: ID!, $state: DeliveryState) { getDeliveries(instanceId: $id, state: $state, page: {first: 100}) { items { id webhookId event jobId executionId state createdAt nextAttemptAt attempts { time status reason message } } } }',
        { id: instance, state: state || null },
        signal,
      ),
    [instance, state],
  );
  useEffect(() => {
    const timer = setInterval(reload, 3000);
    return () => clearInterval(timer);
  }, []);
  const items = data?.getDeliveries.items ?? [];
  const names = useJobNames(items.flatMap((d) => d.jobId ?? []));
  const receiver = (id: string) => {
    const w = webhooks.find((one) => one.id === id);
    return w?.description || w?.url || id;
  };
  return (
    <section aria-label="Deliveries">
      <h2>Deliveries</h2>
      <label>
        State{' '}
        <select value={state} onChange={(e) => setState(e.currentTarget.value)}>
          <option value="">all</option>
          {['PENDING', 'DELIVERED', 'FAILED'].map((s) => (
            <option key={s} value={s}>
              {s.toLowerCase()}
            </option>
          ))}
        </select>
      </label>
      <Problem error={error} />
      {data && items.length === 0 && <p>{state ? 'None.' : 'Nothing was told yet.'}</p>}
      <ul class="rows">
        {items.map((d) => {
          const last = d.attempts.at(-1);
          return (
            <li key={d.id} class="delivery">
              <span>
                <time dateTime={d.createdAt}>{moment(d.createdAt)}</time> <Badge state={d.state} />
              </span>
              <span>
                <strong>{events[d.event] ?? d.event.toLowerCase()}</strong> {d.jobId && <a href={to('job', d.jobId)}>{names.get(d.jobId) ?? d.jobId}</a>} {d.executionId && <a href={to('execution', d.executionId)}>{d.executionId}</a>}
                <small>
                  {d.id} to {receiver(d.webhookId)}
                  {d.nextAttemptAt && d.attempts.length > 0 && `, again at ${moment(d.nextAttemptAt)}`}
                </small>
                {last?.message && <span class="why">{last.message}</span>}
              </span>
              <span class="actions">
                <Act
                  run={async () => {
                    await ask('mutation ($id: ID!) { redeliverNotice(deliveryId: $id) { id } }', { id: d.id });
                    reload();
                  }}
                >
                  Send again
                </Act>
              </span>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
