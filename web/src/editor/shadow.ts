// CodeMirror writes its styles as it goes. In a shadow root it uses constructed style sheets, which the page's content policy
// allows; in the document it would add <style> elements, which it refuses.
export function shadowOf(host: HTMLElement): { root: ShadowRoot; place: HTMLElement } {
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  const place = document.createElement("div");
  root.replaceChildren(place);
  return { root, place };
}
