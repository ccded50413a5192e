// What can be seen to be wrong before anything is sent: syntax, and imports of files that the function does not have.
import { parser as javascriptParser } from "@lezer/javascript";

export interface Problem {
  path: string;
  line: number;
  from: number;
  to: number;
  message: string;
}

const MOST = 20;

export function problemsIn(path: string, text: string, paths: string[]): Problem[] {
  if (/\.json$/.test(path)) return jsonProblems(path, text);
  const dialect = /\.[mc]?ts$/.test(path) ? "ts" : /\.tsx$/.test(path) ? "ts jsx" : /\.jsx$/.test(path) ? "jsx" : /\.[mc]?js$/.test(path) ? "" : undefined;
  return dialect === undefined ? [] : codeProblems(path, text, new Set(paths), dialect);
}

function codeProblems(path: string, text: string, paths: Set<string>, dialect: string): Problem[] {
  const problems: Problem[] = [];
  const add = (from: number, to: number, message: string) => {
    const line = lineOf(text, from);
    if (problems.length < MOST && problems.at(-1)?.line !== line) problems.push({ path, line, from, to: Math.min(text.length, Math.max(to, from + 1)), message });
  };
  javascriptParser.configure({ dialect }).parse(text).iterate({
    enter(node) {
      if (node.type.isError) add(node.from, node.to, "This is not valid here");
      if (node.name !== "String") return;
      const parent = node.node.parent;
      const names = parent?.name === "ImportDeclaration" || parent?.name === "ExportDeclaration" || parent?.name === "DynamicImport" || (parent?.name === "ArgList" && parent.parent?.firstChild?.name === "import");
      if (!names) return;
      const specifier = text.slice(node.from + 1, node.to - 1);
      if (!/^\.{1,2}\//.test(specifier)) return;
      const target = resolve(path, specifier);
      if (target === undefined) add(node.from, node.to, `"${specifier}" leads out of the project`);
      else if (!paths.has(target)) add(node.from, node.to, `There is no file "${target}" in this function`);
    },
  });
  return problems;
}

function jsonProblems(path: string, text: string): Problem[] {
  try {
    JSON.parse(text);
    return [];
  } catch (error) {
    const message = (error as Error).message;
    const at = Math.min(text.length, Number(/position (\d+)/.exec(message)?.[1] ?? text.length));
    return [{ path, line: lineOf(text, at), from: Math.max(0, at - (at === text.length ? 1 : 0)), to: Math.min(text.length, at + 1), message: "This is not valid JSON here" }];
  }
}

const lineOf = (text: string, at: number) => text.slice(0, at).split("\n").length;

/** Undefined above the root. */
export function resolve(from: string, specifier: string): string | undefined {
  const parts = from.split("/").slice(0, -1);
  for (const part of specifier.split(/[?#]/)[0].split("/")) {
    if (part === "..") {
      if (parts.pop() === undefined) return undefined;
    } else if (part !== "." && part !== "") {
      parts.push(part);
    }
  }
  return parts.join("/");
}
