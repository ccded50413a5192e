/** What stands in an editor and is not deployed, so that a session that ends does not take it along; for this page only, until one signs out. */
export const drafts = new Map<string, unknown>();
