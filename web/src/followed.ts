import { useCallback, useEffect, useState } from "react";
import { ApiError } from "./api";
import { follow } from "./events";
import { cache, type Loaded } from "./hooks";

/** What the server tells of as a whole whenever it changes; `at`: when it was told. */
export function useFollowed<T>(path: string): Loaded<T> & { at: number } {
  const [state, setState] = useState<{ path?: string; data?: T; error?: ApiError; at: number }>({ at: 0 });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const controller = new AbortController();
    setState((old) => (old.path === path ? old : { path, data: cache.get(path) as T | undefined, at: Date.now() }));
    const take = (data: T) => {
      cache.set(path, data);
      setState({ path, data, at: Date.now() });
    };
    void follow(path, {}, undefined, controller.signal, (events) => take(JSON.parse(events.at(-1)!.data)), (error) => setState((old) => (old.error === error ? old : { ...old, error })));
    return () => controller.abort();
  }, [path, turn]);
  const mine = state.path === path;
  const data = mine ? state.data : undefined;
  const error = mine ? state.error : undefined;
  return { data, error, at: state.at, loading: !data && !error, reload: useCallback(() => setTurn((turn) => turn + 1), []) };
}
