// What the security tests share, over tests/lib/service.mjs: one service with PostgreSQL, called with chosen credentials from
// chosen addresses.
import assert from 'node:assert/strict';
import { request } from '../lib/fastcgi.mjs';
import { ANON, jwt as sign, makeService, REF, SECRETS, SERVICE_ROLE, startPostgres } from '../lib/service.mjs';

export { BINARY, temporaryFolder, until } from '../lib/service.mjs';
export const jwt = (secret, claims, header) => sign(claims, secret, header);

export async function startStack(options = {}) {
  const postgres = await startPostgres();
  try {
    const service = makeService(postgres, { options });
    await service.start();
    return new Stack(postgres, service);
  } catch (error) {
    await postgres.remove();
    throw error;
  }
}

class Stack {
  constructor(postgres, service) {
    Object.assign(this, { postgres, service, ref: REF });
    this.keys = { ...SECRETS, service_role_key: SERVICE_ROLE, anon_key: ANON };
  }

  log() {
    return this.service.log;
  }

  psql(text, user) {
    return this.service.sql(text, user);
  }

  command(args, how) {
    return this.service.run(args[0], args.slice(1), how);
  }

  // No credential but those in headers; the caller's address is `address`.
  ask(method, path, { headers = {}, address = '127.0.0.1', json, ...more } = {}) {
    const sent = json === undefined ? { headers } : { headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(json) };
    return request(this.service.socket, { method, path, params: { REMOTE_ADDR: address }, ...sent, ...more });
  }

  as(credential, method, path, json, { headers, ...more } = {}) {
    return this.ask(method, path, { headers: { authorization: `Bearer ${credential}`, ...headers }, json, ...more });
  }

  // An access token by the API: {id, token, …}. Made with the secret key, which does not expire.
  async token(fields) {
    const answer = await this.as(SECRETS.secret_key, 'POST', '/v1/access-tokens', { name: 'test', ...fields });
    assert.equal(answer.status, 201, answer.text);
    return answer.json;
  }

  // A function of one file, by the flat API.
  deploy(slug, content = 'Deno.serve(() => new Response("hello"));\n', credential = SERVICE_ROLE) {
    return this.as(credential, 'POST', '/v1/functions', { name: slug, files: [{ name: 'index.ts', content }] });
  }

  async stop() {
    await this.service.remove();
    await this.postgres.remove();
  }
}
