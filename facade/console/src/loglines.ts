// A part of a log, of which more is read when one looks at it: however long a
// log is, its end is there at once.

import { useEffect, useRef, useState } from 'preact/hooks';
import { ask, follow } from './graphql';
import type { LogLine } from './types';

// How many lines are read at a time, and how many are kept.
const page = 500;
const most = 20_000;

export interface Filter {
  // The least severe level that is wanted; null for all.
  level: string | null;
  search: string;
}

const fields = 'time level task message attributes cursor';
const query = `query ($id: ID!, $page: Page, $before: Cursor, $last: Int, $level: String, $search: String) {
  getJobLog(jobHistoryId: $id, page: $page, before: $before, last: $last, level: $level, search: $search) { items { ${fields} } hasNextPage }
}`;
const subscription = `subscription ($id: ID!, $cursor: Cursor, $level: String, $search: String) {
  executionLog(executionId: $id, cursor: $cursor, level: $level, search: $search) { ${fields} }
}`;

interface Part {
  items: LogLine[];
  hasNextPage: boolean;
}

// LogLines are lines in a row. Those before and after them are read when they
// are asked for; at the end of the log new ones come by themselves.
export class LogLines {
  lines: LogLine[] = [];
  // Nothing comes before the lines; nothing will come after them.
  begun = false;
  ended = false;
  // The end of the log is here, and followed.
  live = false;
  // How far the rows have moved down since somebody asked.
  private moved = 0;
  private busy = false;
  private stopped = false;
  private stop = () => undefined as void;

  constructor(
    private readonly execution: string,
    private readonly filter: Filter,
    private readonly changed: () => void,
    private readonly failed: (error: unknown) => void,
    private readonly onEnd: () => void,
  ) {}

  close(): void {
    this.stopped = true;
    this.stop();
  }

  // takeMoved is how many rows came before the others since the last call;
  // negative when some went.
  takeMoved(): number {
    const n = this.moved;
    this.moved = 0;
    return n;
  }

  private async read(what: { page?: { first: number; after?: string }; before?: string; last?: number; level?: string }): Promise<Part> {
    return (await ask<{ getJobLog: Part }>(query, { id: this.execution, ...this.filter, ...what })).getJobLog;
  }

  // alone does one thing at a time; what is asked meanwhile is left out.
  private async alone(run: () => Promise<void>): Promise<void> {
    if (this.busy || this.stopped) return;
    this.busy = true;
    try {
      await run();
    } catch (e) {
      if (!this.stopped) this.failed(e);
    }
    this.busy = false;
    if (!this.stopped) this.changed();
  }

  // latest goes to the end of the log.
  latest(): Promise<void> {
    return this.alone(async () => {
      const { items } = await this.read({ last: page });
      this.replace(items, items.length < page);
      this.follow();
    });
  }

  // earlier reads what comes before.
  async earlier(): Promise<void> {
    const first = this.lines[0];
    if (this.begun || !first) return;
    await this.alone(async () => {
      const { items } = await this.read({ before: first.cursor, last: page });
      this.lines = [...items, ...this.lines];
      this.moved += items.length;
      this.begun = items.length < page;
      if (this.lines.length > most) {
        this.lines.length = most;
        this.leave();
      }
    });
  }

  // later reads what comes after, unless it comes by itself.
  async later(): Promise<void> {
    const last = this.lines.at(-1);
    if (this.live || this.ended || !last) return;
    await this.alone(async () => {
      const { items, hasNextPage } = await this.read({ page: { first: page, after: last.cursor } });
      this.append(items);
      if (!hasNextPage) this.follow();
    });
  }

  // firstError goes to the first error and answers it; undefined for none.
  async firstError(): Promise<LogLine | undefined> {
    let found: LogLine | undefined;
    await this.alone(async () => {
      found = (await this.read({ page: { first: 1 }, level: 'ERROR' })).items[0];
      if (!found || this.lines.some((l) => l.cursor === found?.cursor)) return;
      const [before, after] = await Promise.all([this.read({ before: found.cursor, last: page }), this.read({ page: { first: page, after: found.cursor } })]);
      this.leave();
      this.replace([...before.items, found, ...after.items], before.items.length < page);
      if (!after.hasNextPage) this.follow();
    });
    return found;
  }

  private replace(lines: LogLine[], begun: boolean): void {
    this.lines = lines;
    this.begun = begun;
    this.moved = 0;
  }

  private append(lines: LogLine[]): void {
    this.lines.push(...lines);
    const over = this.lines.length - most;
    if (over < page) return; // a few at a time
    this.lines.splice(0, over);
    this.moved -= over;
    this.begun = false;
  }

  private leave(): void {
    this.stop();
    this.live = this.ended = false;
  }

  private follow(): void {
    this.leave();
    if (this.stopped) return;
    this.live = true;
    this.stop = follow<LogLine>({
      query: subscription,
      field: 'executionLog',
      variables: { id: this.execution, ...this.filter },
      from: this.lines.at(-1)?.cursor ?? null,
      next: (line) => {
        this.append([line]);
        this.changed();
      },
      ended: () => {
        this.live = false;
        this.ended = true;
        this.changed();
        this.onEnd();
      },
    });
  }
}

// useLogLines are the lines of an execution's log that a filter chooses. The
// number rises whenever they change.
export function useLogLines(execution: string, { level, search }: Filter, onEnd: () => void): { log: LogLines | undefined; turn: number; error: unknown } {
  const log = useRef<LogLines>(undefined);
  const [turn, draw] = useState(0);
  const [error, setError] = useState<unknown>();
  useEffect(() => {
    let drawing = 0;
    const changed = () => {
      drawing ||= requestAnimationFrame(() => {
        drawing = 0;
        draw((n) => n + 1);
      });
    };
    setError(undefined);
    const lines = (log.current = new LogLines(execution, { level, search }, changed, setError, onEnd));
    void lines.latest();
    return () => {
      cancelAnimationFrame(drawing);
      lines.close();
    };
  }, [execution, level, search]);
  return { log: log.current, turn, error };
}
