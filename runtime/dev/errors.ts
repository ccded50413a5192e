// The error classes that the edge runtime adds to Deno.errors.

function named(name: string) {
  return class extends Error {
    override name = name;
  };
}

export const InvalidWorkerCreation = named("InvalidWorkerCreation");
export const InvalidWorkerResponse = named("InvalidWorkerResponse");
export const WorkerRequestCancelled = named("WorkerRequestCancelled");
export const WorkerAlreadyRetired = named("WorkerAlreadyRetired");
export const WorkerRequestIdleTimeout = named("WorkerRequestIdleTimeout");

export function addToDeno() {
  Object.assign(Deno.errors, {
    InvalidWorkerCreation,
    InvalidWorkerResponse,
    WorkerRequestCancelled,
    WorkerAlreadyRetired,
    WorkerRequestIdleTimeout,
  });
}
