// OpenAI, streamed
// Hands a prompt to OpenAI (or what speaks like it, by OPENAI_BASE_URL) and its answer on as it comes.
// verify_jwt: true
// secrets: OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_MODEL
Deno.serve(async (request) => {
  const key = Deno.env.get("OPENAI_API_KEY");
  if (!key) return Response.json({ error: "OPENAI_API_KEY is not set" }, { status: 500 });
  const { prompt } = await request.json().catch(() => ({}));
  if (typeof prompt !== "string" || prompt.length === 0 || prompt.length > 8000) {
    return Response.json({ error: "prompt must be a text of at most 8000 characters" }, { status: 400 });
  }
  const answer = await fetch(`${Deno.env.get("OPENAI_BASE_URL") ?? "https://api.openai.com/v1"}/chat/completions`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({
      model: Deno.env.get("OPENAI_MODEL") ?? "gpt-4o-mini",
      stream: true,
      messages: [{ role: "user", content: prompt }],
    }),
    // Whoever goes away stops the work that nobody waits for.
    signal: request.signal,
  });
  if (!answer.ok) {
    await answer.body?.cancel();
    return Response.json({ error: "The model did not answer", status: answer.status }, { status: 502 });
  }
  return new Response(answer.body, { headers: { "content-type": "text/event-stream", "cache-control": "no-cache" } });
});
