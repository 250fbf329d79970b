/** The built page in a browser of this machine, for scripts that look at it. */
import { fileURLToPath } from "node:url";
import type { Browser } from "puppeteer-core";
import { launchUsable } from "../bench/chromium.ts";
import { folderFiles } from "../src/node/index.ts";
import type { FileSet } from "../src/weights/index.ts";
import { startFileServer } from "../tests/browser/file-server.ts";

/** Where `npm run build:demo` puts it. */
export const DIST = fileURLToPath(new URL("./dist", import.meta.url));

/** Serves the page, and `others` beside it, and gives its address to `visit`. The exit code: 1 where there is no browser. */
export async function visitBuiltPage(
  visit: (browser: Browser, address: string) => Promise<void>,
  others: Readonly<Record<string, FileSet>> = {},
): Promise<number> {
  const browser = await launchUsable();
  if (browser === null) return 1;
  const server = await startFileServer();
  try {
    server.mount("demo", folderFiles(DIST));
    for (const [name, files] of Object.entries(others)) server.mount(name, files);
    await visit(browser, `${server.address}/demo/`);
    return 0;
  } finally {
    await browser.close();
    await server.close();
  }
}
