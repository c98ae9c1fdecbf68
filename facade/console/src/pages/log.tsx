// A log that is followed while it grows. Only the lines in view are drawn, so
// that one of many megabytes stays quick.

import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { follow } from '../graphql';
import { Windowed } from '../parts';
import type { LogLine } from '../types';

const query = `subscription ($id: ID!, $cursor: Cursor) {
  executionLog(executionId: $id, cursor: $cursor) { time level task message attributes cursor }
}`;

export function Log({ execution, download, onEnd }: { execution: string; download: string | null; onEnd: () => void }) {
  const lines = useRef<LogLine[]>([]);
  const [count, setCount] = useState(0);
  const [ended, setEnded] = useState(false);
  const [search, setSearch] = useState('');
  const [bad, setBad] = useState(false);
  const [tail, setTail] = useState(true);
  useEffect(() => {
    lines.current = [];
    let drawing = 0;
    const draw = () => {
      drawing ||= requestAnimationFrame(() => {
        drawing = 0;
        setCount(lines.current.length);
      });
    };
    const stop = follow<LogLine>({
      query,
      field: 'executionLog',
      variables: { id: execution },
      next: (line) => {
        lines.current.push(line);
        draw();
      },
      ended: () => {
        draw();
        setEnded(true);
        onEnd();
      },
    });
    return () => {
      cancelAnimationFrame(drawing);
      stop();
    };
  }, [execution]);
  const shown = useMemo(() => {
    const words = search.toLowerCase();
    if (!words && !bad) return lines.current;
    return lines.current.filter(
      (l) => (!bad || l.level === 'ERROR' || l.level === 'WARN') && (!words || `${l.message} ${l.task ?? ''} ${l.attributes ? JSON.stringify(l.attributes) : ''}`.toLowerCase().includes(words)),
    );
  }, [count, search, bad]);
  const firstError = useMemo(() => shown.findIndex((l) => l.level === 'ERROR'), [shown, count]);
  const jump = () => {
    setTail(false);
    document.querySelector('.log .windowed')?.scrollTo({ top: firstError * 20 });
  };
  return (
    <div class="log">
      <div class="bar">
        <input type="search" aria-label="Search the log" placeholder="Search" value={search} onInput={(e) => setSearch(e.currentTarget.value)} />
        <label>
          <input type="checkbox" checked={bad} onChange={(e) => setBad(e.currentTarget.checked)} /> warnings and errors
        </label>
        <label>
          <input type="checkbox" checked={tail} onChange={(e) => setTail(e.currentTarget.checked)} /> follow
        </label>
        <button type="button" disabled={firstError < 0} onClick={jump}>
          First error
        </button>
        {download && <a href={download}>Download</a>}
        <span class="muted" role="status">
          {shown.length} of {count} lines{ended ? '' : ', live'}
        </span>
      </div>
      {ended && count === 0 ? (
        <p>It wrote no line.</p>
      ) : (
        <Windowed
          count={shown.length}
          height={20}
          label="Log lines"
          end={tail}
          row={(i) => {
            const l = shown[i];
            return l && <Line line={l} />;
          }}
        />
      )}
    </div>
  );
}

function Line({ line }: { line: LogLine }) {
  const facts = line.attributes && Object.keys(line.attributes).length > 0 ? JSON.stringify(line.attributes) : '';
  return (
    <span class={`line ${line.level.toLowerCase()}`} title={`${line.time} ${facts}`}>
      <time dateTime={line.time}>{line.time.slice(11, 23)}</time> <b>{line.level}</b> {line.task && <i>{line.task}</i>} {line.message} <small>{facts}</small>
    </span>
  );
}
