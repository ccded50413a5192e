import { useCallback, useEffect, useRef, useState } from "react";
import { ApiError } from "./api";

export interface Loaded<T> {
  data: T | undefined;
  error: ApiError | undefined;
  loading: boolean;
  reload: () => void;
}

/** What was seen last under a key is shown again at once while it is asked for anew. */
export const cache = new Map<string, unknown>();
const watchers = new Map<string, Set<() => void>>();

/** Everything whose key begins so is asked for again where it is shown, and forgotten where it is not. */
export function refresh(prefix: string) {
  for (const key of cache.keys()) if (key.startsWith(prefix) && !watchers.has(key)) cache.delete(key);
  for (const [key, callbacks] of watchers) if (key.startsWith(prefix)) for (const callback of callbacks) callback();
}

const held = new Set<string>();

/** Until the answer is called, what has this key is not asked for: it is about to be gone. */
export function hold(key: string) {
  held.add(key);
  return () => void held.delete(key);
}

export function forgetAll() {
  cache.clear();
}

/** Loads under a key; undefined loads nothing. `every` (ms, at least 10 s) repeats while the page is visible. */
export function useLoad<T>(key: string | undefined, load: (signal: AbortSignal) => Promise<T>, every?: number): Loaded<T> {
  const [state, setState] = useState<{ key?: string; data?: T; error?: ApiError; loading: boolean }>({ loading: true });
  const [turn, setTurn] = useState(0);
  const loader = useRef(load);
  loader.current = load;
  const reload = useCallback(() => setTurn((turn) => turn + 1), []);

  useEffect(() => {
    if (key === undefined) return;
    const callbacks = watchers.get(key) ?? new Set();
    watchers.set(key, callbacks.add(reload));
    return () => {
      callbacks.delete(reload);
      if (callbacks.size === 0) watchers.delete(key);
    };
  }, [key, reload]);

  useEffect(() => {
    if (key === undefined || held.has(key)) return;
    const controller = new AbortController();
    setState((old) => ({ key, data: old.key === key ? old.data : (cache.get(key) as T | undefined), loading: true }));
    loader.current(controller.signal).then(
      (data) => {
        if (controller.signal.aborted) return;
        cache.set(key, data);
        setState({ key, data, loading: false });
      },
      (error) => {
        if (controller.signal.aborted) return;
        const said = error instanceof ApiError ? error : new ApiError(0, "unexpected", String(error?.message ?? error), undefined, undefined);
        setState((old) => ({ ...old, key, error: said, loading: false }));
      },
    );
    return () => controller.abort();
  }, [key, turn]);

  useEffect(() => {
    if (!every) return;
    const timer = setInterval(() => document.visibilityState === "visible" && reload(), Math.max(every, 10_000));
    return () => clearInterval(timer);
  }, [every, reload]);

  const mine = state.key === key;
  return { data: mine ? state.data : undefined, error: mine ? state.error : undefined, loading: key !== undefined && (!mine || state.loading), reload };
}

/** An action with its own busy state and error. */
export function useAction<A extends unknown[], R>(action: (...args: A) => Promise<R>) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError>();
  const run = async (...args: A): Promise<R | undefined> => {
    setBusy(true);
    setError(undefined);
    try {
      return await action(...args);
    } catch (error) {
      setError(error instanceof ApiError ? error : new ApiError(0, "unexpected", String((error as Error)?.message ?? error), undefined, undefined));
      return undefined;
    } finally {
      setBusy(false);
    }
  };
  return { run, busy, error, clear: () => setError(undefined) };
}

export function useNow(every = 30_000) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}

export function useTitle(title: string) {
  useEffect(() => {
    document.title = title;
  }, [title]);
}
