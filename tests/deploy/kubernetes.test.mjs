// deploy/kubernetes: each manifest keeps to Kubernetes' published schema (npm package kubernetes-models), names only what is there, and
// configures the program with options that it has.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Deployment } from "kubernetes-models/apps/v1/Deployment";
import { ConfigMap } from "kubernetes-models/v1/ConfigMap";
import { Service } from "kubernetes-models/v1/Service";
import YAML from "yaml";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = path.join(root, "deploy/kubernetes");
const read = (name) => fs.readFileSync(path.join(folder, name), "utf8");
const models = { Deployment, Service, ConfigMap };
const settings = Object.fromEntries(read("settings.env").trim().split("\n").map((line) => line.split(/=(.*)/s).slice(0, 2)));
let kustomization, documents;

before(() => {
  kustomization = YAML.parse(read("kustomization.yaml"));
  documents = kustomization.resources.flatMap((name) => YAML.parseAllDocuments(read(name)).map((document) => {
    assert.deepEqual(document.errors, []);
    return document.toJS();
  }));
});

const of = (kind) => documents.filter((document) => document.kind === kind);
const containers = (deployment) => [...deployment.spec.template.spec.initContainers ?? [], ...deployment.spec.template.spec.containers];

test("the base names every manifest, and each keeps to the schema", () => {
  assert.deepEqual(fs.readdirSync(folder).filter((name) => name.endsWith(".yaml")).sort(), ["kustomization.yaml", ...kustomization.resources].sort());
  assert.deepEqual(documents.map((d) => `${d.kind} ${d.metadata.name}`), ["Deployment functions-admin", "Service functions-admin", "Deployment functions", "Service functions"]);
  for (const document of documents) new models[document.kind](document).validate();
  new ConfigMap({ metadata: { name: "functions-admin" }, data: settings }).validate();
  assert.throws(() => new Deployment({ ...documents[0], spec: { ...documents[0].spec, replicas: "two" } }).validate(), "the schema does refuse");
});

test("selectors find their pods, volumes and ports are there", () => {
  for (const deployment of of("Deployment")) {
    const { selector, template } = deployment.spec, volumes = template.spec.volumes.map(({ name }) => name);
    assert.deepEqual(selector.matchLabels, template.metadata.labels);
    for (const container of containers(deployment)) for (const mount of container.volumeMounts) assert.ok(volumes.includes(mount.name), `${container.name}: ${mount.name}`);
    const service = of("Service").find((s) => s.metadata.name === deployment.metadata.name);
    assert.deepEqual(service.spec.selector, template.metadata.labels);
    for (const { targetPort } of service.spec.ports) assert.ok(containers(deployment).some((c) => c.ports?.some(({ name }) => name === targetPort)));
  }
});

test("what runs the program has no privileges and a root that cannot be written", () => {
  for (const deployment of of("Deployment")) {
    const pod = deployment.spec.template.spec.securityContext;
    assert.equal(deployment.spec.template.spec.automountServiceAccountToken, false);
    for (const container of containers(deployment).filter(({ image }) => image === "functions-admin")) {
      const own = { ...pod, ...container.securityContext };
      assert.deepEqual([own.runAsNonRoot, own.runAsUser, own.allowPrivilegeEscalation, own.readOnlyRootFilesystem, own.capabilities], [true, 10001, false, true, { drop: ["ALL"] }], container.name);
    }
  }
});

test("every variable is an option of the program, and every secret is one that the documentation makes", () => {
  const page = fs.readFileSync(path.join(root, "docs/man/functions-admin.conf.5"), "utf8"), table = fs.readFileSync(path.join(root, "src/core/config_table.c"), "utf8");
  const documented = fs.readFileSync(path.join(root, "docs/kubernetes.md"), "utf8");
  const start = fs.readFileSync(path.join(root, "deploy/docker/start"), "utf8");
  const option = (name) => {
    const plain = name.replace(/_FILE$/, "");
    return page.includes(`.B ${plain.replace(/^FUNCTIONS_ADMIN_/, "").toLowerCase()}\n`) || table.includes(`"${plain}"`) || start.includes(`\${${name}`);
  };
  for (const name of Object.keys(settings)) assert.ok(option(name), name);
  for (const deployment of of("Deployment"))
    for (const container of containers(deployment))
      for (const { name, value, valueFrom } of container.env ?? []) {
        if (container.image === "functions-admin") assert.ok(option(name), `${container.name}: ${name}`);
        const key = valueFrom?.secretKeyRef?.key ?? /secrets\/(\w+)$/.exec(value ?? "")?.[1];
        if (key) assert.match(documented, new RegExp(`--from-(literal|file)=${key}\\b`));
        const setting = valueFrom?.configMapKeyRef?.key;
        if (setting) assert.ok(setting in settings);
      }
  for (const [, key] of Object.values(settings).join("\n").matchAll(/secrets\/(\w+)/g)) assert.match(documented, new RegExp(`--from-(literal|file)=${key}\\b`));
});

test("agent and runtime share the folder, which the runtime only reads; the main service comes with the image", () => {
  const runtime = of("Deployment")[1], [main, edge, agent] = containers(runtime);
  const mount = (container, name) => container.volumeMounts.find((m) => m.name === name);
  assert.deepEqual([mount(edge, "functions").mountPath, mount(edge, "functions").readOnly, mount(agent, "functions").mountPath], [settings.FUNCTIONS_ADMIN_FUNCTIONS_DIR, true, settings.FUNCTIONS_ADMIN_FUNCTIONS_DIR]);
  assert.deepEqual(agent.args, ["functions-admin", "agent"]);
  assert.match(fs.readFileSync(path.join(root, "deploy/docker/Dockerfile"), "utf8"), /cp -r \/src\/runtime\/main \/src\/runtime\/event \/out\/usr\/share\/functions-admin\/runtime\//);
  assert.equal(main.command[2], "/usr/share/functions-admin/runtime/.");
  assert.ok(edge.args.includes(`${mount(edge, "main-service").mountPath}/main`));
});
