// Limits on what a module may declare. Engines enforce the same ones (the WebAssembly JavaScript interface, "Limits"),
// so nothing that could be compiled is refused here, and no count in a hostile file makes us allocate or loop for it.

/** Bytes of a module: 1 GiB, the interface's limit. */
export const MODULE_BYTES: number = 2 ** 30;
/** Entries of a section (types, functions, imports, exports, globals): the interface's limit. */
export const SECTION_ENTRIES = 1_000_000;
/** Bytes of one function body: the interface's limit. */
export const BODY_BYTES = 7_654_321;
/** Locals of one function, parameters included: the interface's limit. The passes leave room for their own. */
export const LOCALS = 50_000;
/** Bytes of an import or export name: the interface's limit. */
export const NAME_BYTES = 100_000;
/** Entries of a table: the interface's limit. */
export const TABLE_ENTRIES = 10_000_000;
/** WebAssembly pages of 64 KiB in a 32-bit memory: 4 GiB. */
export const MEMORY_PAGES = 65_536;
/** Labels of one `br_table`: V8's limit. */
export const BRANCH_LABELS = 65_520;
