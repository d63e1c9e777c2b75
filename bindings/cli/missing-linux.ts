/** Without its Linux there is no demo of a machine; the command and its processes say so alike. */

/** What is missing, and what prepares it. */
export class MissingLinuxError extends Error {
	override readonly name = "MissingLinuxError";
	readonly code = "missing";
}
