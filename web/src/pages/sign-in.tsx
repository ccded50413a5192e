import { Zap } from "lucide-react";
import { useState } from "react";
import { useTitle } from "../hooks";
import { Button, Field } from "../ui";

export function SignIn({ reason, onToken }: { reason?: string; onToken: (token: string) => Promise<void> }) {
  const [token, setToken] = useState("");
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState<string>();
  useTitle("Sign in · Edge Functions");

  const submit = async () => {
    const trimmed = token.trim();
    if (!/^(sbp_(v0_)?[0-9a-f]{40}|sb_secret_\S+|ey[\w-]+\.[\w-]+\.[\w-]+)$/.test(trimmed)) return setWrong("This is neither an access token (sbp_…) nor a service key.");
    setWrong(undefined);
    setBusy(true);
    await onToken(trimmed);
    setBusy(false);
  };

  return (
    <main className="alone">
      <form className="card sign-in" onSubmit={(event) => { event.preventDefault(); void submit(); }}>
        <div className="sign-in-head">
          <span className="brand" aria-hidden><Zap size={20} /></span>
          <h1>Edge Functions</h1>
        </div>
        <p>Sign in with an access token. It is kept in this tab only, and is gone when the tab closes.</p>
        <Field label="Access token" error={wrong ?? reason} hint={<>Make one on the server: <code>functions-admin token create</code></>}>
          {(attributes) => <input {...attributes} type="password" className="mono" value={token} onChange={(event) => setToken(event.target.value)} autoComplete="off" autoFocus placeholder="sbp_…" />}
        </Field>
        <Button kind="primary" type="submit" busy={busy} className="full" onClick={() => {}}>Sign in</Button>
      </form>
    </main>
  );
}
