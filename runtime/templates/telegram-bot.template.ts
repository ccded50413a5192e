// Telegram bot
// Answers messages: Telegram calls it (setWebhook with secret_token), and the reply is its answer.
// verify_jwt: false
// secrets: TELEGRAM_WEBHOOK_SECRET
function reply(text: string): string {
  if (text.startsWith("/start")) return "Welcome! Send me a message.";
  return `You wrote: ${text}`;
}

Deno.serve(async (request) => {
  const secret = Deno.env.get("TELEGRAM_WEBHOOK_SECRET");
  if (!secret) return Response.json({ error: "TELEGRAM_WEBHOOK_SECRET is not set" }, { status: 500 });
  if (request.headers.get("x-telegram-bot-api-secret-token") !== secret) {
    return Response.json({ error: "Only Telegram may call this" }, { status: 401 });
  }
  const update = await request.json().catch(() => null);
  const message = update?.message;
  // Whatever else happens in a chat is taken, or Telegram would send it again and again.
  if (typeof message?.text !== "string") return new Response(null, { status: 200 });
  return Response.json({ method: "sendMessage", chat_id: message.chat.id, text: reply(message.text) });
});
