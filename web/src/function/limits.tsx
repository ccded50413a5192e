import { useEffect, useState } from "react";
import { json, request } from "../api";
import { refresh, useAction, useLoad } from "../hooks";
import { FUNCTION, useSession } from "../session";
import { Button, Card, Check2, ErrorBox, Field, useToast } from "../ui";

interface Choice {
  limits?: Record<string, number>;
  imports?: Record<string, boolean>;
  platform?: string[];
}
interface Settings extends Choice {
  version: number;
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

export function Limits({ slug }: { slug: string }) {
  const { ref, offers, refusal } = useSession();
  const toast = useToast();
  const path = `v1/projects/${ref}/functions/${encodeURIComponent(slug)}/settings`;
  const offered = offers("GET", `${FUNCTION}/settings`);
  const { data, error } = useLoad(offered ? `settings/${ref}/${slug}` : undefined, async (signal) => {
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

  const save = useAction(async () => {
    const was = data!.settings;
    const patch: Record<string, unknown> = {};
    const changed = limits.filter(({ name }) => (numbers[name] ?? "") !== String(was.limits?.[name] ?? ""));
    // null: back to what the project has.
    if (changed.length > 0) patch.limits = Object.fromEntries(changed.map(({ name }) => [name, numbers[name] ? Number(numbers[name]) : null]));
    const allowed = sources.filter(({ name }) => imports[name] !== was.effective.imports[name]);
    if (allowed.length > 0) patch.imports = Object.fromEntries(allowed.map(({ name }) => [name, imports[name]]));
    if ([...platform].sort().join() !== [...was.effective.platform].sort().join()) patch.platform = platform;
    await json("PATCH", path, { json: patch, headers: data!.etag ? { "If-Match": data!.etag } : {} });
    refresh(`settings/${ref}/${slug}`);
    refresh(`function/${ref}/${slug}`);
    refresh(`versions/${ref}/${slug}`);
    toast("The settings are saved; they are in force from a new version on");
  });

  if (!offered) return null;
  if (!data) return <ErrorBox error={error} />;
  const { effective } = data.settings;
  const wrong = limits.find(({ name, min, max }) => numbers[name] && (Number(numbers[name]) < min || Number(numbers[name]) > max));
  const same = limits.every(({ name }) => (numbers[name] ?? "") === String(data.settings.limits?.[name] ?? "")) && sources.every(({ name }) => imports[name] === effective.imports[name]) && [...platform].sort().join() === [...effective.platform].sort().join();
  const refuse = refusal("PATCH", `${FUNCTION}/settings`) ?? (wrong ? `${wrong.label}: from ${wrong.min} to ${wrong.max} ${wrong.unit}` : same ? "Nothing is changed" : undefined);
  return (
    <Card title="Limits and permissions">
      <form onSubmit={(event) => { event.preventDefault(); if (!refuse) void save.run(); }}>
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
        <ErrorBox error={save.error} />
        <Button kind="primary" type="submit" busy={save.busy} refuse={refuse} onClick={() => {}}>Save limits</Button>
      </form>
    </Card>
  );
}
