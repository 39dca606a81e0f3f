import { defineConfig } from "vite";

// "npm run dev" serves the page and proxies its requests to a running "make demo" or "make run".
const envoy = "http://127.0.0.1:10000";

export default defineConfig({
  server: { host: "127.0.0.1", proxy: { "/api": envoy, "/demo": envoy } },
});
