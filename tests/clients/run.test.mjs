// Runs every example of docs/clients.md as it stands there, against a server of
// its own. It needs CARILLON (the program), grpcurl, jq, curl, python3 and Go.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
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
  server = spawn(program, ['serve', '--data-dir', data, '--grpc-addr', '127.0.0.1:0', '--http-addr', '127.0.0.1:0', '--admin-addr', '127.0.0.1:0'], { stdio: 'ignore' });
  const file = join(data, 'addresses.json');
  for (let i = 0; i < 300 && !existsSync(file); i++) await sleep(100);
  const addresses = JSON.parse(readFileSync(file, 'utf8'));
  const TOKEN = execFileSync(program, ['token', '--data-dir', data, '--scope', 'operator']).toString().trim();
  env = { ...process.env, HTTP: `http://${addresses.http}`, GRPC: addresses.grpc, TOKEN };
  const made = execFileSync(program, ['instance', 'create', 'clients', '-o', 'json'], { env: { ...env, CARILLON_TOKEN: TOKEN, CARILLON_API_ADDR: addresses.grpc } });
  env.INSTANCE = JSON.parse(made.toString()).id;
});

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
  python: (text) => execFileSync('python3', ['-c', text], { env }),
  go: (text) => {
    writeFileSync(join(scratch, 'main.go'), text);
    return execFileSync('go', ['run', './.build/clients/main.go'], { env, cwd: root });
  },
  ts: async (text, name) => {
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
    return execFileSync('node', [out], { env });
  },
};

const page = readFileSync(join(root, 'docs/clients.md'), 'utf8');
const examples = [...page.matchAll(/\n## ([^\n]+)\n(?:(?!\n## )[\s\S])*?<!-- test: (\w+) -->\n\n```\w+\n([\s\S]*?)\n```/g)];
assert.equal(examples.length, 6);

for (const [, title, kind, text] of examples) {
  test(title, async () => {
    const printed = (await run[kind](text, title.replaceAll(/\W+/g, '-'))).toString();
    assert.match(printed, /QUEUED|RUNNING|SUCCEEDED/);
  });
}
