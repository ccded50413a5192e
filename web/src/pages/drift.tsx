import { useState } from "react";
import { json, type Fn } from "../api";
import { plural } from "../format";
import { refresh, useAction, useLoad } from "../hooks";
import { link } from "../router";
import { FUNCTION, PROJECT, useSession } from "../session";
import { Badge, Button, Confirm, Dialog, ErrorBox, Field, Notice, useToast } from "../ui";

interface Change {
  path: string;
  change: "added" | "removed" | "modified";
  binary: boolean;
  too_large: boolean;
  diff?: string;
}

interface Drifted {
  slug: string;
  version: number;
  stub_changed: boolean;
  files: Change[];
}

const MOST_SHOWN = 10;

/** What somebody changed on disk past the API. Asked for once per visit: the server reads the files for it. */
export function Drift() {
  const { ref, offers, refusal } = useSession();
  const mayAsk = offers("GET", `${PROJECT}/drift`) && !refusal("GET", `${PROJECT}/drift`);
  const { data, error } = useLoad(mayAsk ? `drift/${ref}` : undefined, (signal) => json<{ drift: Drifted[] }>("GET", `v1/projects/${ref}/drift`, { signal }));
  const [looking, setLooking] = useState<Drifted>();
  if (error) return <ErrorBox error={error} />;
  const drift = data?.drift ?? [];
  return (
    <>
      {drift.length > 0 && (
        <Notice tone="warn" title={`Changed on disk: ${plural(drift.length, "function")}`}>
          <ul aria-label="Changed on disk" className="drifted">
            {drift.slice(0, MOST_SHOWN).map((item) => (
              <li key={item.slug}>
                <span><a href={link("project", ref, "functions", item.slug)}>{item.slug}</a> version {item.version}: {[...(item.stub_changed ? ["its stub"] : []), ...item.files.map((file) => `${file.change} ${file.path}`)].join(", ")}</span>
                <Button aria-label={`Look at what was changed in ${item.slug}`} onClick={() => setLooking(item)}>Look…</Button>
              </li>
            ))}
          </ul>
          {drift.length > MOST_SHOWN && <p>And {drift.length - MOST_SHOWN} more.</p>}
        </Notice>
      )}
      {looking && <Look item={looking} onClose={() => setLooking(undefined)} />}
    </>
  );
}

function Look({ item, onClose }: { item: Drifted; onClose: () => void }) {
  const { ref, refusal } = useSession();
  const toast = useToast();
  const [message, setMessage] = useState("");
  const [undoing, setUndoing] = useState(false);
  const path = `v1/projects/${ref}/functions/${encodeURIComponent(item.slug)}/drift`;
  const done = (text: string) => {
    refresh(`drift/${ref}`);
    refresh(`functions/${ref}`);
    refresh(`function/${ref}/${item.slug}`);
    toast(text);
    onClose();
  };
  const keep = useAction(async () => {
    const fn = await json<Fn>("POST", `${path}/accept`, { json: message.trim() ? { message: message.trim() } : {} });
    done(`What lay on disk is version ${fn.version} of ${item.slug}`);
  });
  const undo = useAction(async () => {
    await json("POST", `${path}/revert`);
    done(`${item.slug} is as it was deployed again`);
  });

  if (undoing)
    return (
      <Confirm title={`Undo the changes to ${item.slug}?`} verb="Undo the changes" danger busy={undo.busy} error={undo.error} onConfirm={() => void undo.run()} onClose={() => { setUndoing(false); undo.clear(); }}>
        <p>What was written on the server is lost; the files of version {item.version} take its place. Workers that run already keep what they have loaded until they retire.</p>
      </Confirm>
    );
  return (
    <Dialog
      wide
      title={`Changed on disk in ${item.slug}`}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Leave it so</Button>
          <Button kind="danger" refuse={refusal("POST", `${FUNCTION}/drift/revert`)} onClick={() => setUndoing(true)}>Undo…</Button>
          <Button kind="primary" busy={keep.busy} refuse={refusal("POST", `${FUNCTION}/drift/accept`)} onClick={() => void keep.run()}>Keep as a new version</Button>
        </>
      }
    >
      <p className="muted">Somebody changed version {item.version} in the functions folder, past the API. Kept, it is deployed as any other version; undone, the files are those of version {item.version} again.</p>
      {item.stub_changed && <p>What stands for the function in the folder is not as it was written.</p>}
      {item.files.map((file) => (
        <section key={file.path} className="unified" aria-label={file.path}>
          <h3 className="mono">{file.path} <Badge tone={file.change === "added" ? "good" : file.change === "removed" ? "bad" : "plain"}>{file.change}</Badge></h3>
          {file.diff ? <Unified text={file.diff} label={`What was changed in ${file.path}`} /> : <p className="muted small">{file.binary ? "This file is not text." : file.too_large ? "It is too large to be shown." : "It is empty."}</p>}
        </section>
      ))}
      <Field label="Message" hint="Of the new version, for whoever reads the history later. Optional.">
        {(attributes) => <input {...attributes} value={message} maxLength={300} onChange={(event) => setMessage(event.target.value)} />}
      </Field>
      <ErrorBox error={keep.error} />
    </Dialog>
  );
}

/** The head names the file twice, which stands above already. */
function Unified({ text, label }: { text: string; label: string }) {
  const lines = text.trimEnd().split("\n");
  const from = Math.max(0, lines.findIndex((line) => line.startsWith("@@")));
  return (
    <pre tabIndex={0} aria-label={label}>
      {lines.slice(from).map((line, at) => <span key={at} className={line.startsWith("+") ? "added" : line.startsWith("-") ? "removed" : line.startsWith("@@") ? "muted" : undefined}>{line || " "}</span>)}
    </pre>
  );
}
