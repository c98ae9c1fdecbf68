// Runs every example of docs/clients.md as it stands there, and those of
// docs/notices.md that verify a signature, against a server of its own. It needs
// CARILLON (the program), grpcurl, jq, curl, python3 and Go.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { build } from 'esbuild';

const root = resolve(import.meta.dirname ?? new URL('.', import.meta.url).pathname, '../..');
const scratch = join(root, '.build/clients');
const program = process.env.CARILLON;
let dir, server, env;

before(async () => {
  assert.ok(program, 'CARILLON must name the program');
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(scratch, { recursive: true });
  dir = mkdtempSync(join(tmpdir(), 'clients-'));
  const data = join(dir, 'data');
  server = spawn(program, ['serve', '--data-dir', data, '--grpc-addr', '127.0.0.1:0', '--http-addr', '127.0.0.1:0', '--admin-addr', '127.0.0.1:0', '--egress-allow', '127.0.0.0/8'], { stdio: 'ignore' });
  const file = join(data, 'addresses.json');
  for (let i = 0; i < 3000 && !existsSync(file); i++) await sleep(100);
  const addresses = JSON.parse(readFileSync(file, 'utf8'));
  const TOKEN = execFileSync(program, ['token', '--data-dir', data, '--scope', 'operator']).toString().trim();
  env = { ...process.env, HTTP: `http://${addresses.http}`, GRPC: addresses.grpc, TOKEN };
  Object.assign(env, { CARILLON_TOKEN: TOKEN, CARILLON_API_ADDR: addresses.grpc });
  env.INSTANCE = env.CARILLON_INSTANCE = carillon('instance', 'create', 'clients').id;
});

// carillon runs a command of the program, and answers what it prints.
function carillon(...args) {
  return JSON.parse(execFileSync(program, [...args, '-o', 'json'], { env }).toString());
}

after(async () => {
  if (server) {
    const ended = new Promise((done) => server.once('exit', done));
    server.kill('SIGTERM');
    await ended;
  }
  rmSync(dir, { recursive: true, force: true });
});

const run = {
  sh: (text) => execFileSync('bash', ['-euo', 'pipefail', '-c', text], { env }),
  python: (text, _, input) => execFileSync('python3', ['-c', text], { env, input }),
  go: (text) => {
    writeFileSync(join(scratch, 'main.go'), text);
    return execFileSync('go', ['run', './.build/clients/main.go'], { env, cwd: root });
  },
  ts: async (text, name, input) => {
    const out = join(scratch, `${name}.mjs`);
    await build({
      stdin: { contents: text, loader: 'ts', resolveDir: join(root, 'tests/clients') },
      nodePaths: [join(root, 'tests/clients/node_modules')],
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: out,
      logLevel: 'error',
      banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    });
    return execFileSync('node', [out], { env, input });
  },
};

const page = readFileSync(join(root, 'docs/clients.md'), 'utf8');
const examples = [...page.matchAll(/\n## ([^\n]+)\n(?:(?!\n## )[\s\S])*?<!-- test: (\w+) -->\n\n```\w+\n([\s\S]*?)\n```/g)];
assert.equal(examples.length, 7);

for (const [, title, kind, text] of examples) {
  test(title, async () => {
    const printed = (await run[kind](text, title.replaceAll(/\W+/g, '-'))).toString();
    assert.match(printed, /QUEUED|RUNNING|SUCCEEDED/);
  });
}

// What a receiver's program does with the example's function genuine.
const verify = {
  ts: `
import { readFileSync } from 'node:fs';
const { secret, headers, body } = JSON.parse(readFileSync(0, 'utf8'));
console.log(genuine(secret, headers, body), genuine(secret, headers, body + ' '), genuine('whsec_AAAA', headers, body));`,
  python: `
import json, sys
given = json.load(sys.stdin)
secret, headers, body = given["secret"], given["headers"], given["body"].encode()
print(str(genuine(secret, headers, body)).lower(), str(genuine(secret, headers, body + b" ")).lower(), str(genuine("whsec_AAAA", headers, body)).lower())`,
};

test('a notice is verified as docs/notices.md says, a forged one is not', async () => {
  let tell;
  const received = new Promise((done) => (tell = done));
  const receiver = createServer((request, response) => {
    let body = '';
    request.on('data', (part) => (body += part));
    request.on('end', () => {
      response.writeHead(204).end();
      tell({ headers: request.headers, body });
    });
  });
  await new Promise((ready) => receiver.listen(0, '127.0.0.1', ready));
  try {
    const webhook = carillon('webhook', 'create', '--url', `http://127.0.0.1:${receiver.address().port}/`, '--event', 'FIRST_FAILURE');
    carillon('webhook', 'rotate', webhook.id); // both secrets sign now
    carillon('webhook', 'test', webhook.id);
    const input = JSON.stringify({ secret: webhook.secret, ...(await received) });
    const notices = readFileSync(join(root, 'docs/notices.md'), 'utf8');
    for (const [kind, driver] of Object.entries(verify)) {
      const [, text] = notices.match(new RegExp('```' + kind + '\\n([\\s\\S]*?)\\n```'));
      assert.equal((await run[kind](text + driver, 'verify', input)).toString().trim(), 'true false false', kind);
    }
  } finally {
    receiver.close();
  }
});
