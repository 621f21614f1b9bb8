import { defineConfig } from "vite";

// `npm run dev` serves the page from source and asks the gateway of a running platform.
const gateway = "http://127.0.0.1:8080";

export default defineConfig({
  // JSX is compiled by the bundler itself, so no plug-in is needed.
  oxc: { jsx: { runtime: "automatic" } },
  build: {
    outDir: "../src/tickbus_api/dashboard",
    emptyOutDir: true,
    target: "es2022",
    // The policy of the page forbids data: addresses and inline scripts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700,
    reportCompressedSize: false,
    // On a busy machine the bundler would complain of how long it took.
    rolldownOptions: { checks: { pluginTimings: false } },
  },
  server: {
    host: "127.0.0.1",
    proxy: { "/api": { target: gateway, ws: true }, "/health": gateway, "/docs": gateway },
  },
});
