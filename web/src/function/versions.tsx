import { GitCompare, RotateCcw } from "lucide-react";
import { Suspense, lazy, useState } from "react";
import { json, loadSource, type Fn, type Version } from "../api";
import { bytes, plural } from "../format";
import { refresh, useAction, useLoad } from "../hooks";
import { FUNCTION, useSession } from "../session";
import { usePages } from "../pages/more";
import { Badge, Button, Card, Confirm, Dialog, ErrorBox, Field, Loading, Time, useToast } from "../ui";
import { DeploymentHistory } from "./deployments";
import { TrafficCard } from "./traffic";

const Diff = lazy(() => import("../editor/diff").then((module) => ({ default: module.Diff })));

const origins: Record<string, string> = { deploy: "deployed", rollback: "rolled back", import: "imported", promote: "promoted", settings: "settings changed", template: "from a template" };

export function VersionsTab({ fn }: { fn: Fn }) {
  const { ref, refusal, offers } = useSession();
  const toast = useToast();
  const path = `v1/projects/${ref}/functions/${encodeURIComponent(fn.slug)}`;
  // The active version is in the key: whoever deploys elsewhere moves the list here.
  const list = usePages<Version>(`versions/${ref}/${fn.slug}/${fn.version}`, `${path}/versions`);
  const [target, setTarget] = useState<Version>();
  const [message, setMessage] = useState("");
  const [pair, setPair] = useState<[number, number]>();
  const cannot = refusal("POST", `${FUNCTION}/rollback`);

  const changed = () => {
    for (const key of [`function/${ref}/${fn.slug}`, `functions/${ref}`, `versions/${ref}/${fn.slug}`, `deployments/${ref}/${fn.slug}`, `traffic/${ref}/${fn.slug}`]) refresh(key);
  };
  const rollBack = useAction(async (version: number, note: string, undo?: number) => {
    const now = await json<Fn>("POST", `${path}/rollback`, { json: { version, ...(note && { message: note }) } });
    setTarget(undefined);
    setMessage("");
    changed();
    if (undo === undefined) toast(`Version ${now.version} serves again`);
    else toast(`Rolled back to version ${now.version}`, "good", { label: "Undo", run: () => void rollBack.run(undo, `undo of the rollback to version ${version}`) });
  });

  return (
    <div className="stack">
      {offers("GET", `${FUNCTION}/traffic`) && <TrafficCard fn={fn} versions={list.items} onChanged={changed} />}
      <Card title="Versions" actions={list.items.length > 1 && <Button onClick={() => setPair([list.items.find((version) => !version.active)?.version ?? list.items[0].version, fn.version])}><GitCompare size={14} aria-hidden /> Compare…</Button>}>
        <ErrorBox error={list.error ?? (target ? undefined : rollBack.error)} />
        {list.loading && list.items.length === 0 && <Loading what="the versions" />}
        <ol className="timeline" aria-label="Versions">
          {list.items.map((version) => (
            <li key={version.version} className={version.active ? "active" : undefined}>
              <div className="timeline-main">
                <p>
                  <strong>Version {version.version}</strong> {version.active && <Badge tone="good">active</Badge>} {version.kind === "eszip" && <Badge>bundle</Badge>} {!version.verify_jwt && <Badge tone="warn">no JWT</Badge>}
                </p>
                {version.message && <p className="message">{version.message}</p>}
                <p className="muted small">
                  {origins[version.source] ?? version.source}
                  {version.source_version !== undefined && ` from version ${version.source_version}`}
                  {version.source_project && ` of ${version.source_project}`} by {version.created_by}, <Time at={version.created_at} /> · {plural(version.file_count, "file")}, {bytes(version.size)} · <code title={version.digest}>{version.digest.slice(0, 12)}</code>
                </p>
              </div>
              <div className="actions">
                {!version.active && <Button aria-label={`Compare version ${version.version} with the active one`} onClick={() => setPair([version.version, fn.version])}><GitCompare size={14} aria-hidden /> Compare</Button>}
                {!version.active && <Button refuse={cannot} aria-label={`Roll back to version ${version.version}`} onClick={() => setTarget(version)}><RotateCcw size={14} aria-hidden /> Roll back</Button>}
              </div>
            </li>
          ))}
        </ol>
        {list.more}
      </Card>
      {offers("GET", `${FUNCTION}/deployments`) && <DeploymentHistory slug={fn.slug} />}
      {target && (
        <Confirm title={`Roll back to version ${target.version}?`} verb="Roll back" busy={rollBack.busy} error={rollBack.error} onConfirm={() => void rollBack.run(target.version, message.trim(), fn.version)} onClose={() => { setTarget(undefined); rollBack.clear(); }}>
          <p>Version {fn.version} serves until version {target.version} has booted; then that one answers every call. Nothing is deleted, and it can be undone.</p>
          <Field label="Message" hint="Why, for whoever reads the history later. Optional.">{(attributes) => <input {...attributes} value={message} maxLength={300} onChange={(event) => setMessage(event.target.value)} />}</Field>
        </Confirm>
      )}
      {pair && <Compare path={path} slug={fn.slug} versions={list.items} pair={pair} onChange={setPair} onClose={() => setPair(undefined)} />}
    </div>
  );
}

function Compare({ path, slug, versions, pair, onChange, onClose }: { path: string; slug: string; versions: Version[]; pair: [number, number]; onChange: (pair: [number, number]) => void; onClose: () => void }) {
  const { ref } = useSession();
  const load = (version: number) => async (signal: AbortSignal) => ({ source: await loadSource(`${path}/versions/${version}/body`, {}, signal) });
  const before = useLoad(`source/${ref}/${slug}/${pair[0]}`, load(pair[0]));
  const after = useLoad(`source/${ref}/${slug}/${pair[1]}`, load(pair[1]));
  const choice = (index: 0 | 1, label: string) => (
    <Field label={label}>
      {(attributes) => (
        <select {...attributes} value={pair[index]} onChange={(event) => onChange(index === 0 ? [Number(event.target.value), pair[1]] : [pair[0], Number(event.target.value)])}>
          {[...new Set([...versions.map((version) => version.version), ...pair])].sort((a, b) => b - a).map((version) => <option key={version} value={version}>version {version}</option>)}
        </select>
      )}
    </Field>
  );
  return (
    <Dialog wide title={`What changed in ${slug}`} onClose={onClose}>
      <div className="inline">{choice(0, "From")}{choice(1, "To")}</div>
      <ErrorBox error={before.error ?? after.error} />
      {before.data && after.data ? (
        before.data.source && after.data.source ? (
          <Suspense fallback={<Loading what="the comparison" />}>
            <Diff before={before.data.source.files} after={after.data.source.files} labels={[`version ${pair[0]}`, `version ${pair[1]}`]} />
          </Suspense>
        ) : (
          <p className="muted">A bundle holds compiled modules and cannot be compared line by line.</p>
        )
      ) : (
        !before.error && !after.error && <Loading what="both versions" />
      )}
    </Dialog>
  );
}
