/** A file input that also takes what is dropped on it. */
import { field, h } from "../../ui/dom.ts";

export function dropField(onFiles: (files: readonly File[]) => void): HTMLElement {
  const input = h("input", {
    type: "file",
    accept: ".safetensors",
    multiple: true,
    class: "input",
  });
  input.addEventListener("change", () => {
    onFiles([...(input.files ?? [])]);
    input.value = "";
  });
  const element = h(
    "div",
    { class: "drop-field" },
    field("Or golden files of your own (.safetensors): choose them, or drop them here", input),
  );
  // The page has a curtain for pictures, which would hide the field.
  element.addEventListener("dragenter", (event) => {
    event.preventDefault();
    event.stopPropagation();
  });
  element.addEventListener("dragover", (event) => {
    event.preventDefault();
    event.stopPropagation();
    element.classList.add("is-over");
  });
  element.addEventListener("dragleave", (event) => {
    event.stopPropagation();
    element.classList.remove("is-over");
  });
  element.addEventListener("drop", (event) => {
    event.preventDefault(); // by this the page knows that it is taken
    element.classList.remove("is-over");
    onFiles([...(event.dataTransfer?.files ?? [])]);
  });
  return element;
}
