/** Every kernel: problems to dispatch records. See `kernel.ts` for the contract. */
export type {} from "../web-types.ts";
export { affineActivation } from "./norm/affine-activation.ts";
export type { AffineActivationProblem } from "./norm/affine-activation.ts";
export { attention } from "./attention/attention.ts";
export type { AttentionProblem } from "./attention/attention.ts";
export { channelAdd } from "./pointwise/channel-add.ts";
export type { ChannelAddProblem } from "./pointwise/channel-add.ts";
export { channelMean } from "./norm/channel-mean.ts";
export type { ChannelMeanProblem } from "./norm/channel-mean.ts";
export { channelStats } from "./norm/channel-stats.ts";
export type {
  ChannelStatsProblem,
  PartialCounts,
  Statistics,
  ChannelsPerEntry,
  StatisticsTiles,
} from "./norm/channel-stats.ts";
export { adainColorFix, waveletColorFix } from "./image/color-fix.ts";
export type { AdainProblem, WaveletProblem } from "./image/color-fix.ts";
export { colorMoments, colorMerge } from "./image/color-moments.ts";
export type { ColorMomentsProblem, ColorMergeProblem } from "./image/color-moments.ts";
export { concatChannels } from "./pointwise/concat-channels.ts";
export type { ConcatChannelsProblem } from "./pointwise/concat-channels.ts";
export { conv2d } from "./contraction/conv2d.ts";
export type { Conv2dProblem } from "./contraction/conv2d.ts";
export { crop } from "./image/crop.ts";
export type { CropProblem } from "./image/crop.ts";
export { elementwise } from "./pointwise/elementwise.ts";
export type { ElementwiseProblem } from "./pointwise/elementwise.ts";
export { geglu } from "./pointwise/geglu.ts";
export type { GegluProblem } from "./pointwise/geglu.ts";
export { groupNormAffine } from "./norm/group-norm-affine.ts";
export type { GroupNormAffineProblem } from "./norm/group-norm-affine.ts";
export type { GroupNormOfSources, GroupNormSource, GroupNormSources } from "./norm/group-sums.ts";
export type { MergedNorm } from "./contraction/merged-norm.ts";
export { mergeStats } from "./norm/merge-stats.ts";
export type { MergeStatsProblem } from "./norm/merge-stats.ts";
export { hiddenColors } from "./image/hidden-colors.ts";
export type { HiddenColorsProblem } from "./image/hidden-colors.ts";
export { imageToTensor } from "./image/image-to-tensor.ts";
export type { ImageToTensorProblem } from "./image/image-to-tensor.ts";
export { keepFlat } from "./image/keep-flat.ts";
export type { KeepFlatProblem } from "./image/keep-flat.ts";
export { layerNorm } from "./norm/layer-norm.ts";
export type { LayerNormProblem } from "./norm/layer-norm.ts";
export { linear } from "./contraction/linear.ts";
export type { LinearProblem } from "./contraction/linear.ts";
export { modulateLora } from "./contraction/modulate-lora.ts";
export type { ModulateLoraProblem } from "./contraction/modulate-lora.ts";
export { packWeight } from "./contraction/pack-weight.ts";
export type { PackWeightProblem } from "./contraction/pack-weight.ts";
export { padEdges } from "./image/pad-edges.ts";
export type { PadEdgesProblem } from "./image/pad-edges.ts";
export { replaceAlpha } from "./image/replace-alpha.ts";
export type { ReplaceAlphaProblem } from "./image/replace-alpha.ts";
export { resizeF32 } from "./image/resize-f32.ts";
export type { ResizeF32Problem } from "./image/resize-f32.ts";
export { resizeU8 } from "./image/resize-u8.ts";
export type { ResizeU8Problem } from "./image/resize-u8.ts";
export { sliceChannels } from "./pointwise/slice-channels.ts";
export type { SliceChannelsProblem } from "./pointwise/slice-channels.ts";
export { tensorToImage } from "./image/tensor-to-image.ts";
export type { TensorToImageProblem } from "./image/tensor-to-image.ts";
export { tileClear, tileAccumulate, tileNormalise } from "./image/tile-blend.ts";
export type {
  TileClearProblem,
  TileAccumulateProblem,
  TileNormaliseProblem,
} from "./image/tile-blend.ts";
export { tokenEmbeddings } from "./pointwise/token-embeddings.ts";
export type { TokenEmbeddingsProblem } from "./pointwise/token-embeddings.ts";
export { upsampleNearest } from "./pointwise/upsample-nearest.ts";
export type { UpsampleNearestProblem } from "./pointwise/upsample-nearest.ts";
export { KERNEL_VARIANTS } from "./variant-choice.ts";
export type { VariantChoice } from "./variant-choice.ts";
export type { Cost, Dispatch, Kernel, KernelPlan } from "./kernel.ts";
export { dispatch, f32, i32, reads, u32, writes } from "./kernel.ts";
export type { Operand, Param, ShaderHeader } from "../gpu/wgsl.ts";
export { foldWorkgroups } from "../gpu/wgsl.ts";
export { quadCount } from "../gpu/shape.ts";
export type { Activation } from "./pointwise/activation.ts";
export type { IntegerStorage, WeightStorage } from "./quantized/storage.ts";
export type { Epilogue } from "./contraction/epilogue.ts";
export type { TileStatistics } from "./contraction/gemm-tiled.ts";
export type { InputNorm } from "./contraction/loads.ts";
export type { LayerNormOnLoad } from "./contraction/layer-norm-on-load.ts";
