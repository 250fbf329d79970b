/** A folder whose files lie at addresses of their own, as bundlers lay out assets. */
import { checkedFiles } from "./files.ts";
import type { FileSet } from "./files.ts";
import type { HttpOptions } from "./http-client.ts";
import { openUrl } from "./http-source.ts";

/** Files by relative path, each at its address (`http:`, `https:`, `data:` or `blob:`). What is not listed is absent. */
export function urlMapFiles(
  urls: ReadonlyMap<string, string | URL>,
  options: HttpOptions = {},
): FileSet {
  return checkedFiles(`a list of files (${urls.size})`, async (path, signal) => {
    const url = urls.get(path);
    return url === undefined ? null : openUrl(String(url), options, signal);
  });
}
