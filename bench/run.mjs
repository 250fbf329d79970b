// Node 20 does not read TypeScript: Vite, which the project has anyway, loads the driver.
import { runnerImport } from "vite";

const { module } = await runnerImport(new URL("main.ts", import.meta.url).pathname, {
  configFile: false,
  logLevel: "error",
});
// Browsers and servers may leave handles open.
process.exit(await module.main(process.argv.slice(2)));
