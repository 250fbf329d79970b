/** Version of the package. A test holds it against package.json, which cannot be imported in browsers. */
export const VERSION = "0.1.0";
