import { Undo2 } from "lucide-react";
import { useState } from "react";
import { json, type Release } from "../api";
import { refresh, useAction, useTitle } from "../hooks";
import { link } from "../router";
import { PROJECT, useSession } from "../session";
import { Button, Card, Confirm, Empty, ErrorBox, Loading, Time, useToast } from "../ui";
import { usePages } from "./more";

export function Releases() {
  const { ref, refusal } = useSession();
  const toast = useToast();
  const list = usePages<Release>(`releases/${ref}`, `v1/projects/${ref}/releases`, {}, 15_000);
  const [target, setTarget] = useState<Release>();
  const cannot = refusal("POST", `${PROJECT}/releases/{id}/rollback`);
  useTitle("Releases · Edge Functions");
  const undo = useAction(async (release: Release) => {
    await json("POST", `v1/projects/${ref}/releases/${release.id}/rollback`, { json: {} });
    setTarget(undefined);
    refresh("releases/");
    refresh("functions/");
    refresh("function/");
    toast(`Release ${release.id} is undone`);
  });

  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>Releases</h1>
          <p className="muted">What one call or one run of the CLI changed, as a unit; undone as a unit.</p>
        </div>
      </div>
      <ErrorBox error={list.error} />
      {list.loading && list.items.length === 0 && <Loading what="the releases" />}
      {!list.loading && !list.error && list.items.length === 0 && <Empty title="There are no releases yet"><p>Each deploy makes one.</p></Empty>}
      {list.items.length > 0 && (
        <Card>
          <ol className="timeline" aria-label="Releases">
            {list.items.map((release) => (
              <li key={release.id}>
                <div className="timeline-main">
                  <p><strong>Release {release.id}</strong></p>
                  {release.message && <p className="message">{release.message}</p>}
                  <ul className="changes">
                    {release.functions.map((change) => (
                      <li key={change.slug}>
                        <a href={link("project", ref, "functions", change.slug)}>{change.slug}</a>{" "}
                        <span className="muted">{describe(change.version_before, change.version_after)}</span>
                      </li>
                    ))}
                  </ul>
                  <p className="muted small">{release.source} by {release.created_by}, <Time at={release.created_at} /></p>
                </div>
                <div className="actions"><Button refuse={cannot} aria-label={`Undo release ${release.id}`} onClick={() => setTarget(release)}><Undo2 size={14} aria-hidden /> Undo</Button></div>
              </li>
            ))}
          </ol>
          {list.more}
        </Card>
      )}
      {target && (
        <Confirm title={`Undo release ${target.id}?`} verb="Undo the release" busy={undo.busy} error={undo.error} onConfirm={() => void undo.run(target)} onClose={() => { setTarget(undefined); undo.clear(); }}>
          <p>All or nothing, these go back to what they were:</p>
          <ul>{target.functions.map((change) => <li key={change.slug}>{change.slug}: {describe(change.version_after, change.version_before)}</li>)}</ul>
        </Confirm>
      )}
    </div>
  );
}

function describe(before: number | null | undefined, after: number | null | undefined): string {
  if (!after) return "deleted";
  if (!before) return `new, version ${after}`;
  return before === after ? `version ${after}, changed how calls are shared out` : `version ${before} → ${after}`;
}
