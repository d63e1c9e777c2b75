/** An environment variable, on whichever runtime the suite runs. */
export function environment(name: string): string | undefined {
	return typeof Deno === "undefined" ? process.env[name] : Deno.env.get(name);
}
