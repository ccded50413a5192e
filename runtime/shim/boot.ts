// The boot check: answers one kind of request in place of the function, so that a version can be proven
// to evaluate and to listen before it gets traffic, without its handler being called.
//
// The main service gives each worker a secret of its own in the environment and sends it back in a
// header. Without that variable (another main service, a plain `deno run`) nothing here takes effect.
const VARIABLE = "FUNCTIONS_ADMIN_BOOT_SECRET";
const HEADER = "x-functions-admin-boot";

type Handler = (request: Request, ...rest: unknown[]) => unknown;

const secret = Deno.env.get(VARIABLE);

if (secret) {
  // Taken away before the function is evaluated, which has no use for it.
  Deno.env.delete(VARIABLE);

  const answering = (handler: Handler): Handler =>
    function (this: unknown, request: Request, ...rest: unknown[]) {
      if (request.headers.get(HEADER) === secret) {
        return new Response(null, { status: 204, headers: { [HEADER]: "answered" } });
      }
      return handler.call(this, request, ...rest);
    };

  // The global Deno is read-only, its members are not. `export default { fetch }` comes through here
  // too: the runtime serves it by calling Deno.serve.
  const deno = Deno as unknown as { serve: (...args: unknown[]) => unknown };
  const serve = deno.serve;

  deno.serve = function (...args: unknown[]) {
    // serve(handler), serve(options, handler), serve({ handler, ...options })
    const wrapped = args.map((argument) => {
      if (typeof argument === "function") return answering(argument as Handler);
      const handler = (argument as { handler?: unknown } | null | undefined)?.handler;
      if (typeof handler !== "function") return argument;
      // Inherits the other options, whether they are own properties or the prototype's.
      return Object.create(argument as object, {
        handler: { value: answering(handler.bind(argument)), enumerable: true },
      });
    });
    return serve.apply(Deno, wrapped);
  };
}
