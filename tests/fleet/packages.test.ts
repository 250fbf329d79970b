/** Packages of the fleet that are not installed. */
import { expect, it } from "vitest";
import { loaded } from "../../fleet/packages.ts";

it("says what to install", async () => {
  const name: string = "no-such-package";
  const load = () => import(name) as Promise<object>;
  await expect(loaded(["bullmq", "ioredis"], load)).rejects.toThrow(
    "rcod fleet needs packages that are not installed here. Run: npm install bullmq ioredis",
  );
  await expect(loaded(["@aws-sdk/client-s3"], load)).rejects.toThrow(
    "rcod fleet needs a package that is not installed here. Run: npm install @aws-sdk/client-s3",
  );
});

it("passes on what is broken in a package that is there", async () => {
  const broken = async () => {
    throw new SyntaxError("unexpected token");
  };
  await expect(loaded(["bullmq"], broken)).rejects.toThrow("unexpected token");
});
