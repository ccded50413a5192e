import { defineConfig } from "vite";

// The path is the one that the gateways' routes and nginx's site have for it.
export default defineConfig({
  base: "/functions-admin/ui/",
  esbuild: { jsx: "automatic" },
  build: {
    outDir: "dist/functions-admin/ui",
    target: "es2022",
    // The content policy allows no data: addresses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
  },
});
