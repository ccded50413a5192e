const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const exact = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" });
const steps: [Intl.RelativeTimeFormatUnit, number][] = [["year", 31536e6], ["month", 2628e6], ["week", 6048e5], ["day", 864e5], ["hour", 36e5], ["minute", 6e4]];

export type When = number | string | undefined;

export function ago(when: When, now = Date.now()): string {
  if (when === undefined) return "never";
  const difference = new Date(when).getTime() - now;
  for (const [unit, size] of steps) if (Math.abs(difference) >= size) return relative.format(Math.trunc(difference / size), unit);
  return "just now";
}

export const moment = (when: When) => (when === undefined ? "" : exact.format(new Date(when)));

export function bytes(count: number): string {
  if (count < 1024) return `${count} B`;
  if (count < 1024 * 1024) return `${(count / 1024).toFixed(1)} KiB`;
  return `${(count / 1024 / 1024).toFixed(1)} MiB`;
}

export const count = (value: number) => new Intl.NumberFormat("en").format(value);
export const plural = (value: number, one: string, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** How long, in the largest unit that it fills. */
export function span(ms: number): string {
  for (const [unit, size] of steps) if (ms >= size) return plural(Math.trunc(ms / size), unit);
  return `${Math.round(ms / 1000)} s`;
}
