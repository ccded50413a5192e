import { CheckCircle2, Circle, LoaderCircle, XCircle } from "lucide-react";
import { useState } from "react";
import { ApiError, deploy, type Deploy, type Fn, type Source } from "../api";
import { plural } from "../format";
import { useAction } from "../hooks";
import { Button, Dialog, ErrorBox, Field, Notice } from "../ui";
import { DeploymentNodes } from "./deployments";
import { Problems, allProblems, changedPaths } from "./workbench";

interface Props {
  request: Omit<Deploy, "message">;
  original?: Source;
  /** Looks once more whether somebody else was faster; true stops the deploy. */
  overtaken?: () => Promise<boolean>;
  onDone: (fn: Fn) => void;
  onConflict?: () => void;
  onClose: () => void;
}

const results: Record<string, string> = {
  verified: "The runtime has confirmed that it serves this version.",
  active: "The version is active. The runtime cannot confirm it (its main service is not this project's).",
  unchanged: "These files are what is deployed already; nothing was changed.",
};

export function DeployDialog({ request, original, overtaken, onDone, onConflict, onClose }: Props) {
  const [message, setMessage] = useState("");
  const [done, setDone] = useState<{ fn: Fn; result: string }>();
  const [problems] = useState(() => allProblems(request.source));
  const changed = changedPaths(request.source, original).size;

  const { run, busy, error } = useAction(async () => {
    if (await overtaken?.()) {
      onConflict?.();
      return;
    }
    try {
      setDone(await deploy({ ...request, message: message.trim() || undefined }));
    } catch (error) {
      if (error instanceof ApiError && error.status === 412 && onConflict) return onConflict();
      throw error;
    }
  });

  if (done) {
    return (
      <Dialog key="done" title={done.result === "unchanged" ? "Nothing to deploy" : `Version ${done.fn.version} is deployed`} onClose={() => onDone(done.fn)} footer={<Button kind="primary" onClick={() => onDone(done.fn)}>Done</Button>}>
        <Steps at={done.result} />
        <p>{results[done.result] ?? ""}</p>
        <DeploymentNodes slug={done.fn.slug} />
      </Dialog>
    );
  }
  return (
    <Dialog
      key="ask"
      title={`Deploy ${request.slug}`}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" busy={busy} onClick={() => void run()}>{problems.length > 0 ? "Deploy anyway" : "Deploy"}</Button>
        </>
      }
    >
      {original && <p className="muted">{changed > 0 ? plural(changed, "file has", "files have") : "No file has"} been changed.</p>}
      {problems.length > 0 && <Notice tone="warn" title="This may not boot"><Problems problems={problems} /></Notice>}
      <Field label="Message" hint="What changes, for whoever reads the history later. Optional.">
        {(attributes) => <input {...attributes} value={message} maxLength={300} disabled={busy} onChange={(event) => setMessage(event.target.value)} onKeyDown={(event) => event.key === "Enter" && !busy && void run()} />}
      </Field>
      {(busy || error) && <Steps at={error ? "failed" : "sending"} code={error?.code} />}
      <ErrorBox error={error} />
    </Dialog>
  );
}

/** The one answer of the server tells how far it came; while it is awaited, no step is claimed to be done. */
function Steps({ at, code }: { at: string; code?: string }) {
  if (at === "unchanged") return null;
  const names = ["Sent and checked", "Staged and booted", "Activated", "Verified by the runtime"];
  const reached = at === "verified" ? 4 : at === "active" ? 3 : at === "failed" && code === "boot_failed" ? 1 : 0;
  return (
    <ol className="steps" aria-label="Progress">
      {names.map((name, index) => {
        const state = index < reached ? "done" : at === "failed" && index === reached ? "failed" : at === "sending" && index === 0 ? "running" : "waiting";
        const Icon = state === "done" ? CheckCircle2 : state === "failed" ? XCircle : state === "running" ? LoaderCircle : Circle;
        return <li key={name} className={state}><Icon size={15} className={state === "running" ? "spin" : undefined} aria-hidden /> {name}<span className="visually-hidden">: {state}</span></li>;
      })}
    </ol>
  );
}
