import { useState } from "react";
import { json, page, type Deployment } from "../api";
import { useLoad } from "../hooks";
import { usePages } from "../pages/more";
import { FUNCTION, useSession } from "../session";
import { Badge, Button, Card, Dialog, ErrorBox, Loading, Time } from "../ui";

const tones: Record<string, "good" | "bad" | "warn"> = { verified: "good", active: "good", failed: "bad", rolled_back: "warn" };

function Status({ deployment }: { deployment: Deployment }) {
  return <Badge tone={tones[deployment.status] ?? "plain"}>{deployment.status.replace("_", " ")}</Badge>;
}

const took = (deployment: Deployment) => {
  const end = deployment.finished_at ?? deployment.verified_at ?? deployment.active_at;
  return end ? `${((Date.parse(end) - Date.parse(deployment.created_at)) / 1000).toFixed(1)} s` : "";
};

export function DeploymentHistory({ slug }: { slug: string }) {
  const { ref } = useSession();
  const list = usePages<Deployment>(`deployments/${ref}/${slug}`, `v1/projects/${ref}/functions/${encodeURIComponent(slug)}/deployments`, { limit: 20 }, 15_000);
  const [shown, setShown] = useState<Deployment>();
  return (
    <Card title="Deployments">
      <ErrorBox error={list.error} />
      {list.items.length === 0 && !list.loading && <p className="muted">None yet.</p>}
      {list.items.length > 0 && (
        <div className="scroll-x" tabIndex={0} role="group" aria-label="Deployments">
          <table className="plain">
            <thead><tr><th scope="col">Version</th><th scope="col">Status</th><th scope="col">By</th><th scope="col">When</th><th scope="col">Boot</th><th scope="col">Took</th><th scope="col"><span className="visually-hidden">Actions</span></th></tr></thead>
            <tbody>
              {list.items.map((deployment) => (
                <tr key={deployment.id}>
                  <td>{deployment.version}</td>
                  <td><Status deployment={deployment} />{deployment.error && <div className="small error-text">{deployment.error.message}</div>}</td>
                  <td>{deployment.created_by}</td>
                  <td><Time at={deployment.created_at} /></td>
                  <td>{deployment.boot_ms !== undefined ? `${deployment.boot_ms} ms` : <span className="muted">–</span>}</td>
                  <td>{took(deployment)}</td>
                  <td className="right"><Button aria-label={`Details of the deployment of version ${deployment.version}, ${deployment.status.replace("_", " ")}`} onClick={() => setShown(deployment)}>Details</Button></td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {list.more}
      {shown && <Details of={shown} onClose={() => setShown(undefined)} />}
    </Card>
  );
}

const moments = [
  { label: "Begun", at: "created_at" },
  { label: "Staged", at: "staged_at" },
  { label: "Booted", at: "booted_at" },
  { label: "Active", at: "active_at" },
  { label: "Verified", at: "verified_at" },
  { label: "Over", at: "finished_at" },
] as const;

/** One deployment: when it came how far, and on which node. */
function Details({ of, onClose }: { of: Deployment; onClose: () => void }) {
  const { ref } = useSession();
  const { data, error } = useLoad(`deployment/${ref}/${of.id}`, (signal) => json<Deployment>("GET", `v1/projects/${ref}/deployments/${of.id}`, { signal }));
  const deployment = data ?? of;
  return (
    <Dialog title={`Deployment of version ${of.version}`} onClose={onClose} footer={<Button onClick={onClose}>Done</Button>}>
      <p><Status deployment={deployment} /> by {deployment.created_by}</p>
      {deployment.error && <p className="error-text">{deployment.error.message}</p>}
      <dl className="details">
        {moments.filter(({ at }) => deployment[at]).map(({ label, at }) => <div key={at}><dt>{label}</dt><dd><Time at={deployment[at]} /> <span className="muted small">{after(deployment, at)}</span></dd></div>)}
        <div><dt>Request</dt><dd className="mono small">{deployment.request_id}</dd></div>
      </dl>
      <ErrorBox error={error} />
      {!data && !error && <Loading what="the nodes" />}
      <Nodes deployment={deployment} />
    </Dialog>
  );
}

const after = (deployment: Deployment, at: (typeof moments)[number]["at"]) =>
  at === "created_at" ? "" : `after ${((Date.parse(deployment[at]!) - Date.parse(deployment.created_at)) / 1000).toFixed(1)} s`;

function Nodes({ deployment }: { deployment: Deployment }) {
  if (!deployment.nodes?.length) return null;
  return (
    <ul className="small nodes" aria-label="Nodes">
      {deployment.nodes.map((node) => <li key={node.name}>{node.name}: {node.error ? (node.error.message ?? node.error.code) : node.verified ? "verified" : node.active_at ? "active" : node.staged_at ? "staged" : "waiting"}</li>)}
    </ul>
  );
}

/** How the deployment that was just made went on each node, where the server tells. */
export function DeploymentNodes({ slug }: { slug: string }) {
  const { ref, refusal } = useSession();
  const offered = refusal("GET", `${FUNCTION}/deployments`) === undefined;
  const { data: latest } = useLoad(offered ? `latest/${ref}/${slug}` : undefined, async (signal) => {
    const { data } = await page<Deployment>(`v1/projects/${ref}/functions/${encodeURIComponent(slug)}/deployments`, { limit: 1 }, signal);
    return data[0] && json<Deployment>("GET", `v1/projects/${ref}/deployments/${data[0].id}`, { signal });
  });
  if (!latest) return null;
  return (
    <div className="muted small">
      {latest.boot_ms !== undefined && <>It booted in {latest.boot_ms} ms. </>}
      {took(latest) && <>The whole deployment took {took(latest)}.</>}
      <Nodes deployment={latest} />
    </div>
  );
}
