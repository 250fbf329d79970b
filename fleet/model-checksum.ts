/** One checksum for a model, whole or in pieces: equal where all files that decide results are equal, wherever they lie. */
import { createHash } from "node:crypto";
import { open, readdir, stat } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import type { ModelPaths } from "../cli/model-paths.ts";
import { modelPaths } from "../cli/model-paths.ts";

/** Configurations and weights; what else lies in a model's folder (licences, pictures) decides nothing. */
const DECIDES = /\.(?:json|safetensors|bin|pkl|pth|pt|ckpt)$/i;

/** SHA-256 over names and contents of the model's files, by piece. Throws what reading throws. */
export async function modelChecksum(paths: ModelPaths): Promise<string> {
  const whole = createHash("sha256");
  const pieces = new Map(Object.entries(modelPaths(paths)));
  for (const piece of [...pieces.keys()].toSorted()) {
    const path = String(pieces.get(piece));
    for (const file of await filesAt(path)) {
      const name = relative(path, file).split(sep).join("/");
      whole.update(`${piece}/${name} ${await fileChecksum(file)}\n`);
    }
  }
  return whole.digest("hex");
}

/** Bytes that are read at once. */
const CHUNK = 2 ** 18;

/** SHA-256 of a file, in hexadecimal digits. A stream would take longer to set up than a picture takes to read. */
export async function fileChecksum(path: string | Buffer, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  const file = await open(path);
  try {
    const chunk = Buffer.allocUnsafe(CHUNK);
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await file.read(chunk, 0, CHUNK);
      if (bytesRead === 0) return hash.digest("hex");
      hash.update(chunk.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}

async function filesAt(path: string): Promise<readonly string[]> {
  if (!(await stat(path)).isDirectory()) return [path];
  const names = await readdir(path, { recursive: true });
  const files: string[] = [];
  for (const name of names.filter((each) => DECIDES.test(each)).toSorted()) {
    const file = join(path, name);
    if ((await stat(file)).isFile()) files.push(file);
  }
  return files;
}
