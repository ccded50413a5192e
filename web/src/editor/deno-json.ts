// The fields of deno.json that matter to a deployed function.
export const denoKeys = {
  top: [
    { key: "imports", about: "names for modules: { \"name\": \"npm:package@1\" }" },
    { key: "scopes", about: "imports for one folder only" },
    { key: "compilerOptions", about: "how TypeScript is compiled" },
    { key: "nodeModulesDir", about: "\"auto\", \"manual\" or \"none\"" },
    { key: "lock", about: "the lock file, or false" },
    { key: "unstable", about: "names of unstable features" },
    { key: "tasks", about: "commands for development" },
    { key: "fmt", about: "formatting" },
    { key: "lint", about: "lint rules" },
    { key: "exclude", about: "paths to leave alone" },
  ],
  compilerOptions: [
    { key: "jsx", about: "\"react-jsx\", \"precompile\", …" },
    { key: "jsxImportSource", about: "module of the JSX runtime" },
    { key: "lib", about: "type libraries" },
    { key: "strict", about: "all strict checks" },
    { key: "types", about: "type declarations to load" },
    { key: "experimentalDecorators", about: "the older decorators" },
  ],
};
