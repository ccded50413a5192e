// Stripe webhook
// Takes events from Stripe, and refuses those whose signature is not Stripe's.
// verify_jwt: false
// secrets: STRIPE_WEBHOOK_SECRET
const TOLERANCE_SECONDS = 300;

async function isFromStripe(body: string, header: string, secret: string): Promise<boolean> {
  const parts = header.split(",").map((part) => part.trim().split("=", 2));
  const time = Number(parts.find(([name]) => name === "t")?.[1]);
  if (!(Math.abs(Date.now() / 1000 - time) <= TOLERANCE_SECONDS)) return false;
  const bytes = new TextEncoder();
  const key = await crypto.subtle.importKey("raw", bytes.encode(secret), { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
  for (const [name, hex = ""] of parts) {
    if (name !== "v1" || !/^[0-9a-f]{64}$/.test(hex)) continue;
    const signature = Uint8Array.from(hex.match(/../g)!, (byte) => parseInt(byte, 16));
    // verify() compares in constant time.
    if (await crypto.subtle.verify("HMAC", key, signature, bytes.encode(`${time}.${body}`))) return true;
  }
  return false;
}

Deno.serve(async (request) => {
  const secret = Deno.env.get("STRIPE_WEBHOOK_SECRET");
  if (!secret) return Response.json({ error: "STRIPE_WEBHOOK_SECRET is not set" }, { status: 500 });
  const body = await request.text();
  if (!await isFromStripe(body, request.headers.get("stripe-signature") ?? "", secret)) {
    return Response.json({ error: "The signature is not valid" }, { status: 400 });
  }
  const event = JSON.parse(body);
  switch (event.type) {
    case "checkout.session.completed":
      console.log("paid:", event.data?.object?.id);
      break;
    default:
      console.log("not handled:", event.type);
  }
  return Response.json({ received: true });
});
