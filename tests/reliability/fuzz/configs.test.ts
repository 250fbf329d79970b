/** A sample of the damaged texts; all of them: `npm run reliability:configs`. */
import { describe, expect, it } from "vitest";
import { configTargets } from "./configs.ts";
import { tryFiles } from "./try-files.ts";

describe.each(configTargets)("$name, damaged", (target) => {
  it("is read as it is, or refused in words", async () => {
    const { answers, failures, files } = await tryFiles(target, 0, 150);
    expect(failures).toEqual([]);
    // Damage that is never read, or never refused, tries nothing.
    const read = answers.get("read") ?? 0;
    expect(read).toBeGreaterThan(5);
    expect(read).toBeLessThan(files - 50);
    expect(answers.size).toBeGreaterThan(1);
  });
});
