/**
 * Requests to one address: headers, time-outs, retries, and bodies of a known length.
 *
 * A request is tried three times when the failure may pass (no connection, nothing sent for too long, 408, 429, 5xx, a
 * body that ends early). Everything else is thrown at once.
 */
import { abortable, anySignal, delay } from "../../abort.ts";
import type { OptionRules } from "../../options.ts";
import { abortSignal, callback, integer, objectValue } from "../../options.ts";
import { reasonOf, WeightsError } from "../errors.ts";
import { allocateBytes } from "./source.ts";

/** How to talk to the server. */
export interface HttpOptions {
  /** Instead of the global `fetch`. It may ignore the signal that it is given. */
  readonly fetch?: (url: string, init?: RequestInit) => Promise<Response>;
  /** Sent with every request, e.g. an authorisation. */
  readonly headers?: Headers | Record<string, string> | [string, string][];
  /** Ends the opening and every later read. */
  readonly signal?: AbortSignal;
  /**
   * Wait before the first retry in milliseconds (250); the second waits four times as long, and both as long as the server
   * asks for (`Retry-After`) if that is no longer than `stallMs`.
   */
  readonly retryDelayMs?: number;
  /**
   * Longest wait for an answer, and then for each next kibibyte of it, in milliseconds (30,000). A try that waits longer
   * has failed: a server that says nothing ends a read after three of them.
   */
  readonly stallMs?: number;
}

const MAX_TIMER_MS = 2 ** 31 - 1;

export const HTTP_RULES: OptionRules<HttpOptions> = {
  fetch: callback,
  headers: objectValue,
  signal: abortSignal,
  retryDelayMs: integer(0, MAX_TIMER_MS, " ms"),
  stallMs: integer(1, MAX_TIMER_MS, " ms"),
};

/** A failure that may pass. Thrown within `HttpClient.retrying`, it starts another try. */
class PassingError extends WeightsError {
  /** Least wait before it, in milliseconds. */
  retryAfterMs = 0;
}

/** Largest file that is loaded whole from a server that ignores ranges, in bytes. */
export const MAX_WHOLE_BYTES = 64 * 2 ** 20;

const MAX_RETRIES = 2;
const DEFAULT_RETRY_DELAY_MS = 250;
const DEFAULT_STALL_MS = 30_000;
/** Bytes that count as progress: a server that sends one now and then would never end. */
const PROGRESS_BYTES = 1024;
const PASSING_STATUS: ReadonlySet<number> = new Set([408, 429]);

/** Sends requests for one file. Holds no connection, so there is nothing to close. */
export class HttpClient {
  readonly url: string;
  readonly #options: HttpOptions;

  constructor(url: string, options: HttpOptions) {
    this.url = url;
    this.#options = options;
  }

  /** Runs `attempt` until no `PassingError` ends it, at most three times; throws the last one. */
  async retrying<T>(signal: AbortSignal | undefined, attempt: () => Promise<T>): Promise<T> {
    let delayMs = this.#options.retryDelayMs ?? DEFAULT_RETRY_DELAY_MS;
    for (let retry = 0; ; retry++) {
      signal?.throwIfAborted();
      let atLeastMs: number;
      try {
        return await attempt();
      } catch (error) {
        if (!(error instanceof PassingError) || retry === MAX_RETRIES) throw error;
        atLeastMs = error.retryAfterMs;
        if (atLeastMs > (this.#options.stallMs ?? DEFAULT_STALL_MS)) throw error;
      }
      await delay(Math.max(delayMs, atLeastMs), signal);
      delayMs *= 4;
    }
  }

  /**
   * Sends one request, for bytes `first` to `last` (both included) if given. What may pass (no connection, no answer in
   * time, 408, 429, 5xx) is a `PassingError`; every other answer is given back.
   */
  async request(
    method: "GET" | "HEAD",
    signal: AbortSignal | undefined,
    range?: { readonly first: number; readonly last: number },
  ): Promise<Response> {
    signal?.throwIfAborted();
    const headers = new Headers(this.#options.headers);
    if (range !== undefined) headers.set("Range", `bytes=${range.first}-${range.last}`);
    // Called as a plain function: the global fetch refuses any other `this`.
    const send = this.#options.fetch ?? fetch;
    let response: Response;
    try {
      response = await this.#patiently(signal, (either) =>
        abortable(send(this.url, { method, headers, signal: either }), either, discard),
      );
    } catch (cause) {
      signal?.throwIfAborted();
      if (cause instanceof WeightsError) throw cause;
      throw new PassingError(
        `weights: server must be reachable, got ${reasonOf(cause)}${detailOf(cause)} (${this.url}). Check ` +
          `the address and the connection; a browser also needs the server to allow its origin (CORS)`,
        { cause },
      );
    }
    if (response.status >= 500 || PASSING_STATUS.has(response.status)) {
      discard(response);
      const after = response.headers.get("retry-after");
      const error = new PassingError(
        `weights: server must answer with the file, got HTTP ${response.status} ` +
          `${response.statusText} (${this.url}). Try again ${after === null ? "later" : `after ${after} (Retry-After)`}`,
      );
      error.retryAfterMs = retryAfterMs(after);
      throw error;
    }
    return response;
  }

  /** Reads a body of exactly `length` bytes. A longer one is an error; a shorter one is a `PassingError`. */
  async readExactly(
    response: Response,
    length: number,
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const bytes = allocateBytes(length, this.url);
    const received = await this.#readChunks(response, signal, (chunk, start) => {
      if (start + chunk.byteLength > length) {
        throw new WeightsError(
          `weights: body must have ${length} bytes, got more${encodingOf(response)} (${this.url}). The ` +
            `server or a proxy sends wrong ranges`,
        );
      }
      bytes.set(chunk, start);
    });
    if (received < length) throw this.#shortBody(response, received, length);
    return bytes;
  }

  /** Reads the whole file of a server that ignores ranges, up to 64 MiB. */
  async readWhole(response: Response, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const announced = contentLength(response);
    const tooLarge = (byteLength: number): WeightsError =>
      new WeightsError(
        `weights: server ignores range requests, and the file has ${byteLength} bytes or more, ` +
          `limit ${MAX_WHOLE_BYTES} (${this.url}). Use a server that honours Range, or open the ` +
          `files from a local folder`,
      );
    if (announced !== null && announced > MAX_WHOLE_BYTES) {
      discard(response);
      throw tooLarge(announced);
    }
    const chunks: Uint8Array[] = [];
    const received = await this.#readChunks(response, signal, (chunk, start) => {
      const end = start + chunk.byteLength;
      if (end > MAX_WHOLE_BYTES) throw tooLarge(end);
      chunks.push(chunk);
    });
    // With a content encoding the announced length counts compressed bytes.
    if (announced !== null && received < announced && encodingOf(response) === "") {
      throw this.#shortBody(response, received, announced);
    }
    const bytes = allocateBytes(received, this.url);
    let end = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, end);
      end += chunk.byteLength;
    }
    return bytes;
  }

  /** Feeds a body to `take` chunk by chunk; gives the byte count. What `take` throws is thrown. */
  async #readChunks(
    response: Response,
    signal: AbortSignal | undefined,
    take: (chunk: Uint8Array, start: number) => void,
  ): Promise<number> {
    let received = 0;
    if (response.body === null) return 0;
    const reader = response.body.getReader();
    let progress = 0;
    try {
      return await this.#patiently(signal, async (either, restart) => {
        for (;;) {
          const chunk = await abortable(reader.read(), either);
          if (chunk.done) return received;
          take(chunk.value, received);
          received += chunk.value.byteLength;
          if (received - progress < PROGRESS_BYTES) continue;
          progress = received;
          restart();
        }
      });
    } catch (cause) {
      reader.cancel().catch(() => {});
      signal?.throwIfAborted();
      if (cause instanceof WeightsError) throw cause;
      throw new PassingError(
        `weights: body ended after ${received} bytes with ${reasonOf(cause)}${detailOf(cause)}` +
          `${encodingOf(response)} (${this.url}). Check the connection and load it again`,
        { cause },
      );
    }
  }

  /**
   * Runs `work` with a signal that is aborted with `signal`, and with a `PassingError` when `stallMs` have passed since
   * the beginning or the last `restart`.
   */
  async #patiently<T>(
    signal: AbortSignal | undefined,
    work: (either: AbortSignal, restart: () => void) => Promise<T>,
  ): Promise<T> {
    const ms = this.#options.stallMs ?? DEFAULT_STALL_MS;
    const stall = new AbortController();
    const start = (): ReturnType<typeof setTimeout> =>
      setTimeout(() => {
        const rule = `server must answer, and send ${PROGRESS_BYTES} bytes, within ${ms} ms each`;
        stall.abort(
          new PassingError(
            `weights: ${rule}, got too little (${this.url}). Try again later, or allow more time (stallMs)`,
          ),
        );
      }, ms);
    let timer = start();
    try {
      return await work(anySignal(signal, stall.signal), () => {
        clearTimeout(timer);
        timer = start();
      });
    } finally {
      clearTimeout(timer);
    }
  }

  #shortBody(response: Response, received: number, expected: number): PassingError {
    return new PassingError(
      `weights: body must have ${expected} bytes, got ${received}${encodingOf(response)} (${this.url}). ` +
        `The download was cut; load it again`,
    );
  }
}

/** What lies behind "fetch failed", in words for a message; nothing where the platform does not tell. */
function detailOf(cause: unknown): string {
  const inner = cause instanceof Error ? cause.cause : null;
  const { message, code } = (inner ?? {}) as { readonly message?: string; readonly code?: string };
  const detail = message || code;
  return detail ? `: ${detail}` : "";
}

/** Milliseconds that a server asks to wait: seconds or a date. */
function retryAfterMs(header: string | null): number {
  if (header === null) return 0;
  const ms = /^[0-9]+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
  return Math.max(0, ms) || 0;
}

/** The encoding of a body in words for a message, and empty where it is plain. Compressed ranges can seldom be put together. */
export function encodingOf({ headers }: Response): string {
  const encoding = headers.get("content-encoding") ?? "identity";
  return encoding === "identity" ? "" : ` in Content-Encoding ${encoding}`;
}

/** `Content-Range: bytes 0-9/100` in numbers; `start` and `end` are null in the form of a 416. */
export interface ContentRange {
  readonly start: number | null;
  readonly end: number | null;
  /** Length of the whole file, or null where the server wrote `*`. */
  readonly total: number | null;
}

/** The Content-Range of an answer; null when it is malformed, absent, or hidden by CORS. */
export function contentRange(response: Response): ContentRange | null {
  const header = response.headers.get("content-range") ?? "";
  const fields = /^bytes (?:([0-9]{1,15})-([0-9]{1,15})|\*)\/(?:([0-9]{1,15})|\*)$/i.exec(header);
  if (fields === null) return null;
  const count = (text: string | undefined): number | null =>
    text === undefined ? null : Number(text);
  return { start: count(fields[1]), end: count(fields[2]), total: count(fields[3]) };
}

/** The Content-Length of an answer, or null when absent or malformed. */
export function contentLength(response: Response): number | null {
  const header = response.headers.get("content-length") ?? "";
  return /^[0-9]{1,15}$/.test(header) ? Number(header) : null;
}

/**
 * What tells this version of a file from others: its ETag, or when it was last changed; null where the server gives
 * neither or hides them from other origins. A weak ETag will do: weight files are bytes without variants.
 */
export function validatorOf({ headers }: { readonly headers: Headers }): string | null {
  return headers.get("etag")?.replace(/^W\//, "") ?? headers.get("last-modified");
}

/** Drops a body that nobody will read, so that the connection is freed. */
export function discard(response: Response): void {
  response.body?.cancel().catch(() => {});
}
