// Builds dist/ from src/: what the program embeds. `make console` runs it.
import { build } from 'esbuild';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';

await rm('dist', { recursive: true, force: true });
await mkdir('dist');
await build({
  entryPoints: { console: 'src/main.tsx', style: 'src/style.css' },
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  legalComments: 'inline',
  outdir: 'dist',
  logLevel: 'warning',
});
await copyFile('src/index.html', 'dist/index.html');

// The packages that console.js holds, with their licences.
let licences = 'console.js holds these packages.\n';
for (const name of ['preact', 'graphql-ws', 'cronstrue']) {
  const { version } = JSON.parse(await readFile(`node_modules/${name}/package.json`, 'utf8'));
  const file = name === 'graphql-ws' ? 'LICENSE.md' : 'LICENSE';
  licences += `\n== ${name}@${version} ==\n\n${await readFile(`node_modules/${name}/${file}`, 'utf8')}`;
}
await writeFile('dist/LICENSES.txt', licences);
