// Hello
// Answers with a greeting: the smallest function there is.
// verify_jwt: true
// secrets: none
Deno.serve(async (request) => {
  const { name = "world" } = await request.json().catch(() => ({}));
  return Response.json({ message: `Hello, ${name}!` });
});
