// Every kind of bad input is refused with a clear 4xx in the documented error shape, and leaves nothing behind: no row
// but the audit log's, no file, no change of the manifest. Once straight at the program, so that nginx's own checks do not
// hide ours, and once through nginx.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { brotliCompressSync } from 'node:zlib';
import { after, before, describe, test } from 'node:test';
import { document } from '../lib/openapi.mjs';
import { makeService, multipart, REF, ROOT, startNginx, startPostgres } from '../lib/service.mjs';

const MIB = 1024 * 1024;
const FIXTURE = (name) => fs.readFileSync(path.join(ROOT, 'tests/fixtures/eszip', name));
const GOOD = { 'index.ts': 'export default {}' };
const META = { entrypoint_path: 'index.ts' };

let postgres, service, nginx, clean;
before(async () => {
  postgres = await startPostgres();
  service = makeService(postgres);
  await service.start();
  nginx = await startNginx(service);
  assert.equal((await service.deploy('kept', GOOD)).status, 201);
  clean = service.state();
});
after(async () => {
  await nginx?.stop();
  await service?.remove();
  await postgres?.remove();
});

const deployTo = (query) => `/v1/projects/${REF}/functions/deploy${query}`;
const FUNCTIONS = `/v1/projects/${REF}/functions`;

// ---- How a case becomes a request

const form = (metadata, files, { query = '?slug=bad', type, boundary, edit = (b) => b, ...more } = {}) => {
  const made = multipart(metadata, files, boundary ? { boundary } : {});
  return { method: 'POST', path: deployTo(query), headers: { 'content-type': type === undefined ? made.type : type }, body: edit(made.body, made.boundary), ...more };
};
const json = (method, target, value) => ({ method, path: target, headers: { 'content-type': 'application/json' }, body: typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value) });
const eszip = (body, query = '?slug=bad&entrypoint_path=file:///src/index.ts') => ({ method: 'POST', path: FUNCTIONS + query, headers: { 'content-type': 'application/vnd.denoland.eszip' }, body });
const raw = (text, type = 'multipart/form-data; boundary=x') => ({ method: 'POST', path: deployTo('?slug=bad'), headers: { 'content-type': type }, body: Buffer.isBuffer(text) ? text : Buffer.from(text.replaceAll('\n', '\r\n'), 'latin1') });
const withPath = (name) => form({ entrypoint_path: 'index.ts' }, [['index.ts', 'x'], [name, 'y']]);
const flat = (files, more = {}) => json('POST', '/v1/functions', { name: 'bad', files, ...more });

const deep = (n) => '['.repeat(n) + ']'.repeat(n);
const SLUGS = { 'empty': '', 'digit first': '1abc', 'dash first': '-x', 'underscore first': '_internal', 'dot first': '.hidden', 'space': 'a%20b', 'slash': 'a%2Fb', 'dots': '..', 'not ASCII': '%C3%BC', 'too long': 'a'.repeat(129), 'reserved: main': 'main', 'NUL': 'a%00b', 'line feed': 'a%0Ab', 'dot': 'a.ts' };
const PATHS = {
  'parent': '../x.ts', 'parent inside': 'a/../../x.ts', 'parent after ./': './../x.ts', 'absolute': '/etc/passwd', 'empty': '', 'empty part': 'a//b.ts', 'slash at the end': 'a/', 'only a dot': '.', 'dot inside': 'a/./b.ts',
  '513 bytes': `${'d/'.repeat(250)}${'x'.repeat(13)}`, 'a part of 256 bytes': `${'x'.repeat(256)}/a.ts`, 'backslash': 'a\\b.ts', 'parent with backslash': '..\\x.ts',
  'control character': 'a\u0001.ts', 'delete': 'a\u007f.ts', 'twice': 'index.ts', 'twice with ./': './index.ts', "a file as another's directory": 'index.ts/more.ts',
};

const groups = {
  'slugs': Object.fromEntries(Object.entries(SLUGS).flatMap(([name, slug]) => [
    [`deploy, ${name}`, [form(META, GOOD, { query: `?slug=${slug}` }), slug.includes('%00') || slug === '' ? 400 : 422]],
    [`create, ${name}`, [json('POST', FUNCTIONS, { slug: decodeURIComponent(slug), body: 'x' }), slug.includes('%00') ? 400 : 422]],
    [`flat, ${name}`, [json('POST', '/v1/functions', { name: decodeURIComponent(slug), files: [{ name: 'index.ts', content: 'x' }] }), slug.includes('%00') ? 400 : 422]],
    ...(slug === '' || slug === '..' ? [] : [[`in the path, ${name}`, [json('PATCH', `${FUNCTIONS}/${slug}`, { name: 'x' }), slug.includes('%00') ? 400 : 422]]]),
  ])),
  'the query': {
    'no slug': [form(META, GOOD, { query: '' }), 400, 'no_slug'],
    'slug twice': [form(META, GOOD, { query: '?slug=bad&slug=worse' }), 400],
    'a bad escape': [form(META, GOOD, { query: '?slug=bad%zz' }), 400],
    'not UTF-8': [form(META, GOOD, { query: '?slug=bad&x=%ff' }), 400],
    'a NUL': [form(META, GOOD, { query: '?slug=bad&x=%00' }), 400],
    'too many parameters': [form(META, GOOD, { query: `?slug=bad${Array.from({ length: 70 }, (_, i) => `&p${i}=1`).join('')}` }), 400],
    'bundleOnly neither true nor false': [form(META, GOOD, { query: '?slug=bad&bundleOnly=maybe' }), 400],
    'a bad escape in the path': [json('PATCH', `${FUNCTIONS}/%zz`, {}), 400],
  },
  'paths': {
    ...Object.fromEntries(Object.entries(PATHS).map(([name, p]) => [name, [withPath(p), [400, 422]]])),
    ...Object.fromEntries(Object.entries(PATHS).filter(([name]) => name !== 'twice with ./').map(([name, p]) => [`flat, ${name}`, [flat([{ name: 'index.ts', content: 'x' }, { name: p, content: 'y' }]), 422]])),
    'NUL': [withPath('a\0.ts'), 400],
    'flat, NUL': [flat([{ name: 'index.ts', content: 'x' }, { name: 'a\0.ts', content: 'y' }]), 400],
    'line feed as %0A': [withPath('a%0Ab.ts'), 400],
    'a directory that is a file, other order': [form({ entrypoint_path: 'a' }, [['a/b.ts', 'x'], ['a', 'y']]), 422, 'invalid_path'],
    '33 directories': [withPath(`${'d/'.repeat(33)}x.ts`), 422, 'invalid_path'],
    'flat, 33 directories': [flat([{ name: 'index.ts', content: 'x' }, { name: `${'d/'.repeat(33)}x.ts`, content: 'y' }]), 422, 'invalid_path'],
    'not UTF-8': [withPath(Buffer.from([0x61, 0xff])), 400],
    'not UTF-8: overlong dots': [withPath(Buffer.from([0xc0, 0xae, 0xc0, 0xae, 0x2f, 0x61])), 400],
    'not UTF-8: a surrogate': [withPath(Buffer.from([0xed, 0xa0, 0x80])), 400],
  },
  'the entrypoint': {
    'not named': [form({}, GOOD), 422],
    'empty': [form({ entrypoint_path: '' }, GOOD), 422, 'no_entrypoint'],
    'not among the files': [form({ entrypoint_path: 'main.ts' }, GOOD), 422, 'entrypoint_missing'],
    'outside': [form({ entrypoint_path: '../index.ts' }, GOOD), 422],
    'a directory': [form({ entrypoint_path: 'a' }, { 'a/index.ts': 'x' }), 422, 'entrypoint_missing'],
    'a control character': [form({ entrypoint_path: 'index.ts\u0007' }, GOOD), 422],
    'import map not among the files': [form({ ...META, import_map_path: 'deno.json' }, GOOD), 422, 'import_map_missing'],
    'static pattern outside': [form({ ...META, static_patterns: ['../*.html'] }, GOOD), 422],
    'static pattern absolute': [form({ ...META, static_patterns: ['/etc/*'] }, GOOD), 422],
    'flat: not among the files': [flat([{ name: 'other.ts', content: 'x' }]), 422, 'entrypoint_missing'],
    'flat: files is no array': [flat('index.ts'), 422, 'no_files'],
    'flat: no files': [flat([]), 422],
    'flat: a file without content': [flat([{ name: 'index.ts' }]), 422],
    'flat: a file that is a string': [flat(['index.ts']), 422],
  },
  'the metadata': {
    'missing': [form(undefined, GOOD), 400, 'no_metadata'],
    'twice': [form(META, GOOD, { edit: (b, boundary) => Buffer.concat([Buffer.from(`--${boundary}\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{}\r\n`), b]) }), 400, 'duplicate_metadata'],
    'not JSON': [form('{"entrypoint_path": index.ts}', GOOD), 400, 'invalid_json'],
    'empty': [form('', GOOD), 400],
    'an array': [form('[]', GOOD), 422],
    'a string': [form('"index.ts"', GOOD), [400, 422]],
    'duplicate keys': [form('{"entrypoint_path":"index.ts","entrypoint_path":"other.ts"}', GOOD), 400, 'invalid_json'],
    'too deep': [form(`{"entrypoint_path":"index.ts","x":${deep(200)}}`, GOOD), 400, 'json_too_deep'],
    'too large': [form({ ...META, x: 'y'.repeat(300 * 1024) }, GOOD), 413, 'metadata_too_large'],
    'not UTF-8': [form(META, GOOD, { edit: (b) => Buffer.from(b.toString('latin1').replace('{"entry', '{"x":"\xff","entry'), 'latin1') }), 400, 'invalid_json'],
    'entrypoint_path is a number': [form({ entrypoint_path: 1 }, GOOD), 422],
    'import_map_path is an object': [form({ ...META, import_map_path: {} }, GOOD), 422],
    'verify_jwt is a string': [form({ ...META, verify_jwt: 'yes' }, GOOD), 422],
    'name is a number': [form({ ...META, name: 5 }, GOOD), 422],
    'name is empty': [form({ ...META, name: '' }, GOOD), 422, 'invalid_name'],
    'name is too long': [form({ ...META, name: 'n'.repeat(257) }, GOOD), 422, 'invalid_name'],
    'static_patterns is a string': [form({ ...META, static_patterns: '*.html' }, GOOD), 422],
    'static_patterns holds a number': [form({ ...META, static_patterns: [1] }, GOOD), 422],
    'message is too long': [form({ ...META, message: 'm'.repeat(1025) }, GOOD), 422, 'invalid_message'],
    'message has two lines': [form({ ...META, message: 'one\ntwo' }, GOOD), 422, 'invalid_message'],
  },
  'the form': {
    'no boundary': [form(META, GOOD, { type: 'multipart/form-data' }), 400],
    'an empty boundary': [form(META, GOOD, { type: 'multipart/form-data; boundary=""' }), 400],
    'another boundary': [form(META, GOOD, { type: 'multipart/form-data; boundary=another' }), 400],
    'two boundaries': [form(META, GOOD, { type: 'multipart/form-data; boundary=a; boundary=b' }), 400],
    'a boundary of 71 characters': [form(META, GOOD, { boundary: 'b'.repeat(71) }), 400],
    'truncated': [form(META, GOOD, { edit: (b) => b.subarray(0, b.length - 6) }), 400, 'truncated_body'],
    'truncated within a file': [form(META, { 'index.ts': 'x'.repeat(5000) }, { edit: (b) => b.subarray(0, 2000) }), 400, 'truncated_body'],
    'empty body': [raw(''), 400],
    'no parts': [raw('--x--\n'), 400],
    'no files': [form(META, []), 422, 'no_files'],
    'text before the first boundary': [raw('hello\n--x\nContent-Disposition: form-data; name="metadata"\n\n{}\n--x--\n'), 400],
    'a part without name': [raw('--x\nContent-Disposition: form-data; filename="index.ts"\n\nx\n--x--\n'), 400],
    'a part without disposition': [raw('--x\nContent-Type: text/plain\n\nx\n--x--\n'), 400],
    'a part that is an attachment': [raw('--x\nContent-Disposition: attachment; name="file"; filename="index.ts"\n\nx\n--x--\n'), 400],
    'a part of another name': [raw('--x\nContent-Disposition: form-data; name="surprise"\n\nx\n--x--\n'), 400, 'unknown_part'],
    'a file without filename': [raw('--x\nContent-Disposition: form-data; name="file"\n\nx\n--x--\n'), 400, 'no_filename'],
    'filename*': [raw('--x\nContent-Disposition: form-data; name="file"; filename="a"; filename*=UTF-8\'\'b\n\nx\n--x--\n'), 400],
    'two names': [raw('--x\nContent-Disposition: form-data; name="file"; name="metadata"; filename="a"\n\nx\n--x--\n'), 400],
    'base64': [raw('--x\nContent-Disposition: form-data; name="file"; filename="index.ts"\nContent-Transfer-Encoding: base64\n\neA==\n--x--\n'), 400],
    'a header too long': [raw(`--x\nContent-Disposition: form-data; name="file"; filename="index.ts"\nX-Long: ${'y'.repeat(17000)}\n\nx\n--x--\n`), 413],
    'too many headers': [raw(`--x\nContent-Disposition: form-data; name="file"; filename="index.ts"\n${'X-A: b\n'.repeat(40)}\nx\n--x--\n`), 413],
    'lines without CR': [raw(Buffer.from('--x\nContent-Disposition: form-data; name="metadata"\n\n{}\n--x--\n')), 400],
    'too many files': [form(META, Array.from({ length: 1001 }, (_, i) => [`f${i}.ts`, 'x'])), 413],
    'too many parts': [form(META, Array.from({ length: 1500 }, (_, i) => [`f${i}.ts`, 'x'])), 413],
    'a file too large': [form(META, { 'index.ts': Buffer.alloc(20 * MIB + 1) }), 413, 'file_too_large'],
    'files too large together': [form(META, Array.from({ length: 4 }, (_, i) => [`f${i}.ts`, Buffer.alloc(16 * MIB + 1)])), 413, 'upload_too_large'],
  },
  'JSON': {
    'duplicate keys': [json('POST', FUNCTIONS, '{"slug":"bad","slug":"worse","body":"x"}'), 400, 'invalid_json'],
    'too deep': [json('POST', FUNCTIONS, `{"slug":"bad","body":"x","y":${deep(10000)}}`), 400, 'json_too_deep'],
    'too large': [json('POST', FUNCTIONS, { slug: 'bad', body: 'x'.repeat(8 * MIB) }), 413],
    'none': [json('POST', FUNCTIONS, ''), 400, 'invalid_json'],
    'broken off': [json('POST', FUNCTIONS, '{"slug":"bad",'), 400, 'invalid_json'],
    'more after its end': [json('POST', FUNCTIONS, '{"slug":"bad","body":"x"} {}'), 400, 'invalid_json'],
    'not UTF-8': [json('POST', FUNCTIONS, Buffer.from('{"slug":"bad","body":"\xff"}', 'latin1')), 400, 'invalid_json'],
    'a byte order mark': [json('POST', FUNCTIONS, '\ufeff{"slug":"bad","body":"x"}'), 400, 'invalid_json'],
    'a NUL in a string': [json('POST', FUNCTIONS, '{"slug":"bad","body":"a\\u0000b"}'), 400, 'invalid_json'],
    'a NUL in a name': [json('POST', FUNCTIONS, '{"slug":"bad\\u0000","body":"x"}'), 400, 'invalid_json'],
    'an array': [json('POST', FUNCTIONS, []), 422],
    'a number': [json('POST', FUNCTIONS, '5'), [400, 422]],
    'body is a number': [json('POST', FUNCTIONS, { slug: 'bad', body: 5 }), 422],
    'no body': [json('POST', FUNCTIONS, { slug: 'bad' }), 422, 'no_body'],
    'no slug': [json('POST', FUNCTIONS, { body: 'x' }), 422, 'no_slug'],
    'verify_jwt is a number': [json('POST', FUNCTIONS, { slug: 'bad', body: 'x', verify_jwt: 1 }), 422],
    'update: another slug': [json('PATCH', `${FUNCTIONS}/kept`, { slug: 'other', body: 'x' }), 422, 'slug_is_fixed'],
    'update: name is empty': [json('PATCH', `${FUNCTIONS}/kept`, { name: '' }), 422, 'invalid_name'],
    'update: name with a control character': [json('PATCH', `${FUNCTIONS}/kept`, { name: 'a\u0007' }), 422],
    'update: unknown function': [json('PATCH', `${FUNCTIONS}/nobody`, { body: 'x' }), 404, 'function_not_found'],
    'update: unknown function, name only': [json('PATCH', `${FUNCTIONS}/nobody`, { name: 'x' }), 404, 'function_not_found'],
    'create: it exists': [json('POST', FUNCTIONS, { slug: 'kept', body: 'x' }), 409, 'duplicate_slug'],
    'delete: unknown function': [{ method: 'DELETE', path: `${FUNCTIONS}/nobody` }, 404, 'function_not_found'],
    'flat delete: unknown function': [{ method: 'DELETE', path: '/v1/functions/nobody' }, 404, 'function_not_found'],
  },
  'the bulk update': {
    'an object': [json('PUT', FUNCTIONS, {}), 422],
    'an item that is a string': [json('PUT', FUNCTIONS, ['kept']), 422],
    'an item without slug': [json('PUT', FUNCTIONS, [{ version: 1 }]), 422],
    'an item without version': [json('PUT', FUNCTIONS, [{ slug: 'kept' }]), 422],
    'version 0': [json('PUT', FUNCTIONS, [{ slug: 'kept', version: 0 }]), 422],
    'version as text': [json('PUT', FUNCTIONS, [{ slug: 'kept', version: '1' }]), 422],
    'a function twice': [json('PUT', FUNCTIONS, [{ slug: 'kept', version: 1 }, { slug: 'kept', version: 1 }]), 422, 'duplicate_slug'],
    'an unknown function': [json('PUT', FUNCTIONS, [{ slug: 'kept', version: 1 }, { slug: 'nobody', version: 1 }]), 404],
    'an unknown version': [json('PUT', FUNCTIONS, [{ slug: 'kept', version: 99 }]), 404, 'version_not_found'],
    'another id': [json('PUT', FUNCTIONS, [{ slug: 'kept', version: 1, id: '00000000-0000-4000-8000-000000000000' }]), 409, 'id_mismatch'],
    'a name with a control character': [json('PUT', FUNCTIONS, [{ slug: 'kept', version: 1, name: 'a\u0001' }]), 422],
    'verify_jwt as text': [json('PUT', FUNCTIONS, [{ slug: 'kept', version: 1, verify_jwt: 'no' }]), 422],
  },
  'eszip': {
    'not brotli': [eszip(Buffer.from('EZBR this is not brotli at all')), 422],
    'neither brotli nor eszip': [eszip(Buffer.from('hello')), 422],
    'brotli of something else': [eszip(Buffer.concat([Buffer.from('EZBR'), brotliCompressSync('hello, this is text')])), 422],
    'truncated': [eszip(FIXTURE('hello.ezbr').subarray(0, 60)), 422],
    'more after its end': [eszip(Buffer.concat([FIXTURE('hello.ezbr'), Buffer.from('more')])), 422],
    'empty': [eszip(Buffer.alloc(0)), [400, 422]],
    'a wrong digest': [eszip(FIXTURE('hello.ezbr'), `?slug=bad&entrypoint_path=file:///src/index.ts&ezbr_sha256=${'0'.repeat(64)}`), 422, 'digest_mismatch'],
    'no entry point named': [eszip(FIXTURE('hello.ezbr'), '?slug=bad'), 422, 'no_entrypoint'],
    'an entry point that is not inside': [eszip(FIXTURE('hello.ezbr'), '?slug=bad&entrypoint_path=file:///other.ts'), 422, 'entrypoint_not_found'],
    'verify_jwt neither true nor false': [eszip(FIXTURE('hello.ezbr'), '?slug=bad&entrypoint_path=file:///src/index.ts&verify_jwt=1'), 400],
    'no slug': [eszip(FIXTURE('hello.ezbr'), '?entrypoint_path=file:///src/index.ts'), 422, 'no_slug'],
    'an update with a wrong digest': [{ ...eszip(FIXTURE('hello.ezbr')), method: 'PATCH', path: `${FUNCTIONS}/kept?entrypoint_path=file:///src/index.ts&ezbr_sha256=ab` }, 422, 'digest_mismatch'],
  },
  'access tokens': {
    'no name': [json('POST', '/v1/access-tokens', { scopes: ['functions:read'] }), 422],
    'no scopes': [json('POST', '/v1/access-tokens', { name: 'x' }), 422, 'no_scopes'],
    'an unknown scope': [json('POST', '/v1/access-tokens', { name: 'x', scopes: ['everything'] }), 422, 'unknown_scope'],
    'an unknown project': [json('POST', '/v1/access-tokens', { name: 'x', scopes: ['functions:read'], project: 'zzzzzzzzzzzzzzzzzzzz' }), [404, 422]],
    'already expired': [json('POST', '/v1/access-tokens', { name: 'x', scopes: ['functions:read'], expires_at: '2001-01-01T00:00:00Z' }), 422],
    'an expiry that is no time': [json('POST', '/v1/access-tokens', { name: 'x', scopes: ['functions:read'], expires_at: 'tomorrow' }), 422],
    'slugs as text': [json('POST', '/v1/access-tokens', { name: 'x', scopes: ['functions:read'], slugs: 'ci-*' }), 422],
    'revoke: an id that is none': [{ method: 'DELETE', path: '/v1/access-tokens/nonsense' }, 404],
    'revoke: an unknown id': [{ method: 'DELETE', path: '/v1/access-tokens/00000000-0000-4000-8000-000000000000' }, 404],
  },
  'projects': Object.fromEntries(['zzzzzzzzzzzzzzzzzzzz', 'ABCDEFGHIJKLMNOPQRST', 'short', '%2e%2e', "x'%3b--"].flatMap((ref) => [
    [`list of ${ref}`, [{ method: 'GET', path: `/v1/projects/${ref}/functions` }, 404, 'project_not_found']],
    [`deploy into ${ref}`, [{ ...form(META, GOOD), path: `/v1/projects/${ref}/functions/deploy?slug=bad` }, 404, 'project_not_found']],
    [`bulk update of ${ref}`, [json('PUT', `/v1/projects/${ref}/functions`, []), 404, 'project_not_found']],
  ])),
  'content types': {
    ...Object.fromEntries([['POST', deployTo('?slug=bad')], ['POST', FUNCTIONS], ['PUT', FUNCTIONS], ['PATCH', `${FUNCTIONS}/kept`], ['POST', '/v1/functions'], ['POST', '/v1/access-tokens']].flatMap(([method, target]) =>
      ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonx', undefined].map((type) => [`${method} ${target} as ${type}`, [{ method, path: target, headers: { 'content-type': type ?? null }, body: '{}' }, 415]]))),
    'a deploy as JSON': [json('POST', deployTo('?slug=bad'), {}), 415],
  },
};

async function refused(send, [how, statuses, code], expectation) {
  const { method, path: target, headers, body, params, contentLength } = how;
  const answer = await send(method, target, { headers, body, params, contentLength });
  assert.ok([statuses].flat().includes(answer.status), `${method} ${target}: ${answer.status}, not ${statuses}: ${answer.text.slice(0, 500)}`);
  const error = JSON.parse(answer.text);
  assert.ok(error.message.length > 5, `a message for people: ${error.message}`);
  assert.match(error.code, /^[a-z][a-z_]+$/);
  assert.equal(error.request_id, answer.headers['x-request-id']);
  if (code) assert.equal(error.code, code, expectation);
  assert.doesNotMatch(answer.text, /\/tmp\/|functions_admin\.|SELECT|INSERT|JSON_/, 'no insides in an error');
}

for (const [group, cases] of Object.entries(groups)) {
  describe(group, () => {
    for (const [name, one] of Object.entries(cases))
      test(name, () => refused((method, target, how) => service.ask(method, target, how), one));
    test('the same through nginx', async () => {
      for (const [name, one] of Object.entries(cases)) await refused(nginx.site, one, name);
    });
    test('nothing was stored and nothing written', async () => {
      await service.settled();
      assert.deepEqual(service.state(), clean);
    });
  });
}

describe('methods', () => {
  test('each that a path does not have gives 405 and Allow', async () => {
    for (const route of Object.keys(document.paths)) {
      const target = route.replace('{ref}', REF).replace('{slug}', 'kept').replace(/\{\w+\}/, '1');
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND', 'get', 'G E T']) {
        if (document.paths[route][method.toLowerCase()] && method === method.toUpperCase()) continue;
        const other = ['deploy', 'import'].includes(route.split('/functions/')[1]) && ['GET', 'PATCH', 'DELETE'].includes(method);
        const answer = await service.ask(method, target, { body: '' });
        // "deploy" and "import" are slugs too, for the methods that functions have.
        if (other) continue;
        assert.equal(answer.status, 405, `${method} ${target}`);
        assert.ok(answer.headers.allow.length > 2);
      }
    }
    assert.deepEqual(service.state(), clean);
  });
  test('through nginx as well', async () => {
    const answer = await nginx.site('PUT', `${FUNCTIONS}/deploy`, { body: '' });
    assert.equal(answer.status, 405);
    assert.match(answer.headers.allow, /POST/);
  });
});

describe('what only a peer without manners sends', () => {
  const refusedRaw = (how, status, code) => refused((m, t, h) => service.ask(m, t, h), [how, status, code]);
  test('a body shorter than it says', () => refusedRaw({ ...form(META, GOOD), contentLength: 100_000 }, 400, 'truncated_body'));
  test('a JSON body shorter than it says', () => refusedRaw({ ...json('POST', FUNCTIONS, { slug: 'bad', body: 'x' }), contentLength: 5000 }, 400, 'truncated_body'));
  test('a length that is no number', () => refusedRaw({ ...form(META, GOOD), contentLength: '12x' }, 400));
  test('a negative length', () => refusedRaw({ ...form(META, GOOD), contentLength: -1 }, 400));
  test('a length beyond the limit is refused before it is read', () => refusedRaw({ ...form(META, GOOD), contentLength: 10 ** 12 }, 413, 'upload_too_large'));
  test('an eszip beyond the limit', () => refusedRaw({ ...eszip(FIXTURE('hello.ezbr')), contentLength: 10 ** 12 }, 413, 'upload_too_large'));
  test('a path with a control character', () => refusedRaw({ method: 'GET', path: '/v1/projects\u0001' }, 400));
  test('a path with a space', () => refusedRaw({ method: 'GET', path: '/v1/pro jects' }, 400));
  test('a path that is not ASCII', () => refusedRaw({ method: 'GET', path: '/v1/projécts' }, 400));
  test('a path without a slash', () => refusedRaw({ method: 'GET', path: 'v1/projects' }, 400));
  test('a whole URL', () => refusedRaw({ method: 'GET', path: 'http://evil.example/v1/projects' }, 400));
  test('no method', () => refusedRaw({ method: 'GET', path: '/v1/projects', params: { REQUEST_METHOD: undefined } }, 400));
  test('no content type', () => refusedRaw({ method: 'POST', path: FUNCTIONS, body: '{}', params: { CONTENT_TYPE: undefined } }, 415));
  test('dots in the path lead nowhere', () => refusedRaw({ method: 'GET', path: `/v1/projects/${REF}/functions/../../../healthz` }, 404, 'route_not_found'));
  test('a message that is no text in its header', () => refusedRaw({ ...form(META, GOOD), headers: { ...form(META, GOOD).headers, 'x-deploy-message': Buffer.from([0x61, 0xff]) } }, [400, 422]));
  test('a request id with a line feed is replaced', async () => {
    const answer = await service.ask('GET', '/healthz', { headers: { 'x-request-id': 'a\r\nX-Evil: 1' } });
    assert.equal(answer.headers['x-evil'], undefined);
    assert.match(answer.headers['x-request-id'], /^[0-9a-f]{32}$/);
  });
  test('nothing was stored and nothing written', async () => {
    await service.settled();
    assert.deepEqual(service.state(), clean);
  });
});

describe('sizes', () => {
  test('nginx refuses a body of more than 65 MiB by its length, in the same shape', async () => {
    const answer = await nginx.site('POST', deployTo('?slug=bad'), { headers: { 'content-type': 'multipart/form-data; boundary=x', 'content-length': 66 * MIB, expect: '100-continue' }, body: '' }).catch((error) => error);
    assert.equal(answer.status, 413, String(answer));
    assert.equal(answer.json.code, 'payload_too_large');
    assert.equal(answer.json.request_id, answer.headers['x-request-id']);
  });
  test('the limits are options: a small service refuses earlier, also a body of unknown length and a bomb', async () => {
    const small = makeService(postgres, { options: { max_file_bytes: '2k', max_upload_bytes: '4k', max_files: '3', max_path_bytes: '20', max_json_bytes: '1k', max_eszip_bytes: '1k' } });
    await small.start();
    try {
      const before = small.state();
      const check = (how, status, code) => refused((m, t, h) => small.ask(m, t, h), [how, status, code]);
      await check(form(META, { 'index.ts': 'x'.repeat(2049) }), 413, 'file_too_large');
      await check(form(META, { 'index.ts': 'x'.repeat(2000), b: 'x'.repeat(2000), c: 'x'.repeat(200) }), 413, 'upload_too_large');
      await check(form(META, { 'index.ts': '1', b: '2', c: '3', d: '4' }), 413);
      await check(form(META, { 'index.ts': '1', 'a/path/of/21/bytes.ts': '2' }), 422, 'invalid_path');
      await check(json('POST', FUNCTIONS, { slug: 'bad', body: 'x'.repeat(1024) }), 413);
      await check({ ...json('POST', FUNCTIONS, { slug: 'bad', body: 'x'.repeat(100_000) }), contentLength: '' }, 413);
      await check({ ...form(META, { 'index.ts': 'x'.repeat(200_000) }), contentLength: '' }, 413, 'file_too_large');
      await check({ ...eszip(Buffer.alloc(100_000)), contentLength: '' }, 413);
      await check(eszip(FIXTURE('bomb.ezbr')), 413);
      await small.settled();
      assert.deepEqual(small.state(), before);
      assert.equal((await small.deploy('good', { 'index.ts': 'x'.repeat(2048) })).status, 201);
    } finally {
      await small.remove();
    }
  });
});
