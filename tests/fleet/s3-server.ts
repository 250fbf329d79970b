/** A server of S3's protocol of a test's own, on a folder of its own. */
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

interface Server {
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

export interface S3Server {
  /** Environment variables that lead to it. */
  readonly variables: Readonly<Record<string, string>>;
  end(): Promise<void>;
}

/** Starts a server with buckets. */
export async function startS3(...buckets: readonly string[]): Promise<S3Server> {
  const Server = createRequire(import.meta.url)("s3rver") as S3rver;
  const directory = await mkdtemp(join(tmpdir(), "rcod-s3-"));
  const server = new Server({
    address: "127.0.0.1",
    port: 0,
    silent: true,
    directory,
    configureBuckets: buckets.map((name) => ({ name })),
  });
  const { port } = await server.run();
  return {
    variables: { ...CREDENTIALS, AWS_ENDPOINT_URL_S3: `http://127.0.0.1:${port}` },
    async end() {
      await server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
