import { MergeView, unifiedMergeView } from "@codemirror/merge";
import { EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { useEffect, useMemo, useRef, useState } from "react";
import type { SourceFile } from "../api";
import { Badge, cx } from "../ui";
import { reading } from "./setup";
import { shadowOf } from "./shadow";

type State = "added" | "removed" | "changed" | "same";

function same(a: SourceFile, b: SourceFile): boolean {
  if (!a.bytes || !b.bytes) return !a.bytes && !b.bytes && a.text === b.text;
  return a.bytes.length === b.bytes.length && a.bytes.every((byte, at) => byte === b.bytes![at]);
}

export function compareFiles(before: SourceFile[], after: SourceFile[]): { path: string; state: State; a?: SourceFile; b?: SourceFile }[] {
  const a = new Map(before.map((file) => [file.path, file]));
  const b = new Map(after.map((file) => [file.path, file]));
  return [...new Set([...a.keys(), ...b.keys()])].sort().map((path) => {
    const x = a.get(path);
    const y = b.get(path);
    return { path, a: x, b: y, state: !x ? "added" : !y ? "removed" : same(x, y) ? "same" : "changed" };
  });
}

export function Diff({ before, after, labels }: { before: SourceFile[]; after: SourceFile[]; labels: [string, string] }) {
  const files = useMemo(() => compareFiles(before, after).filter((file) => file.state !== "same"), [before, after]);
  const [chosen, setChosen] = useState<string>();
  const file = files.find((file) => file.path === chosen) ?? files[0];
  if (!file) return <p className="muted">The two are the same, byte for byte.</p>;
  const binary = file.a?.bytes || file.b?.bytes;
  return (
    <div className="diff">
      <ul className="diff-files" aria-label="Changed files">
        {files.map((entry) => (
          <li key={entry.path}>
            <button type="button" aria-pressed={entry === file} className={cx(entry === file && "on")} onClick={() => setChosen(entry.path)}>
              <span className="mono">{entry.path}</span>
              <Badge tone={entry.state === "added" ? "good" : entry.state === "removed" ? "bad" : "plain"}>{entry.state}</Badge>
            </button>
          </li>
        ))}
      </ul>
      <div className="diff-labels" aria-hidden><span>{labels[0]}</span><span>{labels[1]}</span></div>
      {binary ? <p className="muted">This file is not text; its bytes differ.</p> : <FileDiff key={file.path} path={file.path} a={file.a?.text ?? ""} b={file.b?.text ?? ""} labels={labels} />}
    </div>
  );
}

function FileDiff({ path, a, b, labels }: { path: string; a: string; b: string; labels: [string, string] }) {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const { root, place } = shadowOf(host.current!);
    const fixed = (label: string) => [reading(path), EditorState.readOnly.of(true), EditorView.contentAttributes.of({ "aria-label": `${path}, ${label}`, "aria-readonly": "true", tabindex: "0" })];
    const collapseUnchanged = { margin: 3, minSize: 6 };
    // Side by side needs room; on a phone the removed lines stand above the added ones.
    if (host.current!.clientWidth < 720) {
      const view = new EditorView({ parent: place, root, doc: b, extensions: [fixed(labels[1]), unifiedMergeView({ original: a, mergeControls: false, collapseUnchanged })] });
      return () => view.destroy();
    }
    const view = new MergeView({ parent: place, root, a: { doc: a, extensions: fixed(labels[0]) }, b: { doc: b, extensions: fixed(labels[1]) }, collapseUnchanged, gutter: true });
    return () => view.destroy();
  }, [path, a, b, labels]);
  return <div ref={host} className="diff-host" />;
}
