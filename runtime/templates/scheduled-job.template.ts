// Scheduled job
// For pg_cron with pg_net: runs when it is called with the secret CRON_SECRET, one run at a time.
// verify_jwt: false
// secrets: CRON_SECRET
let running = false;

async function job(): Promise<string> {
  // What is to be done regularly stands here.
  await Promise.resolve();
  return "nothing to do";
}

async function isSame(a: string, b: string): Promise<boolean> {
  const digest = async (text: string) => new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  const [left, right] = [await digest(a), await digest(b)];
  return left.every((byte, i) => byte === right[i]);
}

// select cron.schedule('job', '*/5 * * * *', $$ select net.http_post(url := 'https://HOST/functions/v1/NAME',
//   headers := jsonb_build_object('x-cron-secret', 'THE SECRET')) $$);
Deno.serve(async (request) => {
  const secret = Deno.env.get("CRON_SECRET") ?? "";
  if (!secret || !await isSame(secret, request.headers.get("x-cron-secret") ?? "")) {
    return Response.json({ error: "Only the schedule may call this" }, { status: 401 });
  }
  if (running) return Response.json({ skipped: "the run before is not finished" }, { status: 202 });
  running = true;
  try {
    return Response.json({ done: await job(), at: new Date().toISOString() });
  } finally {
    running = false;
  }
});
