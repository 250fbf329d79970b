/** Numbers that went wrong on the way through the networks. */

/**
 * A network has computed NaN or infinity from finite weights. The message names the stage and the module that did so
 * first. There is no picture.
 */
export class NumbersError extends Error {
  /** The class, for code that sees several copies of it. */
  override readonly name = "NumbersError";
}
