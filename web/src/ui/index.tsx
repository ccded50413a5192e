import { AlertTriangle, Check, Copy, LoaderCircle, X } from "lucide-react";
import { createContext, useCallback, useContext, useEffect, useId, useRef, useState, type ComponentProps, type ReactNode } from "react";
import { ApiError } from "../api";
import { ago, moment, type When } from "../format";
import { useNow } from "../hooks";

const cx = (...names: (string | false | undefined)[]) => names.filter(Boolean).join(" ");

// ---- Buttons

interface ButtonProps extends ComponentProps<"button"> {
  kind?: "primary" | "default" | "danger" | "quiet";
  busy?: boolean;
  /** Why it cannot be used now: shown on hover and read out, and the button stays reachable. */
  refuse?: string;
}

export function Button({ kind = "default", busy, refuse, className, children, onClick, ...rest }: ButtonProps) {
  const reason = useId();
  return (
    <>
      <button
        type="button"
        {...rest}
        className={cx("button", kind, className)}
        aria-disabled={refuse || busy ? true : undefined}
        aria-describedby={refuse ? reason : undefined}
        title={refuse ?? rest.title}
        onClick={(event) => (refuse || busy ? event.preventDefault() : onClick?.(event))}
      >
        {busy && <LoaderCircle className="spin" size={14} aria-hidden />}
        {children}
      </button>
      {refuse && <span id={reason} hidden>{refuse}</span>}
    </>
  );
}

export function IconButton({ label, className, ...rest }: ComponentProps<"button"> & { label: string }) {
  return <button type="button" aria-label={label} title={label} {...rest} className={cx("icon-button", className)} />;
}

export function CopyButton({ text, label = "Copy", quiet }: { text: string; label?: string; quiet?: boolean }) {
  const [done, setDone] = useState(false);
  const toast = useToast();
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without TLS a browser gives no clipboard; a selection can be copied everywhere.
      const area = document.createElement("textarea");
      area.value = text;
      area.className = "visually-hidden";
      (document.querySelector("dialog[open]") ?? document.body).append(area);
      area.select();
      const copied = document.execCommand("copy");
      area.remove();
      if (!copied) return toast("The browser does not let this page copy", "error");
    }
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  const Icon = done ? Check : Copy;
  return (
    <button type="button" className={quiet ? "icon-button" : "button default"} aria-label={quiet ? (done ? "Copied" : label) : undefined} title={quiet ? label : undefined} onClick={copy}>
      <Icon size={14} aria-hidden />
      {!quiet && (done ? "Copied" : label)}
    </button>
  );
}

// ---- Text

export function Time({ at, never = "never" }: { at: When; never?: string }) {
  const now = useNow();
  if (at === undefined) return <span className="muted">{never}</span>;
  const iso = new Date(at).toISOString();
  return <time dateTime={iso} title={moment(at)}>{ago(at, now)}</time>;
}

export function Badge({ tone = "plain", children }: { tone?: "plain" | "good" | "warn" | "bad"; children: ReactNode }) {
  return <span className={cx("badge", tone)}>{children}</span>;
}

export function Code({ text, label }: { text: string; label: string }) {
  return (
    <div className="snippet">
      <pre tabIndex={0} aria-label={label}><code>{text}</code></pre>
      <CopyButton text={text} label={`Copy ${label}`} quiet />
    </div>
  );
}

// ---- Messages

export function ErrorBox({ error, action }: { error: ApiError | undefined; action?: ReactNode }) {
  if (!error) return null;
  return (
    <div className="notice bad" role="alert">
      <AlertTriangle size={16} aria-hidden />
      <div>
        <p className="notice-title">{error.message}</p>
        {error.hint && <p>{error.hint}</p>}
        {error.requestId && <p className="muted small">Request <code>{error.requestId}</code></p>}
        {action}
      </div>
    </div>
  );
}

export function Notice({ tone = "plain", title, children }: { tone?: "plain" | "warn" | "good"; title: string; children?: ReactNode }) {
  return (
    <div className={cx("notice", tone)} role="status">
      {tone === "warn" && <AlertTriangle size={16} aria-hidden />}
      <div>
        <p className="notice-title">{title}</p>
        {children}
      </div>
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function Loading({ what }: { what: string }) {
  return <div className="loading" role="status"><LoaderCircle className="spin" size={16} aria-hidden /> Loading {what}…</div>;
}

type Toast = { id: number; text: string; tone: "good" | "error"; action?: { label: string; run: () => void } };
type Show = (text: string, tone?: Toast["tone"], action?: Toast["action"]) => void;
const ToastContext = createContext<Show>(() => {});
export const useToast = () => useContext(ToastContext);

export function Toasts({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const next = useRef(1);
  const close = (id: number) => setToasts((all) => all.filter((toast) => toast.id !== id));
  const show = useCallback<Show>((text, tone = "good", action) => {
    const id = next.current++;
    setToasts((all) => [...all.slice(-2), { id, text, tone, action }]);
    setTimeout(() => close(id), action ? 15_000 : 6_000);
  }, []);
  return (
    <ToastContext.Provider value={show}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {toasts.map((toast) => (
          <div key={toast.id} className={cx("toast", toast.tone)}>
            <span>{toast.text}</span>
            {toast.action && <button type="button" className="button default" onClick={() => { toast.action!.run(); close(toast.id); }}>{toast.action.label}</button>}
            <IconButton label="Dismiss" onClick={() => close(toast.id)}><X size={14} aria-hidden /></IconButton>
          </div>
        ))}
      </div>
    </ToastContext.Provider>
  );
}

// ---- Forms

interface FieldProps {
  label: string;
  hint?: ReactNode;
  error?: string;
  children: (attributes: { id: string; "aria-describedby"?: string; "aria-invalid"?: true }) => ReactNode;
}

export function Field({ label, hint, error, children }: FieldProps) {
  const id = useId();
  const about = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children({ id, "aria-describedby": about || undefined, "aria-invalid": error ? true : undefined })}
      {hint && <p id={`${id}-hint`} className="hint">{hint}</p>}
      {error && <p id={`${id}-error`} className="field-error">{error}</p>}
    </div>
  );
}

export function Check2({ label, hint, ...rest }: ComponentProps<"input"> & { label: ReactNode; hint?: string }) {
  const id = useId();
  return (
    <div className="check">
      <input type="checkbox" {...rest} id={id} aria-describedby={hint ? `${id}-hint` : undefined} />
      <label htmlFor={id}>{label}{hint && <span id={`${id}-hint`} className="hint">{hint}</span>}</label>
    </div>
  );
}

// ---- Dialogs: the browser's own, which keeps the focus inside and gives it back

interface DialogProps {
  title: string;
  onClose: () => void;
  children: ReactNode;
  wide?: boolean;
  footer?: ReactNode;
}

/** What has the focus, also inside of the editor's shadow root. */
function focused(): HTMLElement | null {
  let element = document.activeElement;
  while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
  return element as HTMLElement | null;
}

export function Dialog({ title, onClose, children, wide, footer }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = element.current!;
    const before = focused();
    dialog.showModal();
    // Where people type first; with nothing to type, the first of the choices, which is the harmless one.
    dialog.querySelector<HTMLElement>(".dialog-body input:not([type=checkbox]), .dialog-body textarea, footer button")?.focus();
    return () => {
      dialog.close();
      before?.focus?.();
    };
  }, []);
  return (
    <dialog ref={element} className={cx(wide && "wide")} aria-labelledby={id} onCancel={(event) => { event.preventDefault(); onClose(); }}>
      <header>
        <h2 id={id}>{title}</h2>
        <IconButton label="Close" onClick={onClose}><X size={16} aria-hidden /></IconButton>
      </header>
      <div className="dialog-body">{children}</div>
      {footer && <footer>{footer}</footer>}
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  children?: ReactNode;
  verb: string;
  danger?: boolean;
  /** What must be typed before the verb can be used. */
  typed?: string;
  busy?: boolean;
  error?: ApiError;
  onConfirm: () => void;
  onClose: () => void;
}

export function Confirm({ title, children, verb, danger, typed, busy, error, onConfirm, onClose }: ConfirmProps) {
  const [text, setText] = useState("");
  const wrong = typed !== undefined && text !== typed;
  return (
    <Dialog
      title={title}
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind={danger ? "danger" : "primary"} busy={busy} refuse={wrong ? `Type ${typed} first` : undefined} onClick={onConfirm}>{verb}</Button>
        </>
      }
    >
      {children}
      {typed !== undefined && (
        <Field label={`Type ${typed} to confirm`}>
          {(attributes) => <input {...attributes} className="mono" value={text} onChange={(event) => setText(event.target.value)} autoComplete="off" spellCheck={false} onKeyDown={(event) => event.key === "Enter" && !wrong && onConfirm()} />}
        </Field>
      )}
      <ErrorBox error={error} />
    </Dialog>
  );
}

export function Card({ title, actions, children, className }: { title?: string; actions?: ReactNode; children: ReactNode; className?: string }) {
  return (
    <section className={cx("card", className)} aria-label={title}>
      {(title || actions) && <header>{title && <h2>{title}</h2>}{actions && <div className="actions">{actions}</div>}</header>}
      {children}
    </section>
  );
}

export { cx };
