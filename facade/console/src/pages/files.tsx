// What became of single files, read further as one scrolls.

import { useEffect, useRef, useState } from 'preact/hooks';
import { ask } from '../graphql';
import { Problem, Windowed } from '../parts';
import { size } from '../types';
import { counted } from '../words';

interface FileRecord {
  action: string;
  state: string;
  path: string;
  size: string;
  remote: string;
  reason: string;
  message: string;
}

interface Page {
  items: FileRecord[];
  cursor: string | null;
  hasNextPage: boolean;
}

const query = `query ($id: ID!, $action: FileAction, $state: FileState, $prefix: String, $page: Page) {
  getExecutionFiles(jobHistoryId: $id, action: $action, state: $state, pathPrefix: $prefix, page: $page) {
    cursor hasNextPage items { action state path size remote reason message }
  }
}`;

export function Files({ execution }: { execution: string }) {
  const [action, setAction] = useState('');
  const [state, setState] = useState('');
  const [prefix, setPrefix] = useState('');
  const [files, setFiles] = useState<FileRecord[]>();
  const [more, setMore] = useState(false);
  const [error, setError] = useState<unknown>();
  const next = useRef<(() => void) | undefined>(undefined);
  useEffect(() => {
    const control = new AbortController();
    const read = (cursor: string | null) => {
      next.current = undefined;
      const page = cursor ? { first: 1000, after: cursor } : { first: 1000 };
      ask<{ getExecutionFiles: Page }>(query, { id: execution, action: action || null, state: state || null, prefix: prefix || null, page }, control.signal).then(
        ({ getExecutionFiles: p }) => {
          setFiles((have) => (cursor ? [...(have ?? []), ...p.items] : p.items));
          setMore(p.hasNextPage);
          if (p.hasNextPage) next.current = () => read(p.cursor);
        },
        (e: unknown) => !control.signal.aborted && setError(e),
      );
    };
    read(null);
    return () => control.abort();
  }, [execution, action, state, prefix]);
  const count = files?.length ?? 0;
  // Nothing is recorded, whatever one chooses.
  if (files && !count && !action && !state && !prefix) return null;
  return (
    <section class="files">
      <h2>Files</h2>
      <div class="bar">
        <input type="search" aria-label="Path begins with" placeholder="Path begins with" value={prefix} onChange={(e) => setPrefix(e.currentTarget.value)} />
        <Select label="Action" value={action} of={['COPY', 'UPDATE', 'DELETE', 'CONFLICT']} set={setAction} />
        <Select label="State" value={state} of={['DONE', 'FAILED', 'SKIPPED', 'PLANNED', 'UNKNOWN']} set={setState} />
        <span class="muted" role="status">
          {more ? `${count}+ files` : counted(count, 'file')}
        </span>
        {more && (
          <button type="button" onClick={() => next.current?.()}>
            More
          </button>
        )}
      </div>
      <Problem error={error} />
      {files && count > 0 && (
        <Windowed
          count={count}
          height={28}
          label="Files"
          row={(i) => {
            const f = files[i];
            return (
              f && (
                <span class={`line ${f.state === 'FAILED' ? 'error' : ''}`} title={`${f.remote} ${f.message}`}>
                  <b>
                    {f.action.toLowerCase()} {f.state.toLowerCase()}
                  </b>{' '}
                  {f.path} <small>{f.size === '-1' ? '' : size(f.size)}</small> {f.reason}
                </span>
              )
            );
          }}
        />
      )}
    </section>
  );
}

function Select({ label, value, of, set }: { label: string; value: string; of: string[]; set: (value: string) => void }) {
  return (
    <select aria-label={label} value={value} onChange={(e) => set(e.currentTarget.value)}>
      <option value="">{label}: all</option>
      {of.map((v) => (
        <option key={v} value={v}>
          {v.toLowerCase()}
        </option>
      ))}
    </select>
  );
}
