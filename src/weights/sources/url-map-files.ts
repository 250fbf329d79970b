/** A folder whose files lie at addresses of their own, as bundlers lay out assets. */
import { checkRelativePath } from "./files.ts";
import type { FileSet } from "./files.ts";
import type { HttpOptions } from "./http-client.ts";
import { openHttp } from "./http-source.ts";

/** Files by relative path, each at its address (`http:`, `https:`, `data:` or `blob:`). What is not listed is absent. */
export function urlMapFiles(
  urls: ReadonlyMap<string, string | URL>,
  options: HttpOptions = {},
): FileSet {
  return {
    name: `a list of files (${urls.size})`,
    async open(path, signal) {
      checkRelativePath(path);
      signal?.throwIfAborted();
      const url = urls.get(path);
      if (url === undefined) return null;
      const opening = await openHttp(String(url), options, signal);
      return opening.kind === "open" ? opening.source : null;
    },
  };
}
