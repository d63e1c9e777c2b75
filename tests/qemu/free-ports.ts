// Ports of this machine for programs that must be told one. Not from the range that the system gives to whoever asks for any:
// between our asking and the program's listening it would give one of them to somebody's connection.
import type { Platform } from "../../bindings/ports/platform.ts";

const FIRST = 20_000;
const COUNT = 12_000;

/** @returns so many ports of the loopback address at which nobody listens */
export async function freePorts({ listen, random }: Platform, count: number): Promise<readonly number[]> {
	const found = new Set<number>();
	while (found.size < count) {
		const port = FIRST + (random.nextU32() % COUNT);
		const door = await listen({ transport: "tcp", host: "127.0.0.1", port }).catch(() => undefined);
		if (door !== undefined) found.add(port);
		await door?.close();
	}
	return [...found];
}
