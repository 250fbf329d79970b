/** Files over HTTP, for tests that load models and pages as browsers do. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css",
  ".html": "text/html",
  ".js": "text/javascript",
  ".json": "application/json",
  ".png": "image/png",
};

export interface FileServer {
  /** Without a slash at the end. */
  readonly address: string;
  readonly close: () => Promise<void>;
}

/**
 * Serves what `files` holds by path, and else what lies below `folder`; everything else is 404. No ranges: whole
 * files only.
 */
export async function serveFiles(
  files: ReadonlyMap<string, Uint8Array>,
  folder?: string,
): Promise<FileServer> {
  const read = async (path: string): Promise<Uint8Array | null> => {
    const found = files.get(path);
    if (found || folder === undefined) return found ?? null;
    return readFile(join(folder, path)).catch(() => null);
  };
  const server = createServer(({ url = "/" }, response) => {
    const path = decodeURIComponent(new URL(url, "http://host").pathname).slice(1);
    void read(path).then((body) => {
      if (body === null) return response.writeHead(404).end();
      const type = TYPES[extname(path)] ?? "application/octet-stream";
      return response.writeHead(200, { "content-type": type }).end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
