// Compiled modules of this process, by the SHA-256 of their bytes: rewriting and compiling are paid once, however many
// targets are set up.
import type { CompiledCode } from "./code-variants.ts";

/** Modules kept. Compiled code is several times its module: the least recently used goes first. */
const MOST_MODULES = 8;

const kept = new Map<string, CompiledCode>();

/** @returns what has been compiled of this module so far */
export function recallCode(hash: string): CompiledCode | undefined {
	const code = kept.get(hash);
	if (code === undefined) return undefined;
	kept.delete(hash);
	kept.set(hash, code);
	return code;
}

/** Keeps what a worker has compiled. */
export function keepCode(hash: string, code: CompiledCode): void {
	const modules = { ...kept.get(hash)?.modules, ...code.modules };
	kept.delete(hash);
	kept.set(hash, { layout: code.layout, modules });
	for (const oldest of kept.keys()) {
		if (kept.size <= MOST_MODULES) break;
		kept.delete(oldest);
	}
}
