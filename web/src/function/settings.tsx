import { useEffect, useState } from "react";
import { json, type Fn } from "../api";
import { hold, refresh, useAction } from "../hooks";
import { go } from "../router";
import { FUNCTION, useSession } from "../session";
import { FunctionLimits } from "./limits";
import { Button, Card, Check2, Confirm, ErrorBox, Field, useToast } from "../ui";

export function SettingsTab({ fn, etag }: { fn: Fn; etag?: string }) {
  const { ref, refusal, offers } = useSession();
  const toast = useToast();
  const path = `v1/projects/${ref}/functions/${encodeURIComponent(fn.slug)}`;
  const cannotChange = refusal("PATCH", FUNCTION);
  const [name, setName] = useState(fn.name);
  const [verify, setVerify] = useState(fn.verify_jwt);
  const [deleting, setDeleting] = useState(false);
  const [going, setGoing] = useState(false);
  // An event that comes with the delete, before its answer, would have the page ask for what is gone.
  useEffect(() => (going ? hold(`function/${ref}/${fn.slug}`) : undefined), [going, ref, fn.slug]);

  const save = useAction(async () => {
    await json("PATCH", path, { json: { ...(name !== fn.name && { name }), ...(verify !== fn.verify_jwt && { verify_jwt: verify }) }, headers: etag ? { "If-Match": etag } : {} });
    refresh(`function/${ref}/${fn.slug}`);
    refresh(`functions/${ref}`);
    toast("The settings are saved");
  });
  const remove = useAction(async () => {
    setGoing(true);
    try {
      await json("DELETE", path);
    } catch (error) {
      setGoing(false);
      throw error;
    }
    refresh(`functions/${ref}`);
    const restore = async () => {
      await json("POST", `${path}/restore`, { json: {} }).then(() => toast(`${fn.slug} is back`), (error: Error) => toast(error.message, "error"));
      refresh(`functions/${ref}`);
    };
    toast(`${fn.slug} is deleted`, "good", offers("POST", `${FUNCTION}/restore`) ? { label: "Undo", run: () => void restore() } : undefined);
    go(`/project/${ref}/functions`);
  });

  const unchanged = name === fn.name && verify === fn.verify_jwt;
  return (
    <div className="stack narrow">
      <Card title="General">
        <form onSubmit={(event) => { event.preventDefault(); if (!unchanged && !cannotChange) void save.run(); }}>
          <Field label="Name" hint="For people; the URL keeps the slug.">{(attributes) => <input {...attributes} value={name} maxLength={256} onChange={(event) => setName(event.target.value)} />}</Field>
          <Check2 label="Verify JWT" hint="Only callers with a valid JWT of this project get through. Off: anybody may call, and the function checks by itself. Changing this makes a new version." checked={verify} onChange={(event) => setVerify(event.target.checked)} />
          <ErrorBox error={save.error} />
          <Button kind="primary" type="submit" busy={save.busy} refuse={cannotChange ?? (unchanged ? "Nothing is changed" : undefined)} onClick={() => {}}>Save</Button>
        </form>
      </Card>
      <FunctionLimits slug={fn.slug} />
      <Card title="Delete this function" className="danger-zone">
        <p>Its URL answers 404 at once. The versions stay in the database until retention removes them.</p>
        <Button kind="danger" refuse={refusal("DELETE", FUNCTION)} onClick={() => setDeleting(true)}>Delete {fn.slug}…</Button>
      </Card>
      {deleting && (
        <Confirm title={`Delete ${fn.slug}?`} verb="Delete" danger typed={fn.slug} busy={remove.busy} error={remove.error} onConfirm={() => void remove.run()} onClose={() => setDeleting(false)}>
          <p>Callers get 404 from now on.</p>
        </Confirm>
      )}
    </div>
  );
}
