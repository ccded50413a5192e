import { useState, type ReactNode } from "react";
import { page, type ApiError, type Options } from "../api";
import { useAction, useLoad } from "../hooks";
import { Button, ErrorBox } from "../ui";

interface Paged<T> {
  items: T[];
  loading: boolean;
  error: ApiError | undefined;
  /** The button that loads what is older; nothing where there is no more. */
  more: ReactNode;
}

/** A list that the API gives page by page: the first one is kept fresh, older ones come when asked for. */
export function usePages<T>(key: string | undefined, path: string, query: Options["query"] = {}, every?: number): Paged<T> {
  const first = useLoad(key, (signal) => page<T>(path, query, signal), every);
  const [older, setOlder] = useState<{ after?: string; key?: string; items: T[]; cursor?: string }>({ items: [] });
  const cursor = first.data?.next_cursor;
  // What was loaded belongs behind one first page only; when that one moves, it is asked for again.
  const mine = older.key === key && older.after === cursor && cursor !== undefined;
  const next = mine ? older.cursor : cursor;
  const load = useAction(async () => {
    const got = await page<T>(path, { ...query, cursor: next });
    setOlder((old) => ({ key, after: cursor, items: mine ? [...old.items, ...got.data] : got.data, cursor: got.next_cursor }));
  });
  return {
    items: [...(first.data?.data ?? []), ...(mine ? older.items : [])],
    loading: first.loading,
    error: first.error,
    more: next && (
      <div className="more">
        <ErrorBox error={load.error} />
        <Button busy={load.busy} onClick={() => void load.run()}>Show older ones</Button>
      </div>
    ),
  };
}
