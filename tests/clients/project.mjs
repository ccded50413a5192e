// A folder as the Supabase CLI works in it, and what is in such a folder.
import fs from "node:fs";
import path from "node:path";

export function write(folder, files) {
  for (const [name, content] of Object.entries(files)) {
    const file = path.join(folder, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, content);
  }
}

/** A new folder with supabase/config.toml and these files, below the stack's own. */
export function makeProject(stack, files, config = "") {
  const folder = stack.folder("project");
  write(folder, { "supabase/config.toml": `project_id = "tests"\n${config}`, ...files });
  return folder;
}

/** Every file below supabase/functions: its path there, and its content in hexadecimal, so that differences are printed exactly. */
export function functionFiles(folder) {
  const top = path.join(folder, "supabase/functions"), found = {};
  const walk = (at) => {
    for (const entry of fs.readdirSync(at, { withFileTypes: true })) {
      const file = path.join(at, entry.name);
      if (entry.isDirectory()) walk(file);
      else found[path.relative(top, file)] = fs.readFileSync(file).toString("hex");
    }
  };
  if (fs.existsSync(top)) walk(top);
  return Object.fromEntries(Object.entries(found).sort(([a], [b]) => a < b ? -1 : 1));
}
