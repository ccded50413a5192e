import { Download, Pause, Play } from "lucide-react";
import { useDeferredValue, useEffect, useRef, useState } from "react";
import { ApiError, page, type Fn } from "../api";
import { follow } from "../events";
import { saveFile } from "../pages/download";
import { useSession } from "../session";
import { Badge, Button, Card, Empty, ErrorBox, Field, Loading } from "../ui";

interface Event {
  id: number;
  at: string;
  kind: string;
  level: "debug" | "info" | "warning" | "error";
  message: string;
  version?: number;
  execution_id?: string;
  status?: number;
  ms?: number;
  count?: number;
}

const KEPT = 1000;
const clock = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hour12: false });

export function LogsTab({ fn }: { fn: Fn }) {
  const { ref } = useSession();
  const path = `v1/projects/${ref}/functions/${encodeURIComponent(fn.slug)}/logs`;
  const [filter, setFilter] = useState({ level: "", kind: "", version: "", text: "" });
  const used = useDeferredValue(filter);
  const [events, setEvents] = useState<Event[]>();
  const [paused, setPaused] = useState(false);
  const [waiting, setWaiting] = useState<Event[]>([]);
  const [error, setError] = useState<ApiError>();
  const stopped = useRef(paused);
  stopped.current = paused;

  useEffect(() => {
    const controller = new AbortController();
    const query = Object.fromEntries(Object.entries(used).map(([name, value]) => [name, value.trim() || undefined]));
    setEvents(undefined);
    setWaiting([]);
    void page<Event>(path, { ...query, limit: 100 }, controller.signal).then(
      ({ data }) => {
        setEvents(data);
        setError(undefined);
        const newer = (before: Event[], came: Event[]) => {
          const known = new Set(before.map((event) => event.id));
          return [...came.filter((event) => !known.has(event.id)).reverse(), ...before].slice(0, KEPT);
        };
        return follow(path, { ...query, limit: 100 }, String(Math.max(0, ...data.map((event) => event.id))), controller.signal, (events) => {
          const came = events.map((event) => JSON.parse(event.data) as Event);
          if (stopped.current) setWaiting((old) => newer(old, came));
          else setEvents((old) => newer(old ?? [], came));
        }, setError);
      },
      (error) => !controller.signal.aborted && setError(error),
    );
    return () => controller.abort();
  }, [path, used]);

  const resume = () => {
    setEvents((old) => [...waiting, ...(old ?? [])].slice(0, KEPT));
    setWaiting([]);
    setPaused(false);
  };
  const choose = (name: "level" | "kind", label: string, values: string[], any: string) => (
    <Field label={label}>
      {(attributes) => (
        <select {...attributes} value={filter[name]} onChange={(event) => setFilter({ ...filter, [name]: event.target.value })}>
          <option value="">{any}</option>
          {values.map((value) => <option key={value} value={value}>{value.replace("_", " ")}</option>)}
        </select>
      )}
    </Field>
  );
  return (
    <Card
      title="Logs"
      actions={
        <>
          <Badge tone={paused ? "warn" : error ? "bad" : "good"}>{paused ? `paused${waiting.length > 0 ? `, ${waiting.length} new` : ""}` : error ? "reconnecting" : "live"}</Badge>
          {paused ? <Button onClick={resume}><Play size={14} aria-hidden /> Go on</Button> : <Button onClick={() => setPaused(true)}><Pause size={14} aria-hidden /> Pause</Button>}
          <Button refuse={events?.length ? undefined : "There is nothing to save"} onClick={() => saveFile(`${fn.slug}-logs.jsonl`, "application/x-ndjson", (events ?? []).map((event) => `${JSON.stringify(event)}\n`).join(""))}><Download size={14} aria-hidden /> Download</Button>
        </>
      }
    >
      <div className="inline">
        {choose("level", "Level", ["debug", "info", "warning", "error"], "any")}
        {choose("kind", "Kind", ["log", "boot", "boot_failure", "exception", "shutdown", "call", "dropped"], "all but calls")}
        <Field label="Version">{(attributes) => <input {...attributes} inputMode="numeric" value={filter.version} placeholder="any" onChange={(event) => setFilter({ ...filter, version: event.target.value.replace(/\D/g, "") })} />}</Field>
        <Field label="Contains">{(attributes) => <input {...attributes} type="search" value={filter.text} maxLength={200} onChange={(event) => setFilter({ ...filter, text: event.target.value })} />}</Field>
      </div>
      <ErrorBox error={error} />
      {!events && !error && <Loading what="the logs" />}
      {events?.length === 0 && <Empty title="Nothing has been logged"><p>What the function writes with console.log appears here within seconds.</p></Empty>}
      {events && events.length > 0 && (
        <div className="log" role="log" aria-label="Logs" aria-live="off" tabIndex={0}>
          {events.map((event) => (
            <div key={event.id} className={`log-line ${event.level}`}>
              <time dateTime={event.at} title={event.at}>{clock.format(new Date(event.at))}</time>
              <span className="log-level">{event.kind === "log" ? event.level : event.kind.replace("_", " ")}</span>
              <span className="log-version">{event.version !== undefined && `v${event.version}`}</span>
              <span className="log-text">{event.status !== undefined && `${event.status} `}{event.message}{event.ms !== undefined && ` (${event.ms} ms)`}{event.count !== undefined && ` (${event.count})`}</span>
            </div>
          ))}
        </div>
      )}
    </Card>
  );
}
