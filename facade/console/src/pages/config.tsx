// Stored credentials: write-only. A form for each type of remote.

import { useRef, useState } from 'preact/hooks';
import { ask } from '../graphql';
import { Act, Badge, Dialog, Field, Problem, useLoad } from '../parts';
import { useTitle } from '../router';
import { moment } from '../time';
import { Crumbs } from './crumbs';

interface Remote {
  name: string;
  type: string;
  keys: string[];
  updatedAt: string | null;
  state: string;
  reason: string | null;
  expiresAt: string | null;
}

interface Resource {
  id: string;
  title: string;
  description: string;
}

interface Test {
  remote: string;
  results: { check: string; outcome: string; reason: string; message: string }[];
  warnings: string[];
}

interface Key {
  name: string;
  required: boolean;
  secret: boolean;
  values: string[];
}

interface RemoteType {
  name: string;
  keys: Key[];
  alternatives: { names: string[] }[];
  bucket: boolean;
}

const typesQuery = '{ getRemoteTypes { items { name keys { name required secret values } alternatives { names } bucket } } }';

// Keys whose values have lines, such as a private key.
const lines = /_pem$|_credentials$|^host_keys$/;

export function ConfigPage({ instance }: { instance: string }) {
  const { data, error, reload } = useLoad(
    (signal) => ask<{ getResources: { items: Resource[] } }>('query ($id: ID!) { getResources(instanceId: $id, page: {first: 1000}) { items { id title description } } }', { id: instance }, signal),
    [instance],
  );
  const types = useLoad((signal) => ask<{ getRemoteTypes: { items: RemoteType[] } }>(typesQuery, {}, signal), []);
  useTitle(`Credentials of ${instance}`);
  const [adding, setAdding] = useState(false);
  return (
    <>
      <Crumbs instance={instance} />
      <h1>Credentials</h1>
      <p>A resource owns credentials, tasks name it. Values go in, are sealed, and never come out.</p>
      <Problem error={error ?? types.error} />
      {data?.getResources.items.length === 0 && <p>No resource yet. A job that syncs files needs one, with a remote for each place.</p>}
      {data?.getResources.items.map((r) => (
        <ResourceCard key={r.id} resource={r} types={types.data?.getRemoteTypes.items ?? []} />
      ))}
      <button type="button" onClick={() => setAdding(true)}>
        New resource
      </button>
      {adding && (
        <Dialog
          title="New resource"
          submit="Make it"
          close={() => setAdding(false)}
          run={async (form) => {
            await ask('mutation ($id: ID!, $title: String!) { createResource(instanceId: $id, title: $title) { id } }', { id: instance, title: form.get('title') });
            reload();
          }}
        >
          <Field label="Title">
            <input name="title" required />
          </Field>
        </Dialog>
      )}
    </>
  );
}

function ResourceCard({ resource, types }: { resource: Resource; types: RemoteType[] }) {
  const { data, error, reload } = useLoad(
    (signal) => ask<{ getJobConfig: { remotes: Remote[] } | null }>('query ($id: ID!) { getJobConfig(resourceId: $id) { remotes { name type keys updatedAt state reason expiresAt } } }', { id: resource.id }, signal),
    [resource.id],
  );
  const [editing, setEditing] = useState<Remote | 'new'>();
  const store = (config: object) => ask('mutation ($id: ID!, $config: JSON!) { addJobConfig(resourceId: $id, config: $config) { success } }', { id: resource.id, config });
  const test = async (remotes: string[], write: boolean, config?: object) =>
    (
      await ask<{ testJobConfig: { remotes: Test[] } }>(
        'mutation ($id: ID!, $config: JSON, $remotes: [String!], $write: Boolean) { testJobConfig(resourceId: $id, config: $config, remotes: $remotes, write: $write) { remotes { remote results { check outcome reason message } warnings } } }',
        { id: resource.id, config, remotes, write },
      )
    ).testJobConfig.remotes;
  const [testing, setTesting] = useState<Remote>();
  const [removing, setRemoving] = useState<Remote>();
  return (
    <section class="card" aria-label={resource.title || resource.id}>
      <h2>
        {resource.title || resource.id} <code>{resource.id}</code>
      </h2>
      <Problem error={error} />
      <ul class="tasks">
        {data?.getJobConfig?.remotes.map((r) => (
          <li key={r.name} class="does">
            <span>
              <strong>{r.name}</strong> <code>{r.type}</code> {r.keys.join(', ')} <small>stored {moment(r.updatedAt)}</small> {r.state === 'REAUTH_REQUIRED' && <strong class="why">sign in anew: {r.reason}</strong>}
              {r.expiresAt && <b class="soon">expires {moment(r.expiresAt)}</b>}
            </span>
            <span class="actions">
              <button type="button" onClick={() => setTesting(r)}>
                Test
              </button>
              <button type="button" onClick={() => setEditing(r)}>
                Replace
              </button>
              <button type="button" onClick={() => setRemoving(r)}>
                Remove
              </button>
            </span>
          </li>
        ))}
      </ul>
      <button type="button" onClick={() => setEditing('new')}>
        Add a remote
      </button>
      {editing && (
        <RemoteDialog
          remote={editing === 'new' ? undefined : editing}
          types={types}
          close={() => setEditing(undefined)}
          run={async (config) => {
            await store(config);
            reload();
          }}
          test={(config) => test([], false, config)}
        />
      )}
      {removing && (
        <Dialog
          title={`Remove ${removing.name}?`}
          submit="Remove"
          close={() => setRemoving(undefined)}
          run={async () => {
            await store({ [removing.name]: null });
            reload();
          }}
        >
          <p>Its credentials are forgotten, and jobs that use it fail until it is stored again.</p>
        </Dialog>
      )}
      {testing && <TestDialog remote={testing} close={() => setTesting(undefined)} run={(folder, write) => test([`${testing.name}:${folder}`], write)} />}
    </section>
  );
}

// Outcome tells what a test has found.
function Outcome({ tests }: { tests: Test[] }) {
  return (
    <div role="status" aria-label="Test">
      <ul class="tasks">
        {tests.flatMap((t) => [
          ...t.results.map((r) => (
            <li key={t.remote + r.check}>
              {r.check.toLowerCase()} <Badge state={r.outcome} /> <small>{r.message}</small>
            </li>
          )),
          ...t.warnings.map((w) => <li key={t.remote + w}>{w}</li>),
        ])}
      </ul>
    </div>
  );
}

function TestDialog({ remote, close, run }: { remote: Remote; close: () => void; run: (folder: string, write: boolean) => Promise<Test[]> }) {
  const [folder, setFolder] = useState('/');
  const [write, setWrite] = useState(false);
  const [tests, setTests] = useState<Test[]>();
  return (
    <Dialog title={`Test ${remote.name}`} submit="Test" stays close={close} run={async () => setTests(await run(folder, write))}>
      <Field label="Folder" hint="For s3 it begins with the bucket.">
        <input value={folder} onInput={(e) => setFolder(e.currentTarget.value)} autocomplete="off" />
      </Field>
      <Field label="Write too" hint="Writes a small file and deletes it.">
        <input type="checkbox" checked={write} onChange={(e) => setWrite(e.currentTarget.checked)} />
      </Field>
      {tests && <Outcome tests={tests} />}
    </Dialog>
  );
}

function RemoteDialog({ remote, types, close, run, test }: { remote: Remote | undefined; types: RemoteType[]; close: () => void; run: (config: object) => Promise<void>; test: (config: object) => Promise<Test[]> }) {
  const fields = useRef<HTMLDivElement>(null);
  const [tests, setTests] = useState<Test[]>();
  const [type, setType] = useState(remote?.type ?? 's3');
  const shape = types.find((t) => t.name === type);
  const either = (key: Key) => shape?.alternatives.find((a) => a.names.includes(key.name))?.names.filter((n) => n !== key.name) ?? [];
  const asked = (key: Key) => key.required || either(key).length > 0;
  const read = (form: FormData) => {
    const config: Record<string, string> = { type };
    for (const { name } of shape?.keys ?? []) {
      const value = String(form.get(`key.${name}`) ?? '');
      if (value) config[name] = value;
    }
    return { [remote?.name ?? String(form.get('name'))]: config };
  };
  return (
    <Dialog
      title={remote ? `Replace ${remote.name}` : 'Add a remote'}
      submit="Store"
      close={close}
      run={(form) => run(read(form))}
    >
      {!remote && (
        <Field label="Name" hint="What workflows write before the colon.">
          <input name="name" required autocomplete="off" />
        </Field>
      )}
      <Field label="Type">
        <select value={type} onChange={(e) => setType(e.currentTarget.value)}>
          {types.map((t) => (
            <option key={t.name}>{t.name}</option>
          ))}
        </select>
      </Field>
      {shape?.bucket && <p class="muted">Paths begin with the bucket: {remote?.name ?? 'name'}:/bucket/folder</p>}
      {shape?.keys.filter(asked).map((key) => <KeyField key={type + key.name} of={key} either={either(key)} />)}
      {shape && !shape.keys.every(asked) && (
        <details key={type}>
          <summary>Further keys</summary>
          {shape.keys
            .filter((key) => !asked(key))
            .map((key) => (
              <KeyField key={type + key.name} of={key} either={[]} />
            ))}
        </details>
      )}
      <div ref={fields}>
        <Act
          run={async () => {
            const form = fields.current?.closest('form');
            if (form?.reportValidity()) setTests(await test(read(new FormData(form))));
          }}
        >
          Test
        </Act>
        {tests && <Outcome tests={tests} />}
      </div>
    </Dialog>
  );
}

// KeyField asks for one key; secrets are typed blind.
function KeyField({ of: key, either }: { of: Key; either: string[] }) {
  const same = { name: `key.${key.name}`, required: key.required, autocomplete: 'off' } as const;
  let input = key.secret ? <input {...same} type="password" /> : <input {...same} />;
  if (key.values.length > 0) {
    input = (
      <select {...same}>
        {['', ...key.values].map((v) => (
          <option key={v}>{v}</option>
        ))}
      </select>
    );
  } else if (lines.test(key.name)) {
    input = <textarea {...same} rows={3} class={key.secret ? 'blind' : ''} spellcheck={false} />;
  }
  return (
    <Field label={key.name} {...(either.length > 0 && { hint: `Or ${either.join(' or ')}.` })}>
      {input}
    </Field>
  );
}
