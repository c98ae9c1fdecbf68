// The way back, by names; and what is shown until a page has something.

import { useEffect, useState } from 'preact/hooks';
import { ask } from '../graphql';
import { Problem } from '../parts';
import { to } from '../router';
import { onSession } from '../session';

const titles = new Map<string, string>();
onSession(() => titles.clear());

// useInstanceTitle is an instance's title; its id while or where that is unknown.
function useInstanceTitle(id: string): string {
  const [, draw] = useState(0);
  useEffect(() => {
    if (!id || titles.has(id)) return;
    ask<{ getInstance: { title: string } }>('query ($id: ID!) { getInstance(instanceId: $id) { title } }', { id }).then(
      ({ getInstance }) => {
        titles.set(id, getInstance.title || id);
        draw((n) => n + 1);
      },
      () => undefined,
    );
  }, [id]);
  return titles.get(id) ?? id;
}

export function Crumbs({ instance, job }: { instance?: string; job?: { id: string; name: string | null } | undefined }) {
  const title = useInstanceTitle(instance ?? '');
  return (
    <nav class="crumbs" aria-label="Where this is">
      <a href={to('instances')}>Instances</a>
      {instance && (
        <>
          {' / '}
          <a href={to('instance', instance)}>{title}</a>
        </>
      )}
      {job && (
        <>
          {' / '}
          <a href={to('job', job.id)}>{job.name || job.id}</a>
        </>
      )}
    </nav>
  );
}

// Waiting stands for a page that has nothing to show yet, or can't have it.
export function Waiting({ error }: { error: unknown }) {
  return (
    <>
      <Crumbs />
      {error ? (
        <>
          <h1>Not here</h1>
          <Problem error={error} />
        </>
      ) : (
        <p class="muted">Loading …</p>
      )}
    </>
  );
}
