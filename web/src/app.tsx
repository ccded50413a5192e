import { Activity, FunctionSquare, History, KeyRound, LayoutTemplate, LockKeyhole, LogOut, Menu, Monitor, Moon, ScrollText, Server, Settings, Sun, X, Zap } from "lucide-react";
import { Suspense, lazy, useCallback, useEffect, useState, type ComponentType, type ReactNode } from "react";
import { ApiError, json, storedToken, setCredential, whenUnauthorized, type Project, type Session } from "./api";
import { drafts } from "./drafts";
import { forgetAll, useLoad } from "./hooks";
import { useLiveDeployments } from "./live";
import { FunctionList } from "./pages/list";
import { SignIn } from "./pages/sign-in";
import { go, link, mayLeave, segments, usePath } from "./router";
import { FUNCTIONS, PROJECT, SessionContext, useSession } from "./session";
import { setTheme, useTheme, type Theme } from "./theme";
import { Empty, ErrorBox, IconButton, Loading, Toasts, cx } from "./ui";

const FunctionPage = lazy(() => import("./function/page").then((module) => ({ default: module.FunctionPage })));
const NewFunction = lazy(() => import("./function/new").then((module) => ({ default: module.NewFunction })));
const Templates = lazy(() => import("./pages/templates").then((module) => ({ default: module.Templates })));
const Tokens = lazy(() => import("./pages/tokens").then((module) => ({ default: module.Tokens })));
const Secrets = lazy(() => import("./pages/secrets").then((module) => ({ default: module.ProjectSecrets })));
const Audit = lazy(() => import("./pages/audit").then((module) => ({ default: module.Audit })));
const Nodes = lazy(() => import("./pages/nodes").then((module) => ({ default: module.Nodes })));
const Status = lazy(() => import("./pages/status").then((module) => ({ default: module.Status })));
const ProjectSettings = lazy(() => import("./pages/project").then((module) => ({ default: module.ProjectSettings })));
const Releases = lazy(() => import("./pages/releases").then((module) => ({ default: module.Releases })));

interface Section {
  id: string;
  label: string;
  icon: ComponentType<{ size?: number; "aria-hidden"?: boolean }>;
  page: ComponentType;
  needs?: [string, string];
}

const sections: Section[] = [
  { id: "functions", label: "Functions", icon: FunctionSquare, page: FunctionList, needs: ["GET", FUNCTIONS] },
  { id: "releases", label: "Releases", icon: History, page: Releases, needs: ["GET", `${PROJECT}/releases`] },
  { id: "secrets", label: "Secrets", icon: LockKeyhole, page: Secrets, needs: ["GET", `${PROJECT}/secrets`] },
  { id: "templates", label: "Templates", icon: LayoutTemplate, page: Templates, needs: ["GET", "/v1/templates"] },
  { id: "tokens", label: "Access tokens", icon: KeyRound, page: Tokens, needs: ["GET", "/v1/access-tokens"] },
  { id: "audit", label: "Audit log", icon: ScrollText, page: Audit, needs: ["GET", `${PROJECT}/audit`] },
  { id: "nodes", label: "Nodes", icon: Server, page: Nodes, needs: ["GET", `${PROJECT}/nodes`] },
  { id: "status", label: "Status", icon: Activity, page: Status, needs: ["GET", `${PROJECT}/doctor`] },
  { id: "settings", label: "Project settings", icon: Settings, page: ProjectSettings, needs: ["GET", `${PROJECT}/settings`] },
];

type State =
  | { at: "starting" }
  | { at: "signed-out"; reason?: string }
  | { at: "failed"; error: ApiError }
  | { at: "ready"; session: Session; projects: Project[]; mode: "dashboard" | "token" };

export function App() {
  const [state, setState] = useState<State>({ at: "starting" });

  const start = useCallback(async (token?: string) => {
    const mode = token ? "token" : "dashboard";
    setCredential(token ? { mode: "token", token } : { mode: "dashboard" });
    try {
      const session = await json<Session>("GET", "v1/session");
      if (!session.authenticated) return setState({ at: "signed-out" });
      const projects = await json<Project[]>("GET", "v1/projects");
      forgetAll();
      setState({ at: "ready", session, projects, mode });
    } catch (error) {
      const said = error as ApiError;
      if (token && (said.status === 401 || said.status === 403)) {
        setCredential({ mode: "dashboard" });
        setState({ at: "signed-out", reason: said.message });
      } else {
        setState({ at: "failed", error: said });
      }
    }
  }, []);

  useEffect(() => {
    whenUnauthorized(() => setState((old) => (old.at === "ready" ? { at: "signed-out", reason: "The session has ended. Sign in again." } : old)));
    void start(storedToken() ?? undefined);
  }, [start]);

  if (state.at === "starting") return <main className="alone"><Loading what="the dashboard" /></main>;
  if (state.at === "failed") return <main className="alone"><ErrorBox error={state.error} action={<button type="button" className="button default" onClick={() => void start(storedToken() ?? undefined)}>Try again</button>} /></main>;
  if (state.at === "signed-out") return <SignIn reason={state.reason} onToken={(token) => start(token)} />;
  const leave = () => {
    if (!mayLeave()) return;
    drafts.clear();
    setCredential({ mode: "dashboard" });
    forgetAll();
    setState({ at: "signed-out" });
  };
  return (
    <Toasts>
      <Ready {...state} leave={leave} />
    </Toasts>
  );
}

function Ready({ session, projects, mode, leave }: { session: Session; projects: Project[]; mode: "dashboard" | "token"; leave: () => void }) {
  const path = usePath();
  const [first, ref, section = "functions", ...rest] = segments(path);
  const project = projects.find((project) => project.ref === ref);

  const asked = first === "secrets" ? /[?&]project=([^&]+)/.exec(path)?.[1] : undefined;

  useEffect(() => {
    if (!asked && (first !== "project" || !project) && projects.length > 0) go(`/project/${projects[0].ref}/functions`);
  }, [asked, first, project, projects]);

  // Each view begins at its top, and its heading is read out.
  useEffect(() => {
    window.scrollTo(0, 0);
  }, [section, rest[0]]);

  if (projects.length === 0) return <main className="alone"><Empty title="No project is open to this access token"><p>Ask for one that is bound to a project that exists.</p></Empty></main>;
  if (asked) return <Asked project={asked} query={path.slice(path.indexOf("?"))} />;
  if (!project) return null;
  return (
    <SessionContext.Provider value={{ session, projects, project, mode, leave }}>
      <Shell section={section} slug={section === "functions" ? rest[0] : undefined}>
        <Suspense fallback={<Loading what="the page" />}>
          <View section={section} rest={rest} />
        </Suspense>
      </Shell>
    </SessionContext.Provider>
  );
}

/** The address that an agent gives a person who shall set a secret: /secrets?project=…&name=…, the project perhaps by its alias. */
function Asked({ project, query }: { project: string; query: string }) {
  const { data, error } = useLoad(`project/${project}`, (signal) => json<Project>("GET", `v1/projects/${project}`, { signal }));
  useEffect(() => {
    if (data) location.replace(link("project", data.ref, "secrets") + query);
  }, [data, query]);
  return <main className="alone">{error ? <ErrorBox error={error} action={<a href="#/">To the functions</a>} /> : <Loading what="the project" />}</main>;
}

function View({ section, rest }: { section: string; rest: string[] }) {
  const { refusal, offers } = useSession();
  const entry = sections.find((entry) => entry.id === section);
  if (!entry) return <Empty title="There is nothing at this address"><p><a href="#/">Back to the functions</a></p></Empty>;
  if (entry.needs && !offers(...entry.needs)) return <Empty title={`This server does not offer ${entry.label.toLowerCase()}`}><p>A newer version of functions-admin may.</p></Empty>;
  const refused = entry.needs && refusal(...entry.needs);
  if (refused) return <Empty title={`${entry.label} cannot be shown`}><p>{refused}.</p></Empty>;
  if (section === "functions" && rest[0] === "new") return <NewFunction />;
  if (section === "functions" && rest[0]) return <FunctionPage key={rest[0]} slug={rest[0]} tab={rest[1] ?? "overview"} />;
  return <entry.page />;
}

function Shell({ section, slug, children }: { section: string; slug?: string; children: ReactNode }) {
  const { project, projects, session, mode, leave, offers, refusal, ref } = useSession();
  // Who waits holds a place at the server: only pages that show deployments do.
  useLiveDeployments(section === "functions" || section === "releases");
  const [open, setOpen] = useState(false);
  const path = usePath();
  useEffect(() => setOpen(false), [path]);
  useEffect(() => {
    if (!open) return;
    const close = (event: KeyboardEvent) => event.key === "Escape" && setOpen(false);
    addEventListener("keydown", close);
    return () => removeEventListener("keydown", close);
  }, [open]);
  return (
    <>
      <button type="button" className="skip" onClick={() => document.getElementById("main")?.focus()}>Skip to the content</button>
      <header className="top">
        <IconButton label={open ? "Close the menu" : "Open the menu"} className="menu-button" aria-expanded={open} aria-controls="sections" onClick={() => setOpen(!open)}>
          {open ? <X size={18} aria-hidden /> : <Menu size={18} aria-hidden />}
        </IconButton>
        <a className="brand" href={link("project", ref, "functions")} aria-label="Edge Functions, home"><Zap size={18} aria-hidden /></a>
        <nav aria-label="Breadcrumb" className="crumbs">
          <ol>
            <li>
              {projects.length > 1 ? (
                <select aria-label="Project" value={project.ref} onChange={(event) => go(`/project/${event.target.value}/${section}`)}>
                  {projects.map((project) => <option key={project.ref} value={project.ref}>{project.name}</option>)}
                </select>
              ) : (
                <span className="crumb-text">{project.name}</span>
              )}
            </li>
            <li className={cx(slug !== undefined && "optional")}><a href={link("project", ref, section)}>{sections.find((entry) => entry.id === section)?.label ?? section}</a></li>
            {slug !== undefined && slug !== "new" && <li><a href={link("project", ref, "functions", slug)} aria-current="page">{slug}</a></li>}
            {slug === "new" && <li><span className="crumb-text">New</span></li>}
          </ol>
        </nav>
        <div className="top-right">
          <span className="who" title={session.scopes.join(", ")}>{mode === "dashboard" ? "Dashboard login" : session.name}</span>
          <ThemeButton />
          <IconButton label={mode === "dashboard" ? "Use an access token instead" : "Sign out"} onClick={leave}><LogOut size={16} aria-hidden /></IconButton>
        </div>
      </header>
      <nav id="sections" aria-label="Sections" className={cx("side", open && "open")}>
        <ul>
          {sections.filter((entry) => !entry.needs || offers(...entry.needs)).map((entry) => {
            const reason = entry.needs && refusal(...entry.needs);
            return (
              <li key={entry.id}>
                <a href={link("project", ref, entry.id)} aria-current={entry.id === section ? "page" : undefined} className={cx(!!reason && "refused")} title={reason ?? entry.label}>
                  <entry.icon size={18} aria-hidden />
                  <span>{entry.label}</span>
                </a>
              </li>
            );
          })}
        </ul>
      </nav>
      {open && <div className="scrim" onClick={() => setOpen(false)} />}
      <main id="main" tabIndex={-1}>{children}</main>
    </>
  );
}

const themes: { theme: Theme; label: string; icon: typeof Sun }[] = [
  { theme: "system", label: "Theme: as the system", icon: Monitor },
  { theme: "dark", label: "Theme: dark", icon: Moon },
  { theme: "light", label: "Theme: light", icon: Sun },
];

function ThemeButton() {
  const current = useTheme();
  const at = themes.findIndex((entry) => entry.theme === current);
  const { label, icon: Icon } = themes[at];
  return <IconButton label={label} onClick={() => setTheme(themes[(at + 1) % themes.length].theme)}><Icon size={16} aria-hidden /></IconButton>;
}
