/** `npm ci` on any machine: what package-lock.json must hold for it. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

interface LockedPackage {
  readonly version?: string;
  readonly resolved?: string;
  readonly optional?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), "utf8"));
const { packages } = read("package-lock.json") as {
  readonly packages: Readonly<Record<string, LockedPackage>>;
};

it("fits package.json", () => {
  const manifest = read("package.json") as LockedPackage;
  const root = packages[""];
  expect(root?.devDependencies).toEqual(manifest.devDependencies);
  expect(root?.optionalDependencies).toEqual(manifest.optionalDependencies);
  expect(manifest.dependencies).toBeUndefined(); // the library stands alone
});

it("names no registry", () => {
  const named = Object.entries(packages).filter(([, { resolved }]) => resolved !== undefined);
  expect(named.map(([path]) => path)).toEqual([]);
});

// npm leaves out optional packages that its registry does not serve, and `npm ci` then refuses the file.
it("holds the builds for every platform, also those that this one cannot use", () => {
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) =>
    Object.keys(optionalDependencies).filter(
      (name) =>
        packages[`node_modules/${name}`] === undefined &&
        packages[`${path}/node_modules/${name}`] === undefined,
    ),
  );
  expect(missing).toEqual([]);
});
