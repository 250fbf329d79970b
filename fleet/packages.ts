/** Packages that only a fleet needs, loaded when it does. Neither the library nor the rest of the command line knows them. */
import { createRequire } from "node:module";
import { CliError, systemCode } from "../cli/errors.ts";

/** Both are CommonJS, of which `import` would search two hundred files for the names that they export. */
const require = createRequire(import.meta.url);

/** The queue and its connection. Throws `CliError` that says what to install. */
export const loadBullmq = (): Promise<typeof import("bullmq")> =>
  loaded(["bullmq", "ioredis"], async () => require("bullmq") as typeof import("bullmq"));
export const loadIoredis = (): Promise<Pick<typeof import("ioredis"), "Redis">> =>
  loaded(["bullmq", "ioredis"], async () => require("ioredis") as typeof import("ioredis"));

/** The client of S3. Throws `CliError` that says what to install. */
export const loadS3 = (): Promise<typeof import("@aws-sdk/client-s3")> =>
  loaded(["@aws-sdk/client-s3"], () => import("@aws-sdk/client-s3"));

/** What `load` imports. Throws `CliError` where one of the packages `names` is not there. */
export async function loaded<T>(names: readonly string[], load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    const isMissing = ["ERR_MODULE_NOT_FOUND", "MODULE_NOT_FOUND"].includes(
      systemCode(error) ?? "",
    );
    if (!isMissing) throw error;
    const what = names.length > 1 ? "packages that are" : "a package that is";
    throw new CliError(
      `rcod fleet needs ${what} not installed here. Run: npm install ${names.join(" ")}`,
    );
  }
}
