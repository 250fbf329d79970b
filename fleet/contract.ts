/**
 * What a queue is to a worker: claim, heartbeat, complete, fail, release. BullMQ is one (`queue/bull-queue.ts`);
 * pg-boss, SQS and others fit by the same five verbs, and neither the work loop nor inference knows which it is.
 */
import type { JobResult } from "./job.ts";

/** A queue that jobs are taken from. */
export interface JobQueue {
  /**
   * The next job, for this worker alone until it is finished, given back or its lock runs out. Null where none came for
   * a while or the signal aborted: the worker asks again. Rejects where the queue cannot be asked.
   */
  claim(signal: AbortSignal): Promise<Claim | null>;
  /** Whether there is nothing to wait for: no job now, none whose retry is due later, or a pause. */
  isIdle(): Promise<boolean>;
  /** Ends connections. */
  close(): Promise<void>;
}

/** A job that is this worker's for now. */
export interface Claim {
  /** As the queue names it. */
  readonly id: string;
  /** As it was submitted; whoever works on it checks it. */
  readonly data: unknown;
  /** 1 for the first. */
  readonly attempt: number;
  /** How often `heartbeat` has to be called, so that nobody else gets the job. */
  readonly heartbeatMs: number;
  /**
   * Prolongs the claim. False where it is lost: somebody else may have the job, so the work on it ends. Rejects where
   * the queue cannot be asked, which says nothing about the claim.
   */
  heartbeat(): Promise<boolean>;
  /** The job is done. Rejects with `ClaimLostError` where it is somebody else's by now. */
  complete(result: JobResult): Promise<void>;
  /** An attempt failed; the job is tried again where `canRetry` and attempts are left, else it is a failed one. */
  fail(error: Error, canRetry: boolean): Promise<"retried" | "failed">;
  /** Gives the job back as it was: another worker takes it at once, and no attempt counts. */
  release(): Promise<void>;
}
