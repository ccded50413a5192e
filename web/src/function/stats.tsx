import { useEffect, useId, useState } from "react";
import { json, type Fn } from "../api";
import { count } from "../format";
import { useLoad } from "../hooks";
import { FUNCTION, PROJECT, useSession } from "../session";
import { Card, ErrorBox, cx } from "../ui";

interface Numbers {
  version: number;
  calls: number;
  refused: number;
  errors: number;
  exceptions: number;
  boots: number;
  boot_failures: number;
  logs: number;
  call_ms: { p50?: number; p95?: number; p99?: number; max?: number };
  boot_ms: { p50?: number; p95?: number };
}

interface Slot {
  timestamp: string;
  requests_count: number;
  client_err_count: number;
  server_err_count: number;
  avg_execution_time?: number;
  max_execution_time?: number;
}

const COMBINED = `${PROJECT}/analytics/endpoints/functions.combined-stats`;
const spans = {
  "1hr": { label: "1 hour", step: 60_000, slots: 60, hours: 1 },
  "3hr": { label: "3 hours", step: 60_000, slots: 180, hours: 3 },
  "1day": { label: "24 hours", step: 3_600_000, slots: 24, hours: 24 },
};
type Span = keyof typeof spans;

/** The rows of the server are those in which there were calls; a chart has a place for each interval. */
function fill(rows: Slot[], span: Span, now: number): (Slot | undefined)[] {
  const { step, slots } = spans[span];
  const last = Math.floor(now / step) * step;
  const found = new Map(rows.map((row) => [Math.floor(Date.parse(row.timestamp) / step) * step, row]));
  return Array.from({ length: slots }, (_, at) => found.get(last - (slots - 1 - at) * step));
}

const combined = (ref: string, id: string, interval: string, signal: AbortSignal) =>
  json<{ result: Slot[] }>("GET", `v1/projects/${ref}/analytics/endpoints/functions.combined-stats`, { query: { interval, function_id: id }, signal });

export function useCallsOffered(): boolean {
  const { refusal } = useSession();
  return refusal("GET", COMBINED) === undefined;
}

/** A row's own small chart, asked for only when the row has stayed in view for a moment. */
export function Calls({ fn }: { fn: Fn }) {
  const { ref } = useSession();
  const [still, setStill] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setStill(true), 300);
    return () => clearTimeout(timer);
  }, []);
  const { data } = useLoad(still ? `calls/${ref}/${fn.id}` : undefined, (signal) => combined(ref, fn.id, "1day", signal), 60_000);
  if (!data) return <span className="muted">…</span>;
  const slots = fill(data.result, "1day", Date.now());
  const calls = slots.reduce((sum, slot) => sum + (slot?.requests_count ?? 0), 0);
  const errors = slots.reduce((sum, slot) => sum + (slot?.server_err_count ?? 0), 0);
  const most = Math.max(1, ...slots.map((slot) => slot?.requests_count ?? 0));
  return (
    <span className="calls">
      <svg viewBox="0 0 96 20" aria-hidden preserveAspectRatio="none">
        {slots.map((slot, at) => slot && (
          <g key={at}>
            <rect className="bar" x={at * 4} width={3} y={20 - (slot.requests_count / most) * 20} height={(slot.requests_count / most) * 20} />
            <rect className="bar-bad" x={at * 4} width={3} y={20 - (slot.server_err_count / most) * 20} height={(slot.server_err_count / most) * 20} />
          </g>
        ))}
      </svg>
      <span>{count(calls)}{errors > 0 && <span className="error-text"> · {count(errors)} failed</span>}</span>
    </span>
  );
}

export function Charts({ fn }: { fn: Fn }) {
  const { ref, refusal } = useSession();
  const [span, setSpan] = useState<Span>("1day");
  const offered = !refusal("GET", `${FUNCTION}/stats`);
  const charted = useCallsOffered();
  const series = useLoad(charted ? `series/${ref}/${fn.id}/${span}` : undefined, (signal) => combined(ref, fn.id, span, signal), 15_000);
  const stats = useLoad(offered ? `stats/${ref}/${fn.slug}/${span}` : undefined, (signal) =>
    json<{ versions: Numbers[] }>("GET", `v1/projects/${ref}/functions/${encodeURIComponent(fn.slug)}/stats`, { query: { from: new Date(Date.now() - spans[span].hours * 3_600_000).toISOString() }, signal }), 15_000);
  if (!offered && !charted) return null;
  const slots = fill(series.data?.result ?? [], span, Date.now());
  const versions = stats.data?.versions ?? [];
  const sum = (pick: (numbers: Numbers) => number) => versions.reduce((total, numbers) => total + pick(numbers), 0);
  return (
    <Card
      title="Calls"
      actions={
        <div className="pick inline-pick" role="group" aria-label="Span">
          {(Object.keys(spans) as Span[]).map((name) => <button key={name} type="button" aria-pressed={name === span} className={cx(name === span && "on")} onClick={() => setSpan(name)}>{spans[name].label}</button>)}
        </div>
      }
    >
      <ErrorBox error={series.error ?? stats.error} />
      {charted && (
        <div className="charts">
          <Chart title="Calls and errors" slots={slots} span={span} value={(slot) => slot.requests_count} bad={(slot) => slot.server_err_count} unit="" />
          <Chart title="Average time" slots={slots} span={span} value={(slot) => slot.avg_execution_time ?? 0} unit=" ms" />
        </div>
      )}
      {offered && versions.length > 0 && (
        <div className="scroll-x" tabIndex={0} role="group" aria-label="Calls by version">
          <table className="plain numbers">
            <thead><tr><th scope="col">Version</th><th scope="col">Calls</th><th scope="col">4xx</th><th scope="col">5xx</th><th scope="col">Exceptions</th><th scope="col">p50</th><th scope="col">p95</th><th scope="col">p99</th><th scope="col">Boots</th><th scope="col">Boot p95</th></tr></thead>
            <tbody>
              {versions.map((numbers) => (
                <tr key={numbers.version}>
                  <td>{numbers.version === 0 ? "unknown" : numbers.version}</td><td>{count(numbers.calls)}</td><td>{count(numbers.refused - numbers.errors)}</td><td>{count(numbers.errors)}</td><td>{count(numbers.exceptions)}</td>
                  <td>{ms(numbers.call_ms.p50)}</td><td>{ms(numbers.call_ms.p95)}</td><td>{ms(numbers.call_ms.p99)}</td><td>{count(numbers.boots)}{numbers.boot_failures > 0 && ` (${count(numbers.boot_failures)} failed)`}</td><td>{ms(numbers.boot_ms.p95)}</td>
                </tr>
              ))}
            </tbody>
            {versions.length > 1 && <tfoot><tr><td>All</td><td>{count(sum((n) => n.calls))}</td><td>{count(sum((n) => n.refused - n.errors))}</td><td>{count(sum((n) => n.errors))}</td><td>{count(sum((n) => n.exceptions))}</td><td colSpan={5} /></tr></tfoot>}
          </table>
        </div>
      )}
      {offered && stats.data && versions.length === 0 && <p className="muted small">No calls in this time.</p>}
    </Card>
  );
}

const ms = (value: number | undefined) => (value === undefined ? "–" : `${count(value)} ms`);

function Chart({ title, slots, span, value, bad, unit }: { title: string; slots: (Slot | undefined)[]; span: Span; value: (slot: Slot) => number; bad?: (slot: Slot) => number; unit: string }) {
  const id = useId();
  const most = Math.max(1, ...slots.map((slot) => (slot ? value(slot) : 0)));
  const width = 600 / slots.length;
  const gap = Math.min(2, width * 0.25);
  const total = slots.reduce((sum, slot) => sum + (slot ? value(slot) : 0), 0);
  const failures = bad ? slots.reduce((sum, slot) => sum + (slot ? bad(slot) : 0), 0) : 0;
  return (
    <figure className="chart">
      <figcaption id={id}>{title} <span className="muted">{bad ? `${count(total)}${failures > 0 ? `, ${count(failures)} failed` : ""}` : `highest ${count(Math.round(most))}${unit}`}</span></figcaption>
      <svg viewBox="0 0 600 120" preserveAspectRatio="none" role="img" aria-labelledby={id}>
        {[30, 60, 90].map((y) => <line key={y} className="grid" x1={0} x2={600} y1={y} y2={y} />)}
        {slots.map((slot, at) => slot && (
          <g key={at}>
            <title>{`${new Date(slot.timestamp).toLocaleString()}: ${count(Math.round(value(slot)))}${unit}`}</title>
            <rect className="bar" x={at * width} width={width - gap} y={120 - (value(slot) / most) * 116} height={(value(slot) / most) * 116} />
            {bad && <rect className="bar-bad" x={at * width} width={width - gap} y={120 - (bad(slot) / most) * 116} height={(bad(slot) / most) * 116} />}
          </g>
        ))}
      </svg>
      <div className="axis muted small" aria-hidden><span>{spans[span].label} ago</span><span>now</span></div>
    </figure>
  );
}
