import { CheckCircle2, RefreshCw, TriangleAlert, XCircle } from "lucide-react";
import { apiUrl, functionUrl, json } from "../api";
import { plural } from "../format";
import { useLoad, useTitle } from "../hooks";
import { link } from "../router";
import { useSession } from "../session";
import { Button, Card, Code, CopyButton, ErrorBox, Loading, Notice } from "../ui";

interface Finding {
  check: string;
  verdict: "ok" | "warning" | "wrong";
  message: string;
  hint?: string;
}

const names: Record<string, string> = {
  gateway: "Gateway",
  database: "Database",
  schema: "Database schema",
  db_role: "Database role",
  functions_dir: "Functions folder",
  drift: "Changes on disk",
  runtime: "Edge runtime",
  generation: "What the runtime serves",
};
const icons = { ok: CheckCircle2, warning: TriangleAlert, wrong: XCircle };
const ranks = { wrong: 0, warning: 1, ok: 2 };

/** The server's facts begin with a small letter, or with a name or path that keeps its own. */
const sentence = (text: string) => (/^[a-z]+ /.test(text) ? text[0].toUpperCase() + text.slice(1) : text);

export function Status() {
  const { ref } = useSession();
  const { data, error, loading, reload } = useLoad(`doctor/${ref}`, (signal) => json<{ healthy: boolean; checks: Finding[] }>("GET", `v1/projects/${ref}/doctor`, { signal }), 30_000);
  useTitle("Status · Edge Functions");
  // What is to be mended comes first; else in the order of the server.
  const checks = [...(data?.checks ?? [])].sort((a, b) => ranks[a.verdict] - ranks[b.verdict]);
  const open = checks.filter((check) => check.verdict !== "ok").length;
  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>Gateway and runtime</h1>
          <p className="muted">What stands between a deploy and a call, looked at just now.</p>
        </div>
        <Button busy={loading && !!data} onClick={reload}>{!(loading && data) && <RefreshCw size={14} aria-hidden />} Look again</Button>
      </div>
      <ErrorBox error={error} />
      {!data && !error && <Loading what="the findings" />}
      {data && (
        <div className="stack">
          {open === 0
            ? <Notice tone="good" title="All is well" />
            : <Notice tone="warn" title={data.healthy ? `It works, with ${plural(open, "thing")} to look at` : `${plural(open, "thing")} to mend`} />}
          <Card title="Findings">
            <ul className="findings" aria-label="Findings">
              {checks.map((check) => {
                const Icon = icons[check.verdict];
                return (
                  <li key={check.check} className={check.verdict}>
                    <Icon size={18} aria-hidden />
                    <div>
                      <h3>{names[check.check] ?? check.check}<span className="visually-hidden">: {check.verdict}</span></h3>
                      <p>{sentence(check.message)}</p>
                      {check.hint && <p className="hint-text">{check.hint}</p>}
                      {check.check === "drift" && check.verdict !== "ok" && <p><a href={link("project", ref, "functions")}>See them above the functions</a></p>}
                    </div>
                  </li>
                );
              })}
            </ul>
          </Card>
          <Card title="Addresses">
            <dl className="details">
              <Address label="Management API" text={apiUrl()} />
              <Address label="Functions" text={functionUrl("")} />
              <Address label="Project" text={ref} />
            </dl>
          </Card>
          <div className="after">
            <p className="muted small">The command looks from outside, also at the configuration, and where this page cannot be opened:</p>
            <Code label="the command that looks for faults" text="functions-admin doctor" />
          </div>
        </div>
      )}
    </div>
  );
}

function Address({ label, text }: { label: string; text: string }) {
  return <div><dt>{label}</dt><dd className="endpoint"><code>{text}</code><CopyButton text={text} label={`Copy ${label}`} quiet /></dd></div>;
}
