// The one place that talks to the Management API. Everything goes to the origin that the page came from.

/** What the API says when it refuses: its words, what to do about it, and the request's id for the logs. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint: string | undefined,
    readonly requestId: string | undefined,
    readonly details?: unknown,
  ) {
    super(message);
  }
}

/** `dashboard`: the gateway knows the login and adds the credential. `token`: we send the one that was typed in. */
export type Credential = { mode: "dashboard" } | { mode: "token"; token: string };

const BASE = new URL("/functions-admin/", location.origin);
const TOKEN_KEY = "functions-admin.token";

let credential: Credential = { mode: "dashboard" };
let onUnauthorized: () => void = () => {};

export const storedToken = () => sessionStorage.getItem(TOKEN_KEY);

export function setCredential(next: Credential) {
  credential = next;
  // For this tab only, gone when it closes. Nothing is kept across sessions.
  if (next.mode === "token") sessionStorage.setItem(TOKEN_KEY, next.token);
  else sessionStorage.removeItem(TOKEN_KEY);
}

export function whenUnauthorized(callback: () => void) {
  onUnauthorized = callback;
}

export const apiUrl = () => new URL(BASE).href.replace(/\/$/, "");
export const functionUrl = (slug: string) => new URL(`/functions/v1/${encodeURIComponent(slug)}`, BASE).href;

export interface Options {
  query?: Record<string, string | number | boolean | undefined>;
  json?: unknown;
  body?: BodyInit;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export async function request(method: string, path: string, options: Options = {}): Promise<Response> {
  const url = new URL((credential.mode === "dashboard" ? "dashboard/" : "") + path, BASE);
  for (const [name, value] of Object.entries(options.query ?? {})) if (value !== undefined) url.searchParams.set(name, String(value));
  const headers: Record<string, string> = { ...options.headers };
  if (credential.mode === "dashboard") headers["X-Functions-Admin-Dashboard"] = "1";
  else headers.Authorization = `Bearer ${credential.token}`;
  let body = options.body;
  if (options.json !== undefined) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(options.json);
  }
  let response: Response;
  try {
    response = await fetch(url, { method, headers, body, signal: options.signal, cache: "no-store", credentials: "same-origin" });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(0, "unreachable", "The server cannot be reached", "Check the network and whether the gateway runs.", undefined);
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function refusal(response: Response): Promise<ApiError> {
  const text = await response.text().catch(() => "");
  let said: { message?: string; code?: string; hint?: string; request_id?: string; details?: unknown } = {};
  try {
    said = JSON.parse(text);
  } catch {
    // A gateway's own page, perhaps: its status is all that can be told.
  }
  if (response.status === 401) onUnauthorized();
  return new ApiError(
    response.status,
    said.code ?? "",
    said.message ?? `The server answered ${response.status} ${response.statusText}`.trim(),
    said.hint,
    said.request_id ?? response.headers.get("X-Request-Id") ?? undefined,
    said.details,
  );
}

export async function json<T>(method: string, path: string, options?: Options): Promise<T> {
  const response = await request(method, path, options);
  const text = await response.text();
  return (text === "" ? undefined : JSON.parse(text)) as T;
}

/** Lists come as `{data, next_cursor}`; a few Cloud-compatible ones as a bare array. */
export interface Page<T> {
  data: T[];
  next_cursor?: string;
}
export async function page<T>(path: string, query: Options["query"] = {}, signal?: AbortSignal): Promise<Page<T>> {
  const answer = await json<Page<T> | T[]>("GET", path, { query, signal });
  return Array.isArray(answer) ? { data: answer } : answer;
}

// ---- What the API answers

export interface Session {
  authenticated: boolean;
  name: string;
  scopes: string[];
  project?: string;
  slugs?: string[];
  expires_at?: string;
  routes: { method: string; path: string; scope?: string }[];
}

export interface Project {
  ref: string;
  name: string;
  region: string;
}

export interface Fn {
  id: string;
  slug: string;
  name: string;
  status: string;
  version: number;
  created_at: number;
  updated_at: number;
  verify_jwt: boolean;
  import_map: boolean;
  entrypoint_path?: string;
  import_map_path?: string;
  ezbr_sha256?: string;
  /** Of a list that asked for it. */
  activity?: {
    updated_by?: string;
    traffic?: Share[];
    last_error?: { at: string; source: string; message?: string };
  };
}

export interface ApiKey {
  id: string;
  name: string;
  type: string;
  api_key: string;
}

export interface AccessToken {
  id: string;
  name: string;
  scopes: string[];
  project?: string;
  slugs?: string[];
  created_by: string;
  created_at: string;
  expires_at?: string;
  revoked_at?: string;
  last_used_at?: string;
  token?: string;
}

export interface SourceFile {
  path: string;
  text: string;
  /** Not text: shown as such and sent back byte for byte. */
  bytes?: Uint8Array<ArrayBuffer>;
}

export interface Source {
  entrypoint: string;
  importMap?: string;
  files: SourceFile[];
}

// ---- Source code, up and down

/** Reads the multipart answer by hand: a browser's formData() would lose the folders of file names. */
export function readMultipart(type: string, data: Uint8Array<ArrayBuffer>): { name: string; filename?: string; data: Uint8Array<ArrayBuffer> }[] {
  const boundary = /boundary="?([^";]+)"?/i.exec(type)?.[1];
  if (!boundary) throw new Error("The answer is not multipart");
  const mark = new TextEncoder().encode(`--${boundary}`);
  const parts = [];
  let at = find(data, mark, 0);
  while (at >= 0) {
    const start = at + mark.length;
    if (data[start] === 0x2d && data[start + 1] === 0x2d) break;
    const next = find(data, mark, start);
    if (next < 0) throw new Error("The answer is cut short");
    const headEnd = find(data, new Uint8Array([13, 10, 13, 10]), start);
    const head = new TextDecoder().decode(data.subarray(start, headEnd));
    parts.push({
      name: /[; ]name="([^"]*)"/i.exec(head)?.[1] ?? "",
      filename: /filename="([^"]*)"/i.exec(head)?.[1].replace(/%22/g, '"'),
      data: data.slice(headEnd + 4, next - 2),
    });
    at = next;
  }
  return parts;
}

function find(data: Uint8Array, what: Uint8Array, from: number): number {
  outer: for (let i = data.indexOf(what[0], from); i >= 0; i = data.indexOf(what[0], i + 1)) {
    for (let j = 1; j < what.length; j++) if (data[i + j] !== what[j]) continue outer;
    return i;
  }
  return -1;
}

/** Undefined where the function is a bundle: there is no source to show. */
export async function loadSource(path: string, fn: { entrypoint_path?: string; import_map_path?: string }, signal?: AbortSignal): Promise<Source | undefined> {
  const response = await request("GET", path, { headers: { Accept: "multipart/form-data" }, signal });
  const type = response.headers.get("Content-Type") ?? "";
  if (!type.startsWith("multipart/")) return undefined;
  const files: SourceFile[] = [];
  let entrypoint = "";
  for (const part of readMultipart(type, new Uint8Array(await response.arrayBuffer()))) {
    if (part.name === "metadata") {
      entrypoint = strip(JSON.parse(new TextDecoder().decode(part.data)).deno2_entrypoint_path ?? "");
      continue;
    }
    const path = strip(part.filename ?? "");
    try {
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(part.data);
      files.push(text.includes("\0") ? { path, text: "", bytes: part.data } : { path, text });
    } catch {
      files.push({ path, text: "", bytes: part.data });
    }
  }
  files.sort((a, b) => a.path.localeCompare(b.path));
  return { entrypoint, importMap: importMapOf(fn), files };
}

const strip = (path: string) => path.replace(/^source\//, "");

function importMapOf(fn: { import_map_path?: string }): string | undefined {
  if (!fn.import_map_path) return undefined;
  const path = fn.import_map_path.startsWith("file:") ? decodeURIComponent(new URL(fn.import_map_path).pathname) : fn.import_map_path;
  return path.includes("/source/") ? path.slice(path.indexOf("/source/") + 8) : path;
}

// ---- History

export interface Version {
  version: number;
  active: boolean;
  kind: "source" | "eszip";
  name: string;
  entrypoint_path?: string;
  import_map_path?: string;
  verify_jwt: boolean;
  digest: string;
  size: number;
  file_count: number;
  message?: string;
  source: string;
  source_version?: number;
  source_project?: string;
  created_by: string;
  created_at: string;
}

export interface Deployment {
  id: string;
  slug: string;
  version: number;
  release?: number;
  status: string;
  error?: { code?: string; message: string };
  boot_check?: string;
  boot_ms?: number;
  created_by: string;
  request_id: string;
  created_at: string;
  staged_at?: string;
  booted_at?: string;
  active_at?: string;
  verified_at?: string;
  finished_at?: string;
  /** Of a single deployment, where there is more than one node. */
  nodes?: { name: string; staged_at?: string; active_at?: string; verified: boolean; error?: { code: string; message?: string } }[];
}

export interface Release {
  id: number;
  generation: number;
  source: string;
  message?: string;
  created_by: string;
  request_id: string;
  created_at: string;
  functions: { slug: string; version_before: number | null; version_after: number | null }[];
}

export interface Share {
  version: number;
  percent: number;
}

export interface Traffic {
  traffic: Share[];
  sticky?: { by: string; name?: string };
}
