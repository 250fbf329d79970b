/**
 * Files on a web server, read by HTTP range requests.
 *
 * The length comes from a one-byte range probe, because that also shows whether ranges work; `HEAD`
 * shows neither that nor, behind a compressing proxy, the true length.
 */
import { anySignal } from "../../abort.ts";
import { checkOptions } from "../../options.ts";
import { WeightsError } from "../errors.ts";
import {
  HTTP_RULES,
  MAX_WHOLE_BYTES,
  contentLength,
  contentRange,
  discard,
  encodingOf,
  HttpClient,
  validatorOf,
} from "./http-client.ts";
import type { HttpOptions } from "./http-client.ts";
import type { ManifestFile } from "./manifest.ts";
import type { ReadBytes, ReadRange } from "./recheck.ts";
import { bytesSource, checkedSource, inParts } from "./source.ts";
import type { ByteSource } from "./source.ts";
import { VersionWatch } from "./version-watch.ts";

/**
 * Result of opening: `absent` says why there is no such file, so that callers may try another; `refusal` is what to throw
 * where there is no other, and null where the server said plainly that there is no file. `validator` tells this version
 * of the file from others, and is null where the server does not.
 */
export type HttpOpening =
  | { readonly kind: "open"; readonly source: ByteSource; readonly validator: string | null }
  | { readonly kind: "absent"; readonly reason: string; readonly refusal: WeightsError | null };

/**
 * Opens a file on a server. Files up to 64 MiB also work where ranges are ignored; they are then
 * kept in memory.
 *
 * A file must keep its length while it is read. Where the server gives another ETag (or Last-Modified) than before, what
 * was read is compared with what it sends now, at four places: servers of one name may have the same bytes under
 * different ETags. Other bytes are an error.
 * @throws WeightsError with the address, what was expected, what came and what to do
 */
export async function httpSource(url: string, options: HttpOptions = {}): Promise<ByteSource> {
  checkOptions("httpSource", options, HTTP_RULES);
  const opening = await openHttp(url, options);
  if (opening.kind === "open") return opening.source;
  throw (
    opening.refusal ??
    new WeightsError(
      `weights: file must exist on the server, got ${opening.reason} (${url}). Check the address`,
    )
  );
}

/** As `openHttp`, but null where there is no such file; throws where the server refuses it. */
export async function openUrl(
  url: string,
  options: HttpOptions,
  signal?: AbortSignal,
): Promise<ByteSource | null> {
  const opening = await openHttp(url, options, signal);
  if (opening.kind === "open") return opening.source;
  if (opening.refusal !== null) throw opening.refusal;
  return null;
}

/**
 * As `httpSource`, but a missing file is a result: 404, 410, or a page where a file should be; and 400 and 403, which
 * object stores answer for absent files to those who may not list them. `signal` ends the opening only, `options.signal`
 * also the later reads. `listed` is what the folder's manifest says of the file, which must be there then.
 */
export function openHttp(
  url: string,
  options: HttpOptions = {},
  signal?: AbortSignal,
  listed?: ManifestFile,
): Promise<HttpOpening> {
  const client = new HttpClient(url, options);
  const either = anySignal(options.signal, signal);
  return client.retrying(either, async () => {
    const opening = await tryToOpen(client, either, options.signal, listed);
    if (listed === undefined || opening.kind === "open") return opening;
    throw new WeightsError(
      `weights: file must exist, for manifest.json lists it, got ${opening.reason} (${url}). ` +
        `Put the folder there again`,
    );
  });
}

/** Whether an answer is a page: development servers and single-page hosts send theirs for unknown paths. */
export function isPage({ headers }: Response): boolean {
  return /^(?:text\/html|application\/xhtml)/i.test(headers.get("content-type") ?? "");
}

async function tryToOpen(
  client: HttpClient,
  signal: AbortSignal | undefined,
  readSignal: AbortSignal | undefined,
  listed: ManifestFile | undefined,
): Promise<HttpOpening> {
  const response = await client.request("GET", signal, { first: 0, last: 0 });
  const { status } = response;
  if (status === 404 || status === 410) {
    discard(response);
    return { kind: "absent", reason: `HTTP ${status}`, refusal: null };
  }
  if (status === 400 || status === 403) {
    return { kind: "absent", reason: `HTTP ${status}`, refusal: statusError(client, response) };
  }
  if (response.ok && isPage(response)) {
    discard(response);
    return { kind: "absent", reason: "an HTML page", refusal: null };
  }
  const validator = validatorOf(response);
  const opened = (source: ByteSource): HttpOpening => {
    const { byteLength } = source;
    if (listed !== undefined && byteLength !== listed.byteLength) {
      throw new WeightsError(
        `weights: file must have the ${listed.byteLength} bytes that manifest.json lists, got ${byteLength} ` +
          `(${client.url}). Put the folder there again, or remove manifest.json if the file was changed on purpose`,
      );
    }
    return { kind: "open", source, validator };
  };
  const ranges = (byteLength: number): HttpOpening =>
    opened(rangeSource(client, { byteLength, validator, listed }, readSignal));
  if (status === 200) {
    return opened(bytesSource(client.url, await client.readWhole(response, signal)));
  }
  const range = contentRange(response);
  if (status === 416 && range?.total === 0) {
    // No byte of an empty file can be requested.
    discard(response);
    return opened(bytesSource(client.url, new Uint8Array(0)));
  }
  if (status !== 206) throw statusError(client, response);
  if (range !== null && range.total !== null && range.start === 0 && range.end !== 0) {
    // sirv, which is Vite's server, takes a last byte of 0 for none; others send whole blocks, or always all.
    discard(response);
    return ranges(range.total);
  }
  if (isMultipart(response) || (range !== null && (range.start !== 0 || range.end !== 0))) {
    throw rangeError(client, response, "bytes 0-0");
  }
  await client.readExactly(response, 1, signal);
  return ranges(range?.total ?? (await askLength(client, signal)));
}

/** For servers that hide Content-Range from other origins; Content-Length is never hidden. */
async function askLength(client: HttpClient, signal: AbortSignal | undefined): Promise<number> {
  const ask = async (method: "HEAD" | "GET"): Promise<Response> => {
    const response = await client.request(method, signal);
    discard(response);
    return response;
  };
  const lengthOf = (response: Response): number | null =>
    response.status === 200 && encodingOf(response) === "" ? contentLength(response) : null;
  const head = await ask("HEAD");
  const length = lengthOf(head) ?? lengthOf(await ask("GET")); // some refuse HEAD
  if (length !== null) return length;
  throw new WeightsError(
    `weights: server must tell the file length, got HTTP ${head.status} without a readable ` +
      `Content-Range and Content-Length (${client.url}). Expose the header Content-Range`,
  );
}

/** What a file was when it was opened. */
interface FileVersion {
  readonly byteLength: number;
  readonly validator: string | null;
  readonly listed: ManifestFile | undefined;
}

/** Bytes `first` to `last` of a file, both included. */
interface ByteRange {
  readonly first: number;
  readonly last: number;
}

function rangeSource(
  client: HttpClient,
  { byteLength, validator, listed }: FileVersion,
  openSignal: AbortSignal | undefined,
): ByteSource {
  const watch = new VersionWatch(client.url, validator, listed);
  return checkedSource(client.url, byteLength, async (offset, length, signal) => {
    const either = anySignal(openSignal, signal);
    either?.throwIfAborted();
    if (length === 0) return new Uint8Array(0);
    const readRange: ReadRange = (at, count) =>
      client.retrying(either, () =>
        tryToRead(client, byteLength, { first: at, last: at + count - 1 }, either),
      );
    return inParts(offset, length, (at, count) => watch.read(at, count, readRange));
  });
}

/** The range, or what the server sends of its beginning. */
async function tryToRead(
  client: HttpClient,
  total: number,
  range: ByteRange,
  signal: AbortSignal | undefined,
): Promise<ReadBytes> {
  const { first, last } = range;
  const length = last - first + 1;
  const response = await client.request("GET", signal, range);
  if (response.ok && isPage(response)) throw statusError(client, response, "an HTML page");
  const validator = validatorOf(response);
  if (response.status === 200) {
    const whole = await client.readWhole(response, signal);
    if (whole.byteLength !== total) throw lengthError(client, whole.byteLength, total);
    return { bytes: whole.subarray(first, last + 1), validator };
  }
  if (response.status !== 206) throw statusError(client, response);
  // A hidden Content-Range is accepted: the length of the body is checked in any case.
  const isHidden = !isMultipart(response) && !response.headers.has("content-range");
  const got = isHidden ? { start: first, end: last, total } : contentRange(response);
  // Servers may send a part of what was asked for, or whole blocks around it.
  const { start, end } = got ?? { start: null, end: null };
  const holdsFirst = start !== null && end !== null && start <= first && first <= end;
  if (!holdsFirst || end - start >= length + MAX_WHOLE_BYTES) {
    throw rangeError(client, response, `bytes ${first}-${last}`);
  }
  if (got !== null && got.total !== null && got.total !== total) {
    discard(response);
    throw lengthError(client, got.total, total);
  }
  const body = await client.readExactly(response, end - start + 1, signal);
  return { bytes: body.subarray(first - start, last + 1 - start), validator };
}

/** An answer with several ranges in one body, each behind headers of its own. */
function isMultipart({ headers }: Response): boolean {
  return /^multipart\//i.test(headers.get("content-type") ?? "");
}

function statusError(
  client: HttpClient,
  response: Response,
  got = `HTTP ${response.status} ${response.statusText}`,
): WeightsError {
  discard(response);
  const { status } = response;
  const advice =
    status === 401 || status === 403
      ? "Access is denied; check the headers and the licence of the files"
      : status === 404 || status === 410
        ? "The file is gone; check the address"
        : status === 416
          ? "The file is shorter than before; load it again"
          : "Check the server";
  return new WeightsError(
    `weights: server must answer 206 or 200, got ${got} (${client.url}). ${advice}`,
  );
}

function rangeError(client: HttpClient, response: Response, expected: string): WeightsError {
  discard(response);
  const type = isMultipart(response) ? "multipart/byteranges" : "none";
  const got = response.headers.get("content-range") ?? type;
  return new WeightsError(
    `weights: Content-Range must be ${expected}, got ${got} (${client.url}). ` +
      `The server or a proxy sends wrong ranges`,
  );
}

function lengthError(client: HttpClient, got: number, expected: number): WeightsError {
  return new WeightsError(
    `weights: file must keep its length, got ${got} bytes, at first ${expected} (${client.url}). ` +
      `It changed on the server; load it again`,
  );
}
