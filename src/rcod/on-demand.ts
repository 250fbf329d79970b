/**
 * What few images and models need, loaded when it is needed: tuning, inspecting, latents and the VAE in tiles, RCOD_S. One module, as bundlers make
 * a file of its own of whatever one of them shares with the rest.
 */
export { tuneModel } from "./autotune.ts";
export { adaptToImage } from "./degradation-stage.ts";
export { modulatedUpdates, openDegradation, readTables } from "./rcod-s-checkpoint.ts";
export { checkWhole, collectEncoded } from "./inspect-call.ts";
export { Inspector } from "./inspector.ts";
export { blendPredictions } from "./latent-blend.ts";
export { TiledVae } from "./tiled-vae.ts";
