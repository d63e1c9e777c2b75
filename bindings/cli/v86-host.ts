/**
 * A process that takes a v86 guest: the target of `pageferry demo --guest v86`.
 *
 *   print address ─▶ leash (the command's own connection) ─▶ the guest's link ─▶ what it writes, line by line, until the leash ends
 *
 * Each line on standard output is one JSON value: {@link V86HostLine}.
 */
import { loadV86, V86Guest, V86GuestFactory } from "../guests/v86/index.ts";
import { openLink } from "../links/open-link.ts";
import { receiveGuest } from "../migration/target.ts";
import type { StreamAddress } from "../ports/byte-stream.ts";
import type { Platform } from "../ports/platform.ts";

/** What the process says. */
export type V86HostLine =
	| { readonly address: StreamAddress; readonly runtime: string }
	| { readonly outcome: string }
	| { readonly text: string };

/** Resolves when the command has gone, whatever became of the guest. */
export async function runV86Host(platform: Platform, runtime: string): Promise<void> {
	const { clock, files } = platform;
	const say = (line: V86HostLine): void => console.log(JSON.stringify(line));
	const factories = [new V86GuestFactory({ v86: await loadV86(files), clock })];
	const door = await platform.listen({ transport: "tcp", host: "127.0.0.1", port: 0 });
	say({ address: door.address, runtime });
	const leash = await door.accept();
	if (leash === undefined) return;
	const serve = async (): Promise<void> => {
		const stream = await door.accept();
		if (stream === undefined) return;
		const result = await receiveGuest({ link: openLink(stream), factories, clock });
		say({ outcome: result.outcome });
		if (result.outcome === "running" && result.guest instanceof V86Guest)
			result.guest.serial.listen((text) => say({ text }));
	};
	const serving = serve().catch((error: unknown) => say({ outcome: `failed: ${String(error)}` }));
	await leash.readInto(new Uint8Array(1)).catch(() => 0);
	leash.abort("the command has gone");
	await Promise.race([serving, door.close()]);
}
