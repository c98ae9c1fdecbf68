// A newcomer's first minutes: sees the demo's execution and its log, makes a job
// by the form, watches it run, breaks it, sees why, and is told once by a webhook.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { createServer } from 'node:http';
import { spawn, execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';

const program = process.env.CARILLON;
const patience = 300_000; // ms: a busy machine fails no test
const axe = readFileSync(new URL('../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');

// serve starts what `make run` starts; the guard lets it reach the receiver.
async function serve(t) {
  const dir = mkdtempSync(join(tmpdir(), 'newcomer-'));
  const data = join(dir, 'data');
  const server = spawn(program, ['serve', '--demo', '--data-dir', data, '--local-remote-root', join(data, 'remotes'), '--grpc-addr', '127.0.0.1:0', '--http-addr', '127.0.0.1:0', '--admin-addr', '127.0.0.1:0', '--egress-allow', '127.0.0.0/8'], { stdio: 'ignore' });
  t.after(async () => {
    const ended = new Promise((done) => server.once('exit', done));
    server.kill('SIGTERM');
    await ended;
    rmSync(dir, { recursive: true, force: true });
  });
  const file = join(data, 'addresses.json');
  for (let i = 0; i < 3000 && !existsSync(file); i++) await sleep(100);
  const token = execFileSync(program, ['token', '--data-dir', data, '--scope', 'operator']).toString().trim();
  return { base: `http://${JSON.parse(readFileSync(file, 'utf8')).http}/`, token };
}

// receive keeps what is sent to a webhook.
async function receive(t) {
  const calls = [];
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (part) => (body += part));
    request.on('end', () => {
      calls.push({ headers: request.headers, body });
      response.writeHead(204).end();
    });
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  t.after(() => server.close());
  return { url: `http://127.0.0.1:${server.address().port}/`, calls };
}

async function accessible(page, name) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  assert.deepEqual(violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(' ')}`), [], name);
}

// edit gives the job, whose page or execution is open, another task.
async function edit(page, task) {
  await page.getByRole('link', { name: 'Mine' }).click();
  await page.getByRole('link', { name: 'Edit' }).click();
  await page.getByLabel('as JSON').check();
  const text = page.getByLabel('The job as JSON');
  const job = JSON.parse(await text.inputValue());
  job.workflow = { tasks: [task] };
  await text.fill(JSON.stringify(job));
  await page.getByText('The service would take it').waitFor();
  await page.getByRole('button', { name: 'Save' }).click();
}

test('a newcomer sees, makes, breaks, sees why and is told once', async (t) => {
  const { base, token } = await serve(t);
  const receiver = await receive(t);
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', timeout: patience, args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking'] });
  t.after(() => browser.close());
  const page = await browser.newPage();
  page.setDefaultTimeout(patience);
  await page.goto(base);
  await page.getByLabel('Token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();

  // The demo's execution and its log.
  await page.getByRole('link', { name: 'Mirror a folder' }).click();
  await page.getByRole('link', { name: /^exec_/ }).last().click();
  await page.getByText('sync ends').first().waitFor();

  // A webhook, whose secret is shown once.
  await page.getByRole('link', { name: 'Demo', exact: true }).click();
  await page.getByRole('link', { name: 'Notices' }).click();
  await page.getByRole('button', { name: 'New webhook' }).click();
  await page.getByLabel('URL').fill(receiver.url);
  await accessible(page, 'webhook dialog');
  await page.getByRole('button', { name: 'Make it' }).click();
  const secret = await page.getByText('whsec_').innerText();
  await accessible(page, 'notices');

  // A job by the form, which runs.
  await page.getByRole('link', { name: 'Demo', exact: true }).click();
  await page.getByRole('link', { name: 'New job' }).click();
  await page.getByLabel('Name', { exact: true }).fill('Mine');
  await page.getByLabel('Schedule', { exact: true }).selectOption('by cron');
  await page.getByLabel('Cron expression').fill('0 0 1 1 *');
  await page.getByLabel('Type', { exact: true }).selectOption('util.noop');
  await page.getByText('The service would take it').waitFor();
  await page.getByRole('button', { name: 'Make it' }).click();
  await page.getByRole('button', { name: 'Run now' }).click();
  await page.getByRole('status').getByText('succeeded').waitFor();

  // Broken, twice run; the page says why.
  await edit(page, { name: 'call', type: 'http.request', args: { url: 'http://127.0.0.1:1/' } });
  for (let i = 0; i < 2; i++) {
    await page.getByRole('button', { name: 'Run now' }).click();
    await page.getByRole('status').getByText('failed').waitFor();
    await page.getByText(/connection refused/).first().waitFor();
    if (i === 0) await page.getByRole('link', { name: 'Mine' }).click();
  }
  // Mended: what is told last, so that nothing more can come of the failures.
  await edit(page, { name: 'call', type: 'util.noop' });
  await page.getByRole('button', { name: 'Run now' }).click();
  await page.getByRole('status').getByText('succeeded').waitFor();

  // Told once, signed, and the log of deliveries says so.
  await page.getByRole('link', { name: 'Demo', exact: true }).click();
  await page.getByRole('link', { name: 'Notices' }).click();
  const deliveries = page.getByRole('region', { name: 'Deliveries' }).getByRole('listitem');
  await deliveries.filter({ hasText: 'a recovery Mine' }).filter({ hasText: 'delivered' }).waitFor();
  await accessible(page, 'deliveries');
  assert.equal(await deliveries.count(), 2);
  assert.deepEqual(receiver.calls.map((call) => JSON.parse(call.body).type), ['FIRST_FAILURE', 'RECOVERED'], 'told once');
  const { headers, body } = receiver.calls[0];
  const told = JSON.parse(body);
  assert.equal(told.type, 'FIRST_FAILURE');
  assert.equal(told.data.jobName, 'Mine');
  assert.match(told.data.message, /connection refused/);
  const key = Buffer.from(secret.match(/whsec_(\S+)/)[1], 'base64');
  const signed = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  // Forgotten only after a question.
  await page.getByRole('button', { name: 'Delete' }).click();
  await accessible(page, 'webhook deletion');
  await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
  await page.getByText('No webhook yet').waitFor();
  assert.equal(headers['webhook-signature'], `v1,${createHmac('sha256', key).update(signed).digest('base64')}`);
});
