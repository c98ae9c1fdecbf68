// The instances that one can see.

import { useEffect, useState } from 'preact/hooks';
import { ask } from '../graphql';
import { Badge, Dialog, Field, Problem, useLoad } from '../parts';
import { to, useTitle } from '../router';
import { instanceFields, type Instance } from '../types';

export function InstancesPage({ arriving }: { arriving: boolean }) {
  const { data, error, reload } = useLoad(
    (signal) => ask<{ getInstances: { items: Instance[] } }>(`{ getInstances(page: {first: 1000}) { items { ${instanceFields} } } }`, {}, signal),
    [],
  );
  useTitle('Instances');
  const [adding, setAdding] = useState(false);
  const items = data?.getInstances.items;
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
            <a href={to('instance', i.id)}>{i.title || i.id}</a> <code>{i.id}</code> {i.pause && <Badge state="PAUSED" />}
            <p>{i.description}</p>
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
