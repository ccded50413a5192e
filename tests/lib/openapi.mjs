// Holds real answers against src/api/openapi.json. service.mjs does it with every answer of every test, so that what the
// description says is what the program does.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import Ajv2020 from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

const FILE = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../src/api/openapi.json');
export const document = JSON.parse(fs.readFileSync(FILE, 'utf8'));
const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];

const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats(ajv);
ajv.addFormat('int64', { type: 'number', validate: Number.isInteger });
ajv.addSchema(document, 'openapi');

const compiled = new Map();
function validator(pointer) {
  if (!compiled.has(pointer)) compiled.set(pointer, ajv.compile({ $ref: `openapi#${pointer}` }));
  return compiled.get(pointer);
}
const escaped = (part) => encodeURIComponent(String(part).replaceAll('~', '~0').replaceAll('/', '~1'));

/** What a JSON pointer's parts lead to, following $ref, and the pointer of that place. */
function find(...parts) {
  let here = document, pointer = '';
  for (const part of parts) {
    here = here?.[part];
    pointer += `/${escaped(part)}`;
    while (here?.$ref) {
      pointer = here.$ref.slice(1);
      here = pointer.slice(1).split('/').reduce((at, p) => at?.[decodeURIComponent(p).replaceAll('~1', '/').replaceAll('~0', '~')], document);
    }
  }
  return { value: here, pointer };
}

/** Every operation described: {method, path, scope, operation}. */
export function operations() {
  return Object.entries(document.paths).flatMap(([route, item]) => METHODS.filter((m) => item[m]).map((m) =>
    ({ method: m.toUpperCase(), path: route, scope: item[m]['x-required-scope'], operation: item[m] })));
}

// As the router does: a path without braces comes before one with them; a slash at the end changes nothing.
const routes = Object.keys(document.paths).sort((a, b) => a.split('{').length - b.split('{').length).map((route) =>
  [route, new RegExp(`^${route.replace(/[.]/g, '\\.').replace(/\{\w+\}/g, '[^/]+')}/?$`)]);
export function routesOf(target) {
  const plain = target.split('?')[0].replace(/^(\/\.well-known\/[^/]+)?\/functions-admin(?=\/)/, '$1');
  return routes.filter(([, pattern]) => pattern.test(plain)).map(([route]) => route);
}

const seen = new Set();
/** What has been validated: "METHOD path status". */
export const covered = () => seen;

function check(pointer, value, what) {
  const validate = validator(pointer);
  assert.ok(validate(value), `${what} is not what src/api/openapi.json describes at ${decodeURIComponent(pointer)}:\n${
    ajv.errorsText(validate.errors, { separator: '\n', dataVar: 'body' })}\nHINT: change the description, or the program. The body: ${JSON.stringify(value).slice(0, 600)}`);
}

/** Fails where an answer is not as described: its status, its content type, its body, its X-Request-Id. */
export function conforms(method, target, answer) {
  const what = `${method} ${target} -> ${answer.status}`;
  const matching = routesOf(target), asked = method === 'HEAD' ? 'get' : method === method.toUpperCase() ? method.toLowerCase() : undefined;
  const route = matching.find((r) => document.paths[r][asked]);
  const json = (answer.headers['content-type'] ?? '').startsWith('application/json') && method !== 'HEAD';
  assert.ok(answer.headers['x-request-id'], `${what}: no X-Request-Id`);
  if (!route) {
    assert.ok(matching.length > 0 ? [405, 400].includes(answer.status) : [404, 400].includes(answer.status), `${what}: there is no such operation in src/api/openapi.json`);
    if (answer.status === 405) {
      const allowed = new Set(matching.flatMap((r) => METHODS.filter((m) => document.paths[r][m]).map((m) => m.toUpperCase())));
      if (allowed.has('GET')) allowed.add('HEAD');
      assert.deepEqual(answer.headers.allow.split(', ').sort(), [...allowed].sort(), `${what}: Allow`);
    }
    if (json) check('/components/schemas/Error', JSON.parse(answer.text), what);
    return;
  }
  const { value: response, pointer } = find('paths', route, asked, 'responses', String(answer.status));
  assert.ok(response, `${what}: src/api/openapi.json describes no such status for this operation. HINT: add it there. The body: ${answer.text.slice(0, 600)}`);
  seen.add(`${asked.toUpperCase()} ${route} ${answer.status}`);
  for (const [name, header] of Object.entries(response.headers ?? {})) {
    const sent = answer.headers[name.toLowerCase()];
    if (sent !== undefined) check(find('components', 'headers', name, 'schema').pointer, /^\d+$/.test(sent) && header ? Number(sent) : sent, `${what}: header ${name}`);
  }
  if (method === 'HEAD' || answer.text === '') return;
  const type = (answer.headers['content-type'] ?? '').split(';')[0];
  assert.ok(response.content?.[type], `${what}: the content type "${type}" is not described. HINT: add it to src/api/openapi.json.`);
  if (json) check(`${pointer}/content/${escaped(type)}/schema`, JSON.parse(answer.text), what);
  if (answer.status >= 400) {
    const body = JSON.parse(answer.text);
    assert.equal(body.request_id, answer.headers['x-request-id'], `${what}: request_id`);
    assert.equal('error' in body, route.startsWith('/v1/functions'), `${what}: only the flat API's errors have "error"`);
  }
}
