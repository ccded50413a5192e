import { Play, Plus, Trash2 } from "lucide-react";
import { useRef, useState } from "react";
import { functionUrl, json, type ApiKey, type Fn } from "../api";
import { bytes } from "../format";
import { PROJECT, useSession } from "../session";
import { Badge, Button, Card, Code, Field, IconButton, Notice } from "../ui";

interface Answer {
  status: number;
  statusText: string;
  ms: number;
  size: number;
  headers: [string, string][];
  text: string;
  version?: string;
}

const MOST = 200_000;
const readable = (type: string) => type === "" || /^(text\/|application\/(json|javascript|xml|x-www-form-urlencoded|problem\+json|graphql))|\+(json|xml)\b/i.test(type);

export function TestTab({ fn }: { fn: Fn }) {
  const { ref, refusal } = useSession();
  const keys = useRef<ApiKey[]>(undefined);
  const [method, setMethod] = useState("POST");
  const [path, setPath] = useState("");
  const [role, setRole] = useState("anon");
  const [jwt, setJwt] = useState("");
  const [headers, setHeaders] = useState<{ id: number; name: string; value: string }[]>([{ id: 0, name: "Content-Type", value: "application/json" }]);
  const [body, setBody] = useState('{\n  "name": "world"\n}');
  const [version, setVersion] = useState("");
  const [busy, setBusy] = useState(false);
  const [answer, setAnswer] = useState<Answer>();
  const [problem, setProblem] = useState<string>();

  // Asked for with the first call that needs one, because seeing keys is written into the audit log; kept while this panel is open.
  const credential = async () => {
    if (role === "none") return "";
    if (role === "own") return jwt.trim();
    const refused = refusal("GET", `${PROJECT}/api-keys`);
    if (refused) throw new Error(refused);
    keys.current ??= await json<ApiKey[]>("GET", `v1/projects/${ref}/api-keys`, { query: { reveal: true } });
    const found = keys.current.find((entry) => entry.name === role && entry.type === "legacy");
    // Masked ones end in dots.
    if (!found || found.api_key.endsWith("...")) throw new Error(found ? "The key of this role is not shown to you: that needs the scope projects:admin" : "This project has no key of this role");
    return found.api_key;
  };
  const bodyless = method === "GET" || method === "HEAD";

  const send = async () => {
    setBusy(true);
    setProblem(undefined);
    try {
      const key = await credential();
      const sent = new Headers();
      for (const { name, value } of headers) if (name.trim() !== "") sent.append(name.trim(), value);
      if (key) sent.set("Authorization", `Bearer ${key}`);
      if (version !== "") sent.set("x-functions-admin-version", version);
      const began = performance.now();
      const response = await fetch(functionUrl(fn.slug) + path, { method, headers: sent, body: bodyless ? undefined : body, credentials: "omit", cache: "no-store" });
      const data = await response.arrayBuffer();
      const type = response.headers.get("Content-Type") ?? "";
      let text = readable(type) ? new TextDecoder().decode(data.slice(0, MOST)) : `(${bytes(data.byteLength)} of ${type})`;
      if (/json/i.test(type) && data.byteLength < MOST) {
        try {
          text = JSON.stringify(JSON.parse(text), null, 2);
        } catch {
          // Shown as it came.
        }
      }
      if (data.byteLength > MOST && readable(type)) text += `\n… ${bytes(data.byteLength - MOST)} more`;
      setAnswer({
        status: response.status,
        statusText: response.statusText,
        ms: performance.now() - began,
        size: data.byteLength,
        headers: [...response.headers],
        text,
        version: /version=(\d+)/.exec(response.headers.get("x-edge-function") ?? "")?.[1],
      });
    } catch (error) {
      setAnswer(undefined);
      setProblem((error as Error).message);
    } finally {
      setBusy(false);
    }
  };

  const edit = (id: number, change: Partial<{ name: string; value: string }>) => setHeaders((all) => all.map((header) => (header.id === id ? { ...header, ...change } : header)));

  return (
    <div className="two test">
      <Card title="Request">
        <form onSubmit={(event) => { event.preventDefault(); void send(); }} onKeyDown={(event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); void send(); } }}>
          <div className="inline">
            <Field label="Method">
              {(attributes) => (
                <select {...attributes} value={method} onChange={(event) => setMethod(event.target.value)}>
                  {["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"].map((name) => <option key={name}>{name}</option>)}
                </select>
              )}
            </Field>
            <Field label="Path and query">
              {(attributes) => <input {...attributes} className="mono" value={path} placeholder="/path?query" onChange={(event) => setPath(event.target.value)} spellCheck={false} />}
            </Field>
          </div>
          <div className="inline">
            <Field label="Role">
              {(attributes) => (
                <select {...attributes} value={role} onChange={(event) => setRole(event.target.value)}>
                  <option value="anon">anon</option>
                  <option value="service_role">service_role</option>
                  <option value="own">a JWT of your own</option>
                  <option value="none">nobody (no JWT)</option>
                </select>
              )}
            </Field>
            <Field label="Version" hint="Empty: as the traffic is shared out. Choosing one needs service_role.">
              {(attributes) => <input {...attributes} inputMode="numeric" pattern="[0-9]*" value={version} placeholder="any" onChange={(event) => setVersion(event.target.value.replace(/\D/g, ""))} />}
            </Field>
          </div>
          {role === "own" && <Field label="JWT">{(attributes) => <input {...attributes} type="password" className="mono" autoComplete="off" value={jwt} onChange={(event) => setJwt(event.target.value)} />}</Field>}
          <fieldset>
            <legend>Headers</legend>
            {headers.map((header, index) => (
              <div key={header.id} className="header-row">
                <input aria-label={`Name of header ${index + 1}`} className="mono" value={header.name} placeholder="Name" onChange={(event) => edit(header.id, { name: event.target.value })} spellCheck={false} />
                <input aria-label={`Value of header ${index + 1}`} className="mono" value={header.value} placeholder="Value" onChange={(event) => edit(header.id, { value: event.target.value })} spellCheck={false} />
                <IconButton label={`Remove header ${index + 1}`} onClick={() => setHeaders((all) => all.filter((other) => other.id !== header.id))}><Trash2 size={14} aria-hidden /></IconButton>
              </div>
            ))}
            <Button kind="quiet" onClick={() => setHeaders((all) => [...all, { id: Math.max(-1, ...all.map((header) => header.id)) + 1, name: "", value: "" }])}><Plus size={14} aria-hidden /> Add a header</Button>
          </fieldset>
          {!bodyless && <Field label="Body">{(attributes) => <textarea {...attributes} className="mono" rows={8} value={body} onChange={(event) => setBody(event.target.value)} spellCheck={false} />}</Field>}
          <Button kind="primary" type="submit" busy={busy} title="Ctrl+Enter" onClick={() => {}}>{!busy && <Play size={14} aria-hidden />} Send the request</Button>
        </form>
      </Card>
      <Card title="Response">
        <div role="status">
          {problem && <Notice tone="warn" title="No answer came"><p>{problem}</p></Notice>}
          {answer && (
            <p className="answer-line">
              <Badge tone={answer.status < 400 ? "good" : "bad"}>{answer.status} {answer.statusText}</Badge>
              <span>{answer.ms.toFixed(0)} ms</span>
              <span>{bytes(answer.size)}</span>
              {answer.version && <span>version {answer.version}</span>}
            </p>
          )}
        </div>
        {!answer && !problem && <p className="muted">Send the request to see what the function answers.</p>}
        {answer && (
          <>
            <Code label="the response body" text={answer.text} />
            <details>
              <summary>{answer.headers.length} headers</summary>
              <dl className="details mono small">{answer.headers.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
            </details>
          </>
        )}
      </Card>
    </div>
  );
}
