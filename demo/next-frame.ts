/** Frames of page or worker. */

/** Resolves when the next frame is to be drawn. Hidden pages have none. */
export function nextFrame(): Promise<void> {
  return new Promise((resolve) => {
    // Absent from workers in older browsers.
    if (typeof requestAnimationFrame === "function") requestAnimationFrame(() => resolve());
    else setTimeout(resolve, 16);
  });
}

/** Resolves when what waits to be done or drawn had its turn, also on hidden pages. */
export async function takeTurns(): Promise<void> {
  await Promise.race([nextFrame(), new Promise((done) => setTimeout(done, 50))]);
  // A frame is asked for before it is drawn: what follows is a task of its own.
  await new Promise((done) => setTimeout(done));
}
