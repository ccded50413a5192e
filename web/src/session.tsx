import { createContext, useContext } from "react";
import type { Project, Session } from "./api";

interface Context {
  session: Session;
  projects: Project[];
  project: Project;
  mode: "dashboard" | "token";
  leave: () => void;
}

export const SessionContext = createContext<Context | undefined>(undefined);

/** "{ref}" and the like stand for a segment; the server's own names for them do not matter here. */
const shape = (path: string) => path.replace(/\{[^}]*\}/g, "{}");

export function useSession() {
  const context = useContext(SessionContext);
  if (!context) throw new Error("no session");
  const { session } = context;
  const row = (method: string, path: string) => session.routes.find((route) => route.method === method && shape(route.path) === shape(path));
  return {
    ...context,
    ref: context.project.ref,
    /** Whether this server has the call at all. */
    offers: (method: string, path: string) => row(method, path) !== undefined,
    /** Why the caller may not; undefined where they may. Says so too where the server has no such call. */
    refusal: (method: string, path: string): string | undefined => {
      const route = row(method, path);
      if (!route) return "This server does not offer it";
      if (route.scope && !session.scopes.includes(route.scope)) return `Your access token lacks the scope ${route.scope}`;
      return undefined;
    },
  };
}

export const PROJECT = "/v1/projects/{ref}";
export const FUNCTIONS = `${PROJECT}/functions`;
export const FUNCTION = `${FUNCTIONS}/{slug}`;
