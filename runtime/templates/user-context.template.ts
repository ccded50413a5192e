// Supabase with the caller's rights
// Reads rows of a table as the caller: row level security decides what they see.
// verify_jwt: true
// secrets: none
const url = Deno.env.get("SUPABASE_URL")!;
const anonKey = Deno.env.get("SUPABASE_ANON_KEY") ?? "";

Deno.serve(async (request) => {
  const table = new URL(request.url).searchParams.get("table") ?? "profiles";
  if (!/^[a-z_][a-z0-9_]*$/.test(table)) return Response.json({ error: "table is not a table's name" }, { status: 400 });
  const answer = await fetch(`${url}/rest/v1/${table}?select=*&limit=10`, {
    // The caller's own token, not a key of ours, is what the database sees.
    headers: { apikey: anonKey, authorization: request.headers.get("authorization") ?? "" },
  });
  if (!answer.ok) return Response.json({ error: "The rows could not be read", status: answer.status }, { status: 502 });
  return Response.json({ rows: await answer.json() });
});
