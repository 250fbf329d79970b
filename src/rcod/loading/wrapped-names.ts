/**
 * Files whose tensors are wrapped in what a training script put around them: `{"state_dict": …}` and the like, and the
 * prefixes of DistributedDataParallel (`module.`) and torch.compile (`_orig_mod.`). Loaded only for such files.
 */
import { listSome, quoted } from "../../weights/errors.ts";
import type { WeightFile } from "../../weights/index.ts";
import { renamedStore } from "../../weights/index.ts";

/** Keys of dictionaries around a model, those first that hold its better weights: averaged before current ones. */
const WRAPPERS = ["params_ema", "params", "state_dict", "model_state_dict", "model", "weights"];

/** Prefixes of wrapped modules, at the start or behind the key of a part of RCOD's checkpoint. */
const PREFIXES = /^(state_dict_\w+\.)?(?:(?:module|_orig_mod)\.)+/;
const PREFIXED = /(?:^|\.)(?:module|_orig_mod)\./;

/** The file without what is around its tensors; says what was taken away. Takes the file over. */
export function unwrapped(file: WeightFile, onWarning: (message: string) => void): WeightFile {
  const names = [...file.store.names()];
  // Dictionaries may lie in each other, with prefixes in between: {"model": {"module.state_dict": …}}.
  const keys: string[] = [];
  const plainName = (name: string): string | null => {
    let plain = withoutPrefixes(name);
    for (const key of keys) {
      if (!plain.startsWith(`${key}.`)) return null;
      plain = withoutPrefixes(plain.slice(key.length + 1));
    }
    return plain;
  };
  for (;;) {
    const plain = names.map(plainName).filter((name) => name !== null);
    const key = WRAPPERS.find((wrapper) => isAround(wrapper, plain));
    if (key === undefined) break;
    keys.push(key);
  }
  const dropped = names.filter((name) => plainName(name) === null).map(quoted);
  const what = [
    ...(keys.length === 0 ? [] : [`the dictionary ${quoted(keys.join("."))} is read`]),
    ...(names.some((name) => PREFIXED.test(name))
      ? ["the prefixes module. and _orig_mod. are left out"]
      : []),
    ...(dropped.length === 0
      ? []
      : [`${dropped.length} tensors beside it are not used: ${listSome(dropped)}`]),
  ];
  if (what.length === 0) return file;
  onWarning(`${file.store.name}: ${what.join("; ")}`);
  const values = new Map(file.values);
  for (const [name, value] of file.values) values.set(plainName(name) ?? name, value);
  return { ...file, store: renamedStore(file.store, plainName), values };
}

function withoutPrefixes(name: string): string {
  return name.replace(PREFIXES, "$1");
}

/** Whether a key is around a model. Of the names that models have themselves only `model.diffusion_model` looks like it. */
function isAround(key: string, names: readonly string[]): boolean {
  return names.some(
    (name) => name.startsWith(`${key}.`) && !name.startsWith("model.diffusion_model."),
  );
}
