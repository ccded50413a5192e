import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap, type CompletionContext, type CompletionResult } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { css } from "@codemirror/lang-css";
import { html } from "@codemirror/lang-html";
import { javascript } from "@codemirror/lang-javascript";
import { json } from "@codemirror/lang-json";
import { markdown } from "@codemirror/lang-markdown";
import { HighlightStyle, bracketMatching, foldGutter, foldKeymap, indentOnInput, indentUnit, syntaxHighlighting, syntaxTree } from "@codemirror/language";
import { lintGutter, lintKeymap, linter, type Diagnostic } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, type Extension } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLine, highlightActiveLineGutter, highlightSpecialChars, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { denoKeys } from "./deno-json";
import { problemsIn } from "./problems";

export function language(path: string): Extension {
  const ending = /\.([a-z]+)$/i.exec(path)?.[1].toLowerCase() ?? "";
  if (/^(ts|mts|cts)$/.test(ending)) return javascript({ typescript: true });
  if (ending === "tsx") return javascript({ typescript: true, jsx: true });
  if (/^(js|mjs|cjs|jsx)$/.test(ending)) return javascript({ jsx: true });
  if (/^jsonc?$/.test(ending)) return json();
  if (/^html?$/.test(ending)) return html();
  if (ending === "css") return css();
  if (ending === "md") return markdown();
  return [];
}

// The colours are the page's own variables, which reach into the shadow root; both themes follow by themselves.
const look = EditorView.theme({
  "&": { height: "100%", fontSize: "13px", color: "var(--text)", backgroundColor: "var(--editor)" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.6" },
  ".cm-content": { caretColor: "var(--text)", paddingBlock: "8px" },
  "&.cm-focused": { outline: "none" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--editor)", color: "var(--faint)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--line)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--selection)" },
  ".cm-selectionMatch": { backgroundColor: "var(--match)" },
  ".cm-panels, .cm-tooltip": { backgroundColor: "var(--panel)", color: "var(--text)", borderColor: "var(--border)" },
  ".cm-tooltip": { border: "1px solid var(--border-strong)", borderRadius: "var(--radius)", backgroundColor: "var(--raised)", boxShadow: "var(--shadow)", overflow: "hidden" },
  "& .cm-tooltip-autocomplete > ul": { fontFamily: "var(--mono)", fontSize: "12px", padding: "4px" },
  "& .cm-tooltip-autocomplete > ul > li": { padding: "4px 8px", borderRadius: "4px" },
  ".cm-tooltip-autocomplete > ul > li[aria-selected]": { backgroundColor: "var(--selection)", color: "var(--text)" },
  ".cm-completionDetail": { fontStyle: "normal", color: "var(--soft)", marginLeft: "12px" },
  "& .cm-panel.cm-search": { padding: "8px 44px 8px 12px", fontFamily: "var(--sans)" },
  "& .cm-panel.cm-search input, & .cm-panel.cm-search button, & .cm-panel.cm-search label": { margin: "3px 8px 3px 0", fontSize: "12px", verticalAlign: "middle" },
  "& .cm-panel.cm-search label": { display: "inline-flex", alignItems: "center", gap: "6px", color: "var(--soft)" },
  "& .cm-panel.cm-search input[type=checkbox]": { margin: "0", width: "14px", height: "14px", accentColor: "var(--brand)" },
  "& .cm-panel.cm-search [name=close]": { top: "8px", right: "8px", width: "28px", height: "28px", margin: "0", borderRadius: "var(--radius)", fontSize: "18px", color: "var(--muted)" },
  "& .cm-panel.cm-search [name=close]:hover": { backgroundColor: "var(--hover)", color: "var(--text)" },
  "& .cm-textfield": { width: "220px", maxWidth: "100%", minHeight: "28px", padding: "3px 8px", fontFamily: "var(--mono)", backgroundColor: "var(--control)", color: "var(--text)", border: "1px solid var(--border-control)", borderRadius: "var(--radius)" },
  "& .cm-button": { minHeight: "28px", padding: "3px 10px", fontFamily: "var(--sans)", fontWeight: "500", backgroundImage: "none", backgroundColor: "var(--control)", color: "var(--text)", border: "1px solid var(--border-strong)", borderRadius: "var(--radius)", cursor: "pointer" },
  "& .cm-button:hover": { backgroundColor: "var(--hover)", borderColor: "var(--border-control)" },
  ".cm-panel :focus-visible": { outline: "2px solid var(--brand)", outlineOffset: "1px" },
  ".cm-searchMatch": { backgroundColor: "var(--match)" },
  ".cm-foldPlaceholder": { backgroundColor: "var(--control)", color: "var(--muted)", border: "1px solid var(--border-strong)" },
  ".cm-diagnostic": { color: "var(--text)" },
  // CodeMirror draws these with images in data: addresses, which the content policy refuses.
  ".cm-lintRange-error, .cm-lintRange-error.cm-lintRange-active": { backgroundImage: "none", textDecoration: "underline wavy var(--bad)", textUnderlineOffset: "3px" },
  ".cm-lint-marker-error": { content: "''", width: "8px", height: "8px", margin: "6px 0 0 4px", borderRadius: "50%", backgroundColor: "var(--bad)" },
  ".cm-gutter-lint": { width: "16px" },
  "& .cm-changedLine": { backgroundColor: "var(--added) !important" },
  "& .cm-deletedChunk, &.cm-merge-a .cm-changedLine": { backgroundColor: "var(--removed) !important" },
  "& .cm-insertedLine, & .cm-deletedLine, & .cm-deletedLine del": { background: "none !important", textDecoration: "none" },
  "& .cm-changedText": { background: "var(--added-strong) !important" },
  "&.cm-merge-a .cm-changedText, & .cm-deletedChunk .cm-changedText, & .cm-deletedChunk .cm-deletedText": { background: "var(--removed-strong) !important" },
  // On the stronger ground the colours of the syntax would be hard to read.
  "& .cm-changedText, & .cm-changedText *, & .cm-deletedText *": { color: "var(--text) !important" },
  ".cm-collapsedLines": { backgroundColor: "var(--raised)", backgroundImage: "none", color: "var(--muted)" },
});

const colours = syntaxHighlighting(HighlightStyle.define([
  { tag: [tags.keyword, tags.moduleKeyword, tags.operatorKeyword, tags.controlKeyword], color: "var(--code-keyword)" },
  { tag: [tags.string, tags.special(tags.string), tags.regexp], color: "var(--code-string)" },
  { tag: [tags.number, tags.bool, tags.null, tags.atom], color: "var(--code-number)" },
  { tag: tags.comment, color: "var(--code-comment)", fontStyle: "italic" },
  { tag: [tags.typeName, tags.className, tags.namespace], color: "var(--code-type)" },
  { tag: [tags.function(tags.variableName), tags.function(tags.propertyName)], color: "var(--code-function)" },
  { tag: [tags.propertyName, tags.attributeName], color: "var(--code-property)" },
  { tag: tags.heading, fontWeight: "bold" },
  { tag: tags.link, textDecoration: "underline" },
]));

function denoJsonHints(context: CompletionContext): CompletionResult | null {
  const node = syntaxTree(context.state).resolveInner(context.pos, -1);
  if (node.name !== "PropertyName" && node.name !== "String") return null;
  let depth = 0;
  for (let up: typeof node | null = node; up; up = up.parent) if (up.name === "Object") depth++;
  const keys = depth === 1 ? denoKeys.top : depth === 2 ? denoKeys.compilerOptions : [];
  return keys.length === 0 ? null : {
    from: node.from + 1,
    options: keys.map(({ key, about }) => ({ label: key, detail: about, type: "property" })),
  };
}

/**
 * Typing over a selection: left to itself, the browser keeps the look of what was there with style attributes, which the content
 * policy refuses, loudly. The editor's own way needs none; what watches typing (brackets that close themselves) is asked first.
 */
const typeOver = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const { main, ranges } = view.state.selection;
    if (event.inputType !== "insertText" || !event.data || view.composing || main.empty || ranges.length > 1) return false;
    event.preventDefault();
    const text = event.data;
    const insert = () => view.state.update(view.state.replaceSelection(text), { userEvent: "input.type", scrollIntoView: true });
    if (!view.state.facet(EditorView.inputHandler).some((handler) => handler(view, main.from, main.to, text, insert))) view.dispatch(insert());
    return true;
  },
});

const words = EditorState.phrases.of({
  next: "Next", previous: "Previous", all: "Select all", "match case": "Match case", regexp: "Regular expression", "by word": "Whole words", replace: "Replace", "replace all": "Replace all",
});

/** What every text here has: colours, line numbers, find, folding. */
export function reading(path: string): Extension {
  return [lineNumbers(), highlightSpecialChars(), colours, look, language(path), words, search({ top: true }), highlightSelectionMatches()];
}

export function editing(path: string, others: () => string[], onChange: () => void, onSave: () => void): Extension {
  return [
    reading(path),
    highlightActiveLine(),
    highlightActiveLineGutter(),
    history(),
    typeOver,
    foldGutter(),
    drawSelection(),
    indentOnInput(),
    indentUnit.of("  "),
    bracketMatching(),
    closeBrackets(),
    autocompletion({ icons: false, override: /(^|\/)(deno|import_map)\.jsonc?$/.test(path) ? [denoJsonHints] : undefined }),
    lintGutter(),
    linter((view): Diagnostic[] => problemsIn(path, view.state.doc.toString(), others()).map((problem) => ({ from: problem.from, to: problem.to, severity: "error", message: problem.message }))),
    EditorState.allowMultipleSelections.of(true),
    EditorView.contentAttributes.of({ "aria-label": `Source of ${path}`, "aria-description": "Tab indents; Escape, then Tab leaves the editor", tabindex: "0" }),
    keymap.of([
      { key: "Mod-s", run: () => (onSave(), true), preventDefault: true },
      ...closeBracketsKeymap, ...defaultKeymap, ...searchKeymap, ...historyKeymap, ...foldKeymap, ...completionKeymap, ...lintKeymap,
      // Tab indents; Escape, then Tab, leaves the editor (CodeMirror's own convention for the keyboard).
      indentWithTab,
    ]),
    EditorView.updateListener.of((update) => update.docChanged && onChange()),
  ];
}
