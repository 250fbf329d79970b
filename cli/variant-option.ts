/** The option `--variant kernel=name`, repeatable. */
import type { VariantChoice } from "../src/kernels/variant-choice.ts";
import { KERNEL_VARIANTS, unknownVariant, variantRounds } from "../src/kernels/variant-choice.ts";
import { variantPair } from "./command.ts";
import { usageError } from "./errors.ts";

/**
 * What `--variant` forces, as choices to run one after another: `kernel=name` holds in all of them, `kernel=all`
 * and `all` take each variant in turn. Throws `CliError` for what is no pair or does not exist.
 */
export function parseVariantRounds(texts: readonly string[]): readonly VariantChoice[] {
  const fixed: Record<string, string> = {};
  const turning: string[] = [];
  for (const text of texts) {
    if (text === "all") {
      turning.push(...Object.keys(KERNEL_VARIANTS));
      continue;
    }
    const [kernel, variant] = variantPair(text);
    const unknown = unknownVariant(kernel, variant === "all" ? null : variant);
    if (unknown !== null) throw usageError(`--variant: ${unknown}, all`);
    if (variant === "all") turning.push(kernel);
    else fixed[kernel] = variant;
  }
  const rounds = turning.length === 0 ? [{}] : variantRounds(turning);
  return rounds.map((round) => ({ ...round, ...fixed }));
}
