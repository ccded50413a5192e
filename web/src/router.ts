// Addresses live in the fragment: the page is one file, and the gateway has to know of no other path.
import { useSyncExternalStore } from "react";

const read = () => location.hash.replace(/^#/, "") || "/";

function subscribe(callback: () => void) {
  addEventListener("hashchange", callback);
  return () => removeEventListener("hashchange", callback);
}

/** Whoever returns false keeps the reader where they are: unsaved work, say. */
let guard: (() => boolean) | undefined;
let current = read();
let restoring = false;

addEventListener("hashchange", () => {
  if (restoring) {
    restoring = false;
    return;
  }
  if (read() !== current && !mayLeave()) {
    restoring = true;
    location.hash = current;
    return;
  }
  current = read();
});

export function guardLeaving(check: (() => boolean) | undefined) {
  guard = check;
}

export const mayLeave = () => !guard || guard();

export const usePath = () => useSyncExternalStore(subscribe, () => current);

export function go(path: string) {
  location.hash = path;
}

export const link = (...segments: (string | number)[]) => `#/${segments.map((segment) => encodeURIComponent(segment)).join("/")}`;

export function segments(path: string): string[] {
  return path.split("?")[0].split("/").filter(Boolean).map((segment) => {
    try {
      return decodeURIComponent(segment);
    } catch {
      return segment;
    }
  });
}
