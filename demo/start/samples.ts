/** Photos that come with the page, one of each kind that visitors have (examples/photos). */

export interface Sample {
  /** The file in `photos/`. */
  readonly name: string;
  readonly title: string;
}

export const SAMPLES: readonly Sample[] = [
  { name: "boats.png", title: "Landscape" },
  { name: "astronaut.jpg", title: "Portrait" },
  { name: "handwriting.png", title: "Text" },
  { name: "cat.jpg", title: "Old JPEG" },
];
