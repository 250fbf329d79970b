/** The part of WGSL that the kernels use, as statements: functions, `let`, `var`, `if`, `for`, calls. */

export type Tokens = readonly string[];

export interface Parameter {
  readonly name: string;
  readonly builtin: string | undefined;
}

export interface Definition {
  readonly parameters: readonly Parameter[];
  /** Tokens between the braces. */
  readonly body: Tokens;
}

export type Statement =
  | { readonly kind: "block"; readonly body: Tokens }
  | {
      readonly kind: "for";
      /** The variable that counts. */
      readonly name: string;
      /** Whether it is the loop's. */
      readonly isOwn: boolean;
      readonly first: Tokens;
      readonly condition: Tokens;
      readonly step: Tokens;
      readonly body: Tokens;
    }
  | {
      readonly kind: "if";
      /** Whether an `else` stands before it. */
      readonly isElse: boolean;
      /** Empty: always. */
      readonly condition: Tokens;
      readonly body: Tokens;
    }
  | { readonly kind: "plain"; readonly tokens: Tokens };

export interface Call {
  readonly name: string;
  readonly values: readonly Tokens[];
}

export const tokensOf = (code: string): Tokens =>
  code
    .replaceAll(/\/\/.*$/gm, "")
    .match(/[A-Za-z_]\w*|\d[\w.]*|[-+*/%&|^<>=!]=|>>=|<<=|&&|\|\||<<|>>|\+\+|--|->|\S/g) ?? [];

const CLOSING: Readonly<Record<string, string>> = { "(": ")", "{": "}", "[": "]" };

/** Index of the bracket that closes the one at `open`. */
export function closeOf(tokens: Tokens, open: number): number {
  const [opening = "", closing] = [tokens[open], CLOSING[tokens[open] ?? ""]];
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    if (tokens[i] === opening) depth++;
    else if (tokens[i] === closing && --depth === 0) return i;
  }
  throw new Error(`no "${closing}" for a "${opening}" of the shader`);
}

/** Splits at `separator` outside of brackets. */
export function splitAt(tokens: Tokens, separator: string): readonly Tokens[] {
  const parts: string[][] = [[]];
  let depth = 0;
  for (const token of tokens) {
    if (token in CLOSING) depth++;
    if (token === ")" || token === "]" || token === "}") depth--;
    if (token === separator && depth === 0) parts.push([]);
    else parts.at(-1)?.push(token);
  }
  return parts.filter((part, i) => part.length > 0 || i > 0);
}

/** `fn name(parameters) … { body }`, with the index behind it. */
export function functionAt(
  tokens: Tokens,
  at: number,
): { readonly name: string; readonly definition: Definition; readonly end: number } {
  const open = at + 2;
  const close = closeOf(tokens, open);
  const begin = tokens.indexOf("{", close);
  const end = closeOf(tokens, begin);
  const parameters = splitAt(tokens.slice(open + 1, close), ",").map((part) => ({
    name: part[part.indexOf(":") - 1] ?? "",
    builtin: part[0] === "@" ? part[3] : undefined,
  }));
  const definition = { parameters, body: tokens.slice(begin + 1, end) };
  return { name: tokens[at + 1] ?? "", definition, end };
}

/** Remembers what a function made of a list of tokens: loops and calls come by the same lists again and again. */
function remembered<T>(make: (tokens: Tokens) => T): (tokens: Tokens) => T {
  const known = new WeakMap<Tokens, T>();
  return (tokens) => {
    const found = known.get(tokens) ?? make(tokens);
    known.set(tokens, found);
    return found;
  };
}

export const statementsOf = remembered((tokens): readonly Statement[] => {
  const statements: Statement[] = [];
  let isElse = false;
  for (let i = 0; i < tokens.length;) {
    const token = tokens[i] as string;
    if (token === "else") {
      isElse = true;
      i++;
      continue;
    }
    if (token === "{") {
      const end = closeOf(tokens, i);
      const body = tokens.slice(i + 1, end);
      statements.push(
        isElse ? { kind: "if", isElse, condition: [], body } : { kind: "block", body },
      );
      i = end + 1;
    } else if (token === "for" || token === "if") {
      const close = closeOf(tokens, i + 1);
      const end = closeOf(tokens, close + 1);
      const head = tokens.slice(i + 2, close);
      const body = tokens.slice(close + 2, end);
      if (token === "if") statements.push({ kind: "if", isElse, condition: head, body });
      else statements.push(loopOf(head, body));
      i = end + 1;
    } else {
      const end = endOfStatement(tokens, i);
      statements.push({ kind: "plain", tokens: tokens.slice(i, end) });
      i = end + 1;
    }
    isElse = false;
  }
  return statements;
});

function loopOf(head: Tokens, body: Tokens): Statement {
  // Nothing may stand before the first semicolon.
  const parts = splitAt(head, ";");
  const [init = [], condition = [], step = []] = head[0] === ";" ? [[], ...parts] : parts;
  // A loop without a variable of its own counts one that is there.
  const [name = "", first] =
    init.length === 0 ? [step[0], step.slice(0, 1)] : [init[1], valueOf(init)];
  return { kind: "for", name, isOwn: init.length > 0, first, condition, step, body };
}

function endOfStatement(tokens: Tokens, at: number): number {
  let i = at;
  while (i < tokens.length && tokens[i] !== ";") {
    i = (tokens[i] as string) in CLOSING ? closeOf(tokens, i) + 1 : i + 1;
  }
  return i;
}

/** All calls of an expression, in their order. */
export const callsOf = remembered((tokens): readonly Call[] =>
  tokens.flatMap((name, i) => {
    if (tokens[i + 1] !== "(" || !/^[A-Za-z_]/.test(name)) return [];
    return [{ name, values: splitAt(tokens.slice(i + 2, closeOf(tokens, i + 1)), ",") }];
  }),
);

/** What is behind a statement's `=`. */
export const valueOf = remembered((statement) => statement.slice(statement.indexOf("=") + 1));
