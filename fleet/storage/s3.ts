/**
 * Buckets of S3 and what speaks its protocol (MinIO, Ceph, R2, …), by the official client. Credentials, region and
 * endpoint come from where that client always looks: variables, profiles, roles.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { S3Client, _Object } from "@aws-sdk/client-s3";
import { CliError, oneLine, systemReason, usageError } from "../../cli/errors.ts";
import { isImageName } from "../../cli/image/formats.ts";
import { shownText } from "../../cli/shown-text.ts";
import { RefusedError, StorageError } from "../errors.ts";
import { loadS3 } from "../packages.ts";
import { parseS3 } from "./address.ts";
import { checkSize } from "./files.ts";
import type { LocalFile, ResultPlace, Storage, StoredFile } from "./storage.ts";

/** Of a result that does not arrive. */
const PUT_TRIES = 4;
const RETRY_MS = 250;

type Client = typeof import("@aws-sdk/client-s3");

/** A storage over one client, which is made when it is first used. */
export function s3Storage(): Storage & { close(): void } {
  let opened: Promise<{ readonly s3: Client; readonly client: S3Client }> | undefined;
  const open = () => (opened ??= openClient());

  /** `told` with the client's words. */
  async function asked<T>(
    address: string,
    what: string,
    ask: (s3: Client, client: S3Client) => Promise<T>,
  ): Promise<T> {
    const { s3, client } = await open();
    try {
      return await ask(s3, client);
    } catch (error) {
      throw told(address, what, error);
    }
  }

  return {
    async list(address, recursive) {
      const { bucket, key } = parseS3(address);
      const files: StoredFile[] = [];
      await asked(address, "cannot be listed", async (s3, client) => {
        for await (const { Key = "", Size = 0, ETag } of objects(
          s3,
          client,
          bucket,
          key,
          recursive,
        )) {
          if (!isImageName(Key)) continue;
          files.push({ address: `s3://${bucket}/${Key}`, size: Size, version: versionOf(ETag) });
        }
      });
      return files;
    },

    async has(address) {
      const { bucket, key } = parseS3(address);
      return asked(address, "cannot be read", async (s3, client) => {
        return (await headOf(s3, client, bucket, key)) !== undefined;
      });
    },

    async existing(addresses) {
      const found = new Set<string>();
      for (const folder of new Set(addresses.map((address) => posix.dirname(address)))) {
        const { bucket, key } = parseS3(folder);
        const prefix = key === "" ? "" : `${key}/`;
        await asked(folder, "cannot be listed", async (s3, client) => {
          for await (const { Key = "" } of objects(s3, client, bucket, prefix, false)) {
            found.add(`s3://${bucket}/${Key}`);
          }
        });
      }
      return new Set(addresses.filter((address) => found.has(address)));
    },

    async read(address, mostBytes, signal): Promise<LocalFile> {
      const { bucket, key } = parseS3(address);
      const scratch = await scratchFolder();
      const release = () => rm(scratch, { recursive: true, force: true });
      try {
        return await asked(address, "cannot be read", async (s3, client) => {
          const command = new s3.GetObjectCommand({ Bucket: bucket, Key: key });
          const {
            Body,
            ContentLength = 0,
            ETag,
          } = await client.send(command, {
            abortSignal: signal,
          });
          const body = Body as Readable;
          try {
            checkSize(ContentLength, mostBytes);
          } catch (error) {
            body.destroy();
            throw error;
          }
          const path = join(scratch, "input");
          await pipeline(body, createWriteStream(path), { signal });
          const { size } = await stat(path);
          if (size !== ContentLength) {
            throw new CliError(`${shownText(address)}: ${size} of ${ContentLength} bytes came`);
          }
          return { path, size, version: versionOf(ETag), release };
        });
      } catch (error) {
        await release();
        throw error;
      }
    },

    async place(address): Promise<ResultPlace> {
      const { bucket, key } = parseS3(address);
      const scratch = await scratchFolder();
      const path = join(scratch, "result");
      const discard = () => rm(scratch, { recursive: true, force: true });
      return {
        path,
        discard,
        publish: async (replace, signal) => {
          try {
            return await asked(address, "cannot be written", async (s3, client) => {
              const isThere = async () => (await headOf(s3, client, bucket, key)) !== undefined;
              if (!replace && (await isThere())) return "there";
              const { size } = await stat(path);
              const put = (condition: { readonly IfNoneMatch?: string }) =>
                patiently(signal, () =>
                  client.send(
                    new s3.PutObjectCommand({
                      Bucket: bucket,
                      Key: key,
                      Body: createReadStream(path),
                      ContentLength: size,
                      ...condition,
                    }),
                    { abortSignal: signal },
                  ),
                );
              try {
                await put(replace ? {} : { IfNoneMatch: "*" });
              } catch (error) {
                const status = statusOf(error);
                if (!replace && status === 412 && (await isThere())) return "there";
                // Servers that know no conditions say so; a put is whole or not at all there, too.
                if (status !== 501) throw error;
                await put({});
              }
              return "written";
            });
          } finally {
            await discard();
          }
        },
      };
    },

    async checkWritable(address) {
      const { bucket } = parseS3(address);
      await asked(`s3://${bucket}`, "cannot be reached", (s3, client) =>
        client.send(new s3.HeadBucketCommand({ Bucket: bucket })),
      );
    },

    close() {
      void opened?.then(({ client }) => client.destroy()).catch(() => undefined);
    },
  };
}

async function openClient(): Promise<{ readonly s3: Client; readonly client: S3Client }> {
  const s3 = await loadS3();
  const endpoint = process.env["AWS_ENDPOINT_URL_S3"] ?? process.env["AWS_ENDPOINT_URL"];
  const region = process.env["AWS_REGION"] ?? process.env["AWS_DEFAULT_REGION"];
  return {
    s3,
    client: new s3.S3Client({
      // Buckets as part of the host's name need DNS, which servers of one's own rarely have.
      ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
      ...(endpoint !== undefined && region === undefined && { region: "us-east-1" }),
      // Servers that are not Amazon's often know no trailing checksums.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      maxAttempts: 5,
      // What goes wrong is told by who asked.
      logger: { trace() {}, debug() {}, info() {}, warn() {}, error() {} },
    }),
  };
}

/** Of answers that may be others the next time. 409: somebody else is putting the same result just now. */
const MAY_PASS = [409, 429];

/** The client does not send a stream again by itself; a result is worth more than one try. */
async function patiently<T>(signal: AbortSignal, send: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await send();
    } catch (error) {
      const status = statusOf(error);
      const mayPass =
        status === undefined || MAY_PASS.includes(status) || (status >= 500 && status !== 501);
      if (!mayPass || signal.aborted || tries === PUT_TRIES) throw error;
      // Not all at the same moment, who have met at one.
      await sleep(RETRY_MS * 2 ** tries * (0.5 + Math.random()), undefined, { signal });
    }
  }
}

/** All objects whose keys begin with `prefix`; without `recursive` those in no folder below it. */
async function* objects(
  s3: Client,
  client: S3Client,
  bucket: string,
  prefix: string,
  recursive: boolean,
): AsyncGenerator<_Object> {
  const request = { Bucket: bucket, Prefix: prefix, ...(recursive ? {} : { Delimiter: "/" }) };
  for await (const { Contents = [] } of s3.paginateListObjectsV2({ client }, request)) {
    yield* Contents;
  }
}

const versionOf = (tag = ""): string => `etag:${tag.replaceAll('"', "")}`;

async function headOf(s3: Client, client: S3Client, bucket: string, key: string) {
  try {
    return await client.send(new s3.HeadObjectCommand({ Bucket: bucket, Key: key }));
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}

async function scratchFolder(): Promise<string> {
  try {
    return await mkdtemp(join(tmpdir(), "rcod-fleet-"));
  } catch (error) {
    throw new StorageError(`cannot write in ${tmpdir()}: ${systemReason(error)}`);
  }
}

function statusOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("$metadata" in error)) return undefined;
  return (error.$metadata as { readonly httpStatusCode?: number }).httpStatusCode;
}

/** What a user can do something about, in our words. */
function told(address: string, what: string, error: unknown): unknown {
  if ([CliError, StorageError, RefusedError].some((known) => error instanceof known)) return error;
  if (error instanceof Error && error.name === "AbortError") return error;
  const status = statusOf(error);
  const name = error instanceof Error ? error.name : "";
  const where = shownText(address);
  if (status === 404) {
    const missing = name === "NoSuchBucket" ? "no such bucket" : "no such object";
    return usageError(`${where}: ${missing}`);
  }
  if (status === 401 || status === 403 || name === "CredentialsProviderError") {
    return new StorageError(
      `${where} ${what}: the storage refuses these credentials (${name}). ` +
        `Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE`,
    );
  }
  const message = error instanceof Error ? oneLine(error.message || name) : String(error);
  return new StorageError(`${where} ${what}: ${message}`);
}
