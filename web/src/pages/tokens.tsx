import { Plus } from "lucide-react";
import { useState } from "react";
import { json, page, type AccessToken } from "../api";
import { refresh, useAction, useLoad, useTitle } from "../hooks";
import { useSession } from "../session";
import { Badge, Button, Check2, Code, Confirm, Dialog, Empty, ErrorBox, Field, Loading, Notice, Time, useToast } from "../ui";

const scopes = [
  { name: "functions:read", about: "list functions, read their source" },
  { name: "functions:write", about: "deploy, change, delete, roll back" },
  { name: "secrets:read", about: "list the names of secrets" },
  { name: "secrets:write", about: "set and delete secrets" },
  { name: "audit:read", about: "read the audit log" },
  { name: "tokens:admin", about: "make and revoke access tokens" },
  { name: "projects:admin", about: "see API keys, change projects" },
];
const lives = [
  { label: "7 days", seconds: 7 * 86400 },
  { label: "30 days", seconds: 30 * 86400 },
  { label: "90 days", seconds: 90 * 86400 },
  { label: "1 year", seconds: 365 * 86400 },
  { label: "never", seconds: 0 },
];

const over = (token: AccessToken) => token.revoked_at !== undefined || (token.expires_at !== undefined && Date.parse(token.expires_at) < Date.now());

export function Tokens() {
  const { refusal } = useSession();
  const { data, error, reload } = useLoad("tokens", (signal) => page<AccessToken>("v1/access-tokens", {}, signal));
  const [creating, setCreating] = useState(false);
  const [revoking, setRevoking] = useState<AccessToken>();
  const toast = useToast();
  useTitle("Access tokens · Edge Functions");
  const revoke = useAction(async (token: AccessToken) => {
    await json("DELETE", `v1/access-tokens/${encodeURIComponent(token.id)}`);
    refresh("tokens");
    setRevoking(undefined);
    toast(`${token.name} is revoked`);
  });

  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>Access tokens</h1>
          <p className="muted">For the CLI, CI and agents. A token is shown once, when it is made.</p>
        </div>
        <Button kind="primary" refuse={refusal("POST", "/v1/access-tokens")} onClick={() => setCreating(true)}><Plus size={14} aria-hidden /> New token</Button>
      </div>
      <ErrorBox error={error} action={<Button onClick={reload}>Try again</Button>} />
      {!data && !error && <Loading what="the tokens" />}
      {data?.data.length === 0 && <Empty title="There are no access tokens yet"><p>Make one for each machine or person that deploys, with no more scopes than it needs.</p></Empty>}
      {data && data.data.length > 0 && (
        <div className="scroll-x" tabIndex={0} role="group" aria-label="Access tokens">
          <table className="plain tokens-table">
            <thead><tr><th scope="col">Name</th><th scope="col">Scopes</th><th scope="col">Bound to</th><th scope="col">Last used</th><th scope="col">Expires</th><th scope="col"><span className="visually-hidden">Actions</span></th></tr></thead>
            <tbody>
              {data.data.map((token) => (
                <tr key={token.id} className={over(token) ? "over" : undefined}>
                  <td><strong>{token.name}</strong><div className="muted small">by {token.created_by}, <Time at={token.created_at} /></div></td>
                  <td><div className="badges">{token.scopes.map((scope) => <Badge key={scope}>{scope}</Badge>)}</div></td>
                  <td>{token.project || token.slugs ? <span className="mono small">{[token.project, ...(token.slugs ?? [])].filter(Boolean).join(", ")}</span> : "everything"}</td>
                  <td><Time at={token.last_used_at} /></td>
                  <td>{token.revoked_at ? <Badge tone="bad">revoked</Badge> : over(token) ? <Badge tone="bad">expired</Badge> : <Time at={token.expires_at} />}</td>
                  <td className="right">{!over(token) && <Button kind="danger" refuse={refusal("DELETE", "/v1/access-tokens/{id}")} aria-label={`Revoke ${token.name}`} onClick={() => setRevoking(token)}>Revoke</Button>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {creating && <Create onClose={() => setCreating(false)} />}
      {revoking && (
        <Confirm title={`Revoke ${revoking.name}?`} verb="Revoke" danger busy={revoke.busy} error={revoke.error} onConfirm={() => void revoke.run(revoking)} onClose={() => { setRevoking(undefined); revoke.clear(); }}>
          <p>Whatever uses it is refused from the next call on. This cannot be undone.</p>
        </Confirm>
      )}
    </div>
  );
}

function Create({ onClose }: { onClose: () => void }) {
  const { session, project, projects } = useSession();
  const [name, setName] = useState("");
  const [chosen, setChosen] = useState<string[]>(["functions:read", "functions:write"].filter((scope) => session.scopes.includes(scope)));
  const [bound, setBound] = useState(session.project ? true : projects.length > 1);
  const [slugs, setSlugs] = useState("");
  const [life, setLife] = useState(90 * 86400);
  const [made, setMade] = useState<AccessToken>();
  const create = useAction(async () => {
    const list = slugs.split(/[\s,]+/).filter(Boolean);
    setMade(await json<AccessToken>("POST", "v1/access-tokens", { json: { name: name.trim(), scopes: chosen, ...(bound && { project: project.ref }), ...(list.length > 0 && { slugs: list }), ...(life > 0 && { expires_in: life }) } }));
    refresh("tokens");
  });
  const wrong = name.trim() === "" ? "Give it a name" : chosen.length === 0 ? "Choose at least one scope" : undefined;

  if (made) {
    return (
      <Dialog key="made" title={`The token ${made.name}`} onClose={onClose} footer={<Button kind="primary" onClick={onClose}>Done</Button>}>
        <Notice tone="warn" title="Copy it now: it is not shown again" />
        <Code label="the token" text={made.token ?? ""} />
      </Dialog>
    );
  }
  return (
    <Dialog key="new" title="New access token" onClose={onClose} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" busy={create.busy} refuse={wrong} onClick={() => void create.run()}>Create</Button></>}>
      <Field label="Name">{(attributes) => <input {...attributes} value={name} maxLength={128} placeholder="ci of the shop" onChange={(event) => setName(event.target.value)} />}</Field>
      <fieldset>
        <legend>Scopes</legend>
        {scopes.map((scope) => (
          <Check2
            key={scope.name}
            label={<code>{scope.name}</code>}
            hint={session.scopes.includes(scope.name) ? scope.about : "You do not have this scope yourself"}
            disabled={!session.scopes.includes(scope.name)}
            checked={chosen.includes(scope.name)}
            onChange={(event) => setChosen((old) => (event.target.checked ? [...old, scope.name] : old.filter((other) => other !== scope.name)))}
          />
        ))}
      </fieldset>
      <div className="inline">
        <Field label="Expires after">
          {(attributes) => <select {...attributes} value={life} onChange={(event) => setLife(Number(event.target.value))}>{lives.map((entry) => <option key={entry.seconds} value={entry.seconds}>{entry.label}</option>)}</select>}
        </Field>
        <Field label="Only these functions" hint="Names or patterns such as ci-*; empty for all">{(attributes) => <input {...attributes} className="mono" value={slugs} onChange={(event) => setSlugs(event.target.value)} spellCheck={false} />}</Field>
      </div>
      <Check2 label={<>Only the project {project.name}</>} checked={bound} disabled={session.project !== undefined} onChange={(event) => setBound(event.target.checked)} />
      <ErrorBox error={create.error} />
    </Dialog>
  );
}
