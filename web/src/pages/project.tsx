import { useEffect, useState, type ReactNode } from "react";
import { json } from "../api";
import { DefaultLimits } from "../function/limits";
import { refresh, useAction, useLoad, useTitle } from "../hooks";
import { PROJECT, useSession } from "../session";
import { Button, Card, Check2, Code, ErrorBox, Field, Loading, useToast } from "../ui";

type Members = Record<string, string | number>;

interface Settings {
  activation_policy?: string;
  agent_deploys?: string;
  auto_rollback?: Members;
  function_defaults?: unknown;
  retention?: Members;
  smoke_test?: Members;
  [other: string]: unknown;
}

export function ProjectSettings() {
  const { ref, project } = useSession();
  const { data, error, reload } = useLoad(`project-settings/${ref}`, (signal) => json<Settings>("GET", `v1/projects/${ref}/settings`, { signal }));
  useTitle("Project settings · Edge Functions");
  const { activation_policy, agent_deploys, auto_rollback, function_defaults: _, retention, smoke_test, ...others } = data ?? {};
  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>Project settings</h1>
          <p className="muted">They hold for {project.name} and all of its functions.</p>
        </div>
      </div>
      <ErrorBox error={error} action={<Button onClick={reload}>Try again</Button>} />
      {!data && !error && <Loading what="the settings" />}
      {data && (
        <div className="stack narrow">
          <Policy was={activation_policy ?? "all"} />
          <Group
            title="Smoke test"
            setting="smoke_test"
            was={smoke_test}
            choice={{ label: "Call each function when it begins to serve", hint: "Where the answer is another, the version before serves again, and the deployment has failed. {slug} stands for the function's name." }}
            fields={[
              { name: "path", label: "Path", fallback: "/{slug}" },
              { name: "method", label: "Method", fallback: "GET", options: ["GET", "HEAD", "POST", "OPTIONS"] },
              { name: "min_status", label: "Lowest good status", fallback: 200, min: 100, max: 599 },
              { name: "max_status", label: "Highest good status", fallback: 399, min: 100, max: 599 },
              { name: "timeout_ms", label: "Answer within (ms)", fallback: 5000, min: 100, max: 60_000 },
            ]}
          />
          <Group
            title="Automatic rollback"
            setting="auto_rollback"
            was={auto_rollback}
            choice={{ label: "Go back to the version before where too many calls fail", hint: "A call fails where the answer is 5xx, or the function does not boot." }}
            fields={[
              { name: "error_percent", label: "Failed calls (%)", fallback: 50, min: 1, max: 100 },
              { name: "min_calls", label: "Of at least so many calls", fallback: 20, min: 1, max: 1_000_000 },
              { name: "window_s", label: "Watched for (s)", fallback: 600, min: 10, max: 86_400 },
            ]}
          />
          <Group
            title="What is kept"
            setting="retention"
            was={retention}
            about="What serves, the version before it and every version with a share of the calls are always kept."
            fields={[
              { name: "versions", label: "Newest versions of each function", fallback: 100, min: 1, max: 2_147_483_647 },
              { name: "days", label: "Versions of the last days", fallback: 0, min: 0, max: 36_500 },
              { name: "deleted_days", label: "Deleted functions, days", fallback: 30, min: 0, max: 36_500 },
            ]}
          />
          <DefaultLimits />
          <Agents was={agent_deploys ?? "active"} />
          {Object.keys(others).length > 0 && (
            <Card title="What else is set">
              <Code label="the other settings" text={JSON.stringify(others, null, 2)} />
            </Card>
          )}
        </div>
      )}
    </div>
  );
}

interface PartProps {
  title: string;
  setting: keyof Settings & string;
  /** null: taken away, so that what holds without it holds. */
  value: unknown;
  same: boolean;
  wrong?: string;
  saved?: string;
  children: ReactNode;
}

/** One setting, saved by itself. */
function Part({ title, setting, value, same, wrong, saved = "The settings are saved", children }: PartProps) {
  const { ref, refusal } = useSession();
  const toast = useToast();
  const save = useAction(async () => {
    await json("PATCH", `v1/projects/${ref}/settings`, { json: { [setting]: value } });
    refresh(`project-settings/${ref}`);
    toast(saved);
  });
  const refuse = refusal("PATCH", `${PROJECT}/settings`) ?? wrong ?? (same ? "Nothing is changed" : undefined);
  return (
    <Card title={title}>
      <form onSubmit={(event) => { event.preventDefault(); if (!refuse) void save.run(); }}>
        {children}
        <ErrorBox error={save.error} />
        <Button kind="primary" type="submit" busy={save.busy} refuse={refuse} aria-label={`Save: ${title}`} onClick={() => {}}>Save</Button>
      </form>
    </Card>
  );
}

function Policy({ was }: { was: string }) {
  const [policy, setPolicy] = useState(was);
  useEffect(() => setPolicy(was), [was]);
  return (
    <Part title="Nodes" setting="activation_policy" value={policy === "all" ? null : policy} same={policy === was}>
      <Field label="A deployment succeeds when" hint="Of the nodes that live and are not draining.">
        {(attributes) => (
          <select {...attributes} value={policy} onChange={(event) => setPolicy(event.target.value)}>
            <option value="all">all nodes serve it</option>
            <option value="quorum">more than half of the nodes serve it</option>
            <option value="none">it is active in the database; the nodes follow</option>
          </select>
        )}
      </Field>
    </Part>
  );
}

function Agents({ was }: { was: string }) {
  const [mode, setMode] = useState(was);
  useEffect(() => setMode(was), [was]);
  const wait = mode === "preview";
  return (
    <Part title="Agents" setting="agent_deploys" value={wait ? "preview" : null} same={mode === was} saved={wait ? "What agents deploy waits for a person" : "What agents deploy serves at once"}>
      <Check2
        label="What agents deploy waits for a person"
        hint="A deploy through the MCP endpoint becomes a version that gets no calls, until somebody rolls to it or shares out calls to it on its page. Off: it serves at once."
        checked={wait}
        onChange={(event) => setMode(event.target.checked ? "preview" : "active")}
      />
    </Part>
  );
}

interface Member {
  name: string;
  label: string;
  /** What holds where it is not set. */
  fallback: string | number;
  options?: string[];
  min?: number;
  max?: number;
}

interface GroupProps {
  title: string;
  setting: keyof Settings & string;
  was?: Members;
  /** Of a setting that is off where it is not set. */
  choice?: { label: string; hint: string };
  about?: string;
  fields: Member[];
}

function Group({ title, setting, was, choice, about, fields }: GroupProps) {
  const start = Object.fromEntries(fields.map(({ name, fallback }) => [name, String(was?.[name] ?? fallback)]));
  const started = !choice || was !== undefined;
  const [on, setOn] = useState(started);
  const [values, setValues] = useState(start);
  // What the others save leaves alone what is being typed here.
  const key = JSON.stringify(was);
  useEffect(() => {
    setOn(started);
    setValues(start);
  }, [key]);
  const valueOf = (values: Record<string, string>, on: boolean) =>
    !on || (!choice && fields.every(({ name, fallback }) => values[name] === String(fallback)))
      ? null
      : Object.fromEntries(fields.map(({ name, max }) => [name, max === undefined ? values[name] : Number(values[name])]));
  const isWrong = ({ name, min = 0, max }: Member) => max !== undefined && (values[name] === "" || Number(values[name]) < min || Number(values[name]) > max);
  const wrong = on ? fields.find(isWrong) : undefined;
  const set = (name: string, value: string) => setValues({ ...values, [name]: value });
  const value = valueOf(values, on);
  return (
    <Part title={title} setting={setting} value={value} same={JSON.stringify(value) === JSON.stringify(valueOf(start, started))} wrong={wrong && `${wrong.label}: from ${wrong.min} to ${wrong.max}`}>
      {choice && <Check2 label={choice.label} hint={choice.hint} checked={on} onChange={(event) => setOn(event.target.checked)} />}
      {about && <p className="muted small about">{about}</p>}
      {on && (
        <div className="inline">
          {fields.map((field) => (
            <Field key={field.name} label={field.label} error={isWrong(field) ? `From ${field.min} to ${field.max}` : undefined}>
              {(attributes) =>
                field.options ? (
                  <select {...attributes} value={values[field.name]} onChange={(event) => set(field.name, event.target.value)}>{field.options.map((option) => <option key={option}>{option}</option>)}</select>
                ) : (
                  <input {...attributes} className={field.max === undefined ? "mono" : undefined} inputMode={field.max === undefined ? undefined : "numeric"} spellCheck={false} value={values[field.name]} onChange={(event) => set(field.name, field.max === undefined ? event.target.value : event.target.value.replace(/\D/g, ""))} />
                )}
            </Field>
          ))}
        </div>
      )}
    </Part>
  );
}
