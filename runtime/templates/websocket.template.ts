// WebSocket
// A connection that stays: sends back what it gets, and says how many messages there were.
// verify_jwt: true
// secrets: none
Deno.serve((request) => {
  if (request.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    return Response.json({ error: "Connect with a WebSocket" }, { status: 426, headers: { upgrade: "websocket" } });
  }
  const { socket, response } = Deno.upgradeWebSocket(request);
  let count = 0;
  socket.onmessage = ({ data }) => {
    count++;
    socket.send(JSON.stringify({ echo: String(data), count }));
  };
  socket.onerror = (event) => console.error("socket:", (event as ErrorEvent).message);
  return response;
});
