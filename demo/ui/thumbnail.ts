/** A small picture that is in memory; until it is there, a sign in its place. */
import { ICONS, h, icon } from "./dom.ts";

export interface ThumbnailView {
  readonly element: HTMLElement;
  /** Null shows the sign, and frees what was shown. */
  readonly show: (blob: Blob | null) => void;
}

/** Without words of its own: what it stands beside says what it is. */
export function createThumbnail(className: string): ThumbnailView {
  const image = h("img", { alt: "", draggable: "false", decoding: "async", hidden: true });
  const element = h("span", { class: `thumbnail ${className}` }, icon(ICONS.image), image);
  let shown: Blob | null = null;
  let address = "";
  return {
    element,
    show(blob) {
      if (blob === shown) return;
      shown = blob;
      if (address) URL.revokeObjectURL(address);
      address = blob ? URL.createObjectURL(blob) : "";
      image.hidden = blob === null;
      if (blob) image.src = address;
      else image.removeAttribute("src");
    },
  };
}
