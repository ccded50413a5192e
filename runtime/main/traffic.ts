// Which version of a function answers a call.
import type { Deployed, Sticky, Version } from "./manifest.ts";

/** FNV-1a, 32 bits: spreads short keys evenly, and stays the same across processes and restarts. */
export function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) {
    value = Math.imul(value ^ byte, 0x01000193) >>> 0;
  }
  // FNV changes its low bits most; folding lets the high bits take part in a remainder.
  return (value ^ (value >>> 15)) >>> 0;
}

function cookie(header: string, name: string): string | undefined {
  for (const part of header.split(";")) {
    const at = part.indexOf("=");
    if (at > 0 && part.slice(0, at).trim() === name) return part.slice(at + 1).trim();
  }
}

/** What keeps one caller at one version, or undefined where the caller did not send it. */
function stickyValue(sticky: Sticky, headers: Headers): string | undefined {
  switch (sticky.by) {
    case "header":
      return headers.get(sticky.name ?? "") ?? undefined;
    case "cookie":
      return cookie(headers.get("cookie") ?? "", sticky.name ?? "");
    case "address":
      return headers.get("x-forwarded-for")?.split(",")[0].trim() || headers.get("x-real-ip") || undefined;
  }
}

/**
 * Versions own consecutive ranges of 0…100 in the order of the manifest, so that raising the share of
 * the last one moves callers towards it and none of its callers away. Null: nothing takes traffic.
 */
export function choose(deployed: Deployed, headers: Headers): Version | null {
  const { versions, sticky } = deployed;
  if (versions.length === 1 && versions[0].percent === 100) return versions[0];

  const value = sticky && stickyValue(sticky, headers);
  const point = value ? hash(`${deployed.id}:${value}`) % 10000 / 100 : Math.random() * 100;
  let upTo = 0;
  for (const version of versions) {
    upTo += version.percent;
    if (point < upTo) return version;
  }
  return versions.findLast((version) => version.percent > 0) ?? null;
}
