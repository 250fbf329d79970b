/** Pictures in memory as elements. */
import { h } from "./dom.ts";

export interface BlobImage {
  readonly element: HTMLImageElement;
  /** Null shows nothing. */
  readonly show: (blob: Blob | null) => void;
}

/** An image without words of its own: what it stands beside says what it is. */
export function createBlobImage(className: string): BlobImage {
  const element = h("img", { class: className, alt: "", draggable: "false", decoding: "async" });
  let shown: Blob | null = null;
  let address = "";
  return {
    element,
    show(blob) {
      if (blob === shown) return;
      shown = blob;
      if (address) URL.revokeObjectURL(address);
      address = blob ? URL.createObjectURL(blob) : "";
      if (blob) element.src = address;
      else element.removeAttribute("src");
    },
  };
}
