// The instances that one can see.

import { useEffect, useState } from 'preact/hooks';
import { ask, each } from '../graphql';
import { Badge, Dialog, Field, Problem, useLoad } from '../parts';
import { to, useTitle } from '../router';
import { badStates, instanceFields, type Instance } from '../types';
import { counted } from '../words';

// How many executions of an instance are looked at, and of how many instances.
const newest = 50;
const most = 200;

// useWrong tells what is wrong with the newest executions of instances, by id.
function useWrong(ids: string[]): Map<string, string> {
  const { data } = useLoad(
    async (signal) => {
      const some = ids.slice(0, most);
      const pages = await each<{ items: { state: string }[] }>(some, `getInstanceJobHistory(instanceId: $, page: {first: ${newest}})`, 'items { state }', signal);
      return new Map(some.map((id, i) => [id, said(pages[i]?.items.map((e) => e.state) ?? [])]));
    },
    [ids.join()],
  );
  return data ?? new Map();
}

function said(states: string[]): string {
  const waiting = states.filter((s) => s === 'AWAITING_APPROVAL').length;
  const bad = states.filter((s) => badStates.includes(s)).length;
  return [waiting && `${waiting} awaiting approval`, bad && `${bad} of the newest ${counted(states.length, 'execution')} did not succeed`].filter(Boolean).join(', ');
}

export function InstancesPage({ arriving }: { arriving: boolean }) {
  const { data, error, reload } = useLoad(
    (signal) => ask<{ getInstances: { items: Instance[] } }>(`{ getInstances(page: {first: 1000}) { items { ${instanceFields} } } }`, {}, signal),
    [],
  );
  useTitle('Instances');
  const [adding, setAdding] = useState(false);
  const items = data?.getInstances.items;
  const wrong = useWrong(items?.map((i) => i.id) ?? []);
  // Who has just come and sees one instance only has nothing to choose.
  useEffect(() => {
    if (arriving && items?.length === 1 && items[0]) location.replace(to('instance', items[0].id));
  }, [items]);
  return (
    <>
      <h1>Instances</h1>
      <Problem error={error} />
      <ul class="cards">
        {items?.map((i) => (
          <li key={i.id}>
            <a href={to('instance', i.id)}>{i.title || i.id}</a> <code>{i.id}</code> {i.pause && <Badge state="PAUSED" />} {wrong.get(i.id) && <strong class="why">{wrong.get(i.id)}</strong>}
            {i.description && <p>{i.description}</p>}
          </li>
        ))}
      </ul>
      {items?.length === 0 && <p>There is none that you can see.</p>}
      <button type="button" onClick={() => setAdding(true)}>
        New instance
      </button>
      {adding && (
        <Dialog
          title="New instance"
          submit="Make it"
          close={() => setAdding(false)}
          run={async (form) => {
            await ask('mutation ($title: String!) { createInstance(title: $title) { id } }', { title: form.get('title') });
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
