// Upload to Storage
// Takes a file (multipart/form-data, field "file") and stores it in a bucket with the caller's rights.
// verify_jwt: true
// secrets: none
const url = Deno.env.get("SUPABASE_URL")!;
const anonKey = Deno.env.get("SUPABASE_ANON_KEY") ?? "";
const BUCKET = "uploads";
const MOST_BYTES = 10 * 1024 * 1024;

Deno.serve(async (request) => {
  const form = await request.formData().catch(() => null);
  const file = form?.get("file");
  if (!(file instanceof File)) return Response.json({ error: 'Send a form with the field "file"' }, { status: 400 });
  if (file.size > MOST_BYTES) return Response.json({ error: `The file is larger than ${MOST_BYTES} bytes` }, { status: 413 });

  // A name of our own: what the caller chose must neither lead elsewhere nor replace another file.
  const extension = /\.[A-Za-z0-9]{1,8}$/.exec(file.name)?.[0] ?? "";
  const path = `${crypto.randomUUID()}${extension}`;
  const answer = await fetch(`${url}/storage/v1/object/${BUCKET}/${path}`, {
    method: "POST",
    headers: {
      apikey: anonKey,
      authorization: request.headers.get("authorization") ?? "",
      "content-type": file.type || "application/octet-stream",
    },
    body: file,
  });
  await answer.body?.cancel();
  if (!answer.ok) return Response.json({ error: "Storage did not take the file", status: answer.status }, { status: 502 });
  return Response.json({ bucket: BUCKET, path }, { status: 201 });
});
