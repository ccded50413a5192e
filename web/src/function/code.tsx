import { useEffect, useRef, useState } from "react";
import { loadSource, type Source } from "../api";
import { drafts } from "../drafts";
import { Diff } from "../editor/diff";
import { refresh, useLoad } from "../hooks";
import { FUNCTIONS, useSession } from "../session";
import { Button, Dialog, Empty, ErrorBox, Loading, Notice, useToast } from "../ui";
import { DeployDialog } from "./deploying";
import { loadFunction, type Current } from "./page";
import { Workbench, changedPaths } from "./workbench";

/** What the editor began with: a deploy says so, and is refused when somebody else deployed since. */
interface Base {
  current: Current;
  source: Source;
}

export function CodeTab({ current }: { current: Current }) {
  const { ref, refusal } = useSession();
  const { slug } = current.fn;
  const toast = useToast();
  const draft = `${ref}/${slug}`;
  const [kept] = useState(() => drafts.get(draft) as { base: Base; mine: Source } | undefined);
  const [base, setBase] = useState(kept?.base);
  const [mine, setMine] = useState(kept?.mine);
  useEffect(() => {
    if (base && mine && changedPaths(mine, base.source).size > 0) drafts.set(draft, { base, mine });
    else drafts.delete(draft);
  }, [draft, base, mine]);
  const [dialog, setDialog] = useState<"deploy" | "conflict">();
  const [force, setForce] = useState(false);
  const started = useRef(current);

  const bodyPath = `v1/projects/${ref}/functions/${encodeURIComponent(slug)}/body`;
  const first = useLoad(`code/${ref}/${slug}/${started.current.fn.version}`, async (signal) => ({ source: await loadSource(bodyPath, started.current.fn, signal) }));
  useEffect(() => {
    if (!base && first.data?.source) {
      setBase({ current: started.current, source: first.data.source });
      setMine(first.data.source);
    }
  }, [base, first.data]);

  const newer = base && current.fn.version !== base.current.fn.version;
  const theirs = useLoad(dialog === "conflict" ? `code/${ref}/${slug}/theirs/${current.fn.version}` : undefined, async (signal) => {
    const now = await loadFunction(ref, slug, signal);
    return { now, source: await loadSource(bodyPath, now.fn, signal) };
  });

  if (first.error) return <ErrorBox error={first.error} action={<Button onClick={first.reload}>Try again</Button>} />;
  if (first.data && !first.data.source) return <Empty title="This function was deployed as a bundle"><p>A bundle holds compiled modules; there is no source here to edit. Deploy it with <code>--use-api</code> to keep the files.</p></Empty>;
  if (!base || !mine) return <Loading what="the source" />;

  const take = (now: Current, source: Source) => {
    setBase({ current: now, source });
    setMine(source);
    setDialog(undefined);
    setForce(false);
  };

  const afterDeploy = async () => {
    setDialog(undefined);
    setForce(false);
    const now = await loadFunction(ref, slug);
    setBase({ current: now, source: mine });
    refresh(`function/${ref}/${slug}`);
    refresh(`functions/${ref}`);
    refresh(`versions/${ref}/${slug}`);
    toast(`${slug} is deployed as version ${now.fn.version}`);
  };

  return (
    <>
      <Workbench source={mine} original={base.source} onChange={setMine} onDeploy={() => setDialog("deploy")} refuse={refusal("POST", `${FUNCTIONS}/deploy`)}>
        {newer && dialog === undefined && (
          <Notice tone="warn" title={`Version ${current.fn.version} was deployed meanwhile`}>
            <p>You began with version {base.current.fn.version}. <Button onClick={() => setDialog("conflict")}>Compare</Button></p>
          </Notice>
        )}
      </Workbench>
      {dialog === "deploy" && (
        <DeployDialog
          request={{ ref, slug, source: mine, etag: force ? undefined : base.current.etag }}
          original={base.source}
          overtaken={async () => !force && (await loadFunction(ref, slug)).fn.version !== base.current.fn.version}
          onConflict={() => { refresh(`function/${ref}/${slug}`); setDialog("conflict"); }}
          onDone={() => void afterDeploy()}
          onClose={() => { setDialog(undefined); setForce(false); }}
        />
      )}
      {dialog === "conflict" && (
        <Dialog
          wide
          title="Somebody else deployed meanwhile"
          onClose={() => setDialog(undefined)}
          footer={
            <>
              <Button onClick={() => setDialog(undefined)}>Back to the editor</Button>
              <Button refuse={theirs.data?.source ? undefined : "Their version is not loaded yet"} onClick={() => take(theirs.data!.now, theirs.data!.source!)}>Take theirs, drop mine</Button>
              <Button kind="primary" onClick={() => { setForce(true); setDialog("deploy"); }}>Deploy mine over it…</Button>
            </>
          }
        >
          <p>You began with version {base.current.fn.version}; {theirs.data ? `version ${theirs.data.now.fn.version}` : "a newer one"} is active now. Left is theirs, right is yours.</p>
          <ErrorBox error={theirs.error} />
          {theirs.data?.source ? <Diff before={theirs.data.source.files} after={mine.files} labels={[`version ${theirs.data.now.fn.version}, theirs`, "yours"]} /> : !theirs.error && (theirs.data ? <p>Theirs is a bundle, which cannot be compared.</p> : <Loading what="their version" />)}
        </Dialog>
      )}
    </>
  );
}
