/** The names under which values of a call's networks can be captured. */
import type { Graph } from "../../graph/ir/ir.ts";
import { stageGraphs } from "../networks/stage-graphs.ts";
import { vaeFactor } from "../settings/config.ts";
import type { ModelConfigs } from "../settings/model-configs.ts";
import type { NetworkStage } from "../settings/options.ts";

/** The stages with a network whose values can be captured, in order. */
export const NETWORK_STAGES = ["tokens", "encode", "unet", "decode"] as const;

/** What stages hand on, by stable names, and the stage that makes it. */
export const STAGE_VALUES = {
  tokens: "tokens",
  latents: "encode",
  eps: "unet",
  z: "unet",
} as const satisfies Readonly<Record<string, NetworkStage>>;

/** How the name of an attention's queries or keys ends. */
export const ATTENTION_OPERAND = /\.[qk]$/;

/** Names by stage. */
export type StageModules = Readonly<Record<NetworkStage, readonly string[]>>;

/** Everything that can be captured: stage values, module paths, and `.q` and `.k` of attention modules. */
export function stageModules(configs: ModelConfigs): StageModules {
  // As many latent pixels as let every level halve; names do not depend on sizes.
  const side = vaeFactor(configs.vae) * 2 ** configs.unet.blockOutChannels.length;
  const graphs = stageGraphs(configs, side, side, "f32");
  const names = (stage: NetworkStage, { named, nodes }: Graph): readonly string[] => [
    ...Object.entries(STAGE_VALUES).flatMap(([name, from]) => (from === stage ? [name] : [])),
    ...named.keys(),
    ...nodes.flatMap(({ op, path }) => (op.kind === "attention" ? [`${path}.q`, `${path}.k`] : [])),
  ];
  return {
    tokens: names("tokens", graphs.tokens),
    encode: names("encode", graphs.encode),
    unet: names("unet", graphs.unet),
    decode: names("decode", graphs.decode),
  };
}
