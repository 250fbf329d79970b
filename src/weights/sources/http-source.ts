/**
 * Files on a web server, read by HTTP range requests.
 *
 * The length comes from a one-byte range probe, because that also shows whether ranges work; `HEAD`
 * shows neither that nor, behind a compressing proxy, the true length.
 */
import { WeightsError } from "../errors.ts";
import { contentLength, contentRange, discard, HttpClient, validatorOf } from "./http-client.ts";
import type { HttpOptions } from "./http-client.ts";
import { bytesSource, checkedSource } from "./source.ts";
import type { ByteSource } from "./source.ts";

/**
 * Result of opening: `absent` says why there is no such file, so that callers may try another. `validator` tells this
 * version of the file from others, and is null where the server does not; reads of another version throw.
 */
export type HttpOpening =
  | { readonly kind: "open"; readonly source: ByteSource; readonly validator: string | null }
  | { readonly kind: "absent"; readonly reason: string };

/**
 * Opens a file on a server. Files up to 64 MiB also work where ranges are ignored; they are then
 * kept in memory.
 * @throws WeightsError with the address, what was expected, what came and what to do
 */
export async function httpSource(url: string, options: HttpOptions = {}): Promise<ByteSource> {
  const opening = await openHttp(url, options);
  if (opening.kind === "open") return opening.source;
  throw new WeightsError(
    `weights: file must exist on the server, got ${opening.reason} (${url}). Check the address`,
  );
}

/** As `openHttp`, but null where there is no such file. */
export async function openUrl(
  url: string,
  options: HttpOptions,
  signal?: AbortSignal,
): Promise<ByteSource | null> {
  const opening = await openHttp(url, options, signal);
  return opening.kind === "open" ? opening.source : null;
}

/**
 * As `httpSource`, but a missing file is a result: 404, 410, or a page where a file should be.
 * `signal` ends the opening only, `options.signal` also the later reads.
 */
export function openHttp(
  url: string,
  options: HttpOptions = {},
  signal?: AbortSignal,
): Promise<HttpOpening> {
  const client = new HttpClient(url, options);
  const either = anySignal(options.signal, signal);
  return client.retrying(either, () => tryToOpen(client, either, options.signal));
}

async function tryToOpen(
  client: HttpClient,
  signal: AbortSignal | undefined,
  readSignal: AbortSignal | undefined,
): Promise<HttpOpening> {
  const response = await client.request("GET", signal, { first: 0, last: 0 });
  if (response.status === 404 || response.status === 410) {
    discard(response);
    return { kind: "absent", reason: `HTTP ${response.status}` };
  }
  if (response.ok && response.headers.get("content-type")?.startsWith("text/html") === true) {
    // Development servers and single-page hosts answer unknown paths with their start page.
    discard(response);
    return { kind: "absent", reason: "an HTML page" };
  }
  const validator = validatorOf(response);
  const opened = (source: ByteSource): HttpOpening => ({ kind: "open", source, validator });
  const ranges = (byteLength: number): HttpOpening =>
    opened(rangeSource(client, { byteLength, validator }, readSignal));
  if (response.status === 200) {
    return opened(bytesSource(client.url, await client.readWhole(response, signal)));
  }
  const range = contentRange(response);
  if (response.status === 416 && range?.total === 0) {
    // No byte of an empty file can be requested.
    discard(response);
    return opened(bytesSource(client.url, new Uint8Array(0)));
  }
  if (response.status !== 206) throw statusError(client, response);
  if (
    range !== null &&
    range.total !== null &&
    range.start === 0 &&
    range.end === range.total - 1
  ) {
    // sirv, which is Vite's server, takes a last byte of 0 for none. Every other range it serves as requested.
    discard(response);
    return ranges(range.total);
  }
  if (range !== null && (range.start !== 0 || range.end !== 0)) {
    throw rangeError(client, response, "bytes 0-0");
  }
  await client.readExactly(response, 1, signal);
  return ranges(range?.total ?? (await lengthByHead(client, signal)));
}

/** For servers that hide Content-Range from other origins; Content-Length is never hidden. */
async function lengthByHead(client: HttpClient, signal: AbortSignal | undefined): Promise<number> {
  const head = await client.request("HEAD", signal);
  const length = head.ok ? contentLength(head) : null;
  if (length !== null) return length;
  throw new WeightsError(
    `weights: server must tell the file length, got HTTP ${head.status} without a readable ` +
      `Content-Range and Content-Length (${client.url}). Expose the header Content-Range`,
  );
}

/** What a file was when it was opened, and has to stay. */
interface FileVersion {
  readonly byteLength: number;
  readonly validator: string | null;
}

function rangeSource(
  client: HttpClient,
  version: FileVersion,
  openSignal: AbortSignal | undefined,
): ByteSource {
  return checkedSource(client.url, version.byteLength, async (offset, length, signal) => {
    const either = anySignal(openSignal, signal);
    either?.throwIfAborted();
    if (length === 0) return new Uint8Array(0);
    const range = { first: offset, last: offset + length - 1 };
    return client.retrying(either, () => tryToRead(client, version, range, either));
  });
}

async function tryToRead(
  client: HttpClient,
  version: FileVersion,
  range: { readonly first: number; readonly last: number },
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const { first, last } = range;
  const total = version.byteLength;
  const response = await client.request("GET", signal, range);
  if (response.ok) checkValidator(client, response, version.validator);
  if (response.status === 200) {
    const whole = await client.readWhole(response, signal);
    if (whole.byteLength !== total) throw lengthError(client, whole.byteLength, total);
    return whole.subarray(first, last + 1);
  }
  if (response.status !== 206) throw statusError(client, response);
  // A hidden Content-Range is accepted: the length of the body is checked in any case.
  if (response.headers.has("content-range")) {
    const got = contentRange(response);
    if (got?.start !== first || got.end !== last) {
      throw rangeError(client, response, `bytes ${first}-${last}`);
    }
    if (got.total !== null && got.total !== total) throw lengthError(client, got.total, total);
  }
  return client.readExactly(response, last - first + 1, signal);
}

/**
 * Ranges of two versions must not be put together. `If-Range` would ask the server to check, but is a header for
 * which a browser asks permission first, of servers on other origins that seldom give it; the answer's ETag says
 * the same.
 */
function checkValidator(client: HttpClient, response: Response, expected: string | null): void {
  const got = validatorOf(response);
  if (expected === null || got === null || got === expected) return;
  discard(response);
  throw new WeightsError(
    `weights: file must stay the same while it is read, got version ${got}, at first ${expected} ` +
      `(${client.url}). It changed on the server; load it again`,
  );
}

function statusError(client: HttpClient, response: Response): WeightsError {
  discard(response);
  const { status, statusText } = response;
  const advice =
    status === 401 || status === 403
      ? "Access is denied; check the headers and the licence of the files"
      : status === 404 || status === 410
        ? "The file is gone; check the address"
        : status === 416
          ? "The file is shorter than before; load it again"
          : "Check the server";
  return new WeightsError(
    `weights: server must answer 206 or 200, got HTTP ${status} ${statusText} (${client.url}). ` +
      advice,
  );
}

function rangeError(client: HttpClient, response: Response, expected: string): WeightsError {
  discard(response);
  const got = response.headers.get("content-range") ?? "none";
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

function anySignal(
  first: AbortSignal | undefined,
  second: AbortSignal | undefined,
): AbortSignal | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  return AbortSignal.any([first, second]);
}
