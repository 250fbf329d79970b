/**
 * transformers' CLIPVisionModel up to `last_hidden_state` (no post_layernorm). With RCOD's token projection it is the
 * Visual Prompt Injection Module (paper §3.3).
 */
import type { GraphBuilder, WeightScope } from "../../graph/ir/builder.ts";
import type { Value } from "../../graph/ir/ir.ts";
import { channelsOf } from "../../graph/ir/ir.ts";
import type { ClipConfig } from "../settings/config.ts";

/** pixels [1, S, S, 3] → last_hidden_state [1, T, hiddenSize]. Scope: the root of the checkpoint. */
export function clipVisionModel(
  g: GraphBuilder,
  root: WeightScope,
  pixels: Value,
  config: ClipConfig,
): Value {
  const w = root.at("vision_model");
  const { hiddenSize, patchSize, layerNormEps } = config;
  const embeddings = w.at("embeddings");
  const patches = g.conv2d(pixels, embeddings.at("patch_embedding"), {
    outChannels: hiddenSize,
    kernelSize: patchSize,
    stride: patchSize,
    padding: 0,
    bias: false,
  });
  g.name(embeddings.at("patch_embedding").path, patches);
  const [batch = 1, rows = 1, columns = 1] = patches.shape;
  let h = g.tokenEmbeddings(g.reshape(patches, [batch, rows * columns, hiddenSize]), embeddings);
  g.name(embeddings.path, h);
  h = g.layerNorm(h, w.at("pre_layrnorm"), layerNormEps); // the checkpoint's spelling
  g.name(w.at("pre_layrnorm").path, h);
  for (let layer = 0; layer < config.numLayers; layer++) {
    h = clipEncoderLayer(g, w.at(`encoder.layers.${layer}`), h, config);
  }
  return h;
}

/** One pre-norm layer with quick_gelu: x [B, T, C] → [B, T, C]. */
export function clipEncoderLayer(
  g: GraphBuilder,
  w: WeightScope,
  x: Value,
  config: Pick<ClipConfig, "numHeads" | "intermediateSize" | "layerNormEps">,
): Value {
  const channels = channelsOf(x);
  const { numHeads, intermediateSize, layerNormEps } = config;
  const normed = g.layerNorm(x, w.at("layer_norm1"), layerNormEps);
  const attn = w.at("self_attn");
  const q = g.linear(normed, attn.at("q_proj"), channels, true);
  const k = g.linear(normed, attn.at("k_proj"), channels, true);
  const v = g.linear(normed, attn.at("v_proj"), channels, true);
  const attended = g.attention(
    q,
    k,
    v,
    { numHeads, scale: (channels / numHeads) ** -0.5 },
    attn.path,
  );
  let h = g.add(x, g.linear(attended, attn.at("out_proj"), channels, true), w.path);
  let mlp = g.layerNorm(h, w.at("layer_norm2"), layerNormEps);
  mlp = g.linear(mlp, w.at("mlp").at("fc1"), intermediateSize, true);
  mlp = g.activation(mlp, "quick_gelu", w.at("mlp").path);
  mlp = g.linear(mlp, w.at("mlp").at("fc2"), channels, true);
  h = g.add(h, mlp, w.path);
  return g.name(w.path, h);
}
