/** What can go wrong with a job, by what it means for the others. */

/** Fails not for this picture alone (the disk is full, the credentials are wrong): the worker waits before its next job. */
export class StorageError extends Error {
  /** The class, for code that sees several copies of it. */
  override readonly name = "StorageError";
}

/** This job cannot be done here, and trying again would not help. */
export class RefusedError extends Error {
  /** The class, for code that sees several copies of it. */
  override readonly name = "RefusedError";
}

/** Somebody else has the job now, since this worker was not heard of for too long. */
export class ClaimLostError extends Error {
  /** The class, for code that sees several copies of it. */
  override readonly name = "ClaimLostError";
}

/** The worker is not made for the jobs of this queue: it ends and gives its job back. */
export class WrongWorkerError extends Error {
  /** The class, for code that sees several copies of it. */
  override readonly name = "WrongWorkerError";
}
