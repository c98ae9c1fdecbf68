// Who is signed in. The token lives in memory and in the tab's session storage,
// never in an address.

const key = 'carillon.token';
let token = sessionStorage.getItem(key) ?? '';
const listeners = new Set<() => void>();

export function currentToken(): string {
  return token;
}

// why says why somebody was signed out; empty when they asked for it.
let why = '';

export function signedOutBecause(): string {
  return why;
}

export function setToken(value: string, reason = ''): void {
  token = value;
  why = reason;
  if (value) sessionStorage.setItem(key, value);
  else sessionStorage.removeItem(key);
  listeners.forEach((tell) => tell());
}

export function onSession(tell: () => void): () => void {
  listeners.add(tell);
  return () => listeners.delete(tell);
}

// signIn exchanges a client's credentials for a token.
export async function signIn(clientId: string, clientSecret: string): Promise<void> {
  const answer = await fetch('/oauth2/token', {
    method: 'POST',
    // Else the browser asks for a name and a password by itself when they are refused.
    credentials: 'omit',
    body: new URLSearchParams({ grant_type: 'client_credentials', client_id: clientId, client_secret: clientSecret }),
  });
  const body = (await answer.json()) as { access_token?: string; error_description?: string; error?: string };
  if (!answer.ok || !body.access_token) throw new Error(body.error_description ?? body.error ?? `the service answered ${answer.status}`);
  setToken(body.access_token);
}
