import { Suspense, lazy, useEffect, useRef } from "react";
import { functionUrl, request, type Fn } from "../api";
import { useLoad, useTitle } from "../hooks";
import { link } from "../router";
import { FUNCTION, useSession } from "../session";
import { Badge, Button, CopyButton, Empty, ErrorBox, Loading, cx } from "../ui";
import { OverviewTab } from "./overview";
import { TestTab } from "./test";
import { SettingsTab } from "./settings";
import { VersionsTab } from "./versions";
import { LogsTab } from "./logs";
import { FunctionSecrets } from "../pages/secrets";

const CodeTab = lazy(() => import("./code").then((module) => ({ default: module.CodeTab })));

/** The function, and the ETag that a later write names so that nobody's work is overwritten unseen. */
export interface Current {
  fn: Fn;
  etag?: string;
}

export async function loadFunction(ref: string, slug: string, signal?: AbortSignal): Promise<Current> {
  const response = await request("GET", `v1/projects/${ref}/functions/${encodeURIComponent(slug)}`, { signal });
  return { fn: await response.json(), etag: response.headers.get("ETag") ?? undefined };
}

export function FunctionPage({ slug, tab }: { slug: string; tab: string }) {
  const { ref, offers } = useSession();
  const { data, error, reload } = useLoad(`function/${ref}/${slug}`, (signal) => loadFunction(ref, slug, signal), 15_000);
  useTitle(`${slug} · Edge Functions`);

  // On a phone the row of tabs is wider than the window.
  const row = useRef<HTMLElement>(null);
  const loaded = data !== undefined;
  useEffect(() => {
    // What it returns, a promise in newer browsers, is no cleanup.
    void row.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [tab, loaded]);

  const tabs = [
    { id: "overview", label: "Overview" },
    { id: "code", label: "Code" },
    { id: "versions", label: "Versions", needs: `${FUNCTION}/versions` },
    { id: "logs", label: "Logs", needs: `${FUNCTION}/logs` },
    { id: "secrets", label: "Secrets", needs: `${FUNCTION}/secrets` },
    { id: "test", label: "Test" },
    { id: "settings", label: "Settings" },
  ].filter((entry) => !entry.needs || offers("GET", entry.needs));

  if (error && !data) {
    if (error.status === 404) return <Empty title={`There is no function ${slug}`}><p>It may have been deleted. <a href={link("project", ref, "functions")}>Back to the functions</a></p></Empty>;
    return <div className="page"><ErrorBox error={error} action={<Button onClick={reload}>Try again</Button>} /></div>;
  }
  if (!data) return <Loading what="the function" />;
  const { fn } = data;
  return (
    <div className={cx("page", tab === "code" && "page-code")}>
      <div className="page-head function-head">
        <div>
          <h1>{fn.slug}</h1>
          <p className="endpoint">
            <code>{functionUrl(fn.slug)}</code>
            <CopyButton text={functionUrl(fn.slug)} label="Copy the URL" quiet />
          </p>
        </div>
        <div className="actions">
          <Badge tone={fn.status === "ACTIVE" ? "good" : "warn"}>{fn.status.toLowerCase()}</Badge>
          <Badge>version {fn.version}</Badge>
        </div>
      </div>
      <nav ref={row} aria-label="Function" className="tabs">
        <ul>
          {tabs.map((entry) => (
            <li key={entry.id}><a href={link("project", ref, "functions", slug, entry.id)} aria-current={entry.id === tab ? "page" : undefined}>{entry.label}</a></li>
          ))}
        </ul>
      </nav>
      <ErrorBox error={error} />
      <Suspense fallback={<Loading what="the editor" />}>
        {tab === "overview" && <OverviewTab fn={fn} />}
        {tab === "code" && <CodeTab current={data} />}
        {tab === "versions" && <VersionsTab fn={fn} />}
        {tab === "logs" && offers("GET", `${FUNCTION}/logs`) && <LogsTab fn={fn} />}
        {tab === "secrets" && offers("GET", `${FUNCTION}/secrets`) && <FunctionSecrets slug={fn.slug} />}
        {tab === "test" && <TestTab fn={fn} />}
        {tab === "settings" && <SettingsTab fn={fn} etag={data.etag} />}
        {!tabs.some((entry) => entry.id === tab) && <Empty title="This server does not offer that"><p>Choose one of the sections above.</p></Empty>}
      </Suspense>
    </div>
  );
}
