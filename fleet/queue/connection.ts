/** The connection to Redis or Valkey: refused with a clear message at the start, kept with patience afterwards. */
import type { Redis } from "ioredis";
import { CliError, oneLine, usageError } from "../../cli/errors.ts";
import { loadIoredis } from "../packages.ts";

/** What a server that is there answers in; below the ten seconds that a user waits without a word. */
const CONNECT_MS = 8000;
/** Between two tries to get a lost connection back. */
const RETRY_MS = { first: 250, last: 10_000 } as const;

/** User and password of an address that does not parse; a password may hold anything, also an @. */
const USER_INFO = /\/\/.*@/;

/** Throws `CliError` (exit code 2) for an address that is none of a queue. */
export function checkQueueUrl(text: string): URL {
  const url = parsedUrl(text.replace(/^valkey/i, "redis"));
  if (url === undefined) {
    throw usageError(
      `--queue ${text.replace(USER_INFO, "//")}: it must be an address such as redis://host:6379. ` +
        `In a password, write @ as %40, : as %3A, / as %2F, # as %23, ? as %3F, % as %25`,
    );
  }
  if (url.protocol === "redis:" || url.protocol === "rediss:") return url;
  throw usageError(
    `--queue ${withoutSecrets(url)}: it must begin with redis:// or, with TLS, rediss://`,
  );
}

/** Undefined also where a part of a password would be taken for something else. */
function parsedUrl(text: string): URL | undefined {
  try {
    const url = new URL(text);
    return /[@#]/.test(url.pathname + url.search + url.hash) ? undefined : url;
  } catch {
    return undefined;
  }
}

/** The address as messages show it. */
export function withoutSecrets(url: URL): string {
  const shown = new URL(url);
  shown.username = "";
  shown.password = "";
  return shown.href;
}

/**
 * Connects. Throws `CliError` within ten seconds where nobody answers, or not to us. Later a lost connection is tried
 * again for as long as it takes, commands wait, and `onNote` hears of it.
 */
export async function connectQueue(
  text: string,
  onNote: (message: string) => void,
): Promise<Redis> {
  const url = checkQueueUrl(text);
  const where = withoutSecrets(url);
  const { Redis: Client } = await loadIoredis();
  let isOpen = false;
  const redis = new Client(url.href, {
    lazyConnect: true,
    connectTimeout: CONNECT_MS,
    // Commands wait for the connection to come back.
    maxRetriesPerRequest: null,
    keepAlive: 10_000,
    retryStrategy: (times) =>
      isOpen ? Math.min(RETRY_MS.last, RETRY_MS.first * 2 ** Math.min(times, 10)) : null,
  });
  let timer: NodeJS.Timeout | undefined;
  let said: unknown;
  redis.on("error", (error) => (said ??= error));
  try {
    await Promise.race([
      redis.connect().then(() => redis.ping()),
      new Promise((_, reject) => {
        const late = new Error(`no answer within ${CONNECT_MS / 1000} seconds`);
        timer = setTimeout(() => reject(late), CONNECT_MS);
      }),
    ]);
  } catch (error) {
    redis.disconnect();
    throw new CliError(refusal(where, said ?? error));
  } finally {
    clearTimeout(timer);
  }
  isOpen = true;
  tellOutages(redis, where, onNote);
  return redis;
}

/** One note when the connection is lost, one when it is back. */
export function tellOutages(redis: Redis, where: string, onNote: (message: string) => void): void {
  let isLost = false;
  const lost = (reason: string): void => {
    if (isLost) return;
    isLost = true;
    onNote(`${where} is not reachable (${reason}); trying again`);
  };
  redis.removeAllListeners("error");
  redis.on("error", (error: Error) => lost(oneLine(error.message)));
  redis.on("reconnecting", () => lost("the connection was closed"));
  redis.on("ready", () => {
    if (isLost) onNote(`${where} is back`);
    isLost = false;
  });
}

function refusal(where: string, error: unknown): string {
  const message = oneLine(error instanceof Error ? error.message : String(error));
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  if (/WRONGPASS|NOAUTH|invalid.*password|NOPERM/i.test(message)) {
    return `queue ${where} refuses these credentials (${message}). Give user and password in --queue or RCOD_QUEUE: redis://user:password@host:6379`;
  }
  if (/CERT|UNABLE_TO_|ISSUER/.test(code ?? "")) {
    return (
      `queue ${where} has a certificate that is not trusted here (${message}). ` +
      `Name the file of its authority in NODE_EXTRA_CA_CERTS`
    );
  }
  const reason = code === "ECONNREFUSED" ? "nothing listens there" : message;
  return `queue ${where} cannot be reached: ${reason}. Start Redis or Valkey there, or give another --queue`;
}
