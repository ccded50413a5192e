import { useState } from "react";
import { json } from "../api";
import { useFollowed } from "../followed";
import { count, plural, span } from "../format";
import { useAction, useNow, useTitle } from "../hooks";
import { PROJECT, useSession } from "../session";
import { Badge, Button, Code, Confirm, Empty, ErrorBox, Loading, Time, useToast } from "../ui";

interface Node {
  id: string;
  name: string;
  kind: "serve" | "agent";
  program: string;
  alive: boolean;
  draining: boolean;
  generation: number;
  verified: boolean;
  behind: number;
  behind_ms: number;
  seen_at: string;
  error?: { message?: string; code: string; generation: number; at?: string };
}

type Order = "drain" | "resume" | "check" | "remove";

const NODE = `${PROJECT}/nodes/{id}`;
const tones = { live: "good", draining: "warn", away: "bad", failed: "bad" } as const;

/** As `functions-admin node` names it. */
const stateOf = (node: Node) => (!node.alive ? "away" : node.draining ? "draining" : node.error ? "failed" : "live");

const said: Record<Order, (node: Node) => string> = {
  drain: ({ name }) => `No deployment waits for ${name} any more`,
  resume: ({ name }) => `Deployments wait for ${name} again`,
  check: ({ name, alive }) => `${name} compares its files with the database${alive ? "" : " when it is back"}`,
  remove: ({ name }) => `${name} is forgotten`,
};

/** Goes on growing where nothing is told. */
function Lag({ ms, at }: { ms: number; at: number }) {
  const now = useNow(1000);
  return <div className="muted small">{span(ms + Math.max(0, now - at))}</div>;
}

/** The hosts that show the project's functions. */
export function Nodes() {
  const { ref, refusal } = useSession();
  const toast = useToast();
  const path = `v1/projects/${ref}/nodes`;
  const { data, error, at, reload } = useFollowed<{ generation: number; data: Node[] }>(path);
  const [removing, setRemoving] = useState<Node>();
  useTitle("Nodes · Edge Functions");
  const give = useAction(async (order: Order, node: Node) => {
    const at = `${path}/${encodeURIComponent(node.id)}`;
    await (order === "remove" ? json("DELETE", at) : json("POST", `${at}/${order}`));
    if (order !== "check") reload();
    setRemoving(undefined);
    toast(said[order](node));
  });
  const button = (order: Exclude<Order, "remove">, label: string, node: Node) => (
    <Button refuse={refusal("POST", `${NODE}/${order}`)} aria-label={`${label} ${node.name}`} onClick={() => !give.busy && void give.run(order, node)}>{label}</Button>
  );

  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>Nodes</h1>
          <p className="muted">The hosts that show this project's functions, and how far each has come.{data && ` The database is at generation ${count(data.generation)}.`}</p>
        </div>
      </div>
      <ErrorBox error={error} action={<Button onClick={reload}>Try again</Button>} />
      {!removing && <ErrorBox error={give.error} />}
      {!data && !error && <Loading what="the nodes" />}
      {data?.data.length === 0 && <Empty title="No host shows this project's functions"><p>A deployment is refused until one does.</p></Empty>}
      {data && data.data.length > 0 && (
        <div className="scroll-x" tabIndex={0} role="group" aria-label="Nodes">
          <table className="plain nodes-table">
            <thead><tr><th scope="col">Name</th><th scope="col">State</th><th scope="col">Generation</th><th scope="col">Behind</th><th scope="col">Verified</th><th scope="col">Last seen</th><th scope="col"><span className="visually-hidden">Actions</span></th></tr></thead>
            <tbody>
              {data.data.map((node) => (
                <tr key={node.id}>
                  <td><strong title={node.id}>{node.name}</strong><div className="muted small">{node.kind}, {node.program}</div></td>
                  <td>
                    <Badge tone={tones[stateOf(node)]}>{stateOf(node)}</Badge>
                    {node.error && <div className="small error-text">{node.error.message ?? node.error.code}</div>}
                  </td>
                  <td>{count(node.generation)}</td>
                  <td>{node.behind > 0 ? <>{plural(node.behind, "generation")}{node.behind_ms > 0 && <Lag ms={node.behind_ms} at={at} />}</> : <span className="muted">–</span>}</td>
                  <td>{node.verified ? "yes" : "no"}</td>
                  <td>{node.alive ? "now" : <Time at={node.seen_at} />}</td>
                  <td>
                    <div className="actions node-actions">
                      {node.draining ? button("resume", "Resume", node) : button("drain", "Drain", node)}
                      {button("check", "Check", node)}
                      <Button kind="danger" refuse={refusal("DELETE", NODE) ?? (node.alive ? "It lives: end its program first" : undefined)} aria-label={`Remove ${node.name}`} onClick={() => { give.clear(); setRemoving(node); }}>Remove…</Button>
                    </div>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {data && (
        <div className="after">
          {data.data.length > 0 && <p className="muted small">Drain one before maintenance: deployments do not wait for it, though it goes on following. Check has it compare every file on its disk with the database.</p>}
          <h2>To add a host</h2>
          <p className="muted small">Beside an edge runtime there, with the same master key as this server, and the database's address as the only way between them:</p>
          <Code label="the configuration of another host" text={`# /etc/functions-admin/functions-admin.conf\nproject_ref = ${ref}\ndatabase_url_file = /etc/functions-admin/database-url\nmaster_key_file = /etc/functions-admin/master-key\nfunctions_dir = /srv/supabase/volumes/functions\nruntime_url = http://127.0.0.1:9000`} />
          <Code label="the command that follows the database" text="functions-admin agent" />
        </div>
      )}
      {removing && (
        <Confirm title={`Remove ${removing.name}?`} verb="Remove" danger busy={give.busy} error={give.error} onConfirm={() => void give.run("remove", removing)} onClose={() => { setRemoving(undefined); give.clear(); }}>
          <p>It is away, and is no longer listed then. Nothing is deleted on its disk; when its program starts again, it is back.</p>
        </Confirm>
      )}
    </div>
  );
}
