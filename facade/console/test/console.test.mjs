// Drives the console in headless Chromium against a running server. It needs
// CARILLON (the program) and CHROMIUM (default /usr/bin/chromium). Screenshots
// go to test/out, which is not committed.
import assert from 'node:assert/strict';
import { spawn, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';

const program = process.env.CARILLON;
const axe = readFileSync(new URL('../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');
const out = new URL('./out/', import.meta.url).pathname;

// patience is how long anything may take, in milliseconds: a busy machine fails no
// test.
const patience = 300_000;

let server, browser, base, grpc, token, dir;

before(async () => {
  assert.ok(program, 'CARILLON must name the program');
  mkdirSync(out, { recursive: true });
  dir = mkdtempSync(join(tmpdir(), 'console-'));
  const data = join(dir, 'data');
  server = spawn(program, ['serve', '--demo', '--data-dir', data, '--local-remote-root', join(data, 'remotes'), '--grpc-addr', '127.0.0.1:0', '--http-addr', '127.0.0.1:0', '--admin-addr', '127.0.0.1:0', '--egress-allow', '127.0.0.0/8'], { stdio: 'ignore' });
  const file = join(data, 'addresses.json');
  for (let i = 0; i < 3000 && !existsSync(file); i++) await sleep(100);
  const addresses = JSON.parse(readFileSync(file, 'utf8'));
  base = `http://${addresses.http}/`;
  grpc = addresses.grpc;
  token = execFileSync(program, ['token', '--data-dir', data, '--scope', 'operator']).toString().trim();
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    timeout: patience,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
});

after(async () => {
  await browser?.close();
  if (server) {
    const ended = new Promise((done) => server.once('exit', done));
    server.kill('SIGTERM');
    await ended;
  }
  rmSync(dir, { recursive: true, force: true });
});

// carillon runs a command of the program, as the operator.
function carillon(args, input = '') {
  const env = { ...process.env, CARILLON_TOKEN: token, CARILLON_API_ADDR: grpc };
  return execFileSync(program, args, { env, input, stdio: ['pipe', 'pipe', 'ignore'], maxBuffer: 1 << 28 }).toString();
}

// visit opens the console; what the browser complains about fails the test.
async function visit(t, options = {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(patience);
  const page = await context.newPage();
  const complaints = [];
  page.on('pageerror', (e) => complaints.push(String(e)));
  page.on('console', (m) => m.type() === 'error' && !/status of (400|401|404)/.test(m.text()) && complaints.push(m.text()));
  page.on('request', (r) => !r.url().startsWith(base) && !r.url().startsWith('data:') && !r.url().startsWith(base.replace('http', 'ws')) && complaints.push(`asked ${r.url()}`));
  t.after(async () => {
    await context.close();
    assert.deepEqual(complaints, []);
  });
  await page.goto(base);
  return page;
}

async function signedIn(t, options) {
  const page = await visit(t, options);
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Demo' }).waitFor();
  return page;
}

async function accessible(page, name) {
  await page.screenshot({ path: join(out, `${name}.png`), fullPage: true });
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  assert.deepEqual(
    violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(' ')}`),
    [],
    name,
  );
}

for (const [look, options] of Object.entries({
  light: { colorScheme: 'light' },
  dark: { colorScheme: 'dark' },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: 'light' },
})) {
  test(`the demo's execution and its log, ${look}`, async (t) => {
    const page = await visit(t, options);
    await accessible(page, `${look}-signin`);
    await page.getByLabel('Token').fill(token);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('link', { name: 'Mirror a folder' }).waitFor();
    await accessible(page, `${look}-instance`);
    await page.getByRole('link', { name: 'Mirror a folder' }).click();
    await page.getByText(/Runs every minute/).waitFor();
    await page.getByRole('link', { name: /^exec_/ }).first().waitFor();
    await accessible(page, `${look}-job`);
    await page.getByRole('link', { name: /^exec_/ }).last().click();
    await page.getByText('sync ends').first().waitFor();
    await page.getByRole('status').getByText('succeeded').waitFor();
    await accessible(page, `${look}-execution`);
    const width = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(width[0] <= width[1], `the page is ${width[0]} wide on a screen of ${width[1]}`);
    assert.ok(!page.url().includes(token.slice(0, 20)), 'the token is in the address');
  });
}

test('who may not sign in is told why, without a question by the browser', async (t) => {
  const page = await visit(t);
  await page.getByLabel('Client').fill('client_99');
  await page.getByLabel('Secret').fill('wrong');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').waitFor();
  await accessible(page, 'signin-refused');
});

test('names lead back, also from what is not there; times are in the zone that is chosen', async (t) => {
  const page = await signedIn(t, { timezoneId: 'America/St_Johns' });
  // One instance only: who asks for the list gets it all the same.
  await page.getByRole('link', { name: 'Instances' }).click();
  await page.getByRole('heading', { name: 'Instances' }).waitFor();
  await page.getByRole('link', { name: 'Demo' }).click();
  await page.getByRole('link', { name: 'Mirror a folder' }).click();
  await page.getByRole('link', { name: /^exec_/ }).last().click();
  const line = page.locator('.log .line').first();
  await line.waitFor();
  const exact = await line.locator('time').getAttribute('datetime');
  const shown = await line.locator('time').innerText();
  assert.notEqual(shown.slice(0, 5), exact.slice(11, 16), 'St John\'s is never at UTC');
  await page.getByLabel('Times are shown in').selectOption('UTC');
  assert.equal((await line.locator('time').innerText()).slice(0, 8), exact.slice(11, 19));
  await page.getByRole('navigation', { name: 'Where this is' }).getByRole('link', { name: 'Mirror a folder' }).click();
  await page.getByRole('heading', { name: 'Mirror a folder' }).waitFor();
  await page.goto(`${base}#/execution/exec_999999`);
  await page.getByText(/exec_999999.* not found/).waitFor();
  await accessible(page, 'not-here');
  await page.getByRole('link', { name: 'Instances' }).click();
  await page.getByRole('heading', { name: 'Instances' }).waitFor();
});

test('a job by the form: refused at the field, made, run, broken, seen', async (t) => {
  const page = await signedIn(t);
  await page.getByRole('link', { name: 'New job' }).click();
  await page.getByLabel('Name', { exact: true }).fill('Mine');
  await page.getByLabel('Schedule', { exact: true }).selectOption('by cron');
  await page.getByLabel('Cron expression').fill('61 * * * *');
  await page.getByText(/minute field: "61" is out of range/).first().waitFor();
  await accessible(page, 'form-refused');
  await page.getByLabel('Cron expression').fill('0 0 1 1 *');
  await page.getByText('The service would take it').waitFor();
  await page.getByLabel('Type', { exact: true }).selectOption('util.noop');
  await page.getByText('The service would take it').waitFor();
  // What a sync needs is there to choose.
  await page.getByRole('button', { name: 'Add a task' }).click();
  await page.getByLabel('Type', { exact: true }).last().selectOption('sync.files');
  assert.equal(await page.getByLabel('resourceId').inputValue(), 'res_1');
  await page.getByText('res_1 has: disk').waitFor();
  await page.getByLabel('wait').check();
  await page.getByText(/workflow.tasks\[1\]/).waitFor({ state: 'detached' });
  await accessible(page, 'form-sync');
  await page.getByRole('button', { name: 'Remove the task' }).last().click();
  await page.getByText('The service would take it').waitFor();
  await page.getByRole('button', { name: 'Make it' }).click();
  await page.getByRole('heading', { name: 'Mine' }).waitFor();
  await page.getByRole('button', { name: 'Run now' }).click();
  await page.getByRole('status').getByText('succeeded').waitFor();

  await page.getByRole('link', { name: 'Mine' }).click();
  await page.getByRole('link', { name: 'Edit' }).click();
  await page.getByLabel('as JSON').check();
  const text = page.getByLabel('The job as JSON');
  const job = JSON.parse(await text.inputValue());
  job.workflow = { tasks: [{ name: 'call', type: 'http.request', args: { url: 'http://127.0.0.1:1/' } }, { name: 'then', type: 'util.noop', inputs: ['call'] }] };
  await text.fill(JSON.stringify(job));
  await page.getByText('The service would take it').waitFor();
  await accessible(page, 'form-json');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('button', { name: 'Run now' }).click();
  await page.getByRole('status').getByText('failed').waitFor();
  await page.getByRole('img', { name: /call failed, then skipped/ }).waitFor();
  await accessible(page, 'execution-failed');

  await page.getByRole('link', { name: 'Demo', exact: true }).click();
  await page.getByText('1 job needs attention').waitFor();
  await accessible(page, 'instance-attention');
  await page.getByRole('link', { name: 'Instances' }).click();
  await page.getByText(/^1 of the newest \d+ executions did not succeed$/).waitFor();
  await accessible(page, 'instances-attention');
});

test('pause with a reason, skip and restore an occurrence, backfill with a count', async (t) => {
  const page = await signedIn(t);
  await page.getByRole('link', { name: 'Mirror a folder' }).click();
  await page.getByRole('button', { name: 'Skip' }).last().click(); // the next ones may begin meanwhile
  await page.getByRole('button', { name: 'Restore' }).click();
  await page.getByRole('button', { name: 'Restore' }).waitFor({ state: 'detached' });
  await page.getByRole('button', { name: 'Pause' }).click();
  await accessible(page, 'dialog');
  await page.getByLabel('Reason').fill('because');
  await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).click();
  await page.getByText(/by operator: because/).waitFor();
  await page.getByRole('button', { name: 'Resume' }).click();
  await page.getByRole('button', { name: 'Pause' }).waitFor();

  carillon(['job', 'create', '--instance', 'inst_1', '--name', 'Every minute', '--cron', '* * * * *', '--active=false', '-f', '-'], '{"workflow": {"tasks": [{"name": "a", "type": "util.noop"}]}}');
  await page.getByRole('link', { name: 'Demo', exact: true }).click();
  await page.getByRole('link', { name: 'Every minute' }).click();
  await page.getByRole('button', { name: 'Backfill' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('From').fill('2026-11-01T00:00');
  await dialog.getByLabel('To').fill('2026-11-01T01:00');
  await dialog.getByText('60 occurrences would run').waitFor();
});

test('a failure among thousands of other executions; a backfill is followed, counted and ended', async (t) => {
  const make = (job) => JSON.parse(carillon(['job', 'create', '--instance', 'inst_1', '-f', '-', '-o', 'json'], JSON.stringify(job))).id;
  const noop = { tasks: [{ name: 'a', type: 'util.noop' }] };
  const broken = make({ name: 'Broken once', frequencyType: 'MANUAL', labels: { team: 'survey' }, workflow: { tasks: [{ name: 'call', type: 'http.request', args: { url: 'http://127.0.0.1:1/' } }] } });
  const busy = make({ name: 'Busy', frequencyType: 'CRON_BASED', cronExpression: '*/2 * * * *', active: false, workflow: noop });
  const slow = make({ name: 'Slow', frequencyType: 'CRON_BASED', cronExpression: '0 12 * * *', active: false, workflow: { tasks: [{ name: 'a', type: 'util.sleep', args: { duration: '1h' } }] } });
  const run = JSON.parse(carillon(['job', 'run', broken, '-o', 'json'])).id;
  try {
    carillon(['execution', 'wait', run]);
  } catch (e) {
    assert.equal(e.status, 1, 'it failed, as it should');
  }
  const backfill = JSON.parse(carillon(['job', 'backfill', busy, '--from', '2026-10-01T00:00:00Z', '--to', '2026-10-03T00:00:00Z', '--concurrency', '50', '-o', 'json']));
  assert.equal(backfill.total, 1440);
  const page = await signedIn(t);
  await page.goto(`${base}#/job/${busy}`);
  await page.getByText('Every 2 minutes ·').waitFor();
  await page.getByText('1440 succeeded, 0 did not').waitFor();
  await page.getByRole('button', { name: 'Older' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.timeline li').length === 250);

  await page.goto(`${base}#/instance/inst_1`);
  await page.getByRole('link', { name: /failed: .*connection refused/ }).first().waitFor();
  await page.getByRole('button', { name: 'team=survey' }).click();
  await page.getByText('1 job needs attention').waitFor();
  assert.deepEqual(await page.locator('.job .name > a').allInnerTexts(), ['Broken once']);
  await accessible(page, 'instance-labels');
  await page.getByRole('link', { name: /failed: .*connection refused/ }).click();
  await page.getByRole('heading', { name: run }).waitFor();

  await page.goto(`${base}#/job/${slow}`);
  await page.getByRole('button', { name: 'Backfill' }).click();
  await page.getByLabel('From').fill('2026-01-01T00:00');
  await page.getByLabel('To').fill('2026-01-11T00:00');
  await page.getByText('10 occurrences would run').waitFor();
  await page.getByRole('button', { name: 'Run them' }).click();
  await page.getByText(/1 of 10 begun/).waitFor();
  // Whoever opens the page later sees it, too.
  await page.reload();
  await page.getByText(/1 of 10 begun/).waitFor();
  await accessible(page, 'backfill');
  await page.getByRole('button', { name: 'Cancel the backfill' }).click();
  await page.getByRole('status').getByText('cancelled').waitFor();
});

test('a job keeps everything that an edit does not touch', async (t) => {
  const before = {
    name: 'Rich', description: 'all of it', frequencyType: 'CRON_BASED', cronExpression: '30 2 * * *', timeZone: 'Europe/Berlin', labels: { team: 'survey', env: 'prod' },
    overlapPolicy: 'BUFFER_ALL', catchUpPolicy: 'ALL', catchUpWindow: '3600s', retryPolicy: { retryCount: 2, minBackoff: '5s', maxBackoff: '60s', maxDoublings: 3 }, dstGapPolicy: 'SKIP', dstOverlapPolicy: 'BOTH',
    endTime: '2036-01-01T00:00:00Z', jitter: '30s', excludedDates: ['2026-12-25'], maxExecutions: 1000, executionTimeLimit: '600s', pauseAfterFailures: 3, priority: 5, workflow: { tasks: [{ name: 'a', type: 'util.noop' }] },
  };
  const read = (id) => {
    const { etag, updatedAt, nextRun, ...rest } = JSON.parse(carillon(['job', 'get', id, '-o', 'json']));
    return rest;
  };
  const { id } = JSON.parse(carillon(['job', 'create', '--instance', 'inst_1', '-f', '-', '-o', 'json'], JSON.stringify(before)));
  const made = read(id);
  const page = await signedIn(t);
  await page.goto(`${base}#/job/${id}/edit`);
  await page.getByText('At 02:30', { exact: true }).waitFor();
  await page.getByText('Labels, limits and exceptions').click();
  await accessible(page, 'form-all');
  await page.getByLabel('Priority').fill('6');
  await page.getByText('The service would take it').waitFor();
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByRole('heading', { name: 'Rich' }).waitFor();
  assert.deepEqual(read(id), { ...made, priority: 6 });
  await page.getByText('comes twice in Europe/Berlin').first().waitFor();
});

test('a guard stops a mirror, its plan is shown and approved, each file is told', async (t) => {
  const remotes = join(dir, 'data/remotes');
  mkdirSync(join(remotes, 'guard/from'), { recursive: true });
  mkdirSync(join(remotes, 'guard/to'), { recursive: true });
  writeFileSync(join(remotes, 'guard/from/kept.txt'), 'kept');
  for (let i = 0; i < 10; i++) writeFileSync(join(remotes, `guard/to/old-${i}.txt`), 'old');
  const workflow = { tasks: [{ name: 'mirror', type: 'sync.files', args: { resourceId: 'res_1', remotes: ['disk:/guard/from', 'disk:/guard/to'] } }] };
  const job = JSON.parse(carillon(['job', 'create', '--instance', 'inst_1', '-f', '-', '-o', 'json'], JSON.stringify({ name: 'Guarded', frequencyType: 'MANUAL', workflow })));
  const page = await signedIn(t);
  await page.goto(`${base}#/job/${job.id}`);
  await page.getByRole('button', { name: 'Plan' }).click();
  await page.getByText(/^delete 10 /).waitFor();
  await accessible(page, 'plan');
  await page.getByRole('button', { name: 'Run now' }).click();
  await page.getByRole('button', { name: 'Approve exactly this' }).waitFor();
  assert.equal(readdirSync(join(remotes, 'guard/to')).length, 10, 'something was changed before the approval');
  await accessible(page, 'approval');
  await page.getByRole('button', { name: 'Approve exactly this' }).click();
  await page.getByRole('status').getByText('succeeded').waitFor();
  await page.getByText('11 files', { exact: true }).waitFor();
  await page.getByLabel('Action', { exact: true }).selectOption('copy');
  await page.getByText('1 file', { exact: true }).waitFor();
  await accessible(page, 'files');
  assert.deepEqual(readdirSync(join(remotes, 'guard/to')), ['kept.txt']);
});

test('credentials go in and are not shown', async (t) => {
  const page = await signedIn(t);
  await page.getByRole('link', { name: 'Credentials' }).click();
  await page.getByRole('button', { name: 'Add a remote' }).first().click();
  await page.getByLabel('Name').fill('aws');
  for (const type of ['gcs', 'azureblob', 's3']) await page.getByLabel('Type').selectOption(type);
  await page.getByText('Further keys').click();
  await page.getByLabel('provider').fill('Minio');
  await page.getByLabel('access_key_id').fill('key');
  await page.getByLabel('secret_access_key').fill('canary-secret');
  await page.getByRole('dialog').getByRole('button', { name: 'Test' }).click();
  await page.getByRole('status', { name: 'Test' }).getByText('failed').first().waitFor();
  await accessible(page, 'config-dialog');
  await page.getByRole('button', { name: 'Store' }).click();
  await page.getByText(/secret_access_key/).waitFor();
  assert.ok(!(await page.content()).includes('canary-secret'));
  await accessible(page, 'config');
  await page.getByRole('listitem').filter({ hasText: 'local' }).first().getByRole('button', { name: 'Test' }).click();
  await page.getByLabel('Write too').check();
  await page.getByRole('dialog').getByRole('button', { name: 'Test' }).click();
  await page.getByRole('status', { name: 'Test' }).getByText('write ✓ ok').waitFor();
  await accessible(page, 'config-test');
  await page.getByRole('button', { name: 'Close' }).click();
});

test('ten thousand jobs: quick to open, to search and to scroll', async (t) => {
  // By the command line, as anybody would.
  const made = JSON.parse(carillon(['instance', 'create', 'Big', '-o', 'json']));
  const jobs = Array.from({ length: 10_000 }, (_, i) => JSON.stringify({ name: `job ${i}`, frequencyType: 'MANUAL', workflow: { tasks: [{ name: 'a', type: 'util.noop' }] } })).join('\n---\n');
  carillon(['apply', '-f', '-', '--yes', '--instance', made.id], jobs);
  const page = await visit(t);
  await page.evaluate(([key, value]) => sessionStorage.setItem(key, value), ['carillon.token', token]);
  const started = performance.now();
  await page.goto(`${base}#/instance/${made.id}`);
  await page.reload();
  await page.getByText('10000 jobs').waitFor();
  t.diagnostic(`10,000 jobs shown after ${Math.round(performance.now() - started)} ms`);
  assert.ok((await page.locator('.job').count()) < 100, 'every row is drawn');
  await page.getByLabel(/^Search jobs/).fill('job 9999');
  await page.getByRole('link', { name: 'job 9999' }).waitFor();
  await accessible(page, 'big');
});

test('a log of 50 MiB: its end at once, the first error and a word soon, the rest by scrolling', async (t) => {
  const job = JSON.parse(carillon(['job', 'create', '--instance', 'inst_1', '-f', '-', '-o', 'json'], JSON.stringify({ name: 'Talks', frequencyType: 'MANUAL', workflow: { tasks: [{ name: 'a', type: 'util.noop' }] } })));
  const { id } = JSON.parse(carillon(['job', 'run', job.id, '--wait', '-o', 'json']));
  // As five attempts would have written it: each may keep 10 MiB.
  const segment = 128 * 1024;
  let n = 0;
  for (let attempt = 1; attempt <= 5; attempt++) {
    const folder = join(dir, 'data/logs/logs/inst_1', id, String(attempt).padStart(4, '0'));
    mkdirSync(folder, { recursive: true });
    for (let line = 0, begin = 0; begin < 10 << 20; ) {
      const first = line;
      let text = '';
      for (; text.length < segment; line++, n++) {
        text += JSON.stringify({ time: '2026-11-22T10:00:00.000000Z', level: n === 100_000 ? 'ERROR' : 'INFO', task: 'a', message: `line ${n}`, path: `in/drawings/floor-${n % 40}/plan-${n}.dwg`, size: 1000 + n }) + '\n';
      }
      writeFileSync(join(folder, `${String(first).padStart(10, '0')}-${String(begin).padStart(12, '0')}.ndjson`), text);
      begin += text.length;
    }
  }
  const page = await visit(t);
  await page.evaluate(([key, value]) => sessionStorage.setItem(key, value), ['carillon.token', token]);
  const took = async (what, until) => {
    const started = performance.now();
    await until();
    t.diagnostic(`${what} after ${Math.round(performance.now() - started)} ms`);
  };
  await page.goto(`${base}#/execution/${id}`);
  await page.reload();
  await took(`the end of ${n} lines`, () => page.getByText(`line ${n - 1} `).waitFor());
  assert.ok((await page.locator('.log .row').count()) < 200, 'every line is drawn');
  const box = page.getByRole('region', { name: 'Log lines' });
  await took('2000 earlier lines', async () => {
    await box.focus();
    for (let have = 500; have < 2500; ) {
      await page.keyboard.press('Home');
      const shown = await page.waitForFunction((before) => {
        const now = Number(document.querySelector('.log [role=status]').textContent.match(/\d+/)?.[0]);
        return now > before && now;
      }, have);
      have = await shown.jsonValue();
    }
  });
  await accessible(page, 'long-log');
  await took('the first error', async () => {
    await page.getByRole('button', { name: 'First error' }).click();
    await page.locator('.line.found', { hasText: 'line 100000 ' }).waitFor();
  });
  await took('a word', async () => {
    await page.getByLabel('Search the log').fill('plan-200000.DWG');
    await page.getByText(/^1 line$/).waitFor();
  });
  await page.getByText('line 200000 ').waitFor();
});

test('the first page is small and interactive soon', async (t) => {
  const page = await visit(t);
  const sizes = await page.evaluate(() => performance.getEntriesByType('resource').concat(performance.getEntriesByType('navigation')).map((e) => [e.name, e.transferSize, e.responseEnd]));
  const bytes = sizes.reduce((n, [, size]) => n + size, 0);
  const interactive = await page.evaluate(() => performance.getEntriesByType('navigation')[0].domInteractive);
  t.diagnostic(`${bytes} bytes over the wire, interactive after ${Math.round(interactive)} ms`);
  assert.ok(bytes < 200 * 1024);
});
