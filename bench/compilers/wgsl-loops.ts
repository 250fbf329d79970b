/**
 * How often the loops of a shader turn, from its text and the numbers of a dispatch. Compilers do not tell, and a loop of
 * machine code is worth as much as it turns.
 *
 * Reads the part of WGSL that the kernels use: functions, `let`, `var`, `if`, `for`, calls. Follows the first invocation of
 * the first workgroup.
 */

/** A loop of the source, with the functions that it calls written out. */
export interface SourceLoop {
  /** Null where the bounds are not known before the shader runs. */
  readonly turns: number | null;
  /** Whether the bounds are constants: compilers may unroll it. */
  readonly isConstant: boolean;
  readonly touches: Touches;
  readonly inner: readonly SourceLoop[];
}

/** What a loop does beside arithmetic, by which it is known again in machine code. */
export interface Touches {
  readonly barrier: boolean;
  readonly sharedLoad: boolean;
  readonly sharedStore: boolean;
}

const NOTHING: Touches = { barrier: false, sharedLoad: false, sharedStore: false };
const both = (a: Touches, b: Touches): Touches => ({
  barrier: a.barrier || b.barrier,
  sharedLoad: a.sharedLoad || b.sharedLoad,
  sharedStore: a.sharedStore || b.sharedStore,
});

/** The numbers of a dispatch. */
export interface LaunchNumbers {
  readonly params: Readonly<Record<string, number>>;
  readonly workgroups: readonly [number, number, number];
}

/** A number, the fields of a struct, or what is not known. */
type Known = number | { readonly [field: string]: Known } | undefined;
type Scope = Map<string, Known>;
interface Parameter {
  readonly name: string;
  readonly builtin: string | undefined;
}
interface Definition {
  readonly parameters: readonly Parameter[];
  /** Tokens between the braces. */
  readonly body: readonly string[];
}
/** What a run of statements comes to. */
interface Walk {
  loops: SourceLoop[];
  touches: Touches;
  returned: Known;
  hasReturned: boolean;
}

/** The loops of `main`, in their order; first those with which Tint clears workgroup memory. */
export function sourceLoops(code: string, numbers: LaunchNumbers): readonly SourceLoop[] {
  const reader = new Reader(tokensOf(code));
  const { workgroups, params } = numbers;
  const zero = { x: 0, y: 0, z: 0 };
  const builtins: Record<string, Known> = {
    workgroup_id: zero,
    local_invocation_id: zero,
    global_invocation_id: zero,
    num_workgroups: { x: workgroups[0], y: workgroups[1], z: workgroups[2] },
    local_invocation_index: 0,
    subgroup_id: 0,
    subgroup_invocation_id: 0,
  };
  const main = reader.functions.get("main");
  if (main === undefined) throw new Error("the shader has no main");
  for (const { name, builtin } of main.parameters)
    if (builtin?.startsWith("local")) reader.lanes.set(name, builtins[builtin]);
  const scope: Scope = new Map(
    main.parameters.map(({ name, builtin }) => [name, builtins[builtin ?? ""]]),
  );
  const { loops } = reader.walk(main.body, scope, params);
  const clearing = {
    turns: 1,
    isConstant: true,
    touches: { ...NOTHING, sharedStore: true },
    inner: [],
  };
  return [...[...reader.workgroupArrays].map(() => clearing), ...loops];
}

const tokensOf = (code: string): readonly string[] =>
  code
    .replaceAll(/\/\/.*$/gm, "")
    .match(/[A-Za-z_]\w*|\d[\w.]*|[-+*/%&|^<>=!]=|>>=|<<=|&&|\|\||<<|>>|\+\+|--|->|\S/g) ?? [];

const CLOSING: Readonly<Record<string, string>> = { "(": ")", "{": "}", "[": "]" };

/** Index of the bracket that closes the one at `open`. */
function closeOf(tokens: readonly string[], open: number): number {
  const [opening = "", closing] = [tokens[open], CLOSING[tokens[open] ?? ""]];
  let depth = 0;
  for (let i = open; i < tokens.length; i++) {
    if (tokens[i] === opening) depth++;
    else if (tokens[i] === closing && --depth === 0) return i;
  }
  throw new Error(`no "${closing}" for a "${opening}" of the shader`);
}

/** Splits at `separator` outside of brackets. */
function splitAt(tokens: readonly string[], separator: string): readonly (readonly string[])[] {
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

class Reader {
  readonly functions = new Map<string, Definition>();
  readonly constants: Scope = new Map();
  /** What differs between invocations of a workgroup: a loop from there to a constant may be unrolled too. */
  readonly lanes: Scope = new Map();
  readonly workgroupArrays = new Set<string>();

  constructor(tokens: readonly string[]) {
    for (let i = 0; i < tokens.length; i++) {
      if (tokens[i] === "fn") i = this.#function(tokens, i);
      else if (tokens[i] === "const") i = this.#constant(tokens, i);
      else if (tokens[i] === "var" && tokens[i + 2] === "workgroup")
        this.workgroupArrays.add(tokens[i + 4] ?? "");
    }
  }

  #function(tokens: readonly string[], at: number): number {
    const open = at + 2;
    const close = closeOf(tokens, open);
    const begin = tokens.indexOf("{", close);
    const end = closeOf(tokens, begin);
    const parameters = splitAt(tokens.slice(open + 1, close), ",").map((part) => ({
      name: part[part.indexOf(":") - 1] ?? "",
      builtin: part[0] === "@" ? part[3] : undefined,
    }));
    this.functions.set(tokens[at + 1] ?? "", { parameters, body: tokens.slice(begin + 1, end) });
    return end;
  }

  #constant(tokens: readonly string[], at: number): number {
    const end = tokens.indexOf(";", at);
    const value = tokens.slice(tokens.indexOf("=", at) + 1, end);
    this.constants.set(tokens[at + 1] ?? "", this.evaluate(value, new Map(), null));
    return end;
  }

  /** Follows statements. `params` null: only constants are known. */
  walk(tokens: readonly string[], scope: Scope, params: LaunchNumbers["params"] | null): Walk {
    const result: Walk = { loops: [], touches: NOTHING, returned: undefined, hasReturned: false };
    const add = (walk: Walk): void => {
      result.loops.push(...walk.loops);
      result.touches = both(result.touches, walk.touches);
    };
    for (let i = 0; i < tokens.length;) {
      const token = tokens[i] as string;
      if (token === "{") {
        const end = closeOf(tokens, i);
        add(this.walk(tokens.slice(i + 1, end), new Map(scope), params));
        i = end + 1;
      } else if (token === "for") {
        const close = closeOf(tokens, i + 1);
        const end = closeOf(tokens, close + 1);
        const walk = this.#loop(
          tokens.slice(i + 2, close),
          tokens.slice(close + 2, end),
          scope,
          params,
        );
        add(walk);
        i = end + 1;
      } else if (token === "if") {
        const open = tokens.indexOf("(", i);
        const begin = closeOf(tokens, open) + 1;
        const end = closeOf(tokens, begin);
        const condition = tokens.slice(open, begin);
        add(this.#calls(condition, scope, params));
        // A branch that is not known to be left out is taken, and so is the other.
        const isTaken = this.evaluate(condition, scope, params) !== 0;
        if (isTaken) add(this.walk(tokens.slice(begin + 1, end), new Map(scope), params));
        i = end + 1;
      } else if (token === "else") {
        i++;
      } else {
        const end = this.#endOfStatement(tokens, i);
        const statement = tokens.slice(i, end);
        add(this.#calls(statement, scope, params));
        if (token === "let" || token === "var") {
          const value = statement.slice(statement.indexOf("=") + 1);
          // A variable changes where nobody follows it.
          scope.set(
            statement[1] as string,
            token === "let" ? this.evaluate(value, scope, params) : undefined,
          );
        } else if (token === "return" && !result.hasReturned) {
          result.hasReturned = true;
          result.returned = this.evaluate(statement.slice(1), scope, params);
        }
        i = end + 1;
      }
    }
    return result;
  }

  #endOfStatement(tokens: readonly string[], at: number): number {
    let i = at;
    while (i < tokens.length && tokens[i] !== ";") {
      i = (tokens[i] as string) in CLOSING ? closeOf(tokens, i) + 1 : i + 1;
    }
    return i;
  }

  #loop(
    head: readonly string[],
    body: readonly string[],
    scope: Scope,
    params: LaunchNumbers["params"] | null,
  ): Walk {
    const [init = [], condition = [], step = []] = splitAt(head, ";");
    const name = init[1] ?? "";
    const first = init.slice(init.indexOf("=") + 1);
    const turns = this.#turns(name, first, condition, step, scope, params);
    const isConstant =
      params === null
        ? turns !== null
        : this.#turns(name, first, condition, step, this.lanes, null) !== null;
    const begin = this.evaluate(first, scope, params);
    // Inner loops may depend on the turn, so a few are followed and their turns averaged.
    const stride = this.#stride(step, scope, params) ?? 0;
    const followed =
      typeof begin === "number" && stride > 0 ? Math.min(Math.ceil(turns ?? 1), 16) : 1;
    const walks = Array.from({ length: Math.max(followed, 1) }, (_, turn) => {
      const inside = new Map(scope).set(
        name,
        typeof begin === "number" ? begin + turn * stride : undefined,
      );
      return this.walk(body, inside, params);
    });
    const [walk] = walks as [Walk];
    return {
      ...walk,
      loops: [
        {
          turns,
          isConstant,
          touches: walk.touches,
          inner: averaged(walks.map(({ loops }) => loops)),
        },
      ],
      hasReturned: false,
    };
  }

  #stride(
    step: readonly string[],
    scope: Scope,
    params: LaunchNumbers["params"] | null,
  ): number | null {
    if (step[1] === "++") return 1;
    const value = step[1] === "+=" ? this.evaluate(step.slice(2), scope, params) : undefined;
    return typeof value === "number" ? value : null;
  }

  #turns(
    name: string,
    first: readonly string[],
    condition: readonly string[],
    step: readonly string[],
    scope: Scope,
    params: LaunchNumbers["params"] | null,
  ): number | null {
    const begin = this.evaluate(first, scope, params);
    // for (var i = n; i > 0u; i >>= 1u)
    if (step[1] === ">>=" || step.slice(1, 3).join("") === ">>=") {
      return typeof begin === "number" ? Math.ceil(Math.log2(begin + 1)) : null;
    }
    const stride = this.#stride(step, scope, params);
    if (typeof begin !== "number" || stride === null) return null;
    // i < a && i + b < c: the least of the bounds that are known.
    const bounds = splitAt(condition, "&&").flatMap((part) => {
      const at = part.indexOf("<");
      if (at < 0 || !part.slice(0, at).includes(name)) return [];
      const offset = this.evaluate(part.slice(0, at), new Map(scope).set(name, 0), params);
      const limit = this.evaluate(part.slice(at + 1), scope, params);
      return typeof offset === "number" && typeof limit === "number" ? [limit - offset] : [];
    });
    if (bounds.length === 0) return null;
    return Math.max(0, Math.ceil((Math.min(...bounds) - begin) / stride));
  }

  /** The loops of the functions that an expression calls. */
  #calls(tokens: readonly string[], scope: Scope, params: LaunchNumbers["params"] | null): Walk {
    const result: Walk = { loops: [], touches: NOTHING, returned: undefined, hasReturned: false };
    tokens.forEach((token, i) => {
      result.touches = both(result.touches, this.#touchesOf(tokens, i));
      if (tokens[i + 1] !== "(") return;
      const called = this.functions.get(token);
      if (called === undefined) return;
      const values = splitAt(tokens.slice(i + 2, closeOf(tokens, i + 1)), ",");
      const walk = this.walk(called.body, this.#arguments(called, values, scope, params), params);
      result.loops.push(...walk.loops);
      result.touches = both(result.touches, walk.touches);
    });
    return result;
  }

  #touchesOf(tokens: readonly string[], at: number): Touches {
    const token = tokens[at] as string;
    if (/^(workgroup|storage)Barrier$|^workgroupUniformLoad$/.test(token))
      return { ...NOTHING, barrier: true };
    if (!this.workgroupArrays.has(token)) return NOTHING;
    const isStore = tokens[at - 1] === "&" ? tokens.includes("subgroupMatrixStore") : at === 0;
    return { ...NOTHING, [isStore ? "sharedStore" : "sharedLoad"]: true };
  }

  #arguments(
    { parameters }: Definition,
    values: readonly (readonly string[])[],
    scope: Scope,
    params: LaunchNumbers["params"] | null,
  ): Scope {
    return new Map(
      parameters.map(({ name }, i) => [name, this.evaluate(values[i] ?? [], scope, params)]),
    );
  }

  /** The value of an expression of whole numbers. */
  evaluate(tokens: readonly string[], scope: Scope, params: LaunchNumbers["params"] | null): Known {
    let at = 0;
    const primary = (): Known => {
      const token = tokens[at++] ?? "";
      let value: Known;
      if (token === "(") {
        value = binary(0);
        at++;
      } else if (token === "-") {
        const operand = primary();
        return typeof operand === "number" ? -operand : undefined;
      } else if (token === "!") {
        const operand = primary();
        return typeof operand === "number" ? Number(operand === 0) : undefined;
      } else if (/^\d/.test(token)) {
        value = Number(token.replace(/[uifh]$/, ""));
      } else if (token === "true" || token === "false") {
        value = Number(token === "true");
      } else if (tokens[at] === "(") {
        const close = closeOf(tokens, at);
        const values = splitAt(tokens.slice(at + 1, close), ",");
        at = close + 1;
        value = this.#call(token, values, scope, params);
      } else if (token === "params") {
        value = params ?? undefined;
      } else {
        value = scope.has(token) ? scope.get(token) : this.constants.get(token);
      }
      while (tokens[at] === "." || tokens[at] === "[") {
        if (tokens[at] === "[") {
          value = undefined;
          at = closeOf(tokens, at) + 1;
        } else {
          value = typeof value === "object" ? value[tokens[at + 1] ?? ""] : undefined;
          at += 2;
        }
      }
      return value;
    };
    const binary = (least: number): Known => {
      let left = primary();
      for (;;) {
        const operator = OPERATORS[tokens[at] ?? ""];
        if (operator === undefined || operator.rank < least) return left;
        at++;
        const right = binary(operator.rank + 1);
        left =
          typeof left === "number" && typeof right === "number"
            ? operator.apply(left, right)
            : undefined;
      }
    };
    return binary(0);
  }

  #call(
    name: string,
    values: readonly (readonly string[])[],
    scope: Scope,
    params: LaunchNumbers["params"] | null,
  ): Known {
    const own = this.functions.get(name);
    if (own !== undefined)
      return this.walk(own.body, this.#arguments(own, values, scope, params), params).returned;
    const known = values.map((value) => this.evaluate(value, scope, params));
    const [a, b, c] = known;
    if (!known.every((value) => typeof value === "number")) return undefined;
    switch (name) {
      case "u32":
      case "i32":
        return a;
      case "min":
        return Math.min(...(known as number[]));
      case "max":
        return Math.max(...(known as number[]));
      case "clamp":
        return Math.min(Math.max(a as number, b as number), c as number);
      case "select":
        return c !== 0 ? b : a;
      default:
        return undefined;
    }
  }
}

const OPERATORS: Readonly<Record<string, { rank: number; apply(a: number, b: number): number }>> = {
  "||": { rank: 1, apply: (a, b) => Number(a !== 0 || b !== 0) },
  "&&": { rank: 2, apply: (a, b) => Number(a !== 0 && b !== 0) },
  "|": { rank: 3, apply: (a, b) => a | b },
  "&": { rank: 3, apply: (a, b) => a & b },
  "==": { rank: 4, apply: (a, b) => Number(a === b) },
  "!=": { rank: 4, apply: (a, b) => Number(a !== b) },
  "<": { rank: 5, apply: (a, b) => Number(a < b) },
  ">": { rank: 5, apply: (a, b) => Number(a > b) },
  "<=": { rank: 5, apply: (a, b) => Number(a <= b) },
  ">=": { rank: 5, apply: (a, b) => Number(a >= b) },
  "<<": { rank: 6, apply: (a, b) => a << b },
  ">>": { rank: 6, apply: (a, b) => a >> b },
  "+": { rank: 7, apply: (a, b) => a + b },
  "-": { rank: 7, apply: (a, b) => a - b },
  "*": { rank: 8, apply: (a, b) => a * b },
  "/": { rank: 8, apply: (a, b) => Math.trunc(a / b) },
  "%": { rank: 8, apply: (a, b) => a % b },
};

/** Loops of the same text in several turns, with the mean of their turns. */
function averaged(turns: readonly (readonly SourceLoop[])[]): readonly SourceLoop[] {
  const [first = []] = turns;
  if (turns.some((loops) => loops.length !== first.length)) return first;
  return first.map((loop, i) => {
    const all = turns.map((loops) => loops[i] as SourceLoop);
    const counts = all.map((one) => one.turns);
    const sum = counts.every((count) => count !== null)
      ? counts.reduce((a, b) => (a as number) + (b as number), 0)
      : null;
    return {
      ...loop,
      turns: sum === null ? null : sum / all.length,
      inner: averaged(all.map(({ inner }) => inner)),
    };
  });
}
