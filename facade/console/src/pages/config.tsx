// Stored credentials: write-only. A form for each type of remote.

import { useRef, useState } from 'preact/hooks';
import { ask } from '../graphql';
import { Act, Dialog, Field, Problem, useLoad } from '../parts';
import { to, useTitle } from '../router';
import { moment } from '../time';

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

// The keys that people fill in most; secrets are typed blind.
const types: Record<string, { keys: string[]; secret: string[] }> = {
  acc: { keys: ['hub_id', 'project_id', 'client_id', 'client_secret', 'token'], secret: ['client_secret', 'token'] },
  drive: { keys: ['client_id', 'client_secret', 'token', 'scope'], secret: ['client_secret', 'token'] },
  dropbox: { keys: ['app_key', 'app_secret', 'token'], secret: ['app_secret', 'token'] },
  s3: { keys: ['provider', 'region', 'endpoint', 'access_key_id', 'secret_access_key'], secret: ['secret_access_key'] },
  webdav: { keys: ['url', 'vendor', 'user', 'pass'], secret: ['pass'] },
  sftp: { keys: ['host', 'port', 'user', 'pass'], secret: ['pass'] },
  local: { keys: [], secret: [] },
};

export function ConfigPage({ instance }: { instance: string }) {
  const { data, error, reload } = useLoad(
    (signal) => ask<{ getResources: { items: Resource[] } }>('query ($id: ID!) { getResources(instanceId: $id, page: {first: 1000}) { items { id title description } } }', { id: instance }, signal),
    [instance],
  );
  useTitle(`Credentials of ${instance}`);
  const [adding, setAdding] = useState(false);
  return (
    <>
      <p class="crumbs">
        <a href={to()}>Instances</a> / <a href={to('instance', instance)}>{instance}</a>
      </p>
      <h1>Credentials</h1>
      <p>A resource owns credentials, tasks name it. Values go in, are sealed, and never come out.</p>
      <Problem error={error} />
      {data?.getResources.items.map((r) => <ResourceCard key={r.id} resource={r} />)}
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

function ResourceCard({ resource }: { resource: Resource }) {
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
  return (
    <section class="card" aria-label={resource.title || resource.id}>
      <h2>
        {resource.title || resource.id} <code>{resource.id}</code>
      </h2>
      <Problem error={error} />
      <ul class="tasks">
        {data?.getJobConfig?.remotes.map((r) => (
          <li key={r.name}>
            <strong>{r.name}</strong> <code>{r.type}</code> {r.keys.join(', ')} <small>{moment(r.updatedAt)}</small> {r.state === 'REAUTH_REQUIRED' && <strong class="why">sign in anew: {r.reason}</strong>}
            {r.expiresAt && <small>expires {moment(r.expiresAt)}</small>}{' '}
            <button type="button" onClick={() => setTesting(r)}>
              Test
            </button>{' '}
            <button type="button" onClick={() => setEditing(r)}>
              Replace
            </button>{' '}
            <Act
              run={async () => {
                await store({ [r.name]: null });
                reload();
              }}
            >
              Remove
            </Act>
          </li>
        ))}
      </ul>
      <button type="button" onClick={() => setEditing('new')}>
        Add a remote
      </button>
      {editing && (
        <RemoteDialog
          remote={editing === 'new' ? undefined : editing}
          close={() => setEditing(undefined)}
          run={async (config) => {
            await store(config);
            reload();
          }}
          test={(config) => test([], false, config)}
        />
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
              <code>{r.check}</code> {r.outcome === 'FAILED' ? <strong class="why">FAILED</strong> : <strong>{r.outcome}</strong>} <small>{r.message}</small>
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
    <Dialog title={`Test ${remote.name}`} submit="Done" close={close} run={async () => undefined}>
      <Field label="Folder" hint="For s3 it begins with the bucket.">
        <input value={folder} onInput={(e) => setFolder(e.currentTarget.value)} autocomplete="off" />
      </Field>
      <Field label="Write too" hint="Writes a small file and deletes it.">
        <input type="checkbox" checked={write} onChange={(e) => setWrite(e.currentTarget.checked)} />
      </Field>
      <Act run={async () => setTests(await run(folder, write))}>Test</Act>
      {tests && <Outcome tests={tests} />}
    </Dialog>
  );
}

function RemoteDialog({ remote, close, run, test }: { remote: Remote | undefined; close: () => void; run: (config: object) => Promise<void>; test: (config: object) => Promise<Test[]> }) {
  const fields = useRef<HTMLDivElement>(null);
  const [tests, setTests] = useState<Test[]>();
  const [type, setType] = useState(remote?.type ?? 's3');
  const shape = types[type] ?? { keys: [], secret: [] };
  const read = (form: FormData) => {
    const config: Record<string, string> = { type };
    for (const key of shape.keys) {
      const value = String(form.get(`key.${key}`) ?? '');
      if (value) config[key] = value;
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
          {Object.keys(types).map((t) => (
            <option key={t}>{t}</option>
          ))}
        </select>
      </Field>
      {shape.keys.map((key) => (
        <Field key={key} label={key}>
          {shape.secret.includes(key) ? <input name={`key.${key}`} type="password" autocomplete="off" /> : <input name={`key.${key}`} autocomplete="off" />}
        </Field>
      ))}
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
