// Programs of tests/programs as processes of this runtime.
import type { ProcessCommand } from "../../bindings/ports/process.ts";

/** @returns how to start tests/programs/NAME.ts: bundled on Node, from its source on Deno */
export function guestProgram(name: string): ProcessCommand {
	const { pathname } = new URL(
		import.meta.url.endsWith(".ts") ? `../programs/${name}.ts` : `./${name}.js`,
		import.meta.url,
	);
	return import.meta.url.endsWith(".ts")
		? { executable: executablePath(), args: ["run", "--allow-all", "--no-check", pathname] }
		: { executable: executablePath(), args: ["--enable-source-maps", pathname] };
}

/** Both runtimes have Node's `process`. */
function executablePath(): string {
	const { process } = globalThis as unknown as { readonly process: { readonly execPath: string } };
	return process.execPath;
}
