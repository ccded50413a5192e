// No key, token or secret of a test may be where it does not belong: in a log, a row, a file, an error, a command line, a core file.
// What there is of them in this process is collected here as it is made, and whoever ends a service, a cluster or a stack searches
// what that has left. A value that is found fails the test that ends it.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const TOKEN = /sbp_(?:v0_)?([0-9a-f]{40})/g;
/** What a search looks for: the text, and whose it is. */
const known = new Map();

/** A value to look for from now on, in hexadecimal and base64 too. What is short or plain stands in other places by chance. */
export function know(name, value) {
  const text = String(value).split('\n').sort((a, b) => b.length - a.length)[0].slice(0, 200);
  if (text.length < 16 || new Set(text).size < 6) return;
  for (const form of [text, Buffer.from(text).toString('hex'), Buffer.from(text).toString('base64').replace(/=+$/, '')]) known.set(form, name);
}

/** Tokens in the output of a command or in an answer. */
export function knowTokens(text) {
  for (const [, digits] of text.matchAll(TOKEN)) know('an access token', digits);
}

/** A request that was answered: collects the secrets and tokens in it, and fails where an error tells one. */
export function seen(method, target, body, { status, text }) {
  if (method === 'POST' && /\/secrets(\?|$)/.test(target) && body) {
    let list;
    try { list = JSON.parse(body); } catch { /* a bad request */ }
    if (Array.isArray(list)) for (const secret of list) if (typeof secret?.value === 'string') know(`the secret ${secret.name}`, secret.value);
  }
  if (/\/access-tokens/.test(target) && status < 300) knowTokens(text);
  if (status >= 400) searchText(`the answer ${status} to ${method} ${target.split('?')[0]}`, text);
}

/** No longer to be looked for: what a test has put somewhere on purpose. */
export function forget(name) {
  for (const [form, whose] of known) if (whose === name) known.delete(form);
}

function found(places) {
  throw new Error(`a value that nobody may see was found:\n${[...new Set(places)].join('\n')}`);
}

/** Fails where one of the values is in the text; `except` are values that it may hold. */
export function searchText(where, text, except = '') {
  const places = [];
  for (const [value, name] of known) if (text.includes(value) && !except.includes(value)) places.push(`${where}: ${name}`);
  if (places.length > 0) found(places);
}

/** Fails where one of the values is in a file below the folders; meant(file, name): it belongs there. */
export function searchFolders(folders, meant = () => false) {
  const there = folders.filter((folder) => fs.existsSync(folder));
  if (known.size === 0 || there.length === 0) return;
  // By grep, which reads hundreds of megabytes in the time of a test. 1: nothing was found; 2: a file went meanwhile.
  const done = spawnSync('grep', ['-r', '-a', '-o', '-H', '--null', '-D', 'skip', '-F', '-f', '-', '--', ...there], { input: [...known.keys()].join('\n'), env: { PATH: process.env.PATH, LC_ALL: 'C' }, encoding: 'latin1', maxBuffer: 1 << 28 });
  if (done.error || done.status > 2) throw new Error(`grep: ${done.error ?? done.stderr}`);
  const places = done.stdout.split('\n').filter(Boolean).map((line) => line.split('\0')).filter(([file, value]) => !meant(file, known.get(value)));
  if (places.length > 0) found(places.map(([file, value]) => `${file}: ${known.get(value)}`));
}

/** Fails where the process was told a value by its arguments, or by an environment that `given` does not explain. */
export function searchProcess(pid, given = '') {
  for (const [name, except] of [['cmdline', ''], ['environ', given]]) {
    let text;
    try { text = fs.readFileSync(`/proc/${pid}/${name}`, 'latin1'); } catch { continue; /* it has ended, or is another user's */ }
    searchText(`the ${name} of process ${pid}`, text, except);
  }
}

/** Fails where a program has left its memory. */
export function searchCores(...folders) {
  for (const folder of folders)
    for (const name of fs.readdirSync(folder)) if (/^core(\.\d+)?$/.test(name)) throw new Error(`${path.join(folder, name)}: a core file`);
}
