// MCP server
// Tools for language models: the Model Context Protocol over streamable HTTP, without sessions.
// verify_jwt: true
// secrets: none
type Tool = { description: string; inputSchema: Record<string, unknown>; run(args: Record<string, unknown>): unknown };

const tools: Record<string, Tool> = {
  add: {
    description: "Adds two numbers.",
    inputSchema: { type: "object", properties: { a: { type: "number" }, b: { type: "number" } }, required: ["a", "b"] },
    run: ({ a, b }) => {
      if (typeof a !== "number" || typeof b !== "number") throw new Error("a and b must be numbers");
      return a + b;
    },
  },
};

const VERSIONS = ["2025-06-18", "2025-03-26"];

// deno-lint-ignore no-explicit-any
function answer(method: string, params: any): unknown {
  switch (method) {
    case "initialize":
      return {
        protocolVersion: VERSIONS.includes(params?.protocolVersion) ? params.protocolVersion : VERSIONS[0],
        capabilities: { tools: {} },
        serverInfo: { name: "my-tools", version: "1.0.0" },
      };
    case "ping":
      return {};
    case "tools/list":
      return { tools: Object.entries(tools).map(([name, { description, inputSchema }]) => ({ name, description, inputSchema })) };
    case "tools/call": {
      const tool = Object.hasOwn(tools, params?.name) ? tools[params.name] : undefined;
      if (!tool) throw { code: -32602, message: "There is no such tool" };
      try {
        return { content: [{ type: "text", text: String(tool.run(params.arguments ?? {})) }] };
      } catch (error) {
        return { isError: true, content: [{ type: "text", text: (error as Error).message }] };
      }
    }
    default:
      throw { code: -32601, message: "There is no such method" };
  }
}

Deno.serve(async (request) => {
  if (request.method !== "POST") return new Response(null, { status: 405, headers: { allow: "POST" } });
  const call = await request.json().catch(() => null);
  if (call?.jsonrpc !== "2.0" || typeof call.method !== "string") {
    return Response.json({ jsonrpc: "2.0", id: null, error: { code: -32600, message: "Not a JSON-RPC request" } }, { status: 400 });
  }
  // A notification has no id, and gets no answer.
  if (call.id === undefined) return new Response(null, { status: 202 });
  try {
    return Response.json({ jsonrpc: "2.0", id: call.id, result: answer(call.method, call.params) });
  } catch (error) {
    return Response.json({ jsonrpc: "2.0", id: call.id, error });
  }
});
