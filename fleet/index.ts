/**
 * `rcod-webgpu/fleet`: a worker for a queue of your own. `workOn` takes jobs from anything that is a `JobQueue`; the rest
 * is what `rcod fleet work` makes one of. Nothing here loads a queue or a client of a storage before it is needed.
 */
export type { Claim, JobQueue } from "./contract.ts";
export { ClaimLostError, RefusedError, StorageError, WrongWorkerError } from "./errors.ts";
export type { Inference } from "./inference/inference.ts";
export { InferenceError, ThreadInference } from "./inference/inference.ts";
export type { FailureKind, InferenceSetup, PictureTask } from "./inference/protocol.ts";
export type { FleetJob, JobOptions, JobResult } from "./job.ts";
export { checkedJob, jobId, optionWords, parseWords } from "./job.ts";
export { modelChecksum } from "./model-checksum.ts";
export type { LocalFile, ResultPlace, Storage, StoredFile } from "./storage/storage.ts";
export { Storages } from "./storage/storages.ts";
export type { JobTools } from "./worker/one-job.ts";
export { doJob } from "./worker/one-job.ts";
export type { DoJob, WorkEvents, WorkOptions, WorkTally } from "./worker/work-loop.ts";
export { workOn } from "./worker/work-loop.ts";
