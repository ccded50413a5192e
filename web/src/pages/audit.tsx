import { Download, ShieldCheck } from "lucide-react";
import { useDeferredValue, useState } from "react";
import { json, page } from "../api";
import { count, plural } from "../format";
import { useAction, useTitle } from "../hooks";
import { PROJECT, useSession } from "../session";
import { Badge, Button, Code, Empty, ErrorBox, Field, Loading, Notice, Time, useToast } from "../ui";
import { saveFile } from "./download";
import { usePages } from "./more";

interface Entry {
  id: number;
  at: string;
  actor: string;
  address: string;
  request_id: string;
  action: string;
  target: string;
  outcome: "done" | "failed" | "refused";
  before?: string;
  after?: string;
}

interface Verification {
  ok: boolean;
  from: number;
  entries: number;
  head: { id: number; hash: string };
  found: number;
  findings: string[];
}

const MOST_EXPORTED = 50_000;

export function Audit() {
  const { ref, refusal } = useSession();
  const [verified, setVerified] = useState<Verification>();
  const toast = useToast();
  const [filter, setFilter] = useState({ actor: "", action: "", target: "", outcome: "" });
  const used = useDeferredValue(filter);
  const query = Object.fromEntries(Object.entries(used).map(([name, value]) => [name, value.trim() || undefined]));
  const path = `v1/projects/${ref}/audit`;
  const list = usePages<Entry>(`audit/${ref}/${JSON.stringify(used)}`, path, query, 15_000);
  useTitle("Audit log · Edge Functions");

  const save = useAction(async () => {
    const all: Entry[] = [];
    let cursor: string | undefined;
    do {
      const got = await page<Entry>(path, { ...query, limit: 100, cursor });
      all.push(...got.data);
      cursor = got.next_cursor;
    } while (cursor && all.length < MOST_EXPORTED);
    saveFile(`audit-${ref}.jsonl`, "application/x-ndjson", all.map((entry) => `${JSON.stringify(entry)}\n`).join(""));
    if (cursor) toast(`The newest ${MOST_EXPORTED} entries were saved; functions-admin audit export has all`);
  });

  const verify = useAction(async () => {
    setVerified(undefined);
    setVerified(await json<Verification>("GET", `${path}/verify`));
  });

  const field = (name: "actor" | "action" | "target", label: string, placeholder: string) => (
    <Field label={label}>{(attributes) => <input {...attributes} value={filter[name]} placeholder={placeholder} spellCheck={false} onChange={(event) => setFilter({ ...filter, [name]: event.target.value })} />}</Field>
  );
  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>Audit log</h1>
          <p className="muted">Who did what, and who was refused. Nothing is ever changed here; each entry seals the ones before it.</p>
        </div>
        <div className="actions">
          <Button busy={verify.busy} refuse={refusal("GET", `${PROJECT}/audit/verify`)} onClick={() => void verify.run()}>{!verify.busy && <ShieldCheck size={14} aria-hidden />} Verify chain</Button>
          <Button busy={save.busy} onClick={() => void save.run()}>{!save.busy && <Download size={14} aria-hidden />} Export</Button>
        </div>
      </div>
      <ErrorBox error={save.error} />
      <ErrorBox error={verify.error} />
      {verified && <Verified {...verified} />}
      <div className="inline">
        {field("actor", "Who", "token ci")}
        {field("action", "Action", "function.deploy")}
        {field("target", "What", "hello")}
        <Field label="Outcome">
          {(attributes) => (
            <select {...attributes} value={filter.outcome} onChange={(event) => setFilter({ ...filter, outcome: event.target.value })}>
              <option value="">any</option>
              <option value="done">done</option>
              <option value="failed">failed</option>
              <option value="refused">refused</option>
            </select>
          )}
        </Field>
      </div>
      <ErrorBox error={list.error} />
      {list.loading && list.items.length === 0 && <Loading what="the audit log" />}
      {!list.loading && !list.error && list.items.length === 0 && <Empty title="There are no such entries" />}
      {list.items.length > 0 && (
        <div className="scroll-x" tabIndex={0} role="group" aria-label="Audit log">
          <table className="plain">
            <thead><tr><th scope="col">When</th><th scope="col">Who</th><th scope="col">Action</th><th scope="col">What</th><th scope="col">Outcome</th><th scope="col">From</th><th scope="col">Request</th></tr></thead>
            <tbody>
              {list.items.map((entry) => (
                <tr key={entry.id}>
                  <td><Time at={entry.at} /></td>
                  <td>{entry.actor}</td>
                  <td className="mono small">{entry.action}</td>
                  <td>{entry.target}{(entry.before || entry.after) && <div className="muted small mono">{entry.before ?? "–"} → {entry.after ?? "–"}</div>}</td>
                  <td><Badge tone={entry.outcome === "done" ? "good" : entry.outcome === "failed" ? "bad" : "warn"}>{entry.outcome}</Badge></td>
                  <td className="mono small">{entry.address}</td>
                  <td className="mono small" title={entry.request_id}>{entry.request_id.slice(0, 8)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {list.more}
      <div className="after">
        <p className="muted small">All entries of all projects are checked on the server, also against a head that was noted earlier:</p>
        <Code label="the command that checks the log" text="functions-admin audit verify" />
      </div>
    </div>
  );
}

function Verified({ ok, from, entries, head, found, findings }: Verification) {
  const { ref } = useSession();
  const checked = `${plural(entries, "entry", "entries")}${from > 1 ? ` from number ${count(from)} on` : ""}`;
  return (
    <Notice tone={ok ? "good" : "warn"} title={ok ? `${checked}: all as they were written` : `${checked}: ${plural(found, "finding")}`}>
      {!ok && <ul className="verified" aria-label="What was found">{findings.map((finding, at) => <li key={at}>{finding}</li>)}</ul>}
      {found > findings.length && <p>And {count(found - findings.length)} more.</p>}
      {from > 1 && <p>What is older was taken as it stands.</p>}
      <p className="muted small">Note the head elsewhere: it shows at a later check that nothing is gone since. <code>{ref}:{head.id}:{head.hash}</code></p>
    </Notice>
  );
}
