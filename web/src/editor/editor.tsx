import { EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { useEffect, useLayoutEffect, useRef } from "react";
import { editing } from "./setup";
import { shadowOf } from "./shadow";

interface Props {
  path: string;
  text: string;
  paths: string[];
  goto?: { line: number; turn: number };
  onChange: (path: string, text: string) => void;
  onSave: () => void;
}

/** One editor; each file keeps its own undo history, cursor and scrolling while others are looked at. */
export function Editor({ path, text, paths, goto, onChange, onSave }: Props) {
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(undefined);
  const shown = useRef<string>(undefined);
  const states = useRef(new Map<string, EditorState>());
  const latest = useRef({ path, paths, onChange, onSave });
  latest.current = { path, paths, onChange, onSave };

  useLayoutEffect(() => {
    const { root, place } = shadowOf(host.current!);
    place.style.height = "100%";
    view.current = new EditorView({ parent: place, root });
    return () => {
      view.current?.destroy();
      view.current = undefined;
      shown.current = undefined;
    };
  }, []);

  useLayoutEffect(() => {
    const editor = view.current!;
    if (shown.current !== undefined && shown.current !== path) states.current.set(shown.current, editor.state);
    if (shown.current === path && editor.state.doc.toString() === text) return;
    let state = states.current.get(path);
    if (!state || state.doc.toString() !== text) {
      state = EditorState.create({
        doc: text,
        extensions: editing(path, () => latest.current.paths, () => latest.current.onChange(path, editor.state.doc.toString()), () => latest.current.onSave()),
      });
    }
    shown.current = path;
    editor.setState(state);
  }, [path, text]);

  useEffect(() => {
    const editor = view.current;
    if (!goto || !editor) return;
    const line = editor.state.doc.line(Math.min(goto.line, editor.state.doc.lines));
    editor.dispatch({ selection: { anchor: line.from }, effects: EditorView.scrollIntoView(line.from, { y: "center" }) });
    editor.focus();
  }, [goto]);

  return <div ref={host} className="editor" />;
}
