import { ApiError, json, request, type Deployment, type Fn, type Source } from "./api";
import { follow, readEvents } from "./events";

export interface Deploy {
  ref: string;
  slug: string;
  name?: string;
  source: Source;
  verifyJwt?: boolean;
  message?: string;
  etag?: string;
}

/** How far a deploy is: staged, stored, booted, active, verified. */
export type Told = (stage: string) => void;

export async function deploy({ ref, slug, name, source, verifyJwt, message, etag }: Deploy, told: Told): Promise<{ fn: Fn; result: string }> {
  const form = new FormData();
  form.append("metadata", JSON.stringify({
    entrypoint_path: source.entrypoint,
    import_map_path: source.importMap ?? "",
    ...(name !== undefined && { name }),
    ...(verifyJwt !== undefined && { verify_jwt: verifyJwt }),
    ...(message && { message }),
  }));
  for (const file of source.files) form.append("file", new Blob([file.bytes ?? file.text], { type: "application/octet-stream" }), file.path);
  const response = await request("POST", `v1/projects/${ref}/functions/deploy`, { query: { slug }, body: form, headers: { Accept: "text/event-stream", ...(etag && { "If-Match": etag }) } });
  try {
    for await (const { event, data } of readEvents(response)) {
      const said = JSON.parse(data);
      if (event === "progress") told(said.stage);
      if (event === "done") return { fn: said.function, result: said.result };
      if (event === "failed") throw new ApiError(said.status, said.code, said.message, said.hint, said.request_id);
    }
  } catch (error) {
    if (error instanceof ApiError) throw error;
    // The connection broke. What was begun goes on without us, and its deployment tells how it ends.
  }
  return outcome(ref, slug, response.headers.get("X-Request-Id") ?? "", told);
}

/** How a deploy ended that was lost from sight: of the function's deployments, the one of that request. */
async function outcome(ref: string, slug: string, requestId: string, told: Told): Promise<{ fn: Fn; result: string }> {
  const path = `v1/projects/${ref}/functions/${encodeURIComponent(slug)}`;
  const controller = new AbortController();
  let mine: Deployment | undefined;
  // Longer than a boot may take; a deploy that was lost before it was stored has no deployment.
  const timer = setTimeout(() => controller.abort(), 120_000);
  await follow(`${path}/deployments`, { limit: 5 }, undefined, controller.signal, (events) => {
    mine = (JSON.parse(events.at(-1)!.data).data as Deployment[]).find((one) => one.request_id === requestId);
    if (mine) told(mine.status);
    if (!mine || mine.finished_at) controller.abort();
  }, () => {});
  clearTimeout(timer);
  if (mine?.error) throw new ApiError(422, mine.error.code ?? "failed", mine.error.message, undefined, requestId);
  if (!mine?.finished_at) throw new ApiError(0, "unreachable", "The connection was lost, and the deploy with it", "Look at the versions of the function, and deploy again.", requestId);
  return { fn: await json<Fn>("GET", path), result: mine.status };
}
