// "system" follows the machine. The choice is the only thing that is kept in this browser.
import { useSyncExternalStore } from "react";

export type Theme = "system" | "dark" | "light";
const KEY = "functions-admin.theme";
const system = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();

export const theme = (): Theme => {
  const kept = localStorage.getItem(KEY);
  return kept === "dark" || kept === "light" ? kept : "system";
};
const dark = () => (theme() === "system" ? system.matches : theme() === "dark");

export function applyTheme() {
  document.documentElement.dataset.theme = dark() ? "dark" : "light";
  for (const listener of listeners) listener();
}

export function setTheme(next: Theme) {
  if (next === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, next);
  applyTheme();
}

system.addEventListener("change", applyTheme);

const subscribe = (callback: () => void) => {
  listeners.add(callback);
  return () => listeners.delete(callback);
};
export const useTheme = () => useSyncExternalStore(subscribe, theme);
export const useDark = () => useSyncExternalStore(subscribe, dark);
