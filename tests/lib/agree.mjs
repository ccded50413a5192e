// What must be true whenever nothing is under way, whatever happened before.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { brotliDecompressSync } from 'node:zlib';

/** Everything that tells which version of a function is active must tell the same one. service.sql may be asynchronous. */
export async function agree(service, runtime, slugs) {
  const ref = service.options.project_ref;
  const rows = await service.sql(`SELECT f.slug, f.active_version, encode(v.digest, 'hex') FROM functions_admin.edge_functions f
    JOIN functions_admin.edge_function_versions v ON v.function_id = f.id AND v.version = f.active_version WHERE f.deleted_at IS NULL AND f.project_ref = '${ref}'`);
  const active = Object.fromEntries(rows.split('\n').filter(Boolean).map((row) => { const [slug, version, digest] = row.split('|'); return [slug, { version: Number(version), digest }]; }));
  const manifest = service.manifest();
  assert.equal(manifest.generation, Number(await service.sql(`SELECT generation FROM functions_admin.projects WHERE ref = '${ref}'`)), 'the generation');
  assert.deepEqual(Object.keys(manifest.functions).sort(), Object.keys(active).sort(), 'the functions of manifest and database');
  const answer = await service.ask('GET', service.functions());
  assert.equal(answer.status, 200, answer.text);
  const listed = answer.json;
  assert.deepEqual(Object.fromEntries(listed.map((f) => [f.slug, f.version])), Object.fromEntries(Object.entries(active).map(([slug, a]) => [slug, a.version])));
  for (const slug of slugs) {
    if (!active[slug]) {
      assert.equal(service.stub(slug), null, `${slug} is not active, and has no stub`);
      continue;
    }
    const { version, digest } = active[slug], release = `${version}-${digest.slice(0, 12)}`;
    assert.equal(manifest.functions[slug].versions[0].version, version);
    assert.equal(manifest.functions[slug].versions[0].path, `.releases/${slug}/${release}`);
    assert.ok(service.stub(slug).includes(`/.releases/${slug}/${release}/index.ts`), `the stub of ${slug}: ${service.stub(slug)}`);
    assert.equal(fs.readlinkSync(path.join(service.functionsDir, slug, 'source')), `../.releases/${slug}/${release}/source`);
    assert.match(fs.readFileSync(path.join(service.functionsDir, slug, 'deno.json'), 'utf8'), /"lock":/);
    const bundle = manifest.functions[slug].versions[0].kind === 'eszip';
    const source = path.join(service.functionsDir, '.releases', slug, release, bundle ? 'bundle.eszip' : 'source/index.ts');
    const called = await runtime.call(slug);
    assert.equal(called.headers.get('x-edge-function'), `${slug}; version=${version}`);
    assert.equal(await called.text(), fs.readFileSync(source, 'utf8'));
    const stored = Buffer.from(await service.sql(`SELECT encode(c.data, 'hex') FROM functions_admin.edge_functions f JOIN functions_admin.edge_function_files x ON x.function_id = f.id AND x.version = f.active_version
      JOIN functions_admin.blob_chunks c ON c.sha256 = x.sha256 WHERE f.slug = '${slug}' AND f.deleted_at IS NULL AND f.project_ref = '${ref}' AND x.path = '${bundle ? 'bundle.ezbr' : 'index.ts'}'`), 'hex');
    assert.deepEqual(fs.readFileSync(source), bundle ? brotliDecompressSync(stored.subarray(4)) : stored, 'the bytes on disk are those in the database');
  }
}
