import { mkdtemp, rm } from "node:fs/promises";
/**
 * A server of S3's protocol of a test's own, on a folder of its own: s3rver, which knows no conditions on puts, by itself or
 * behind Amazon's rules for `If-None-Match: *`.
 */
import type { IncomingMessage } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** As s3rver's framework calls a step of an answer. */
type Step = (request: Request, next: () => Promise<void>) => Promise<void>;

interface Request {
  readonly method: string;
  readonly path: string;
  readonly req: IncomingMessage;
  readonly store: { existsObject(bucket: string, key: string): Promise<boolean> };
  get(header: string): string;
  status: number;
  type: string;
  body: string;
}

interface Server {
  /** Steps of an answer, in their order. */
  readonly middleware: Step[];
  run(): Promise<{ readonly port: number }>;
  close(): Promise<void>;
}

type S3rver = new (options: {
  readonly address: string;
  readonly port: number;
  readonly silent: boolean;
  readonly directory: string;
  readonly configureBuckets: readonly { readonly name: string }[];
}) => Server;

/** What the server lets in. */
export const CREDENTIALS = {
  AWS_ACCESS_KEY_ID: "S3RVER",
  AWS_SECRET_ACCESS_KEY: "S3RVER",
} as const;

/** What a server does with the condition that nothing is there: keeps it, says that it knows none, or puts all the same. */
export type Conditions = "kept" | "refused" | "ignored";

export interface S3Server {
  /** Environment variables that lead to it. */
  readonly variables: Readonly<Record<string, string>>;
  end(): Promise<void>;
}

/** Starts a server with buckets. */
export async function startS3(
  conditions: Conditions,
  ...buckets: readonly string[]
): Promise<S3Server> {
  const Server = createRequire(import.meta.url)("s3rver") as S3rver;
  const directory = await mkdtemp(join(tmpdir(), "rcod-s3-"));
  const server = new Server({
    address: "127.0.0.1",
    port: 0,
    silent: true,
    directory,
    configureBuckets: buckets.map((name) => ({ name })),
  });
  if (conditions !== "ignored") server.middleware.unshift(conditionStep(conditions));
  const { port } = await server.run();
  return {
    variables: { ...CREDENTIALS, AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${port}` },
    async end() {
      await server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Amazon's rules: 412 where something is there, 409 while another put of the same key is on its way. */
function conditionStep(conditions: "kept" | "refused"): Step {
  const onTheirWay = new Set<string>();
  return async (request, next) => {
    const { method, path, store } = request;
    if (method !== "PUT" || request.get("if-none-match") !== "*") return next();
    if (conditions === "refused") return refuse(request, 501, "NotImplemented");
    const [, bucket = "", key = ""] = /^\/([^/]+)\/(.*)$/.exec(decodeURIComponent(path)) ?? [];
    // s3rver's files are there before they are whole.
    const isThere = !onTheirWay.has(path) && (await store.existsObject(bucket, key));
    if (onTheirWay.has(path)) return refuse(request, 409, "ConditionalRequestConflict");
    if (isThere) return refuse(request, 412, "PreconditionFailed");
    onTheirWay.add(path);
    try {
      await next();
    } finally {
      onTheirWay.delete(path);
    }
  };
}

function refuse(request: Request, status: number, code: string): void {
  request.req.resume(); // a client that is still sending would not read the answer
  request.status = status;
  request.type = "application/xml";
  request.body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code></Error>`;
}
