/** What Vite adds to modules here. */

/** Of package.json. */
declare const __VERSION__: string;

interface ImportMeta {
  readonly env: { readonly DEV: boolean };
}

/** Sorted names of a folder of the page, and bytes by name (build/served-files.ts). */
declare module "virtual:files/*" {
  const names: readonly string[];
  export default names;
  export const sizes: Readonly<Record<string, number>>;
}

declare module "*.css";

/** A picture's address. */
declare module "*.webp" {
  const address: string;
  export default address;
}
