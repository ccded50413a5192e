import { useEffect, useState } from "react";
import { json } from "../api";
import { refresh, useAction, useLoad, useTitle } from "../hooks";
import { PROJECT, useSession } from "../session";
import { Button, Card, Check2, Code, ErrorBox, Loading, useToast } from "../ui";

type Settings = { agent_deploys?: "active" | "preview" } & Record<string, unknown>;

export function ProjectSettings() {
  const { ref, project, refusal } = useSession();
  const toast = useToast();
  const path = `v1/projects/${ref}/settings`;
  const { data, error, reload } = useLoad(`project-settings/${ref}`, (signal) => json<Settings>("GET", path, { signal }));
  const [wait, setWait] = useState(false);
  useEffect(() => {
    if (data) setWait(data.agent_deploys === "preview");
  }, [data]);
  useTitle("Project settings · Edge Functions");
  const save = useAction(async () => {
    await json("PATCH", path, { json: { agent_deploys: wait ? "preview" : null } });
    refresh(`project-settings/${ref}`);
    toast(wait ? "What agents deploy waits for a person" : "What agents deploy serves at once");
  });
  const refuse = refusal("PATCH", `${PROJECT}/settings`) ?? (data && wait === (data.agent_deploys === "preview") ? "Nothing is changed" : undefined);
  const { agent_deploys: _, ...others } = data ?? {};
  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>Project settings</h1>
          <p className="muted">Of {project.name}, for all of its functions.</p>
        </div>
      </div>
      <ErrorBox error={error} action={<Button onClick={reload}>Try again</Button>} />
      {!data && !error && <Loading what="the settings" />}
      {data && (
        <div className="stack narrow">
          <Card title="Agents">
            <form onSubmit={(event) => { event.preventDefault(); if (!refuse) void save.run(); }}>
              <Check2
                label="What agents deploy waits for a person"
                hint="A deploy through the MCP endpoint becomes a version that gets no calls, until somebody rolls to it or shares out calls to it on its page. Off: it serves at once."
                checked={wait}
                onChange={(event) => setWait(event.target.checked)}
              />
              <ErrorBox error={save.error} />
              <Button kind="primary" type="submit" busy={save.busy} refuse={refuse} onClick={() => {}}>Save</Button>
            </form>
          </Card>
          {Object.keys(others).length > 0 && (
            <Card title="What else is set">
              <p className="muted small">Retention, automatic rollback, the smoke test and defaults of functions are set by <code>PATCH …/settings</code>.</p>
              <Code label="the other settings" text={JSON.stringify(others, null, 2)} />
            </Card>
          )}
        </div>
      )}
    </div>
  );
}
