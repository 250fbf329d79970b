/**
 * RCOD_O from end to end at full size: tokens, encoder, UNet at each stored timestep, decoder. One network is on
 * the device at a time. CLIP's pixels are an input of the case, already normalised: this checks the networks, not
 * the resize.
 */
import type { CaseRunner } from "../runner/run-case.ts";
import { compareResults, networkWeights, readInput } from "../runner/run-case.ts";
import { CLIP_L14, unetConfigOf, vaeConfigOf } from "./case-configs.ts";
import type { Results } from "./stages.ts";
import { decodeAt, denoise, latentOf, tokensOf } from "./stages.ts";

/** For a case without `op`, `block` and `model`, but with a list of timesteps. */
export const pipelineCase: CaseRunner = async ({ golden, session }) => {
  const { parameters, outputs } = golden;
  const unet = unetConfigOf(parameters, "unet_config");
  const vae = {
    ...vaeConfigOf(parameters, "vae_config"),
    scalingFactor: parameters.number("scaling_factor"),
  };
  const weights = (network: string) => networkWeights(golden, network);
  const has = (...names: readonly string[]): boolean =>
    names.some((name) => outputs.includes(name));

  const pixels = await readInput(golden, "clip_pixel_values");
  const { tokens } = await tokensOf(session, weights("clip"), pixels, CLIP_L14, unet);
  const image = await readInput(golden, "x");
  const { latent } = await latentOf(session, weights("vae encoder"), image, vae);
  const timesteps = parameters
    .numbers("timesteps")
    .filter((t) => outputs.some((name) => name.endsWith(`_t${t}`)));
  const latents = timesteps.map((timestep) => ({ suffix: `_t${timestep}`, timestep, latent }));
  const alpha = parameters.number("alpha");
  const denoised = await denoise(session, weights("unet"), unet, alpha, tokens, latents);
  const decoded = await decodeAt(
    session,
    weights("vae decoder"),
    vae,
    timesteps.filter((t) => has(`out_t${t}`, `raw_t${t}`)),
    denoised,
  );
  const pictures = Object.entries(decoded).map(
    ([name, result]) => [name.replace("image_t", "out_t"), result] as const,
  );
  const results: Results = { tokens, latent, ...denoised, ...Object.fromEntries(pictures) };
  // x0 and raw are stored without errors of their own: x0 has those of its operands, raw those of what is clamped.
  const relatives = Object.fromEntries(
    timesteps.flatMap((t) => [
      [`x0_t${t}`, ["latent", `eps_t${t}`]],
      [`raw_t${t}`, [`out_t${t}`]],
    ]),
  );
  return compareResults(golden, session.dtype, results, relatives);
};
