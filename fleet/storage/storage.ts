/** Where pictures lie, behind a few verbs. Addresses are absolute paths or `scheme://…`. */

/** What is known of a picture without reading it. */
export interface StoredFile {
  /** Where it lies. */
  readonly address: string;
  /** In bytes. */
  readonly size: number;
  /** Other content, other version; undefined where only reading tells. */
  readonly version?: string;
}

/** A local file for as long as it is needed. */
export interface LocalFile {
  /** Where it is on this machine. */
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** As of `StoredFile`, where the storage has such. */
  readonly version?: string;
  /** Removes what was made for it. */
  release(): Promise<void>;
}

/** A place for a result that is being made. */
export interface ResultPlace {
  /** A local path where no file is yet. */
  readonly path: string;
  /**
   * Gives the finished file its address: whole or not at all. Without `replace` what is there stays, and the answer is
   * "there".
   */
  publish(replace: boolean, signal: AbortSignal): Promise<"written" | "there">;
  /** Removes what was not published. */
  discard(): Promise<void>;
}

/** A kind of place for pictures. */
export interface Storage {
  /** Files below an address, sorted. Throws `CliError` where it cannot be listed. */
  list(address: string, recursive: boolean): Promise<readonly StoredFile[]>;
  /** Whether something is there. */
  has(address: string): Promise<boolean>;
  /** Those of many `addresses` where something is. */
  existing(addresses: readonly string[]): Promise<ReadonlySet<string>>;
  /** The bytes as a local file. Throws `CliError`, and `RefusedError` before a download of more than `mostBytes`. */
  read(address: string, mostBytes: number, signal: AbortSignal): Promise<LocalFile>;
  /** A place beside which nothing else is needed. */
  place(address: string): Promise<ResultPlace>;
  /** Throws `CliError` where nothing can be written below an address. */
  checkWritable(address: string): Promise<void>;
}
