/** RGBA bytes of an enlarged image whose flat areas have the colours of `source`, where most of the source is flat. */
export function keepFlat(
  source: ArrayLike<number>,
  [width, height]: readonly [number, number],
  scale: number,
  image: ArrayLike<number>,
): number[] {
  const colorAt = (x: number, y: number): string => {
    const at =
      (Math.min(Math.max(y, 0), height - 1) * width + Math.min(Math.max(x, 0), width - 1)) * 4;
    return `${source[at]},${source[at + 1]},${source[at + 2]}`;
  };
  const isFlat = (x: number, y: number, reach: number): boolean => {
    for (let dy = -reach; dy <= reach; dy++) {
      for (let dx = -reach; dx <= reach; dx++) {
        if (colorAt(x + dx, y + dy) !== colorAt(x, y)) return false;
      }
    }
    return true;
  };
  const flatness: (0 | 1 | 2)[] = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) flatness.push(isFlat(x, y, 2) ? 2 : isFlat(x, y, 1) ? 1 : 0);
  }
  const out = Array.from(image);
  if (2 * flatness.filter((flat) => flat > 0).length < width * height) return out;
  for (let y = 0; y < height * scale; y++) {
    for (let x = 0; x < width * scale; x++) {
      const place = Math.floor(y / scale) * width + Math.floor(x / scale);
      for (let c = 0; c < 3; c++) {
        const at = (y * width * scale + x) * 4 + c;
        const color = source[place * 4 + c] as number;
        if (flatness[place] === 2) out[at] = color;
        if (flatness[place] === 1) out[at] = Math.floor(((out[at] as number) + color + 1) / 2);
      }
    }
  }
  return out;
}
