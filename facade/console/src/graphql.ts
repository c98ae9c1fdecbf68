// The GraphQL door: the same surface that every client has.

import { createClient, type Client } from 'graphql-ws';
import { currentToken, onSession, setToken } from './session';

export interface Violation {
  field: string;
  reason: string;
  description: string;
}

// Refusal is what the service says no with.
export class Refusal extends Error {
  constructor(
    message: string,
    readonly code: string,
    readonly reason: string,
    readonly violations: Violation[],
  ) {
    super(message);
  }
}

interface WireError {
  message: string;
  extensions?: { code?: string; reason?: string; fieldViolations?: Violation[] };
}

function refusal(error: WireError): Refusal {
  const x = error.extensions ?? {};
  return new Refusal(error.message, x.code ?? 'UNKNOWN', x.reason ?? '', x.fieldViolations ?? []);
}

export type Variables = Record<string, unknown>;

// ask makes a query or a mutation. A token that is no longer valid signs out.
export async function ask<T>(query: string, variables: Variables = {}, signal?: AbortSignal): Promise<T> {
  const answer = await fetch('/graphql', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${currentToken()}` },
    body: JSON.stringify({ query, variables }),
    signal: signal ?? null,
  });
  if (answer.status === 401) setToken('', 'The service does not accept the token: it is wrong, or it has ended.');
  const body = (await answer.json()) as { data?: T; errors?: WireError[] };
  const first = body.errors?.[0];
  if (first) throw refusal(first);
  if (!body.data) throw new Refusal(`the service answered ${answer.status}`, 'UNKNOWN', '', []);
  return body.data;
}

let socket: Client | undefined;
const watching = new Set<(connected: boolean) => void>();
onSession(() => {
  void socket?.dispose();
  socket = undefined;
});

function connection(): Client {
  socket ??= createClient({
    url: location.origin.replace(/^http/, 'ws') + '/graphql',
    connectionParams: () => ({ Authorization: `Bearer ${currentToken()}` }),
    lazy: true,
    retryAttempts: 0, // follow resumes by its own cursor
    on: {
      connected: () => watching.forEach((tell) => tell(true)),
      closed: () => watching.forEach((tell) => tell(false)),
    },
  });
  return socket;
}

export interface Followed<T> {
  query: string;
  // The subscription's field.
  field: string;
  variables: Variables;
  // The cursor to begin after.
  from?: string | null;
  next: (item: T) => void;
  // Called when the service says that there is no more. Without it an end is
  // taken for an interruption.
  ended?: () => void;
  // Told whether it is connected.
  connected?: (yes: boolean) => void;
}

// follow subscribes until it is stopped, and goes on after the last cursor when
// the connection breaks.
export function follow<T extends { cursor: string }>({ query, field, variables, from = null, next, ended, connected = () => undefined }: Followed<T>): () => void {
  let cursor: string | null = from;
  let wait = 250;
  let stopped = false;
  let unsubscribe = () => undefined as void;
  let timer = 0;
  const begin = () => {
    const again = () => {
      if (stopped) return;
      timer = window.setTimeout(begin, wait);
      wait = Math.min(wait * 2, 15_000);
    };
    unsubscribe = connection().subscribe<Record<string, T>>(
      { query, variables: { ...variables, cursor } },
      {
        next: ({ data }) => {
          const item = data?.[field];
          if (!item) return;
          wait = 250;
          cursor = item.cursor;
          next(item);
        },
        error: again,
        complete: () => {
          if (stopped) return;
          if (ended) ended();
          else again();
        },
      },
    );
  };
  watching.add(connected);
  begin();
  return () => {
    watching.delete(connected);
    stopped = true;
    clearTimeout(timer);
    unsubscribe();
  };
}
