import { useState } from "react";
import { functionUrl, type Fn } from "../api";
import { Charts } from "./stats";
import { Card, Code, Time, cx } from "../ui";

function snippets(fn: Fn): { id: string; label: string; text: string }[] {
  const url = functionUrl(fn.slug);
  const origin = new URL(url).origin;
  // A JSON string is a literal in both languages; a slug has no character that a shell would take as more than itself.
  const name = JSON.stringify(fn.slug);
  const auth = fn.verify_jwt ? `\n  -H "Authorization: Bearer $ANON_KEY" \\` : "";
  return [
    { id: "curl", label: "curl", text: `curl '${url}' \\${auth}\n  -H 'Content-Type: application/json' \\\n  -d '{"name":"world"}'` },
    {
      id: "js",
      label: "supabase-js",
      text: `import { createClient } from "@supabase/supabase-js";\n\nconst supabase = createClient(${JSON.stringify(origin)}, ANON_KEY);\n\nconst { data, error } = await supabase.functions.invoke(${name}, {\n  body: { name: "world" },\n});`,
    },
    {
      id: "python",
      label: "Python",
      text: `from supabase import create_client\n\nsupabase = create_client(${JSON.stringify(origin)}, ANON_KEY)\n\nresponse = supabase.functions.invoke(\n    ${name},\n    invoke_options={"body": {"name": "world"}},\n)`,
    },
  ];
}

export function OverviewTab({ fn }: { fn: Fn }) {
  const all = snippets(fn);
  const [which, setWhich] = useState(all[0].id);
  const shown = all.find((snippet) => snippet.id === which)!;
  return (
    <div className="stack">
      <Charts fn={fn} />
      <div className="two">
        <Card title="Details">
          <dl className="details">
            <div><dt>Name</dt><dd>{fn.name}</dd></div>
            <div><dt>Version</dt><dd>{fn.version}</dd></div>
            <div><dt>Entry point</dt><dd><code>{readable(fn.entrypoint_path)}</code></dd></div>
            {fn.import_map_path && <div><dt>Import map</dt><dd><code>{readable(fn.import_map_path)}</code></dd></div>}
            <div><dt>JWT</dt><dd>{fn.verify_jwt ? "Verified before the function is called" : "Not verified: anybody may call"}</dd></div>
            <div><dt>Created</dt><dd><Time at={fn.created_at} /></dd></div>
            <div><dt>Updated</dt><dd><Time at={fn.updated_at} /></dd></div>
            <div><dt>ID</dt><dd><code>{fn.id}</code></dd></div>
          </dl>
        </Card>
        <Card title="Invoke">
          <div className="pick" role="group" aria-label="Language">
            {all.map((snippet) => <button key={snippet.id} type="button" aria-pressed={snippet.id === which} className={cx(snippet.id === which && "on")} onClick={() => setWhich(snippet.id)}>{snippet.label}</button>)}
          </div>
          <Code label={`the ${shown.label} call`} text={shown.text} />
        </Card>
      </div>
    </div>
  );
}

/** "file:///tmp/user_fn_…/source/index.ts" is Cloud's form; people know the path by its end. */
function readable(url: string | undefined): string {
  if (!url) return "";
  try {
    return decodeURIComponent(url.replace(/^file:\/\/\/tmp\/user_fn_[^/]+\/source\//, ""));
  } catch {
    return url;
  }
}
