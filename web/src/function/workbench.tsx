import { FilePlus, FileText, Pencil, Trash2, Upload } from "lucide-react";
import { useEffect, useMemo, useRef, useState, type ReactNode } from "react";
import type { Source, SourceFile } from "../api";
import { drafts } from "../drafts";
import { Editor } from "../editor/editor";
import { problemsIn, type Problem } from "../editor/problems";
import { bytes, plural } from "../format";
import { guardLeaving } from "../router";
import { Badge, Button, Confirm, Dialog, Field, IconButton, cx } from "../ui";

interface Props {
  source: Source;
  /** What the files were, to mark what was changed; nothing for a new function. */
  original?: Source;
  /** Nothing would be lost by leaving: what stands here is the sample. */
  untouched?: boolean;
  onChange: (source: Source) => void;
  onDeploy: () => void;
  refuse?: string;
  children?: ReactNode;
}

export function allProblems(source: Source): Problem[] {
  const paths = source.files.map((file) => file.path);
  return source.files.flatMap((file) => (file.bytes ? [] : problemsIn(file.path, file.text, paths)));
}

export function changedPaths(source: Source, original: Source | undefined): Set<string> {
  const before = new Map(original?.files.map((file) => [file.path, file]));
  const changed = source.files.filter((file) => before.get(file.path)?.text !== file.text || before.get(file.path)?.bytes !== file.bytes).map((file) => file.path);
  const now = new Set(source.files.map((file) => file.path));
  return new Set([...changed, ...[...before.keys()].filter((path) => !now.has(path))]);
}

/** The files of a function and the editor for them. */
export function Workbench({ source, original, untouched, onChange, onDeploy, refuse, children }: Props) {
  const [open, setOpen] = useState(source.entrypoint || source.files[0]?.path);
  const [dialog, setDialog] = useState<"add" | "rename" | "delete">();
  const [goto, setGoto] = useState<{ line: number; turn: number }>();
  const upload = useRef<HTMLInputElement>(null);
  const latest = useRef(source);
  latest.current = source;
  const changed = useMemo(() => changedPaths(source, original), [source, original]);
  const problems = useMemo(() => allProblems(source), [source]);
  const paths = source.files.map((file) => file.path);
  const file = source.files.find((file) => file.path === open) ?? source.files[0];
  const dirty = changed.size > 0 && !untouched;

  useEffect(() => {
    if (!dirty) return;
    const stay = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", stay);
    guardLeaving(() => {
      const leaves = confirm("Leave without deploying? The changes in the editor are lost.");
      if (leaves) drafts.clear();
      return leaves;
    });
    return () => {
      removeEventListener("beforeunload", stay);
      guardLeaving(undefined);
    };
  }, [dirty]);

  const put = (next: SourceFile[], entrypoint = source.entrypoint, importMap = source.importMap) =>
    onChange({ entrypoint, importMap, files: [...next].sort((a, b) => a.path.localeCompare(b.path)) });

  const edit = (path: string, text: string) => {
    const { entrypoint, importMap, files } = latest.current;
    onChange({ entrypoint, importMap, files: files.map((file) => (file.path === path ? { path, text } : file)) });
  };

  const add = (path: string) => {
    put([...source.files, { path, text: "" }], source.entrypoint, source.importMap ?? (/(^|\/)deno\.jsonc?$/.test(path) ? path : undefined));
    setOpen(path);
    setDialog(undefined);
  };

  const rename = (path: string) => {
    put(source.files.map((other) => (other === file ? { ...other, path } : other)), source.entrypoint === file.path ? path : source.entrypoint, source.importMap === file.path ? path : source.importMap);
    setOpen(path);
    setDialog(undefined);
  };

  const remove = () => {
    put(source.files.filter((other) => other !== file), source.entrypoint, source.importMap === file.path ? undefined : source.importMap);
    setOpen(source.entrypoint);
    setDialog(undefined);
  };

  const take = async (list: FileList) => {
    const folder = source.entrypoint.includes("/") ? source.entrypoint.slice(0, source.entrypoint.lastIndexOf("/") + 1) : "";
    const taken: SourceFile[] = [];
    for (const item of list) {
      const data = new Uint8Array(await item.arrayBuffer());
      try {
        taken.push({ path: folder + item.name, text: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data) });
      } catch {
        taken.push({ path: folder + item.name, text: "", bytes: data });
      }
    }
    const names = new Set(taken.map((file) => file.path));
    put([...source.files.filter((file) => !names.has(file.path)), ...taken]);
    if (taken[0]) setOpen(taken[0].path);
  };

  return (
    <div className="workbench">
      <div className="files">
        <div className="files-head">
          <h2>Files</h2>
          <div className="actions">
            <IconButton label="New file" onClick={() => setDialog("add")}><FilePlus size={15} aria-hidden /></IconButton>
            <IconButton label="Add files from this machine" onClick={() => upload.current?.click()}><Upload size={15} aria-hidden /></IconButton>
            <input ref={upload} type="file" multiple hidden aria-hidden tabIndex={-1} onChange={(event) => { if (event.target.files) void take(event.target.files); event.target.value = ""; }} />
          </div>
        </div>
        <FileTree paths={paths} open={file?.path} entrypoint={source.entrypoint} changed={changed} onOpen={setOpen} />
        {original && [...changed].some((path) => !paths.includes(path)) && <p className="muted small removed-note">Removed: {[...changed].filter((path) => !paths.includes(path)).join(", ")}</p>}
      </div>
      <div className="editor-side">
        <div className="editor-head">
          <span className="mono open-path">{file?.path}</span>
          <div className="actions">
            {dirty && <Badge tone="warn">{plural(changed.size, "unsaved file")}</Badge>}
            <IconButton label={`Rename ${file?.path}`} onClick={() => setDialog("rename")}><Pencil size={14} aria-hidden /></IconButton>
            <IconButton label={`Delete ${file?.path}`} disabled={file?.path === source.entrypoint} onClick={() => setDialog("delete")}><Trash2 size={14} aria-hidden /></IconButton>
            <Button kind="primary" refuse={refuse} title="Ctrl+S" onClick={onDeploy}>Deploy…</Button>
          </div>
        </div>
        {children}
        {file && !file.bytes && <Editor path={file.path} text={file.text} paths={paths} goto={goto} onChange={edit} onSave={() => !refuse && onDeploy()} />}
        {file?.bytes && <p className="binary muted">{file.path} is not text ({bytes(file.bytes.length)}). It is deployed as it is.</p>}
        <Problems problems={problems} onOpen={(problem) => { setOpen(problem.path); setGoto((old) => ({ line: problem.line, turn: (old?.turn ?? 0) + 1 })); }} />
      </div>
      {dialog === "add" && <PathDialog title="New file" verb="Add" initial={folderOf(source.entrypoint)} taken={paths} onDone={add} onClose={() => setDialog(undefined)} />}
      {dialog === "rename" && file && <PathDialog title={`Rename ${file.path}`} verb="Rename" initial={file.path} taken={paths.filter((path) => path !== file.path)} onDone={rename} onClose={() => setDialog(undefined)} />}
      {dialog === "delete" && file && <Confirm title={`Delete ${file.path}?`} verb="Delete" danger onConfirm={remove} onClose={() => setDialog(undefined)}><p>It leaves the function with the next deploy; earlier versions keep it.</p></Confirm>}
    </div>
  );
}

const folderOf = (path: string) => path.slice(0, path.lastIndexOf("/") + 1);

function FileTree({ paths, open, entrypoint, changed, onOpen }: { paths: string[]; open?: string; entrypoint: string; changed: Set<string>; onOpen: (path: string) => void }) {
  const folders = new Map<string, string[]>();
  for (const path of paths) folders.set(folderOf(path), [...(folders.get(folderOf(path)) ?? []), path]);
  return (
    <ul className="tree" aria-label="Files">
      {[...folders].sort(([a], [b]) => a.localeCompare(b)).map(([folder, inside]) => (
        <li key={folder}>
          {folder && <span className="folder mono">{folder}</span>}
          <ul aria-label={folder || "Top folder"}>
            {inside.map((path) => (
              <li key={path}>
                <button type="button" className={cx("file", path === open && "on")} aria-current={path === open ? "true" : undefined} onClick={() => onOpen(path)}>
                  <FileText size={14} aria-hidden />
                  <span>{path.slice(folder.length)}</span>
                  {path === entrypoint && <span className="tag">entry</span>}
                  {changed.has(path) && <span className="dot" title="Not deployed yet"><span className="visually-hidden">not deployed yet</span></span>}
                </button>
              </li>
            ))}
          </ul>
        </li>
      ))}
    </ul>
  );
}

export function Problems({ problems, onOpen }: { problems: Problem[]; onOpen?: (problem: Problem) => void }) {
  if (problems.length === 0) return null;
  return (
    <section className="problems" aria-label="Problems">
      <h3>{plural(problems.length, "problem")}</h3>
      <ul>
        {problems.map((problem) => (
          <li key={`${problem.path}:${problem.from}`}>
            {onOpen ? <button type="button" onClick={() => onOpen(problem)}><span className="mono">{problem.path}:{problem.line}</span> {problem.message}</button> : <span><span className="mono">{problem.path}:{problem.line}</span> {problem.message}</span>}
          </li>
        ))}
      </ul>
    </section>
  );
}

function PathDialog({ title, verb, initial, taken, onDone, onClose }: { title: string; verb: string; initial: string; taken: string[]; onDone: (path: string) => void; onClose: () => void }) {
  const [path, setPath] = useState(initial);
  const wrong = path === "" || path.endsWith("/") ? "Type a file's name" : path.startsWith("/") || path.split("/").some((part) => part === ".." || part === "." || part === "") ? "A path goes down from the project's folder, without .." : taken.includes(path) ? "There is a file of that name" : undefined;
  const done = () => !wrong && onDone(path);
  return (
    <Dialog title={title} onClose={onClose} footer={<><Button onClick={onClose}>Cancel</Button><Button kind="primary" refuse={wrong} onClick={done}>{verb}</Button></>}>
      <Field label="Path" error={path !== initial ? wrong : undefined}>
        {(attributes) => <input {...attributes} className="mono" value={path} spellCheck={false} onChange={(event) => setPath(event.target.value)} onKeyDown={(event) => event.key === "Enter" && done()} />}
      </Field>
    </Dialog>
  );
}
