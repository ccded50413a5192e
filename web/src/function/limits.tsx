import { useEffect, useState } from "react";
import { json, request } from "../api";
import { refresh, useAction, useLoad } from "../hooks";
import { FUNCTION, PROJECT, useSession } from "../session";
import { Button, Card, Check2, ErrorBox, Field, Loading, useToast } from "../ui";

interface Choice {
  limits?: Record<string, number>;
  imports?: Record<string, boolean>;
  platform?: string[];
}
interface Settings extends Choice {
  effective: Required<Choice>;
}

const limits = [
  { name: "memory_mb", label: "Memory", unit: "MB", min: 16, max: 65536 },
  { name: "wall_ms", label: "Wall clock", unit: "ms", min: 100, max: 86_400_000 },
  { name: "cpu_soft_ms", label: "CPU time, soft", unit: "ms", min: 10, max: 3_600_000 },
  { name: "cpu_hard_ms", label: "CPU time, hard", unit: "ms", min: 10, max: 3_600_000 },
];
const sources = [
  { name: "npm", label: "npm: packages" },
  { name: "jsr", label: "jsr: packages" },
  { name: "remote", label: "modules from https: addresses" },
];
const credentials = ["SUPABASE_ANON_KEY", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_JWKS", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_SECRET_KEY", "SUPABASE_SECRET_KEYS", "SUPABASE_DB_URL"];

export function FunctionLimits({ slug }: { slug: string }) {
  const { ref } = useSession();
  return (
    <Limits
      title="Limits and permissions"
      path={`v1/projects/${ref}/functions/${encodeURIComponent(slug)}/settings`}
      route={`${FUNCTION}/settings`}
      verb="Save limits"
      without="Back to the project's defaults"
      saved="The settings are saved; they are in force from a new version on"
      touched={[`function/${ref}/${slug}`, `versions/${ref}/${slug}`]}
    />
  );
}

export function DefaultLimits() {
  const { ref } = useSession();
  return (
    <Limits
      title="Defaults of functions"
      about="What a function gets that does not choose for itself. A change reaches them at their next call, without a new version."
      path={`v1/projects/${ref}/function-defaults`}
      route={`${PROJECT}/function-defaults`}
      verb="Save defaults"
      without="Back to the built-in values"
      saved="The defaults are saved"
      touched={[]}
    />
  );
}

interface LimitsProps {
  title: string;
  about?: string;
  path: string;
  route: string;
  verb: string;
  /** How what holds without any choice here is named. */
  without: string;
  saved: string;
  /** What a change of these changes too, for refresh(). */
  touched: string[];
}

const SETTINGS = "settings/";

function Limits({ title, about, path, route, verb, without, saved, touched }: LimitsProps) {
  const { offers, refusal } = useSession();
  const toast = useToast();
  const offered = offers("GET", route);
  const { data, error, reload } = useLoad(offered ? SETTINGS + path : undefined, async (signal) => {
    const response = await request("GET", path, { signal });
    return { settings: (await response.json()) as Settings, etag: response.headers.get("ETag") ?? undefined };
  });
  const [numbers, setNumbers] = useState<Record<string, string>>({});
  const [imports, setImports] = useState<Record<string, boolean>>({});
  const [platform, setPlatform] = useState<string[]>([]);
  useEffect(() => {
    if (!data) return;
    setNumbers(Object.fromEntries(Object.entries(data.settings.limits ?? {}).map(([name, value]) => [name, String(value)])));
    setImports(data.settings.effective.imports);
    setPlatform(data.settings.effective.platform);
  }, [data]);

  const send = async (patch: Record<string, unknown>) => {
    await json("PATCH", path, { json: patch, headers: data!.etag ? { "If-Match": data!.etag } : {} });
    // The project's defaults reach the functions.
    for (const what of [SETTINGS, ...touched]) refresh(what);
    toast(saved);
  };
  const save = useAction(async () => {
    const was = data!.settings;
    const patch: Record<string, unknown> = {};
    const changed = limits.filter(({ name }) => (numbers[name] ?? "") !== String(was.limits?.[name] ?? ""));
    // null: back to what holds without a choice.
    if (changed.length > 0) patch.limits = Object.fromEntries(changed.map(({ name }) => [name, numbers[name] ? Number(numbers[name]) : null]));
    const allowed = sources.filter(({ name }) => imports[name] !== was.effective.imports[name]);
    if (allowed.length > 0) patch.imports = Object.fromEntries(allowed.map(({ name }) => [name, imports[name]]));
    if ([...platform].sort().join() !== [...was.effective.platform].sort().join()) patch.platform = platform;
    await send(patch);
  });
  const takeBack = useAction(() => send({ limits: null, imports: null, platform: null }));

  if (!offered) return null;
  if (!data) return error ? <ErrorBox error={error} action={<Button onClick={reload}>Try again</Button>} /> : <Card title={title}><Loading what="the settings" /></Card>;
  const { effective } = data.settings;
  const wrong = limits.find(({ name, min, max }) => numbers[name] && (Number(numbers[name]) < min || Number(numbers[name]) > max));
  const same = limits.every(({ name }) => (numbers[name] ?? "") === String(data.settings.limits?.[name] ?? "")) && sources.every(({ name }) => imports[name] === effective.imports[name]) && [...platform].sort().join() === [...effective.platform].sort().join();
  const cannot = refusal("PATCH", route);
  const chooses = [data.settings.limits, data.settings.imports, data.settings.platform].some((choice) => choice !== undefined);
  const refuse = cannot ?? (wrong ? `${wrong.label}: from ${wrong.min} to ${wrong.max} ${wrong.unit}` : same ? "Nothing is changed" : undefined);
  return (
    <Card title={title}>
      <form onSubmit={(event) => { event.preventDefault(); if (!refuse) void save.run(); }}>
        {about && <p className="muted small about">{about}</p>}
        <div className="inline">
          {limits.map(({ name, label, unit, min, max }) => (
            <Field key={name} label={`${label} (${unit})`} hint={data.settings.limits?.[name] === undefined ? `Default: ${effective.limits[name]}` : undefined} error={wrong?.name === name ? `From ${min} to ${max}` : undefined}>
              {(attributes) => <input {...attributes} inputMode="numeric" value={numbers[name] ?? ""} placeholder={String(effective.limits[name])} onChange={(event) => setNumbers({ ...numbers, [name]: event.target.value.replace(/\D/g, "") })} />}
            </Field>
          ))}
        </div>
        <fieldset>
          <legend>What it may import at run time</legend>
          {sources.map(({ name, label }) => <Check2 key={name} label={label} checked={imports[name] ?? false} onChange={(event) => setImports({ ...imports, [name]: event.target.checked })} />)}
        </fieldset>
        <fieldset>
          <legend>Credentials of the platform in its environment</legend>
          <div className="columns">
            {credentials.map((name) => <Check2 key={name} label={<code>{name}</code>} checked={platform.includes(name)} onChange={(event) => setPlatform(event.target.checked ? [...platform, name] : platform.filter((other) => other !== name))} />)}
          </div>
        </fieldset>
        <ErrorBox error={save.error ?? takeBack.error} />
        <div className="actions">
          <Button kind="primary" type="submit" busy={save.busy} refuse={refuse} onClick={() => {}}>{verb}</Button>
          {chooses && <Button busy={takeBack.busy} refuse={cannot} onClick={() => void takeBack.run()}>{without}</Button>}
        </div>
      </form>
    </Card>
  );
}
