// A log: its end first, earlier lines when one scrolls up, new ones as they come.

import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { useLogLines } from '../loglines';
import { Problem, Windowed } from '../parts';
import { clock } from '../time';
import type { LogLine } from '../types';

const height = 20;

export function Log({ execution, download, onEnd }: { execution: string; download: string | null; onEnd: () => void }) {
  const [typed, setTyped] = useState('');
  const [search, setSearch] = useState('');
  const [bad, setBad] = useState(false);
  const [tail, setTail] = useState(true);
  const [found, setFound] = useState<string>();
  const [none, setNone] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const seen = useRef(0);
  const { log, turn, error } = useLogLines(execution, { level: bad ? 'WARN' : null, search }, onEnd);
  useEffect(() => {
    const wait = setTimeout(() => setSearch(typed.trim()), 300);
    return () => clearTimeout(wait);
  }, [typed]);
  useEffect(() => setTail(true), [search, bad]);
  const lines = log?.lines ?? [];
  const count = lines.length;
  const more = (first: number, last: number) => {
    if (first < 100) void log?.earlier();
    if (last > count - 100) void log?.later();
  };
  // What one reads stays where it is when lines come before it.
  useLayoutEffect(() => {
    const moved = log?.takeMoved() ?? 0;
    seen.current += moved;
    if (moved && box.current) box.current.scrollTop += moved * height;
  }, [turn]);
  // Who has scrolled to an end while lines came sees no scrolling any more.
  useEffect(() => {
    if (box.current && !tail) more(box.current.scrollTop / height, (box.current.scrollTop + box.current.clientHeight) / height);
  }, [turn]);
  useEffect(() => {
    const at = lines.findIndex((l) => l.cursor === found);
    if (at >= 0) box.current?.scrollTo({ top: Math.max(0, at - 3) * height });
  }, [found]);
  const looked = (first: number, last: number, atEnd: boolean) => {
    // Lines that come push the end away; only who scrolls back leaves it.
    if (atEnd && log && (log.live || log.ended)) setTail(true);
    else if (first < seen.current) setTail(false);
    seen.current = first;
    more(first, last);
  };
  const jump = async () => {
    setTail(false);
    const error = await log?.firstError();
    setNone(!error);
    setFound(undefined);
    requestAnimationFrame(() => requestAnimationFrame(() => setFound(error?.cursor)));
  };
  return (
    <div class="log">
      <div class="bar">
        <input type="search" aria-label="Search the log" placeholder="Search" value={typed} onInput={(e) => setTyped(e.currentTarget.value)} />
        <label>
          <input type="checkbox" checked={bad} onChange={(e) => setBad(e.currentTarget.checked)} /> warnings and errors
        </label>
        <label>
          <input
            type="checkbox"
            checked={tail}
            onChange={(e) => {
              setTail(e.currentTarget.checked);
              if (e.currentTarget.checked && log && !log.live && !log.ended) void log.latest();
            }}
          />{' '}
          follow
        </label>
        <button type="button" onClick={jump}>
          First error
        </button>
        {download && <a href={download}>Download</a>}
        <span class="muted" role="status">
          {none ? 'No error. ' : ''}
          {log?.begun ? `${count} ${count === 1 ? 'line' : 'lines'}` : count ? `${count} lines, more above` : ''}
          {log?.live ? ', live' : log && !log.ended && count ? ', more below' : ''}
        </span>
      </div>
      <Problem error={error} />
      {log?.ended && count === 0 ? (
        <p>{search || bad ? 'No line fits.' : 'It wrote no line.'}</p>
      ) : (
        <Windowed
          count={count}
          height={height}
          label="Log lines"
          end={tail}
          box={box}
          looked={looked}
          row={(i) => {
            const l = lines[i];
            return l && <Line line={l} found={l.cursor === found} />;
          }}
        />
      )}
    </div>
  );
}

function Line({ line, found }: { line: LogLine; found: boolean }) {
  const facts = Object.entries(line.attributes ?? {})
    .map(([name, value]) => `${name}=${typeof value === 'string' && !/[\s=]/.test(value) ? value : JSON.stringify(value)}`)
    .join(' ');
  return (
    <span class={`line ${line.level.toLowerCase()} ${found ? 'found' : ''}`} title={`${line.time} ${facts}`}>
      <time dateTime={line.time}>{clock(new Date(line.time))}</time> <b>{line.level}</b> {line.task && <i>{line.task}</i>} {line.message} <small>{facts}</small>
    </span>
  );
}
