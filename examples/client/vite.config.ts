import { defineConfig } from "vite";

// "npm run dev" serves the page by itself; what it asks for comes from a "make demo" or "make run" beside it.
const envoy = "http://127.0.0.1:10000";

export default defineConfig({
  server: { host: "127.0.0.1", proxy: { "/api": envoy, "/demo": envoy } },
});
