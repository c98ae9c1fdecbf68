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

interface Answer<T> {
  data?: T;
  errors?: WireError[];
  status: number;
}

// post sends an operation. A token that is no longer valid signs out.
async function post<T>(query: string, variables: Variables, signal?: AbortSignal): Promise<Answer<T>> {
  const answer = await fetch('/graphql', {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${currentToken()}` },
    body: JSON.stringify({ query, variables }),
    signal: signal ?? null,
  }).catch((e: unknown) => {
    if (signal?.aborted) throw e;
    throw new Refusal('The service does not answer. Try again in a moment.', 'UNAVAILABLE', '', []);
  });
  if (answer.status === 401) setToken('', 'The service does not accept the token: it is wrong, or it has ended.');
  // What stands in front of the service may answer something else.
  const body = (await answer.json().catch(() => ({}))) as Omit<Answer<T>, 'status'>;
  return { ...body, status: answer.status };
}

// ask makes a query or a mutation.
export async function ask<T>(query: string, variables: Variables = {}, signal?: AbortSignal): Promise<T> {
  const { data, errors, status } = await post<T>(query, variables, signal);
  if (errors?.[0]) throw refusal(errors[0]);
  if (!data) throw new Refusal(`The service answered ${status}. Try again in a moment.`, 'UNKNOWN', '', []);
  return data;
}

// The service takes so many fields at the root of a request.
const atOnce = 20;

// each asks the same of several objects: field is such as getJob(jobId: $), with
// $ for the id, and fields what is wanted of it. One that is gone is null.
export async function each<T>(ids: string[], field: string, fields: string, signal?: AbortSignal): Promise<(T | null)[]> {
  const all: (T | null)[] = [];
  for (let from = 0; from < ids.length; from += atOnce) {
    const some = ids.slice(from, from + atOnce);
    const asked = some.map((_, i) => `o${i}: ${field.replace('$', `$o${i}`)} { ${fields} }`);
    const { data } = await post<Record<string, T | null>>(`query (${some.map((_, i) => `$o${i}: ID!`).join(' ')}) { ${asked.join(' ')} }`, Object.fromEntries(some.map((id, i) => [`o${i}`, id])), signal);
    all.push(...some.map((_, i) => data?.[`o${i}`] ?? null));
  }
  return all;
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
