/** The storage of an address. */
import { isS3 } from "./address.ts";
import { fileStorage } from "./files.ts";
import { s3Storage } from "./s3.ts";
import type { Storage } from "./storage.ts";

/** All storages of a process; clients are made when they are first used. */
export class Storages {
  readonly #s3 = s3Storage();

  /** The storage that an address belongs to. */
  of(address: string): Storage {
    return isS3(address) ? this.#s3 : fileStorage;
  }

  /** Ends connections. */
  close(): void {
    this.#s3.close();
  }
}
