// What a user would otherwise run: the list of functions as a service of its own on Node or Deno, as fast as such a service is
// written: a pool, a prepared statement, the JWT checked with jose.
// usage: node|deno service.mjs PORT DATABASE_URL PROJECT_REF   (JWT_SECRET in the environment)
import http from 'node:http';
import { createRequire } from 'node:module';
import process from 'node:process';
import { pathToFileURL } from 'node:url';

const require = createRequire(new URL('../../tests/package.json', import.meta.url));
const pg = require('pg');
const jose = await import(pathToFileURL(require.resolve('jose')));
const [port, connectionString, ref] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString, max: 8 });
const key = new TextEncoder().encode(process.env.JWT_SECRET);

const LIST = {
  name: 'list',
  text: `SELECT f.id, f.slug, f.name, f.status, v.version, (extract(epoch FROM f.created_at) * 1000)::float8 AS created_at,
    (extract(epoch FROM f.updated_at) * 1000)::float8 AS updated_at, v.verify_jwt, v.import_map_path, v.entrypoint_path
    FROM functions_admin.edge_functions f JOIN functions_admin.edge_function_versions v
    ON v.function_id = f.id AND v.version = f.active_version WHERE f.project_ref = $1 AND f.deleted_at IS NULL ORDER BY f.slug`,
};

async function answer(authorization) {
  try {
    const { payload } = await jose.jwtVerify((authorization ?? '').replace(/^Bearer /, ''), key, { algorithms: ['HS256'] });
    if (payload.role !== 'service_role') return [403, '{"message":"forbidden"}'];
  } catch {
    return [401, '{"message":"unauthorized"}'];
  }
  const { rows } = await pool.query({ ...LIST, values: [ref] });
  const at = (row, path) => path ? `file:///tmp/user_fn_${ref}_${row.id}_${row.version}/source/${path}` : undefined;
  return [200, JSON.stringify(rows.map((row) => ({
    id: row.id, slug: row.slug, name: row.name, status: row.status, version: row.version, created_at: Math.trunc(row.created_at),
    updated_at: Math.trunc(row.updated_at), verify_jwt: row.verify_jwt, import_map: row.import_map_path !== null,
    entrypoint_path: at(row, row.entrypoint_path), import_map_path: at(row, row.import_map_path),
  })))];
}

if (globalThis.Deno) {
  Deno.serve({ port: Number(port), hostname: '127.0.0.1', onListen() {} }, async (request) => {
    const [status, body] = await answer(request.headers.get('authorization'));
    return new Response(body, { status, headers: { 'content-type': 'application/json' } });
  });
} else {
  http.createServer(async (request, response) => {
    const [status, body] = await answer(request.headers.authorization);
    response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) });
    response.end(body);
  }).listen(Number(port), '127.0.0.1');
}
