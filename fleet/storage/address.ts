/** Addresses of pictures: absolute paths, or `s3://bucket/key`. */
import { join, resolve } from "node:path";
import { usageError } from "../../cli/errors.ts";
import { shownText } from "../../cli/shown-text.ts";

/** A key of a bucket; an empty one is the bucket itself. */
export interface S3Address {
  readonly bucket: string;
  readonly key: string;
}

const SCHEME = /^([a-z][a-z0-9+.-]+):\/\//i;

/** Whether an address leads to a bucket. */
export const isS3 = (address: string): boolean => /^s3:\/\//i.test(address);

/** Throws `CliError` (exit code 2) for an address that names no bucket. */
export function parseS3(address: string): S3Address {
  const [, bucket, key = ""] = /^s3:\/\/([^/]+)(?:\/(.*))?$/is.exec(address) ?? [];
  if (bucket === undefined) {
    throw usageError(`${shownText(address)}: a bucket must follow, such as s3://pictures/2026`);
  }
  return { bucket, key };
}

/** What a user wrote, as an address that means the same on every machine. Throws for a scheme that is not known. */
export function addressOf(word: string): string {
  const scheme = SCHEME.exec(word)?.[1]?.toLowerCase();
  if (scheme === undefined) return resolve(word);
  if (scheme === "s3") {
    parseS3(word);
    return `s3${word.slice(2)}`;
  }
  throw usageError(
    `${shownText(word)}: ${scheme}:// is no place that a fleet reads. Give a path or s3://bucket/prefix`,
  );
}

/** `name` below an address of a folder or prefix. */
export function below(address: string, ...names: readonly string[]): string {
  if (!isS3(address)) return join(address, ...names);
  const path = names
    .filter((name) => name !== "")
    .join("/")
    .replaceAll("\\", "/");
  return `${address.replace(/\/+$/, "")}/${path}`;
}

/** Whether `address` lies at or below `folder`. */
export function isBelow(address: string, folder: string): boolean {
  if (isS3(address) !== isS3(folder)) return false;
  const parts = isS3(address) ? address.split("/") : resolve(address).split(/[/\\]/);
  if (parts.includes("..")) return false;
  const of = (isS3(folder) ? folder : resolve(folder)).replace(/[/\\]+$/, "").split(/[/\\]/);
  return of.every((part, i) => parts[i] === part);
}
