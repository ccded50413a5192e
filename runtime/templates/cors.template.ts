// CORS
// Can be called from a browser: answers the preflight, and lets the origins in ALLOWED_ORIGINS (or any) read the answer.
// verify_jwt: true
// secrets: ALLOWED_ORIGINS
const allowed = (Deno.env.get("ALLOWED_ORIGINS") ?? "*").split(",").map((origin) => origin.trim());

function corsHeaders(request: Request): Record<string, string> {
  const origin = request.headers.get("origin") ?? "";
  if (!allowed.includes("*") && !allowed.includes(origin)) return { vary: "Origin" };
  return {
    "access-control-allow-origin": allowed.includes("*") ? "*" : origin,
    "access-control-allow-headers": "authorization, x-client-info, apikey, content-type",
    "access-control-allow-methods": "GET, POST, OPTIONS",
    vary: "Origin",
  };
}

Deno.serve((request) => {
  const headers = corsHeaders(request);
  if (request.method === "OPTIONS") return new Response(null, { status: 204, headers });
  return Response.json({ message: "Readable from a browser" }, { headers });
});
