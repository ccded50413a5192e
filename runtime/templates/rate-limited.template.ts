// Rate limited API
// Lets each caller make so many calls a minute, and tells the others when to come again.
// verify_jwt: true
// secrets: RATE_PER_MINUTE
const perMinute = Number(Deno.env.get("RATE_PER_MINUTE")) || 60;
const MOST_CALLERS = 10_000;

/** A bucket for each caller that fills steadily; each worker of the runtime counts for itself. */
const buckets = new Map<string, { tokens: number; at: number }>();

function take(caller: string): number {
  const now = Date.now();
  const bucket = buckets.get(caller) ?? { tokens: perMinute, at: now };
  bucket.tokens = Math.min(perMinute, bucket.tokens + (now - bucket.at) / 60_000 * perMinute);
  bucket.at = now;
  // The one that was asked longest ago goes first.
  buckets.delete(caller);
  buckets.set(caller, bucket);
  if (buckets.size > MOST_CALLERS) buckets.delete(buckets.keys().next().value!);
  if (bucket.tokens < 1) return Math.ceil((1 - bucket.tokens) / perMinute * 60);
  bucket.tokens--;
  return 0;
}

Deno.serve((request) => {
  const caller = request.headers.get("authorization") ?? request.headers.get("x-forwarded-for")?.split(",")[0] ?? "";
  const wait = take(caller);
  if (wait > 0) {
    return Response.json({ error: "Too many calls" }, { status: 429, headers: { "retry-after": String(wait) } });
  }
  return Response.json({ message: "Let in" });
});
