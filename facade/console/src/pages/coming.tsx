// The next times of a job, each of which can be left out or moved.

import { useState } from 'preact/hooks';
import { ask } from '../graphql';
import { Act, Badge, Dialog, Field } from '../parts';
import { fromInput, moment, toInput, until, useNow, zone } from '../time';
import type { Occurrence, Warning } from '../types';

// How many are shown at first.
const few = 3;

export function Coming({ job, items, warnings, reload }: { job: string; items: Occurrence[]; warnings: Warning[]; reload: () => void }) {
  const now = useNow();
  const [moving, setMoving] = useState<Occurrence>();
  const [all, setAll] = useState(false);
  const change = (mutation: string, o: Occurrence) => async () => {
    await ask(`mutation ($job: ID!, $at: Date!) { ${mutation}(jobId: $job, scheduledFor: $at) { outcome } }`, { job, at: o.scheduledFor });
    reload();
  };
  const coming = items.filter((o) => Date.parse(o.movedTo ?? o.until ?? o.scheduledFor) > now);
  return (
    <section>
      <h2>Next times</h2>
      {warnings.length > 0 && (
        <div class="notice">
          {warnings.map((w) => (
            <p key={w.code + w.message}>{w.message}</p>
          ))}
        </div>
      )}
      {coming.length === 0 && <p>None.</p>}
      <ul class="rows">
        {coming.slice(0, all ? coming.length : few).map((o) => {
          const changed = o.movedTo !== null || o.reason === 'SKIPPED_BY_CALLER';
          return (
            <li key={o.scheduledFor} class="coming">
              <span>
                <time dateTime={o.scheduledFor}>{moment(o.scheduledFor)}</time> <small>{until(o.scheduledFor, now)}</small>
              </span>
              <span>
                {o.movedTo ? <>moved to {moment(o.movedTo)}</> : o.outcome === 'PENDING' ? '' : <Badge state={o.outcome} />} {o.reason && o.reason !== 'SKIPPED_BY_CALLER' && o.reason.toLowerCase().replaceAll('_', ' ')}
              </span>
              <span class="actions">
                {changed ? (
                  <Act run={change('restoreOccurrence', o)}>Restore</Act>
                ) : (
                  <>
                    <Act run={change('skipOccurrence', o)}>Skip</Act>
                    <button type="button" onClick={() => setMoving(o)}>
                      Move
                    </button>
                  </>
                )}
              </span>
            </li>
          );
        })}
      </ul>
      {!all && coming.length > few && (
        <button type="button" onClick={() => setAll(true)}>
          {coming.length - few} more
        </button>
      )}
      {moving && (
        <Dialog
          title="Move one occurrence"
          submit="Move"
          close={() => setMoving(undefined)}
          run={async (form) => {
            await ask('mutation ($id: ID!, $at: Date!, $to: Date!) { moveOccurrence(jobId: $id, scheduledFor: $at, moveTo: $to) { outcome } }', {
              id: job,
              at: moving.scheduledFor,
              to: fromInput(String(form.get('to'))),
            });
            reload();
          }}
        >
          <p>Due {moment(moving.scheduledFor)}.</p>
          <Field label="Start at" hint={`In ${zone()}.`}>
            <input name="to" type="datetime-local" step="1" required defaultValue={toInput(moving.scheduledFor)} />
          </Field>
        </Dialog>
      )}
    </section>
  );
}
