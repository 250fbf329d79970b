/** Hands a file to another app of the device, where the browser can. */

export function canShareFiles(): boolean {
  if (typeof navigator.canShare !== "function") return false;
  return navigator.canShare({ files: [new File([], "picture.png", { type: "image/png" })] });
}

/** The last file made, and what it was made of. */
let kept: { readonly key: string; readonly file: File } | null = null;

/**
 * Shares what `make` makes, and says what became of it. A browser allows this for some seconds after the click, and a large
 * picture takes longer to make: then the file is kept for a second click. `key` tells one content from another.
 */
export async function shareFile(key: string, make: () => Promise<File>): Promise<string> {
  kept = kept?.key === key ? kept : { key, file: await make() };
  const { file } = kept;
  try {
    await navigator.share({ files: [file] });
    return "";
  } catch (error) {
    const name = error instanceof Error ? error.name : "";
    if (name === "AbortError") return ""; // the visitor closed the choice of apps
    if (name === "NotAllowedError") return "The picture is ready: press Share once more.";
    throw error;
  }
}
