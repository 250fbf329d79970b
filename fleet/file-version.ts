/** Versions of files: by content, or by time where content would take too long to read. */
import { stat } from "node:fs/promises";
import { systemPath } from "../cli/file-name.ts";
import { fileChecksum } from "./model-checksum.ts";

/** `sha256:…`, or `time:…` where `kind` asks for that. Throws what reading throws. */
export async function fileVersion(
  path: string,
  kind: string,
  signal?: AbortSignal,
): Promise<string> {
  if (kind !== "time") return `sha256:${await fileChecksum(systemPath(path), signal)}`;
  const { mtimeNs } = await stat(systemPath(path), { bigint: true });
  return `time:${mtimeNs}`;
}
