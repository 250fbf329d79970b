/** Words for a kind of error. */

/** What went wrong was a part of this. */
export type Doing = "model" | "image" | "upscale" | "save" | "copy" | "run";

/** What one click can do about a problem. */
export type Remedy = "reload-model" | "recover" | "reload-page";

/** A name, a reason, a remedy. */
export interface Words {
  readonly title: string;
  readonly reason: string;
  readonly advice: string;
  readonly remedy?: Remedy;
}

/** The first pattern that fits "name: message" counts. */
export interface Entry {
  readonly pattern: RegExp;
  readonly words: (match: RegExpExecArray, doing: Doing) => Words;
}
