import { ArrowDown, ArrowUp, Plus, Search } from "lucide-react";
import { memo, useDeferredValue, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { flushSync } from "react-dom";
import { apiUrl, functionUrl, json, type Fn, type Share } from "../api";
import { plural } from "../format";
import { useLoad, useTitle } from "../hooks";
import { go, link } from "../router";
import { FUNCTIONS, useSession } from "../session";
import { Drift } from "./drift";
import { Calls, useCallsOffered } from "../function/stats";
import { Badge, Button, Code, CopyButton, ErrorBox, Loading, Time, cx } from "../ui";

type SortKey = "name" | "status" | "version" | "traffic" | "verify_jwt" | "updated_at" | "by" | "error";
/** `down`: the order that is asked for first; `of`: what the rows are compared by. */
const columns: { key: SortKey; label: string; down?: boolean; of: (fn: Fn) => string | number }[] = [
  { key: "name", label: "Name", of: (fn) => fn.slug },
  { key: "status", label: "Status", of: (fn) => fn.status },
  { key: "version", label: "Version", of: (fn) => fn.version },
  { key: "traffic", label: "Traffic", down: true, of: (fn) => fn.activity?.traffic?.length ?? 1 },
  { key: "verify_jwt", label: "Verify JWT", of: (fn) => Number(fn.verify_jwt) },
  { key: "updated_at", label: "Updated", down: true, of: (fn) => fn.updated_at },
  { key: "by", label: "By", of: (fn) => fn.activity?.updated_by ?? "" },
  { key: "error", label: "Last error", down: true, of: (fn) => Date.parse(fn.activity?.last_error?.at ?? "") || 0 },
];

const compare = new Intl.Collator("en", { numeric: true }).compare;
function order(functions: Fn[], key: SortKey, down: boolean): Fn[] {
  const sign = down ? -1 : 1;
  const { of } = columns.find((column) => column.key === key)!;
  return [...functions].sort((a, b) => {
    const x = of(a);
    const y = of(b);
    const difference = typeof x === "string" ? compare(x, y as string) : x - (y as number);
    return difference !== 0 ? sign * difference : compare(a.slug, b.slug);
  });
}

export function FunctionList() {
  const { ref, refusal } = useSession();
  const { data, error, reload } = useLoad(`functions/${ref}`, (signal) => json<Fn[]>("GET", `v1/projects/${ref}/functions`, { query: { include: "activity" }, signal }), 15_000);
  const [search, setSearch] = useState("");
  const [sort, setSort] = useState<{ key: SortKey; down: boolean }>({ key: "updated_at", down: true });
  const query = useDeferredValue(search.trim().toLowerCase());
  const field = useRef<HTMLInputElement>(null);
  const sortBy = (key: SortKey, turn: boolean) => setSort((old) => ({ key, down: turn && old.key === key ? !old.down : !!columns.find((column) => column.key === key)!.down }));
  const cannotWrite = refusal("POST", `${FUNCTIONS}/deploy`);
  useTitle("Functions · Edge Functions");

  useEffect(() => {
    const jump = (event: KeyboardEvent) => {
      if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test((event.target as HTMLElement).tagName)) return;
      event.preventDefault();
      field.current?.focus();
    };
    addEventListener("keydown", jump);
    return () => removeEventListener("keydown", jump);
  }, []);

  const shown = useMemo(() => {
    const found = (data ?? []).filter((fn) => query === "" || fn.slug.toLowerCase().includes(query) || fn.name.toLowerCase().includes(query));
    return order(found, sort.key, sort.down);
  }, [data, query, sort]);

  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>Edge Functions</h1>
          <p className="muted">{data ? plural(data.length, "function") : " "}</p>
        </div>
        <div className="actions">
          <Button kind="primary" refuse={cannotWrite} onClick={() => go(`/project/${ref}/functions/new`)}><Plus size={14} aria-hidden /> Deploy a new function</Button>
        </div>
      </div>
      <ErrorBox error={error} action={<Button onClick={reload}>Try again</Button>} />
      <Drift />
      {!data && !error && <Loading what="the functions" />}
      {data?.length === 0 && <Teach />}
      {data && data.length > 0 && (
        <>
          <div className="toolbar">
            <div className="search">
              <Search size={14} aria-hidden />
              <input ref={field} type="search" aria-label="Search functions" aria-keyshortcuts="/" placeholder="Search functions" value={search} onChange={(event) => setSearch(event.target.value)} />
              <kbd aria-hidden>/</kbd>
            </div>
            <label className="phone-only sort-select">
              <span className="visually-hidden">Sort by</span>
              <select value={sort.key} onChange={(event) => sortBy(event.target.value as SortKey, false)}>
                {columns.map((column) => <option key={column.key} value={column.key}>{column.label}</option>)}
              </select>
            </label>
            <span className="muted small" role="status">{query ? plural(shown.length, "match", "matches") : ""}</span>
          </div>
          <Table functions={shown} sort={sort} onSort={(key) => sortBy(key, true)} />
        </>
      )}
    </div>
  );
}

const phone = matchMedia("(max-width: 640px)");

/** Only the rows near the window exist, however many there are. */
function Table({ functions, sort, onSort }: { functions: Fn[]; sort: { key: SortKey; down: boolean }; onSort: (key: SortKey) => void }) {
  const { ref } = useSession();
  const calls = useCallsOffered();
  const body = useRef<HTMLDivElement>(null);
  const [height, setHeight] = useState(phone.matches ? 76 : 56);
  const [range, setRange] = useState({ from: 0, to: 40 });

  useLayoutEffect(() => {
    const measure = () => {
      const row = phone.matches ? 76 : 56;
      const top = body.current?.getBoundingClientRect().top ?? 0;
      const from = Math.max(0, Math.floor(-top / row) - 12);
      const to = Math.ceil((innerHeight - top) / row) + 12;
      setHeight(row);
      setRange((old) => (old.from === from && old.to === to ? old : { from, to }));
    };
    measure();
    // Before the frame that has scrolled is drawn, or it would show the place where rows are to be.
    const now = () => flushSync(measure);
    addEventListener("scroll", now, { passive: true });
    addEventListener("resize", now);
    return () => {
      removeEventListener("scroll", now);
      removeEventListener("resize", now);
    };
  }, [functions]);

  const visible = functions.slice(range.from, range.to);
  return (
    <div className={cx("table functions-table", calls && "has-calls")} role="table" aria-label="Functions" aria-rowcount={functions.length + 1}>
      <div role="rowgroup" className="table-head">
        <div role="row" aria-rowindex={1} className="row">
          {columns.map((column) => {
            const active = sort.key === column.key;
            return (
              <div key={column.key} role="columnheader" className={`c-${column.key}`} aria-sort={active ? (sort.down ? "descending" : "ascending") : "none"}>
                <button type="button" onClick={() => onSort(column.key)}>
                  {column.label}
                  {active && (sort.down ? <ArrowDown size={12} aria-hidden /> : <ArrowUp size={12} aria-hidden />)}
                </button>
              </div>
            );
          })}
          {calls && <div role="columnheader" className="c-calls">Calls, 24 hours</div>}
          <div role="columnheader" className="c-url">URL</div>
        </div>
      </div>
      <div role="rowgroup" ref={body} className="rows" style={{ height: functions.length * height }}>
        {visible.map((fn, index) => <Row key={fn.id} fn={fn} at={range.from + index} height={height} project={ref} calls={calls} />)}
      </div>
      {functions.length === 0 && <p className="none">No function is named like that.</p>}
    </div>
  );
}

/** One that was there in the frame before is not made again. */
const Row = memo(function Row({ fn, at, height, project, calls }: { fn: Fn; at: number; height: number; project: string; calls: boolean }) {
  return (
    <div role="row" aria-rowindex={at + 2} className="row body-row" style={{ transform: `translateY(${at * height}px)`, height }}>
      <div role="cell" className="c-name">
        <a className="stretch" href={link("project", project, "functions", fn.slug)}>{fn.slug}</a>
        {fn.name !== fn.slug && <span className="muted small">{fn.name}</span>}
      </div>
      <div role="cell" className="c-status"><Badge tone={fn.status === "ACTIVE" ? "good" : "warn"}>{fn.status.toLowerCase()}</Badge></div>
      <div role="cell" className="c-version"><span className="phone-only">version </span>{fn.version}</div>
      <div role="cell" className="c-traffic"><Split shares={fn.activity?.traffic} /></div>
      <div role="cell" className="c-verify_jwt">{fn.verify_jwt ? "on" : <Badge tone="warn">off</Badge>}</div>
      <div role="cell" className="c-updated_at"><Time at={fn.updated_at} /></div>
      <div role="cell" className="c-by" title={fn.activity?.updated_by}>{fn.activity?.updated_by ?? <span className="muted">–</span>}</div>
      <div role="cell" className="c-error"><LastError fn={fn} /></div>
      {calls && <div role="cell" className="c-calls"><Calls fn={fn} /></div>}
      <div role="cell" className="c-url"><CopyButton text={functionUrl(fn.slug)} label={`Copy the URL of ${fn.slug}`} quiet /></div>
    </div>
  );
});

function Split({ shares }: { shares?: Share[] }) {
  if (!shares) return <span className="muted">–</span>;
  const text = shares.map((share) => `${share.percent} % version ${share.version}`).join(", ");
  return (
    <span className="split" title={text}>
      <span className="visually-hidden">{text}</span>
      <span className="traffic-bar" aria-hidden>{shares.map((share, at) => share.percent > 0 && <span key={share.version} className={`part part-${at}`} style={{ flexGrow: share.percent }} />)}</span>
      <span className="small" aria-hidden>{shares.map((share) => `${share.percent}`).join(" / ")} %</span>
    </span>
  );
}

/** Of the last day; the server tells no older ones. */
function LastError({ fn }: { fn: Fn }) {
  const error = fn.activity?.last_error;
  if (!error) return <span className="muted">–</span>;
  return (
    <span className="last-error" title={error.message}>
      <span className="error-text">{error.message ?? "It failed"}</span>
      <span className="muted small"><span className="phone-only">Error: </span>{error.source.replace("_", " ")}, <Time at={error.at} /></span>
    </span>
  );
}

/** Nothing is deployed yet: the three ways to change that, with this server's own addresses. */
function Teach() {
  const { ref, refusal } = useSession();
  const api = apiUrl();
  return (
    <div className="teach">
      <h2>Deploy the first function</h2>
      <p className="muted">Three ways lead here; each of them ends with a function that answers at <code>{functionUrl("hello")}</code>.</p>
      <ol className="ways">
        <li className="card">
          <h3>From this page</h3>
          <p>Write it in the editor, or start from a sample.</p>
          <Button kind="primary" refuse={refusal("POST", `${FUNCTIONS}/deploy`)} onClick={() => go(`/project/${ref}/functions/new`)}>Open the editor</Button>
        </li>
        <li className="card">
          <h3>With the Supabase CLI</h3>
          <p>A profile file tells the CLI where this server is. The access token comes from <a href={link("project", ref, "tokens")}>Access tokens</a>.</p>
          <Code label="the profile and the commands" text={`cat > profile.yaml <<'EOF'\nname: self-hosted\napi_url: ${api}\ndashboard_url: ${api}\nproject_host: ${location.hostname}\nEOF\nexport SUPABASE_ACCESS_TOKEN=sbp_…\nsupabase functions new hello\nsupabase functions deploy hello --use-api --profile ./profile.yaml --remote=${ref}`} />
        </li>
        <li className="card">
          <h3>From an AI agent, over MCP</h3>
          <p>Any client of the Model Context Protocol can deploy.</p>
          <Code label="the command of the MCP server" text={`SUPABASE_ACCESS_TOKEN=sbp_… npx @supabase/mcp-server-supabase \\\n  --api-url ${api} --project-ref ${ref} --features functions`} />
        </li>
      </ol>
    </div>
  );
}
