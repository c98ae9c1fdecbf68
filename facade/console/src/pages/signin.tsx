// Signing in, with a client's credentials or with a token.

import { useState } from 'preact/hooks';
import { Field, Problem } from '../parts';
import { setToken, signedOutBecause, signIn } from '../session';

export function SignIn() {
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const send = async (event: SubmitEvent) => {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    const token = String(form.get('token')).trim();
    setBusy(true);
    try {
      if (token) setToken(token.replace(/^Bearer /i, ''));
      else await signIn(String(form.get('id')).trim(), String(form.get('secret')).trim());
    } catch (e) {
      setError(e);
      setBusy(false);
    }
  };
  return (
    <form class="narrow" onSubmit={send} autocomplete="off">
      <h1>Sign in</h1>
      <p>As a client of the service:</p>
      <Field label="Client">
        <input name="id" placeholder="client_3" autocomplete="username" />
      </Field>
      <Field label="Secret">
        <input name="secret" type="password" autocomplete="current-password" />
      </Field>
      <p>Or with a token:</p>
      <Field label="Token" hint="On the server's machine: carillon token --scope operator. It is kept in this tab only.">
        <input name="token" type="password" autocomplete="off" />
      </Field>
      <Problem error={error ?? signedOutBecause()} />
      <button type="submit" class="primary" disabled={busy}>
        Sign in
      </button>
    </form>
  );
}
