/** Permission to read the folder of a model, for which browsers ask the visitor once more after a reload. */
import type { ModelChoice } from "./protocol.ts";

/** What Chromium offers beyond the DOM types. */
interface GuardedHandle {
  queryPermission?: (wish: { readonly mode: "read" }) => Promise<PermissionState>;
  requestPermission?: (wish: { readonly mode: "read" }) => Promise<PermissionState>;
}

/**
 * Has the browser ask, where it has to. For work that follows a press: browsers ask nobody else.
 * @throws where the visitor does not give it
 */
export async function askToRead(choice: ModelChoice): Promise<void> {
  if (choice.kind !== "directory") return;
  const handle = choice.handle as FileSystemDirectoryHandle & GuardedHandle;
  const wish = { mode: "read" } as const;
  if (((await handle.queryPermission?.(wish)) ?? "granted") === "granted") return;
  // Rejects where nothing was pressed.
  const answer = await handle.requestPermission?.(wish).catch(() => "denied");
  if (answer !== "granted")
    throw new Error(`model: no permission to read the folder ${choice.name}`);
}
