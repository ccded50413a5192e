import { Trash2 } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { json } from "../api";
import { plural } from "../format";
import { refresh, useAction, useLoad, useTitle } from "../hooks";
import { usePath } from "../router";
import { FUNCTION, PROJECT, useSession } from "../session";
import { Badge, Button, Card, Confirm, Empty, ErrorBox, Field, IconButton, Loading, Notice, Time, useToast } from "../ui";
import { parseEnv } from "./env-file";

interface Secret {
  name: string;
  /** SHA-256 of the value: the value itself is never told. */
  value: string;
  updated_at: string;
}

interface Revision {
  revision: number;
  current: boolean;
  source: string;
  restored?: number;
  changed: number;
  created_by: string;
  created_at: string;
}

/** The name that an address asks for; its text is anybody's, so whatever cannot be a name is not taken. */
function nameIn(path: string): string | undefined {
  try {
    const name = decodeURIComponent(/[?&]name=(.*)$/.exec(path)?.[1] ?? "");
    return /^[!"$-<>-~][!-<>-~]{0,255}$/.test(name) ? name : undefined;
  } catch {
    return undefined;
  }
}

export function ProjectSecrets() {
  const { ref, offers } = useSession();
  const asked = nameIn(usePath());
  useTitle("Secrets · Edge Functions");
  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>Secrets</h1>
          <p className="muted">Environment variables of every function of the project, in force at the next call. Nobody reads them back.</p>
        </div>
      </div>
      <div className="stack">
        <Secrets key={asked} asked={asked} path={`v1/projects/${ref}/secrets`} cacheKey={`secrets/${ref}`} route={`${PROJECT}/secrets`} />
        {offers("GET", `${PROJECT}/secrets/revisions`) && <Revisions />}
      </div>
    </div>
  );
}

export function FunctionSecrets({ slug }: { slug: string }) {
  const { ref } = useSession();
  return (
    <div className="stack">
      <p className="muted">Of {slug} alone; they win over the project's secrets of the same name.</p>
      <Secrets path={`v1/projects/${ref}/functions/${encodeURIComponent(slug)}/secrets`} cacheKey={`secrets/${ref}/${slug}`} route={`${FUNCTION}/secrets`} />
    </div>
  );
}

function Secrets({ path, cacheKey, route, asked }: { path: string; cacheKey: string; route: string; asked?: string }) {
  const { refusal } = useSession();
  const toast = useToast();
  const refused = refusal("GET", route);
  const { data, error, reload } = useLoad(refused ? undefined : cacheKey, (signal) => json<Secret[]>("GET", path, { signal }));
  const [target, setTarget] = useState<Secret>();
  const cannot = refusal("DELETE", route);
  const remove = useAction(async (name: string) => {
    await json("DELETE", path, { json: [name] });
    setTarget(undefined);
    refresh("secrets/");
    refresh("secret-revisions/");
    toast(`${name} is unset`);
  });

  return (
    <>
      <SetSecrets path={path} refuse={refusal("POST", route)} existing={data ?? []} asked={asked} />
      {refused && <Notice tone="warn" title="The names of the secrets cannot be shown"><p>{refused}.</p></Notice>}
      {!refused && (
        <Card title={data ? plural(data.length, "secret") : "Secrets"}>
          <ErrorBox error={error} action={<Button onClick={reload}>Try again</Button>} />
          {!data && !error && <Loading what="the secrets" />}
          {data?.length === 0 && <Empty title="No secrets are set" />}
          {data && data.length > 0 && (
            <div className="scroll-x" tabIndex={0} role="group" aria-label="Secrets">
              <table className="plain">
                <thead><tr><th scope="col">Name</th><th scope="col">SHA-256 of the value</th><th scope="col">Changed</th><th scope="col"><span className="visually-hidden">Actions</span></th></tr></thead>
                <tbody>
                  {data.map((secret) => (
                    <tr key={secret.name}>
                      <td className="mono">{secret.name}</td>
                      <td className="mono muted" title={secret.value}>{secret.value.slice(0, 16)}…</td>
                      <td><Time at={secret.updated_at} /></td>
                      <td className="right">{cannot ? <span className="muted small">{cannot}</span> : <IconButton label={`Unset ${secret.name}`} onClick={() => setTarget(secret)}><Trash2 size={14} aria-hidden /></IconButton>}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )}
        </Card>
      )}
      {target && (
        <Confirm title={`Unset ${target.name}?`} verb="Unset" danger busy={remove.busy} error={remove.error} onConfirm={() => void remove.run(target.name)} onClose={() => { setTarget(undefined); remove.clear(); }}>
          <p>Functions that read it get nothing from their next call on.</p>
        </Confirm>
      )}
    </>
  );
}

function SetSecrets({ path, refuse, existing, asked }: { path: string; refuse?: string; existing: Secret[]; asked?: string }) {
  const toast = useToast();
  const [text, setText] = useState(asked ? `${asked}=` : "");
  const field = useRef<HTMLTextAreaElement>(null);
  useEffect(() => {
    if (!asked || !field.current) return;
    field.current.focus();
    field.current.setSelectionRange(asked.length + 1, asked.length + 1);
  }, [asked]);
  const parsed = parseEnv(text);
  const names = Object.keys(parsed.values);
  const known = new Set(existing.map((secret) => secret.name));
  const wrong = parsed.error ?? (names.length === 0 ? "Type a name and a value first" : asked && parsed.values[asked] === "" ? `Type the value of ${asked} first` : undefined);
  const replaced = names.filter((name) => known.has(name));
  const set = useAction(async () => {
    await json("POST", path, { json: names.map((name) => ({ name, value: parsed.values[name] })) });
    setText("");
    refresh("secrets/");
    refresh("secret-revisions/");
    toast(`${plural(names.length, "secret is", "secrets are")} set`);
  });
  return (
    <Card title="Set secrets">
      {asked && !known.has(asked) && <Notice title={`An agent asks for the secret ${asked}`}><p>Type its value behind the <code>=</code>, if you know what it is for. It goes to the server, and never to the agent.</p></Notice>}
      {asked && known.has(asked) && <Notice tone="good" title={`The secret ${asked} is set`}><p>Tell the agent that asked for it. A new value replaces the one that is there.</p></Notice>}
      <form onSubmit={(event) => { event.preventDefault(); if (!wrong && !refuse) void set.run(); }}>
        <Field label="NAME=value, one a line" hint="A whole .env file can be pasted here. Quotes and comments are understood." error={parsed.error}>
          {(attributes) => (
            <textarea {...attributes} ref={field} className="mono secret-text" rows={4} value={text} placeholder={"STRIPE_KEY=sk_…\nGREETING=\"hello\""} autoComplete="off" spellCheck={false} onChange={(event) => setText(event.target.value)} />
          )}
        </Field>
        <p className="muted small" role="status">{names.length > 0 && <>{plural(names.length, "secret")}: {names.join(", ")}{replaced.length > 0 && `. Replaced: ${replaced.join(", ")}`}</>}</p>
        <ErrorBox error={set.error} />
        <Button kind="primary" type="submit" busy={set.busy} refuse={refuse ?? wrong} onClick={() => {}}>Set</Button>
      </form>
    </Card>
  );
}

function Revisions() {
  const { ref, refusal } = useSession();
  const toast = useToast();
  const offered = !refusal("GET", `${PROJECT}/secrets/revisions`);
  const { data, error } = useLoad(offered ? `secret-revisions/${ref}` : undefined, (signal) => json<{ data: Revision[] }>("GET", `v1/projects/${ref}/secrets/revisions`, { signal }));
  const [target, setTarget] = useState<Revision>();
  const cannot = refusal("POST", `${PROJECT}/secrets/rollback`);
  const restore = useAction(async (revision: number) => {
    await json("POST", `v1/projects/${ref}/secrets/rollback`, { json: { revision } });
    setTarget(undefined);
    refresh("secrets/");
    refresh("secret-revisions/");
    toast(`The secrets are those of revision ${revision} again`);
  });
  if (!data?.data.length && !error) return null;
  return (
    <Card title="Revisions">
      <ErrorBox error={error} />
      <ol className="timeline" aria-label="Revisions">
        {data?.data.map((revision) => (
          <li key={revision.revision} className={revision.current ? "active" : undefined}>
            <div className="timeline-main">
              <p><strong>Revision {revision.revision}</strong> {revision.current && <Badge tone="good">in force</Badge>}</p>
              <p className="muted small">{plural(revision.changed, "value")} {revision.source === "set" ? "set" : revision.source === "unset" ? "unset" : `changed by the return to revision ${revision.restored}`} by {revision.created_by}, <Time at={revision.created_at} /></p>
            </div>
            {!revision.current && <div className="actions"><Button refuse={cannot} aria-label={`Return to revision ${revision.revision}`} onClick={() => setTarget(revision)}>Return to it</Button></div>}
          </li>
        ))}
      </ol>
      {target && (
        <Confirm title={`Return to revision ${target.revision}?`} verb="Return" busy={restore.busy} error={restore.error} onConfirm={() => void restore.run(target.revision)} onClose={() => { setTarget(undefined); restore.clear(); }}>
          <p>Every secret, the project's and the functions', becomes what it was then. That is a new revision, which can be left again.</p>
        </Confirm>
      )}
    </Card>
  );
}
