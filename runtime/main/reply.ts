// Every answer that the main service gives by itself.

export function json(status: number, body: unknown, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/json", ...headers },
  });
}

export function notFound(slug: string): Response {
  return json(404, {
    code: "NOT_FOUND",
    message: `Requested function was not found: no function named "${slug}" is deployed here. ` +
      "HINT: check the spelling, or deploy it first.",
  });
}

/** A worker that we do not even ask the runtime for fails like one that does not boot. */
export class CannotBoot extends Error {
  override name = "InvalidWorkerCreation";
}

/** `error` is what EdgeRuntime threw; the words and codes are those that clients of Supabase know. */
export function workerFailure(error: unknown): Response {
  switch ((error as Error | null)?.name) {
    case "InvalidWorkerCreation":
      return json(503, { code: "BOOT_ERROR", message: "Worker failed to boot (please check logs)" });
    case "InvalidWorkerResponse":
      return json(500, { code: "WORKER_ERROR", message: "Function exited due to an error (please check logs)" });
    case "WorkerRequestCancelled":
      return json(546, {
        code: "WORKER_LIMIT",
        message: "Worker failed to respond due to a resource limit (please check logs)",
      });
    case "WorkerRequestIdleTimeout":
      return json(504, { code: "IDLE_TIMEOUT", message: "Worker did not answer in time (please check logs)" });
    default:
      return json(500, {
        code: "INTERNAL_SERVER_ERROR",
        message: "Request failed due to an internal server error",
      });
  }
}
