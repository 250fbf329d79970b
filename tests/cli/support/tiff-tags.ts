/** A reader of TIFF tags of its own, for what ours has written: numbers and texts, of all lists, by `0x010f`. */
export function readTiffTags(bytes: Buffer): ReadonlyMap<string, string> {
  const isLittle = bytes.toString("latin1", 0, 2) === "II";
  const u16 = (at: number) => (isLittle ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at));
  const u32 = (at: number) => (isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  const found = new Map<string, string>();
  const list = (at: number): void => {
    for (let i = 0; i < u16(at); i++) {
      const entry = at + 2 + 12 * i;
      const id = `0x${u16(entry).toString(16).padStart(4, "0")}`;
      const [type, count] = [u16(entry + 2), u32(entry + 4)];
      if (type === 2) {
        const from = count > 4 ? u32(entry + 8) : entry + 8;
        found.set(id, bytes.toString("latin1", from, from + count).replace(/\0+$/, ""));
      } else if (type === 3) found.set(id, String(u16(entry + 8)));
      else if (type === 4) found.set(id, String(u32(entry + 8)));
      else if (type === 5) {
        const from = u32(entry + 8);
        found.set(id, String(u32(from) / u32(from + 4)));
      }
      if (id === "0x8769" || id === "0x8825") list(u32(entry + 8));
    }
  };
  list(u32(4));
  return found;
}
