import { useEffect, useState } from "react";
import type { Source } from "../api";
import { drafts } from "../drafts";
import { refresh, useTitle } from "../hooks";
import { useTemplates } from "../pages/templates";
import { go, guardLeaving, usePath } from "../router";
import { FUNCTIONS, useSession } from "../session";
import { Check2, ErrorBox, Field, Notice } from "../ui";
import { DeployDialog } from "./deploying";
import { Workbench } from "./workbench";

const SAMPLE = `// Called for each request. Edit this file, add others, then deploy.
Deno.serve(async (request) => {
  const { name = "world" } = request.method === "POST" ? await request.json() : {};
  return Response.json({ message: \`Hello \${name}!\` });
});
`;

const entry = (slug: string) => `supabase/functions/${slug}/index.ts`;

export function NewFunction() {
  const { ref, refusal } = useSession();
  const draft = `${ref}/`;
  const [kept] = useState(() => drafts.get(draft) as { slug: string; verify: boolean; source: Source } | undefined);
  const [slug, setSlug] = useState(kept?.slug ?? "hello");
  const [verify, setVerify] = useState(kept?.verify ?? true);
  const [asking, setAsking] = useState(false);
  const [source, setSource] = useState<Source>(() => kept?.source ?? ({ entrypoint: entry("hello"), files: [{ path: entry("hello"), text: SAMPLE }] }));
  // The source that nothing would be lost of: the sample, or the template's.
  const [sample, setSample] = useState(SAMPLE);
  const wanted = new URLSearchParams(usePath().split("?")[1]).get("template");
  const templates = useTemplates(wanted !== null);
  const template = templates.data?.data.find((entry) => entry.id === wanted);
  useEffect(() => {
    if (!template || drafts.has(draft)) return;
    setSlug(template.id);
    setVerify(template.verify_jwt);
    setSample(template.source);
    setSource({ entrypoint: entry(template.id), files: [{ path: entry(template.id), text: template.source }] });
  }, [template]);
  const untouched = source.files.length === 1 && source.files[0].text === sample;
  useEffect(() => {
    if (untouched) drafts.delete(draft);
    else drafts.set(draft, { slug, verify, source });
  }, [draft, untouched, slug, verify, source]);
  useTitle("New function · Edge Functions");
  const wrong = /^[A-Za-z][A-Za-z0-9_-]{0,127}$/.test(slug) ? undefined : "A name begins with a letter and has letters, digits, - and _";
  const refused = refusal("POST", `${FUNCTIONS}/deploy`);

  // The folder is named like the function, as the CLI would have it.
  const rename = (next: string) => {
    const before = `supabase/functions/${slug}/`;
    const after = `supabase/functions/${next}/`;
    const move = (path: string) => (path.startsWith(before) ? after + path.slice(before.length) : path);
    setSlug(next);
    setSource({ entrypoint: move(source.entrypoint), importMap: source.importMap && move(source.importMap), files: source.files.map((file) => ({ ...file, path: move(file.path) })) });
  };

  return (
    <div className="page page-code">
      <div className="page-head">
        <h1>New function</h1>
      </div>
      <ErrorBox error={templates.error} />
      {template && template.secrets.length > 0 && <Notice title="It reads secrets"><p>Set {template.secrets.join(", ")} before it is called.</p></Notice>}
      {refused && <Notice tone="warn" title={refused} />}
      <div className="new-head">
        <Field label="Name" error={wrong} hint="Part of its URL; it cannot be changed later.">
          {(attributes) => <input {...attributes} className="mono" value={slug} maxLength={128} spellCheck={false} onChange={(event) => rename(event.target.value)} />}
        </Field>
        <Check2 label="Verify JWT" hint="Only callers with a valid JWT of this project get through." checked={verify} onChange={(event) => setVerify(event.target.checked)} />
      </div>
      <Workbench key={template?.id} source={source} untouched={untouched} onChange={setSource} onDeploy={() => !wrong && setAsking(true)} refuse={refused ?? wrong} />
      {asking && (
        <DeployDialog
          request={{ ref, slug, name: slug, source, verifyJwt: verify }}
          onDone={(fn) => {
            guardLeaving(undefined);
            drafts.delete(draft);
            refresh(`functions/${ref}`);
            go(`/project/${ref}/functions/${fn.slug}`);
          }}
          onClose={() => setAsking(false)}
        />
      )}
    </div>
  );
}
