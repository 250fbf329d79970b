/** Options as callers write them. A misspelt name, or a value that there is not, must not silently be the default. */

/** What one option may be. */
export interface OptionRule {
  /** Ends the sentence "must be …". */
  readonly must: string;
  readonly allows: (value: unknown) => boolean;
  /** Whether a value that is refused is of another type, and not out of range. */
  readonly isType: boolean;
}

/** A rule for every option of `T`. */
export type OptionRules<T> = { readonly [Name in keyof T]-?: OptionRule };

/** A value of some type. */
export const typed = (must: string, allows: OptionRule["allows"]): OptionRule => ({
  must,
  allows,
  isType: true,
});

export const flag = typed("true or false", (value) => typeof value === "boolean");
export const number = typed("a number", (value) => typeof value === "number");
export const callback = typed("a function", (value) => typeof value === "function");
export const objectValue = typed(
  "an object",
  (value) => typeof value === "object" && value !== null,
);
export const abortSignal = typed("an AbortSignal", (value) => value instanceof AbortSignal);
export const nameList = typed(
  "a list of names",
  (value) => Array.isArray(value) && value.every((name) => typeof name === "string"),
);

/** For what is checked where it is understood. */
export const anything = typed("anything", () => true);

export const oneOf = (...values: readonly (string | number)[]): OptionRule => ({
  must: values.map(shown).join(" or "),
  allows: (value) => (values as readonly unknown[]).includes(value),
  isType: false,
});

/** `unit` follows the number in messages. */
export const integer = (least: number, most = Infinity, unit = ""): OptionRule => ({
  must: `an integer ${most === Infinity ? `≥ ${least}` : `in ${least} … ${most}`}${unit}`,
  allows: (value) => Number.isInteger(value) && Number(value) >= least && Number(value) <= most,
  isType: false,
});

/**
 * Options that are undefined count as not given.
 * @throws TypeError for an unknown option, with the nearest name, and for a value of a wrong type; RangeError for another value
 */
export function checkOptions(
  what: string,
  given: object,
  rules: Readonly<Record<string, OptionRule>>,
): void {
  if (!objectValue.allows(given)) {
    throw new TypeError(`${what}: options must be an object, got ${shown(given)}`);
  }
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined) continue;
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    if (rule === undefined) {
      throw new TypeError(
        `${what}: there is no option ${shown(name)}. ${hint(name, Object.keys(rules))}`,
      );
    }
    const { must, allows, isType } = rule;
    if (allows(value)) continue;
    const message = `${what}: ${name} must be ${must}, got ${shown(value)}`;
    throw isType ? new TypeError(message) : new RangeError(message);
  }
}

const LONGEST_SHOWN = 60;

/** A value in a message, whatever it is. */
export function shown(value: unknown): string {
  if (typeof value === "object" && value !== null) {
    return kindOf(value);
  }
  if (typeof value === "function") return "a function";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length <= LONGEST_SHOWN ? text : `${text.slice(0, LONGEST_SHOWN)}…`;
}

/** What an object says it is, also one of another window: "Uint8Array", "Array". */
export const kindOf = (value: unknown): string =>
  Object.prototype.toString.call(value).slice("[object ".length, -1);

function hint(name: string, known: readonly string[]): string {
  const away = (other: string): number => distance(name.toLowerCase(), other.toLowerCase());
  const [nearest = ""] = known.toSorted((a, b) => away(a) - away(b));
  return away(nearest) <= Math.max(2, nearest.length / 3)
    ? `Did you mean ${shown(nearest)}?`
    : `There are ${known.join(", ")}`;
}

/** How many letters must be put in, taken out or changed to make one word of the other. */
function distance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const changed = (above[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(changed, (above[j] as number) + 1, (row[j - 1] as number) + 1));
    }
    above = row;
  }
  return above[b.length] as number;
}
