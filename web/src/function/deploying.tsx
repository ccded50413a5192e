import { CheckCircle2, Circle, LoaderCircle, XCircle } from "lucide-react";
import { useState } from "react";
import { ApiError, type Fn, type Source } from "../api";
import { deploy, type Deploy } from "../deploy";
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
  const [stages, setStages] = useState<string[]>([]);
  const [done, setDone] = useState<{ fn: Fn; result: string }>();
  const [problems] = useState(() => allProblems(request.source));
  const changed = changedPaths(request.source, original).size;

  const { run, busy, error } = useAction(async () => {
    if (await overtaken?.()) {
      onConflict?.();
      return;
    }
    setStages([]);
    try {
      setDone(await deploy({ ...request, message: message.trim() || undefined }, (stage) => setStages((old) => [...old, stage])));
    } catch (error) {
      if (error instanceof ApiError && error.status === 412 && onConflict) return onConflict();
      throw error;
    }
  });

  if (done) {
    return (
      <Dialog key="done" title={done.result === "unchanged" ? "Nothing to deploy" : `Version ${done.fn.version} is deployed`} onClose={() => onDone(done.fn)} footer={<Button kind="primary" onClick={() => onDone(done.fn)}>Done</Button>}>
        {done.result !== "unchanged" && <Steps reached={[...steps.slice(0, 4).map((step) => step.stage), done.result]} />}
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
          <Button kind="primary" busy={busy} onClick={() => void run()}>{busy ? `${next(stages)?.doing ?? "Finishing"}…` : problems.length > 0 ? "Deploy anyway" : "Deploy"}</Button>
        </>
      }
    >
      {original && <p className="muted">{changed > 0 ? plural(changed, "file has", "files have") : "No file has"} been changed.</p>}
      {problems.length > 0 && <Notice tone="warn" title="This may not boot"><Problems problems={problems} /></Notice>}
      <Field label="Message" hint="What changes, for whoever reads the history later. Optional.">
        {(attributes) => <input {...attributes} value={message} maxLength={300} disabled={busy} onChange={(event) => setMessage(event.target.value)} onKeyDown={(event) => event.key === "Enter" && !busy && void run()} />}
      </Field>
      {(busy || error) && <Steps reached={stages} failed={!!error} />}
      <ErrorBox error={error} />
    </Dialog>
  );
}

/** As the server tells of them, in this order. */
const steps = [
  { stage: "staged", label: "Checked and staged", doing: "Sending" },
  { stage: "stored", label: "Stored", doing: "Storing" },
  { stage: "booted", label: "Booted", doing: "Booting" },
  { stage: "active", label: "Activated", doing: "Activating" },
  { stage: "verified", label: "Verified by the runtime", doing: "Verifying" },
];

const next = (reached: string[]) => steps.find((step) => !reached.includes(step.stage));

/** `failed`: the step that was not reached is the one that failed; undefined: it is over, and went well. */
function Steps({ reached, failed }: { reached: string[]; failed?: boolean }) {
  const following = failed === undefined ? undefined : next(reached)?.stage;
  return (
    <ol className="steps" aria-label="Progress">
      {steps.map(({ stage, label }) => {
        const state = reached.includes(stage) ? "done" : stage !== following ? "waiting" : failed ? "failed" : "running";
        const Icon = state === "done" ? CheckCircle2 : state === "failed" ? XCircle : state === "running" ? LoaderCircle : Circle;
        return <li key={stage} className={state}><Icon size={15} className={state === "running" ? "spin" : undefined} aria-hidden /> {label}<span className="visually-hidden">: {state}</span></li>;
      })}
    </ol>
  );
}
