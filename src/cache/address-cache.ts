/** The files of one address through the browser's storage: which version is current, and whether it fits. */
import type { OptionRules } from "../options.ts";
import { callback } from "../options.ts";
import { WeightsError } from "../weights/index.ts";
import type { ByteSource, HttpOptions } from "../weights/index.ts";
import { HTTP_RULES } from "../weights/sources/http-client.ts";
import { openHttp } from "../weights/sources/http-source.ts";
import type { ManifestFile } from "../weights/sources/manifest.ts";
import { HeldPieces, cachedSource } from "./cached-source.ts";
import { PieceFiles } from "./piece-files.ts";
import type { AddressStorage, Entry } from "./storage.ts";
import { availableBytes, openStorage } from "./storage.ts";

/** How files are fetched and stored. */
export interface CacheOptions extends HttpOptions {
  /**
   * Hears why something is not stored: no storage, no room, or a server that does not tell versions apart. Loading
   * continues from the network.
   */
  readonly onWarning?: (message: string) => void;
}

export const CACHE_RULES: OptionRules<CacheOptions> = { ...HTTP_RULES, onWarning: callback };

/** A version of a file, stored or not. */
interface Version {
  readonly version: string;
  readonly byteLength: number;
  readonly hashes: readonly string[] | null;
}

/** What is known of a file before the server is asked. */
interface Expected {
  readonly known: Entry | null;
  /** A refusal is an error, not an absent file. */
  readonly isRequired?: boolean;
  readonly listed?: ManifestFile;
}

export class AddressCache {
  /** What the server said of files that count as absent, by path: see `FileSet.refusal`. */
  readonly refusals = new Map<string, string>();
  readonly #address: string;
  readonly #options: CacheOptions;
  readonly #http: HttpOptions;
  readonly #held = new HeldPieces();
  readonly #warned = new Set<string>();
  /** Bytes still to be stored, by path. All files of a manifest share one entry. */
  readonly #reserved = new Map<string, number>();
  #storage: Promise<AddressStorage | null> | null = null;
  #openCount = 0;
  #isUnreachable = false;

  constructor(address: string, options: CacheOptions) {
    const send = options.fetch ?? fetch;
    this.#address = address;
    this.#options = options;
    // The browser's own cache would keep a second copy of everything.
    this.#http = { ...options, fetch: (url, init) => send(url, { ...init, cache: "no-store" }) };
  }

  /**
   * A file whose version only the server knows: one byte is requested from it. Where the server cannot be reached, the
   * version that was stored last is taken. Null where there is no such file, and where the server refuses one that is
   * not required.
   */
  async open(
    path: string,
    url: string,
    signal?: AbortSignal,
    { isRequired = false } = {},
  ): Promise<ByteSource | null> {
    const storage = await this.#openStorage();
    const known = (await storage?.entry(path)) ?? null;
    if (known === null || !this.#isUnreachable) {
      try {
        return await this.#openCurrent(path, url, { known, isRequired }, signal);
      } catch (error) {
        if (known === null || !(error instanceof WeightsError)) throw error;
        this.#isUnreachable = true; // the next files are not tried
      }
    }
    if (known.version === null) return null;
    const version = { ...known, hashes: null };
    const pieces = await this.#pieces(path, version);
    return pieces && this.#source(url, version, pieces, path);
  }

  /** A file whose version and pieces a manifest tells. Pieces that are not stored come from the server. */
  async openListed(
    path: string,
    url: string,
    file: ManifestFile,
    signal?: AbortSignal,
  ): Promise<ByteSource | null> {
    const version = versionOf(file);
    const pieces = await this.#pieces(path, version);
    return pieces
      ? this.#source(url, version, pieces, LISTED_FILES)
      : this.#openCurrent(path, url, { known: null, listed: file }, signal);
  }

  /**
   * Removes what a manifest does not list, and checks that the rest of its files fits; otherwise nothing is stored.
   */
  async prepare(files: ReadonlyMap<string, ManifestFile>, manifestPath: string): Promise<void> {
    const storage = await this.#openStorage();
    if (storage === null) return;
    await this.#trying(storage.keepOnly([...files.keys(), manifestPath]));
    let missing = 0;
    for (const [path, file] of files) {
      const pieces = await this.#pieces(path, versionOf(file));
      missing += (await pieces?.missingBytes()) ?? 0;
    }
    if (!(await this.#fits(LISTED_FILES, missing))) this.#storage = Promise.resolve(null);
  }

  async #openCurrent(
    path: string,
    url: string,
    { known, isRequired, listed }: Expected,
    signal?: AbortSignal,
  ): Promise<ByteSource | null> {
    const storage = await this.#openStorage();
    const opening = await openHttp(url, this.#http, signal, listed);
    if (opening.kind === "absent") {
      const { refusal, reason } = opening;
      const isStored = known !== null && known.version !== null;
      if (refusal !== null && (isRequired || isStored)) throw refusal;
      if (refusal !== null) this.refusals.set(path, reason);
      if (known?.version !== null) await this.#trying(storage?.writeEntry(path, { version: null }));
      return null;
    }
    const { source, validator } = opening;
    if (storage === null) return source;
    if (validator === null) {
      this.#warn(`the server tells no version of ${url} (ETag or Last-Modified)`);
      return source;
    }
    const { byteLength } = source;
    const version = { version: `${validator} ${byteLength}`, byteLength, hashes: null };
    const pieces = await this.#pieces(path, version);
    if (pieces === null || !(await this.#fits(path, await pieces.missingBytes()))) return source;
    if (known?.version !== version.version) {
      await this.#trying(storage.writeEntry(path, { version: version.version, byteLength }));
    }
    return this.#source(url, version, pieces, path, source);
  }

  /** The stored pieces of a version; null, with a warning, where storing is impossible. */
  async #pieces(path: string, { version, byteLength }: Version): Promise<PieceFiles | null> {
    const storage = await this.#openStorage();
    try {
      return storage && new PieceFiles(await storage.version(path, version), byteLength);
    } catch (error) {
      this.#warn(String(error));
      return null;
    }
  }

  #source(
    url: string,
    version: Version,
    pieces: PieceFiles,
    reservation: string,
    remote?: ByteSource,
  ): ByteSource {
    this.#openCount++;
    return cachedSource({
      name: url,
      key: `${url} ${version.version}`,
      byteLength: version.byteLength,
      pieces,
      hashes: version.hashes,
      held: this.#held,
      openRemote: async (signal) => remote ?? this.#openVersion(url, version, signal),
      store: (index, bytes) => this.#store(reservation, pieces, index, bytes),
      onClose: () => {
        if (--this.#openCount === 0) this.#held.clear();
      },
    });
  }

  /** The file on the server, which must be the version of which pieces are stored. */
  async #openVersion(
    url: string,
    { version, byteLength }: Version,
    signal?: AbortSignal,
  ): Promise<ByteSource> {
    const opening = await openHttp(url, this.#http, signal);
    if (opening.kind === "open") {
      const { source, validator } = opening;
      const isListed = version.startsWith(LISTED);
      const isSame = isListed || validator === null || version === `${validator} ${byteLength}`;
      if (isSame && source.byteLength === byteLength) return source;
      await source.close();
    }
    const got = opening.kind === "open" ? `${opening.source.byteLength} bytes` : opening.reason;
    throw new WeightsError(
      `weights: file must be the version that is listed or stored, of ${byteLength} bytes, got ${got} (${url}). ` +
        "It changed on the server; load it again",
    );
  }

  #openStorage(): Promise<AddressStorage | null> {
    this.#storage ??= openStorage(this.#address).then((storage) => {
      if (!("reason" in storage)) return storage;
      this.#warn(storage.reason);
      return null;
    });
    return this.#storage;
  }

  /** Whether there is room for what is missing of a file, beside what is missing of the others. */
  async #fits(path: string, missing: number): Promise<boolean> {
    const available = await availableBytes();
    this.#reserved.set(path, missing);
    const needed = [...this.#reserved.values()].reduce((sum, bytes) => sum + bytes, 0);
    if (needed <= available) return true;
    this.#reserved.delete(path);
    this.#warn(`it needs ${needed} bytes, the browser has room for ${available}`);
    return false;
  }

  async #store(path: string, pieces: PieceFiles, index: number, bytes: Uint8Array): Promise<void> {
    await this.#trying(pieces.write(index, bytes));
    const reserved = this.#reserved.get(path) ?? 0;
    this.#reserved.set(path, Math.max(0, reserved - bytes.byteLength));
  }

  /** Storage may fail at any time (full, or cleared by another tab); loading goes on without it. */
  async #trying(write: Promise<void> | undefined): Promise<void> {
    try {
      await write;
    } catch (error) {
      this.#warn(String(error));
    }
  }

  #warn(reason: string): void {
    if (this.#warned.has(reason)) return;
    this.#warned.add(reason);
    this.#options.onWarning?.(`cache: ${this.#address} is not stored: ${reason}`);
  }
}

const LISTED = "sha256 ";
const LISTED_FILES = "all listed files";

function versionOf({ byteLength, sha256, pieces }: ManifestFile): Version {
  return { version: `${LISTED}${sha256}`, byteLength, hashes: pieces };
}
