import { useEffect, useState } from "react";
import { json, type Fn, type Share, type Traffic, type Version } from "../api";
import { useAction, useLoad } from "../hooks";
import { FUNCTION, useSession } from "../session";
import { Button, Card, ErrorBox, Field, useToast } from "../ui";

const MOST = 4;

/** One share moves, the others give or take in proportion, and the sum stays 100. */
export function move(shares: Share[], version: number, percent: number): Share[] {
  const others = shares.filter((share) => share.version !== version);
  if (others.length === 0) return shares.map((share) => ({ ...share, percent: 100 }));
  const left = 100 - percent;
  const had = others.reduce((sum, share) => sum + share.percent, 0);
  let given = 0;
  const moved = new Map(others.map((share, index) => {
    const value = index === others.length - 1 ? left - given : Math.min(left - given, Math.round(had > 0 ? (share.percent / had) * left : left / others.length));
    given += value;
    return [share.version, value];
  }));
  return shares.map((share) => ({ version: share.version, percent: share.version === version ? percent : moved.get(share.version)! }));
}

export function TrafficCard({ fn, versions, onChanged }: { fn: Fn; versions: Version[]; onChanged: () => void }) {
  const { ref, refusal } = useSession();
  const toast = useToast();
  const path = `v1/projects/${ref}/functions/${encodeURIComponent(fn.slug)}/traffic`;
  const { data, error } = useLoad(`traffic/${ref}/${fn.slug}/${fn.version}`, (signal) => json<Traffic>("GET", path, { signal }));
  const [shares, setShares] = useState<Share[]>();
  const now = shares ?? data?.traffic;
  const cannot = refusal("PUT", `${FUNCTION}/traffic`);
  useEffect(() => setShares(undefined), [data]);

  const save = useAction(async () => {
    const sent = (shares ?? []).filter((share) => share.percent > 0 || versions.some((version) => version.version === share.version));
    await json("PUT", path, { json: { traffic: sent, ...(data?.sticky && { sticky: data.sticky }) } });
    toast("The traffic is shared out anew");
    onChanged();
  });

  if (!now) return <Card title="Traffic"><ErrorBox error={error} /></Card>;
  const free = versions.filter((version) => !now.some((share) => share.version === version.version));
  const changed = shares !== undefined && JSON.stringify(shares) !== JSON.stringify(data?.traffic);
  return (
    <Card title="Traffic">
      <div className="traffic-bar" aria-hidden>
        {now.filter((share) => share.percent > 0).map((share, index) => <span key={share.version} className={`part part-${index}`} style={{ flexGrow: share.percent }} />)}
      </div>
      <ul className="shares">
        {now.map((share) => (
          <li key={share.version}>
            <label htmlFor={`share-${share.version}`}>Version {share.version}</label>
            <input id={`share-${share.version}`} type="range" min={0} max={100} step={1} value={share.percent} disabled={cannot !== undefined || now.length === 1} onChange={(event) => setShares(move(now, share.version, Number(event.target.value)))} />
            <output htmlFor={`share-${share.version}`}>{share.percent} %</output>
            {now.length > 1 && !cannot && <Button kind="quiet" aria-label={`Take version ${share.version} out`} onClick={() => setShares(move(now, share.version, 0).filter((other) => other.version !== share.version))}>Take out</Button>}
          </li>
        ))}
      </ul>
      <div className="inline end">
        {free.length > 0 && now.length < MOST && !cannot && (
          <Field label="Add a version">
            {(attributes) => (
              <select {...attributes} value="" onChange={(event) => setShares([...now, { version: Number(event.target.value), percent: 0 }])}>
                <option value="" disabled>choose…</option>
                {free.map((version) => <option key={version.version} value={version.version}>version {version.version}{version.message ? `: ${version.message.slice(0, 40)}` : ""}</option>)}
              </select>
            )}
          </Field>
        )}
        <Button kind="primary" busy={save.busy} refuse={cannot ?? (changed ? undefined : "Nothing is changed")} onClick={() => void save.run()}>Share out</Button>
        {changed && <Button onClick={() => setShares(undefined)}>Reset</Button>}
      </div>
      <p className="muted small">A version at 0 % answers only test calls that ask for it by number.</p>
      <ErrorBox error={save.error} />
    </Card>
  );
}
