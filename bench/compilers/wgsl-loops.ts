/**
 * How often the loops of a shader turn, from its text and the numbers of a dispatch. Compilers do not tell, and a loop of
 * machine code is worth as much as it turns.
 *
 * Reads the part of WGSL that the kernels use: functions, `let`, `var`, `if`, `for`, calls. Follows the first invocation of
 * the first workgroup.
 */
import type { Call, Definition, Statement, Tokens } from "./wgsl-statements.ts";
import {
  callsOf,
  closeOf,
  functionAt,
  splitAt,
  statementsOf,
  tokensOf,
  valueOf,
} from "./wgsl-statements.ts";

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
type Params = LaunchNumbers["params"] | null;

/** What a run of statements comes to. */
interface Walk {
  loops: SourceLoop[];
  touches: Touches;
  /** Variables of outer blocks that are given other values. */
  assigned: Set<string>;
  returned: Known;
  hasReturned: boolean;
}

const emptyWalk = (): Walk => ({
  loops: [],
  touches: NOTHING,
  assigned: new Set(),
  returned: undefined,
  hasReturned: false,
});

type Loop = Extract<Statement, { kind: "for" }>;

/** Turns of a loop that are followed to see how its inner loops turn. */
const MOST_FOLLOWED = 16;

/** The loops of a branch that is not taken: they are in the code, and do not turn. */
const leftOut = ({ loops, touches }: Walk): Walk => ({
  ...emptyWalk(),
  touches,
  loops: loops.map((loop) => ({ ...loop, turns: 0 })),
});

/** The loops of `main`, in their order; first those with which Tint clears workgroup memory. */
export function sourceLoops(code: string, numbers: LaunchNumbers): readonly SourceLoop[] {
  const reader = readerOf(code);
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

/** A shader is asked about several times in a row, for each of its uses. */
let latest: { readonly code: string; readonly reader: Reader } | null = null;
function readerOf(code: string): Reader {
  if (latest?.code !== code) latest = { code, reader: new Reader(tokensOf(code)) };
  return latest.reader;
}

/** The value of an expression of a shader's constants; null where it is not known before the shader runs. */
export function constantOf(code: string, expression: string): number | null {
  const value = readerOf(code).evaluate(tokensOf(expression), new Map(), null);
  return typeof value === "number" ? value : null;
}

class Reader {
  readonly functions = new Map<string, Definition>();
  readonly constants: Scope = new Map();
  /** What differs between invocations of a workgroup: a loop from there to a constant may be unrolled too. */
  readonly lanes: Scope = new Map();
  readonly workgroupArrays = new Set<string>();

  constructor(tokens: Tokens) {
    for (let i = 0; i < tokens.length; i++) {
      if (tokens[i] === "fn") {
        const { name, definition, end } = functionAt(tokens, i);
        this.functions.set(name, definition);
        i = end;
      } else if (tokens[i] === "const") {
        const end = tokens.indexOf(";", i);
        const value = tokens.slice(tokens.indexOf("=", i) + 1, end);
        this.constants.set(tokens[i + 1] ?? "", this.evaluate(value, new Map(), null));
        i = end;
      } else if (tokens[i] === "var" && tokens[i + 2] === "workgroup") {
        this.workgroupArrays.add(tokens[i + 4] ?? "");
      }
    }
  }

  /** Follows statements. `params` null: only constants are known. */
  walk(body: Tokens, scope: Scope, params: Params): Walk {
    const result = emptyWalk();
    const declared = new Set<string>();
    const add = (walk: Walk): void => {
      result.loops.push(...walk.loops);
      result.touches = both(result.touches, walk.touches);
      for (const name of walk.assigned) if (!declared.has(name)) result.assigned.add(name);
    };
    // Whether an `else` that follows is left out.
    let isDecided = false;
    for (const statement of statementsOf(body)) {
      if (statement.kind === "block") {
        const inside = new Map(scope);
        const walk = this.walk(statement.body, inside, params);
        for (const name of walk.assigned) scope.set(name, inside.get(name));
        add(walk);
      } else if (statement.kind === "for") {
        add(this.#loop(statement, scope, params));
      } else if (statement.kind === "if") {
        const { condition, isElse } = statement;
        add(this.#calls(condition, scope, params));
        const value = condition.length === 0 ? 1 : this.evaluate(condition, scope, params);
        const isLeftOut = value === 0 || (isElse && isDecided);
        isDecided = (isElse && isDecided) || (typeof value === "number" && value !== 0);
        // A branch that is not known to be left out is taken, and so is the other.
        const walk = this.walk(statement.body, new Map(scope), params);
        if (!isLeftOut) for (const name of walk.assigned) scope.set(name, undefined);
        add(isLeftOut ? leftOut(walk) : walk);
      } else {
        add(this.#plain(statement.tokens, scope, params, result, declared));
      }
    }
    return result;
  }

  #plain(
    statement: Tokens,
    scope: Scope,
    params: Params,
    result: Walk,
    declared: Set<string>,
  ): Walk {
    const [word = "", name = ""] = statement;
    const walk = this.#calls(statement, scope, params);
    if (word === "let" || word === "var") {
      // var name: type = …
      scope.set(name, this.evaluate(valueOf(statement), scope, params));
      declared.add(name);
    } else if (word === "return") {
      if (!result.hasReturned) result.returned = this.evaluate(statement.slice(1), scope, params);
      result.hasReturned = true;
    } else if (scope.has(word)) {
      scope.set(word, this.#assigned(statement, scope, params));
      walk.assigned.add(word);
    }
    return walk;
  }

  /** What a variable is after a statement that begins with its name. */
  #assigned([name = "", operator = "", ...value]: Tokens, scope: Scope, params: Params): Known {
    if (operator === "=") return this.evaluate(value, scope, params);
    const [, sign = ""] = /^([-+*/])=$/.exec(operator) ?? [];
    if (sign === "") return undefined; // an element, a pointer, ++
    return this.evaluate([name, sign, "(", ...value, ")"], scope, params);
  }

  #loop(loop: Loop, scope: Scope, params: Params): Walk {
    const { name, isOwn, first, step, body } = loop;
    const turns = this.#turns(loop, scope, params);
    const isConstant =
      params === null ? turns !== null : this.#turns(loop, this.lanes, null) !== null;
    const begin = this.evaluate(first, scope, params);
    const stride = this.#stride(step, scope, params) ?? 0;
    const isCounted = typeof begin === "number" && stride > 0;
    const inside = new Map(scope);
    const walkTurn = (turn: number): Walk => {
      inside.set(name, isCounted ? begin + turn * stride : undefined);
      return this.walk(body, inside, params);
    };
    const walk = walkTurn(0);
    // Inner loops may depend on the turn, so a few are followed and their turns averaged.
    const isFollowed = walk.loops.length > 0 && isCounted;
    const followed = isFollowed ? Math.min(Math.ceil(turns ?? 1), MOST_FOLLOWED) : 1;
    const others = Array.from({ length: Math.max(0, followed - 1) }, (_, i) => walkTurn(i + 1));
    const inner = averaged([walk, ...others].map(({ loops }) => loops));
    const { touches, assigned } = walk;
    if (isOwn) assigned.delete(name);
    else assigned.add(name);
    inside.set(name, isCounted && turns !== null ? begin + turns * stride : undefined);
    if (turns !== 0)
      for (const one of assigned)
        scope.set(one, followed === turns || one === name ? inside.get(one) : undefined);
    return { ...emptyWalk(), touches, assigned, loops: [{ turns, isConstant, touches, inner }] };
  }

  #stride(step: Tokens, scope: Scope, params: Params): number | null {
    if (step[1] === "++") return 1;
    const value = step[1] === "+=" ? this.evaluate(step.slice(2), scope, params) : undefined;
    return typeof value === "number" ? value : null;
  }

  #turns({ name, first, condition, step }: Loop, scope: Scope, params: Params): number | null {
    const begin = this.evaluate(first, scope, params);
    // for (var i = n; i > 0u; i >>= 1u)
    if (step[1] === ">>=" || step.slice(1, 3).join("") === ">>=") {
      return typeof begin === "number" ? Math.ceil(Math.log2(begin + 1)) : null;
    }
    const stride = this.#stride(step, scope, params);
    if (typeof begin !== "number" || stride === null) return null;
    // i < a && i + b <= c: the least of the bounds that are known.
    const bounds = splitAt(condition, "&&").flatMap((part) => {
      const at = part.findIndex((token) => token === "<" || token === "<=");
      if (at < 0 || !part.slice(0, at).includes(name)) return [];
      const offset = this.evaluate(part.slice(0, at), new Map(scope).set(name, 0), params);
      const limit = this.evaluate(part.slice(at + 1), scope, params);
      if (typeof offset !== "number" || typeof limit !== "number") return [];
      return [limit - offset + (part[at] === "<=" ? 1 : 0)];
    });
    if (bounds.length === 0) return null;
    return Math.max(0, Math.ceil((Math.min(...bounds) - begin) / stride));
  }

  /** The loops of the functions that an expression calls. */
  #calls(tokens: Tokens, scope: Scope, params: Params): Walk {
    const result = emptyWalk();
    tokens.forEach((token, i) => {
      result.touches = both(result.touches, this.#touchesOf(tokens, i));
      // f(&name): nobody follows what the function does with it.
      const name = tokens[i + 1] ?? "";
      if (token !== "&" || !/^[(,]$/.test(tokens[i - 1] ?? "") || !scope.has(name)) return;
      scope.set(name, undefined);
      result.assigned.add(name);
    });
    for (const { name, values } of callsOf(tokens)) {
      const called = this.functions.get(name);
      if (called === undefined) continue;
      const walk = this.walk(called.body, this.#arguments(called, values, scope, params), params);
      result.loops.push(...walk.loops);
      result.touches = both(result.touches, walk.touches);
    }
    return result;
  }

  #touchesOf(tokens: Tokens, at: number): Touches {
    const token = tokens[at] as string;
    if (/^(workgroup|storage)Barrier$|^workgroupUniformLoad$/.test(token))
      return { ...NOTHING, barrier: true };
    if (!this.workgroupArrays.has(token)) return NOTHING;
    const isStore = tokens[at - 1] === "&" ? tokens.includes("subgroupMatrixStore") : at === 0;
    return { ...NOTHING, [isStore ? "sharedStore" : "sharedLoad"]: true };
  }

  #arguments(
    { parameters }: Definition,
    values: Call["values"],
    scope: Scope,
    params: Params,
  ): Scope {
    return new Map(
      parameters.map(({ name }, i) => [name, this.evaluate(values[i] ?? [], scope, params)]),
    );
  }

  /** The value of an expression of whole numbers. */
  evaluate(tokens: Tokens, scope: Scope, params: Params): Known {
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

  #call(name: string, values: Call["values"], scope: Scope, params: Params): Known {
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
        return Math.min(...known);
      case "max":
        return Math.max(...known);
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
    const sum = counts.every((count) => count !== null) ? counts.reduce((a, b) => a + b, 0) : null;
    return {
      ...loop,
      turns: sum === null ? null : sum / all.length,
      inner: averaged(all.map(({ inner }) => inner)),
    };
  });
}
