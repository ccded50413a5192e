import { page } from "../api";
import { useLoad, useTitle } from "../hooks";
import { go } from "../router";
import { FUNCTIONS, useSession } from "../session";
import { Badge, Button, ErrorBox, Loading } from "../ui";

export interface Template {
  id: string;
  title: string;
  description: string;
  verify_jwt: boolean;
  secrets: string[];
  source: string;
}

export const useTemplates = (wanted = true) => useLoad(wanted ? "templates" : undefined, (signal) => page<Template>("v1/templates", {}, signal));

export function Templates() {
  const { ref, refusal } = useSession();
  const { data, error, reload } = useTemplates();
  const cannot = refusal("POST", `${FUNCTIONS}/deploy`);
  useTitle("Templates · Edge Functions");
  return (
    <div className="page">
      <div className="page-head">
        <div>
          <h1>Templates</h1>
          <p className="muted">Functions to begin with. Each opens in the editor; nothing is deployed before you say so.</p>
        </div>
      </div>
      <ErrorBox error={error} action={<Button onClick={reload}>Try again</Button>} />
      {!data && !error && <Loading what="the templates" />}
      <ul className="gallery" aria-label="Templates">
        {data?.data.map((template) => (
          <li key={template.id} className="card">
            <h2>{template.title}</h2>
            <p>{template.description}</p>
            <div className="badges">
              {!template.verify_jwt && <Badge tone="warn">no JWT</Badge>}
              {template.secrets.map((name) => <Badge key={name}>{name}</Badge>)}
            </div>
            <Button refuse={cannot} aria-label={`Use the template ${template.title}`} onClick={() => go(`/project/${ref}/functions/new?template=${encodeURIComponent(template.id)}`)}>Use it</Button>
          </li>
        ))}
      </ul>
    </div>
  );
}
