/** Answers that cost planning, and that every call asks for: kept for each device. */
import type { Caps } from "../../gpu/caps.ts";

export class ByDevice<T> {
  readonly #known = new WeakMap<Caps, Map<string, T>>();

  /** The answer to what `question` says, which is all that it depends on beside the device. */
  get(caps: Caps, question: unknown, answer: () => T): T {
    const known = this.#known.get(caps) ?? new Map<string, T>();
    this.#known.set(caps, known);
    const key = JSON.stringify(question);
    const there = known.get(key);
    if (there !== undefined) return there;
    const made = answer();
    known.set(key, made);
    return made;
  }
}
