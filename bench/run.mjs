// node bench/run.mjs <module> [options]: Node 20 does not read TypeScript, so Vite, which the project has anyway,
// loads the module and its `main` runs.
import { createServer } from "vite";

const [name = "main", ...args] = process.argv.slice(2);
const server = await createServer({
  configFile: false,
  logLevel: "error",
  appType: "custom",
  optimizeDeps: { noDiscovery: true, include: [] },
  server: { middlewareMode: true, hmr: false, ws: false, watch: null },
});
const { main } = await server.ssrLoadModule(new URL(`${name}.ts`, import.meta.url).pathname);
// Browsers and servers may leave handles open.
process.exit(await main(args));
