/** Where focus goes when what has it goes away. */

/** The first button beside an item of a list that is about to be removed; null where it is alone. */
export function buttonBeside(item: HTMLElement): HTMLElement | null {
  const beside = item.nextElementSibling ?? item.previousElementSibling;
  return beside?.querySelector("button") ?? null;
}
