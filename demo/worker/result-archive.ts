/** Results as files: what is looked at after its textures made room, or the device went away, is decoded from them again. */

export class ResultArchive {
  readonly #files = new Map<number, Blob>();
  #nextId = 1;

  /** An id that no result had, nor one of an earlier visit. */
  newId(): number {
    return this.#nextId++;
  }

  add(id: number, file: Blob): void {
    this.#files.set(id, file);
    this.#nextId = Math.max(this.#nextId, id + 1);
  }

  file(id: number): Blob | undefined {
    return this.#files.get(id);
  }

  has(id: number): boolean {
    return this.#files.has(id);
  }

  forget(id: number): void {
    this.#files.delete(id);
  }
}
