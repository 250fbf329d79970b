/** A page in a headless Chromium with WebGPU, and the server it loads from. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import chromium from "@sparticuz/chromium";
import type { Browser, Page } from "puppeteer-core";
import { launch } from "puppeteer-core";
import { createServer } from "vite";
import { llvmpipeFlags } from "./llvmpipe/chromium.ts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));

/** A browser of one's own, to measure on its GPU: path of the executable. */
const EXECUTABLE_VARIABLE = "RCOD_CHROMIUM";

const FLAGS = [
  "--no-sandbox", // containers run as root
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--enable-unsafe-webgpu",
  // Timestamps to the nanosecond instead of 100 µs.
  "--enable-webgpu-developer-features",
];

export interface BrowserChoice {
  readonly executablePath: string;
  readonly flags: readonly string[];
}

/**
 * The browser to start: `RCOD_CHROMIUM` on its own GPU, or the npm package's, on llvmpipe where this process runs on it,
 * else on SwiftShader; null where neither is.
 */
export async function findChromium(): Promise<BrowserChoice | null> {
  const own = process.env[EXECUTABLE_VARIABLE];
  if (own) return { executablePath: own, flags: FLAGS };
  if (process.platform !== "linux" || process.arch !== "x64") return null;
  try {
    const executablePath = await chromium.executablePath();
    const llvmpipe = await llvmpipeFlags(executablePath);
    return { executablePath, flags: [...FLAGS, "--use-webgpu-adapter=swiftshader", ...llvmpipe] };
  } catch {
    return null;
  }
}

/** Serves the repository; threads and exact clocks need the two isolation headers. */
export async function serveRepository(): Promise<{
  readonly address: string;
  readonly close: () => Promise<void>;
}> {
  const server = await createServer({
    root: ROOT,
    configFile: false,
    logLevel: "error",
    appType: "mpa", // an absent file is 404, not some page
    // A cache of its own: nothing is optimised, and the checkout stays clean.
    cacheDir: join(tmpdir(), "rcod-bench-vite"),
    optimizeDeps: { noDiscovery: true, include: [] },
    server: {
      host: "127.0.0.1",
      port: 0,
      hmr: false,
      watch: null,
      headers: {
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
      },
    },
  });
  await server.listen();
  const address = server.resolvedUrls?.local[0];
  if (address === undefined) throw new Error("bench: the server has no address");
  return { address, close: () => server.close() };
}

/** Hands `use` a blank page and the address of the repository, and ends both afterwards. */
export async function withPage<T>(
  choice: BrowserChoice,
  use: (page: Page, address: string) => Promise<T>,
): Promise<T> {
  const server = await serveRepository();
  try {
    const browser = await launchBrowser(choice);
    try {
      return await use(await browser.newPage(), server.address);
    } finally {
      await browser.close();
    }
  } finally {
    await server.close();
  }
}

/** The environment of browsers, which run on the system's C library: a driver that needs a newer one is not for them. */
export function browserEnvironment(): NodeJS.ProcessEnv {
  const { VK_DRIVER_FILES: _files, VK_ICD_FILENAMES: _names, ...rest } = process.env;
  return process.env["RCOD_NODE"] === undefined ? process.env : rest;
}

function launchBrowser({ executablePath, flags }: BrowserChoice): Promise<Browser> {
  return launch({
    executablePath,
    env: browserEnvironment(),
    args: [...flags],
    // The npm package is the headless shell, which knows no other mode.
    headless: /headless|sparticuz|tmp\/chromium$/.test(executablePath) ? "shell" : true,
    protocolTimeout: 0, // a suite is one long call
  });
}

/** For tests: a browser that starts here, or null, with the reason printed. */
export async function launchUsable(extraFlags: readonly string[] = []): Promise<Browser | null> {
  let reason = "there is none";
  try {
    const choice = await findChromium();
    if (choice !== null) {
      return await launchBrowser({ ...choice, flags: [...choice.flags, ...extraFlags] });
    }
  } catch (error) {
    reason = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
  }
  process.stderr.write(`SKIP tests in a browser: no Chromium starts here (${reason})\n`);
  return null;
}
