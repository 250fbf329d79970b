/** What Vite adds to modules here. */

interface ImportMeta {
  readonly env: { readonly DEV: boolean };
}

/** Sorted names of a copied folder (build/copied-folders.ts). */
declare module "virtual:files/*" {
  const names: readonly string[];
  export default names;
}

declare module "*.css";
