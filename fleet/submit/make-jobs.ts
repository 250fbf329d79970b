/** A job for each picture: where its result goes and which version of the picture is meant. */
import { describeError, usageError } from "../../cli/errors.ts";
import { shownText } from "../../cli/shown-text.ts";
import type { Problem } from "../../cli/upscale/inputs.ts";
import { checkLossless, resultName } from "../../cli/upscale/outputs.ts";
import { resultSuffix } from "../../cli/upscale/sizing.ts";
import { fileVersion } from "../file-version.ts";
import type { FleetJob, JobOptions } from "../job.ts";
import { optionWords } from "../job.ts";
import { below, isS3 } from "../storage/address.ts";
import type { FoundPicture } from "./find-pictures.ts";

/** What holds for all jobs. */
export interface JobPlan {
  /** Folder or prefix of results. */
  readonly to: string;
  readonly model: string;
  readonly options: JobOptions & { readonly lossless?: boolean };
  readonly force: boolean;
  /** Whether files are known by size and time instead of content. */
  readonly byTime: boolean;
}

/** Files whose content is read at once. */
const READERS = 8;

/** Jobs in the order of the pictures, and the pictures that cannot be one. */
export async function makeJobs(
  pictures: readonly FoundPicture[],
  plan: JobPlan,
): Promise<{ readonly jobs: readonly FleetJob[]; readonly problems: readonly Problem[] }> {
  const { to, model, options, force, byTime } = plan;
  const suffix = resultSuffix(options);
  const words = optionWords(options);
  const inputs = new Set(pictures.map(({ address }) => address));
  const byOutput = new Map<string, string>();
  const jobs: (FleetJob | undefined)[] = [];
  const problems: Problem[] = [];
  await inParallel(pictures, async (picture, index) => {
    const { address, below: folder, size } = picture;
    try {
      const format = options.format ?? picture.format;
      checkLossless(options.lossless, format);
      const output = below(to, folder, resultName(nameOf(address), suffix, format));
      const rival = byOutput.get(output);
      if (rival !== undefined) {
        throw usageError(
          `${shownText(rival)} would be written to ${shownText(output)} as well. Submit them separately`,
        );
      }
      if (inputs.has(output)) {
        throw usageError(
          `${shownText(output)} is an input: it would be overwritten. Choose another --to`,
        );
      }
      byOutput.set(output, address);
      const version = picture.version ?? (await fileVersion(address, byTime ? "time" : "sha256"));
      const job = { input: address, output, size, version, model, options: words };
      jobs[index] = force ? { ...job, replace: true } : job;
    } catch (error) {
      problems.push({ input: address, error: usageError(describeError(error).message) });
    }
  });
  return { jobs: jobs.filter((job) => job !== undefined), problems };
}

/** The last part of an address; of keys and paths alike. */
const nameOf = (address: string): string =>
  isS3(address) ? address.slice(address.lastIndexOf("/") + 1) : address;

async function inParallel<T>(
  items: readonly T[],
  work: (item: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const take = async (): Promise<void> => {
    for (let i = next++; i < items.length; i = next++) await work(items[i] as T, i);
  };
  await Promise.all(Array.from({ length: READERS }, take));
}
