// The console: one page for the person on call.

import { render } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ConfigPage } from './pages/config';
import { ExecutionPage } from './pages/execution';
import { InstancePage } from './pages/instance';
import { InstancesPage } from './pages/instances';
import { JobPage } from './pages/job';
import { JobForm } from './pages/jobform';
import { NoticesPage } from './pages/notices';
import { SignIn } from './pages/signin';
import { to, useRoute } from './router';
import { currentToken, onSession, setToken } from './session';
import { ownZone, setUTC, zone } from './time';

function Page({ route }: { route: string[] }) {
  const [kind, id = '', action] = route;
  switch (kind) {
    case 'instance':
      if (action === 'new') return <JobForm key="new" instance={id} />;
      if (action === 'notices') return <NoticesPage key={id} instance={id} />;
      if (action === 'config') return <ConfigPage key={id} instance={id} />;
      return <InstancePage key={id} id={id} />;
    case 'job':
      if (action === 'edit') return <JobForm key={id} job={id} />;
      return <JobPage key={id} id={id} />;
    case 'execution':
      return <ExecutionPage key={id} id={id} />;
    default:
      return <InstancesPage arriving={!kind} />;
  }
}

function Console() {
  const route = useRoute();
  const [, draw] = useState(0);
  const [signedIn, setSignedIn] = useState(currentToken() !== '');
  useEffect(() => onSession(() => setSignedIn(currentToken() !== '')), []);
  useEffect(() => {
    document.querySelector('main')?.focus();
    scrollTo(0, 0);
  }, [route.join('/')]);
  return (
    <>
      <header>
        <a href={to()} class="brand">
          Carillon
        </a>
        <nav aria-label="Service">
          <a href="/graphql">GraphQL</a> <a href="/openapi.json">REST</a>
        </nav>
        <label class="zone">
          <span class="hidden">Times are shown in</span>
          <select value={zone()} onChange={(e) => (setUTC(e.currentTarget.value === 'UTC'), draw((n) => n + 1))}>
            {[...new Set([ownZone, 'UTC'])].map((z) => (
              <option key={z}>{z}</option>
            ))}
          </select>
        </label>
        {signedIn && (
          <button type="button" onClick={() => setToken('')}>
            Sign out
          </button>
        )}
      </header>
      <main tabIndex={-1}>{signedIn ? <Page route={route} /> : <SignIn />}</main>
    </>
  );
}

const root = document.getElementById('app');
if (root) {
  root.textContent = '';
  render(<Console />, root);
}
