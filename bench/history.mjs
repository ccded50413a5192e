// What going back costs: rollback from disk and from the database, and how the number of kept versions is felt.
import fs from 'node:fs';
import path from 'node:path';

/** The same functions, each with `count` older versions that share the files of the active one. */
export async function addVersions(stack, count) {
  const active = 'functions_admin.edge_functions f JOIN functions_admin.edge_function_versions v ON v.function_id = f.id AND v.version = f.active_version';
  await stack.sql(`INSERT INTO functions_admin.edge_function_versions SELECT (jsonb_populate_record(v, jsonb_build_object('version', f.latest_version + n))).* FROM ${active} CROSS JOIN generate_series(1, ${count}) n`);
  await stack.sql(`INSERT INTO functions_admin.edge_function_files SELECT e.function_id, f.latest_version + n, e.path, e.sha256, e.size FROM ${active} JOIN functions_admin.edge_function_files e ON e.function_id = v.function_id AND e.version = v.version CROSS JOIN generate_series(1, ${count}) n`);
  await stack.sql(`UPDATE functions_admin.edge_functions SET latest_version = latest_version + ${count}`);
  await stack.sql('ANALYZE');
}

export async function history({ stack, ask, base, deploy, files, note, section, times, median, quick }) {
  section('Going back');
  const json = { 'content-type': 'application/json' };
  const rollback = async (slug, version) => {
    const answer = await ask('POST', `${base()}/functions/${slug}/rollback`, { body: Buffer.from(JSON.stringify({ version })), headers: json });
    if (answer.status !== 200) throw new Error(`rollback: ${answer.status} ${answer.body}`);
  };
  const count = quick ? 8 : 30;
  const first = [], onDisk = [], gone = [], empty = [];
  for (let i = 0; i < count / 2; i++) {
    const slug = `going-back-${i}`;
    first.push(...await times(1, () => deploy(slug, files(50, 41_943))));
    await deploy(slug, files(50, 41_943));
    empty.push(...await times(2, (k) => ask('PATCH', `${base()}/functions/${slug}`, { body: Buffer.from(JSON.stringify({ name: `${slug} ${k}` })), headers: json })));
    onDisk.push(...await times(2, (k) => rollback(slug, 1 + k)));
    const releases = path.join(stack.functionsDir, '.releases', slug);
    for (const name of fs.readdirSync(releases).filter((release) => release.startsWith('1-'))) fs.rmSync(path.join(releases, name), { recursive: true });
    gone.push(...await times(1, () => rollback(slug, 1)));
  }
  note('history', 'rollback of 2 MB in 50 files on disk, of an empty authenticated write', { ms: median(onDisk), write_ms: median(empty) }, median(onDisk) / median(empty), 'under', 2);
  note('history', 'rollback with the release gone from disk, of the first deploy', { ms: median(gone), deploy_ms: median(first) }, median(gone) / median(first), 'under', 1);

  const functions = quick ? 200 : 1000;
  section(`${functions} functions with 100 versions each, of the same with one`);
  for (let i = 0; i < functions; i += 8) await Promise.all(Array.from({ length: Math.min(8, functions - i) }, (_, k) => deploy(`kept-${i + k}`, files(2, 2048))));
  // Of a read that takes half a millisecond as many as fill a second, or the median is that of a moment.
  const measure = async () => {
    const slug = (i) => `kept-${i * 7 % functions}`;
    const times_of = { list: await times(count * 10, () => ask('GET', `${base()}/functions`)), get: await times(count * 50, (i) => ask('GET', `${base()}/functions/${slug(i)}`)), deploy: [], rollback: [] };
    for (let i = 0; i < count; i++) {
      const before = JSON.parse((await ask('GET', `${base()}/functions/${slug(i)}`)).body).version;
      times_of.deploy.push(...await times(1, () => deploy(slug(i), files(2, 2048))));
      times_of.rollback.push(...await times(1, () => rollback(slug(i), before)));
    }
    return Object.fromEntries(Object.entries(times_of).map(([name, all]) => [name, median(all)]));
  };
  await measure();
  const one = await measure();
  await addVersions(stack, 99);
  await measure();
  const many = await measure();
  for (const name of Object.keys(one)) note('history', `${name} with 100 versions each, of one`, { ms: many[name], one_ms: one[name] }, many[name] / one[name], 'under', 1.25);
}
