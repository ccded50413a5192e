// Statements to PostgreSQL for callers that wait for the answer (sql() of service.mjs): over a connection that is kept, since a
// process of psql, and one of the server, for each cost more than what is asked.
import pg from 'pg';
import { runAsWorker } from 'synckit';

const types = { getTypeParser: () => (value) => value };
const kept = new Map();

async function connect(url) {
  const client = new pg.Client({ connectionString: url, types });
  client.on('error', () => {});
  await client.connect();
  client.once('end', () => { if (kept.get(url) === client) kept.delete(url); });
  return client;
}

/** As psql -At shows them. */
const shown = (result) => result.rows.map((row) => row.map((value) => value ?? '').join('|'));

/** Whether the server has taken the connection away, and so carried nothing out: it was stopped since, or has ended it. */
const isGone = (error) => !error.code || !error.severity || error.code.startsWith('57P');

async function ask(url, text) {
  const old = kept.get(url), client = old ?? await connect(url);
  kept.delete(url);
  let result;
  try { result = await client.query({ text, rowMode: 'array' }); } catch (error) {
    if (old && isGone(error)) return ask(url, text);
    await client.end();
    throw new Error(error.severity ? `${error.severity}:  ${error.message}` : error.message);
  }
  // What a session was told to be belongs to this one call.
  if (/\bSET\b.*;/i.test(text)) await client.end();
  else kept.set(url, client);
  return [result].flat().flatMap(shown).join('\n').trim();
}

/** What came of one statement after another in one transaction, as text. Without a text: the connections are given up. */
runAsWorker(async (url, text) => {
  // Nobody else may be in a database that is copied or removed.
  if (text === undefined || /\bDATABASE\b/.test(text)) await Promise.all([...kept.values()].map((client) => client.end()));
  if (text !== undefined) return ask(url, text);
});
