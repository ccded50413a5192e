// What is active: the manifest and the secrets that functions-admin writes below `.functions-admin`.
import { WatchedFile, WatchedFolder } from "./watched.ts";

export type Limits = { memory_mb?: number; wall_ms?: number; cpu_soft_ms?: number; cpu_hard_ms?: number };
export type Imports = { npm?: boolean; jsr?: boolean; remote?: boolean };

export type Version = {
  version: number;
  percent: number;
  kind: "source" | "eszip";
  path: string;
  entrypoint: string;
  import_map?: string;
  static_patterns?: string[];
  verify_jwt: boolean;
  limits?: Limits;
  imports?: Imports;
  platform?: string[];
  secrets_revision?: number;
};

export type Sticky = { by: "header" | "cookie" | "address"; name?: string };
export type Deployed = { id: string; sticky?: Sticky; versions: Version[] };
export type Manifest = { format: 1; project: string; generation: number; functions: Map<string, Deployed> };

type Values = Record<string, string>;
type SecretSet = { project?: Values; functions?: Record<string, Values> };
export type Secrets = SecretSet & { revision: number; pinned?: Record<string, SecretSet> };

const SLUG = /^[A-Za-z][A-Za-z0-9_-]{0,127}$/;

/** Names that may be folders beside the functions but never are functions: `main`, `_…`, `.…`. */
export function isFunctionName(slug: string): boolean {
  return SLUG.test(slug) && slug !== "main";
}

/** The manifest is ours, but a path out of it becomes code that runs: it must stay inside a release. */
function isInside(path: unknown, root: string): path is string {
  return typeof path === "string" && path.startsWith(root) && !path.includes("\0") &&
    !path.split("/").some((part) => part === ".." || part === "." || part === "");
}

export function checkVersion(value: unknown): Version {
  const version = value as Version | null;
  if (typeof version !== "object" || version === null) throw new TypeError("version is not an object");
  if (!Number.isInteger(version.version) || version.version < 1) throw new TypeError("version.version is wrong");
  if (version.kind !== "source" && version.kind !== "eszip") throw new TypeError("version.kind is wrong");
  if (!isInside(version.path, ".releases/")) throw new TypeError("version.path is wrong");
  if (typeof version.verify_jwt !== "boolean") throw new TypeError("version.verify_jwt is wrong");
  if (version.kind === "source") {
    if (!isInside(version.entrypoint, "source/")) throw new TypeError("version.entrypoint is wrong");
    if (version.import_map !== undefined && !isInside(version.import_map, "source/")) {
      throw new TypeError("version.import_map is wrong");
    }
    for (const pattern of version.static_patterns ?? []) {
      if (!isInside(pattern, "source/")) throw new TypeError("version.static_patterns is wrong");
    }
  } else if (typeof version.entrypoint !== "string" || !version.entrypoint.startsWith("file:///")) {
    throw new TypeError("version.entrypoint is wrong");
  }
  return version;
}

function parseManifest(text: string): Manifest {
  const raw = JSON.parse(text);
  if (raw?.format !== 1) throw new TypeError("unknown manifest format");
  const functions = new Map<string, Deployed>();
  for (const [slug, deployed] of Object.entries<Deployed>(raw.functions ?? {})) {
    if (!isFunctionName(slug)) throw new TypeError("a name in the manifest is not a function's");
    functions.set(slug, { ...deployed, versions: deployed.versions.map(checkVersion) });
  }
  return { format: 1, project: String(raw.project), generation: Number(raw.generation), functions };
}

function parseSecrets(text: string): Secrets {
  const raw = JSON.parse(text);
  if (typeof raw?.revision !== "number") throw new TypeError("secrets without a revision");
  return raw;
}

const EMPTY: Manifest = { format: 1, project: "", generation: 0, functions: new Map() };
const NO_SECRETS: Secrets = { revision: 0 };

export class State {
  readonly #manifest: WatchedFile<Manifest>;
  readonly #secrets: WatchedFile<Secrets>;
  readonly #folders: WatchedFolder[];

  /** The secrets may lie elsewhere, on a tmpfs, than the functions. */
  constructor(readonly folder: string, secretsFolder?: string) {
    const own = `${folder}/.functions-admin`;
    this.#manifest = new WatchedFile(`${own}/manifest.json`, EMPTY, parseManifest, `${own}/manifest.kept.json`);
    this.#secrets = new WatchedFile(`${secretsFolder ?? own}/secrets.json`, NO_SECRETS, parseSecrets);
    // Secrets are written before the manifest that needs them, and so are looked at after it.
    this.#folders = secretsFolder === undefined
      ? [new WatchedFolder(own, [this.#manifest, this.#secrets])]
      : [new WatchedFolder(own, [this.#manifest]), new WatchedFolder(secretsFolder, [this.#secrets])];
  }

  /** Once for each request, before it is answered: what was active before it came is then known. */
  look() {
    for (const folder of this.#folders) folder.look();
  }

  get manifest(): Manifest {
    return this.#manifest.value;
  }

  get secrets(): Secrets {
    return this.#secrets.value;
  }
}
