// Postgres query
// Asks the database directly over SUPABASE_DB_URL, with parameters that cannot be mistaken for SQL.
// verify_jwt: true
// secrets: none
import postgres from "npm:postgres@3.4.7";

const sql = postgres(Deno.env.get("SUPABASE_DB_URL") ?? "", { max: 1, prepare: false, connect_timeout: 5 });

Deno.serve(async (request) => {
  const schema = new URL(request.url).searchParams.get("schema") ?? "public";
  try {
    const tables = await sql`select table_name from information_schema.tables where table_schema = ${schema} order by 1 limit 100`;
    return Response.json({ tables: tables.map((row) => row.table_name) });
  } catch (error) {
    console.error("the query failed:", (error as Error).message);
    return Response.json({ error: "The database cannot be asked now" }, { status: 502 });
  }
});
