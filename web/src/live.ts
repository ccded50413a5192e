import { useEffect, useRef } from "react";
import type { Deployment } from "./api";
import { follow } from "./events";
import { refresh } from "./hooks";
import { PROJECT, useSession } from "./session";

/** Deployments of anybody, as they begin, go on and end: what shows them, or what they changed, is asked for again at once. */
export function useLiveDeployments(wanted: boolean) {
  const { ref, refusal } = useSession();
  const offered = wanted && refusal("GET", `${PROJECT}/deployments`) === undefined;
  const seen = useRef(new Map<string, string>());
  useEffect(() => {
    if (!offered) return;
    const controller = new AbortController();
    const states = seen.current;
    states.clear();
    let first = true;
    const take = (deployments: Deployment[]) => {
      const moved = deployments.filter((one) => states.get(one.id) !== JSON.stringify(one));
      for (const one of moved) states.set(one.id, JSON.stringify(one));
      const slugs = first ? [] : [...new Set(moved.map((one) => one.slug))];
      first = false;
      for (const slug of slugs) for (const what of ["function", "deployments", "versions", "traffic", "latest"]) refresh(`${what}/${ref}/${slug}`);
      if (slugs.length > 0) for (const what of ["functions", "releases"]) refresh(`${what}/${ref}`);
    };
    void follow(`v1/projects/${ref}/deployments`, { limit: 20 }, undefined, controller.signal, (events) => take(JSON.parse(events.at(-1)!.data).data), () => {});
    return () => controller.abort();
  }, [ref, offered]);
}
