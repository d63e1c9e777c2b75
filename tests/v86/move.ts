// Moves v86 guests with the real techniques, over an in-process link.
import type { V86GuestFactory } from "../../bindings/guests/v86/factory.ts";
import { V86Guest } from "../../bindings/guests/v86/guest.ts";
import type { V86SerialPort } from "../../bindings/guests/v86/serial-port.ts";
import { V86WorkerGuest } from "../../bindings/guests/v86/worker-guest.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import type { MoveOptions, MoveServices } from "../../bindings/migration/move.ts";
import type { PostCopyResult } from "../../bindings/migration/results.ts";
import { receiveGuest } from "../../bindings/migration/target.ts";
import { systemClock } from "../../bindings/platform/system-clock.ts";
import { systemRandom } from "../../bindings/platform/system-random.ts";
import type { GuestFactory } from "../../bindings/ports/guest.ts";

/** `stopAndCopy`, `preCopy`, `postCopy`. */
export type Technique = (services: MoveServices, options?: MoveOptions) => Promise<PostCopyResult>;

/** Listens to what a guest writes, wherever it runs: one text for all its copies. */
export class Console {
	text = "";
	readonly #onText = new Set<() => void>();

	follow(guest: { readonly serial: Pick<V86SerialPort, "listen"> }): void {
		guest.serial.listen((text) => {
			this.text += text;
			for (const look of this.#onText) look();
		});
	}

	/** Resolves once this has been written after `from`. @returns where it ends */
	wait(wanted: string | RegExp, from = 0): Promise<number> {
		return new Promise((resolve) => {
			const look = (): void => {
				const rest = this.text.slice(from);
				const found = typeof wanted === "string" ? rest.indexOf(wanted) : rest.search(wanted);
				if (found < 0) return;
				this.#onText.delete(look);
				resolve(from + found + (typeof wanted === "string" ? wanted.length : (wanted.exec(rest)?.[0].length ?? 0)));
			};
			this.#onText.add(look);
			look();
		});
	}

	/** Resolves once so many characters more have come. */
	async more(characters: number): Promise<void> {
		await this.wait(new RegExp(`^[\\s\\S]{${characters}}`), this.text.length);
	}
}

/** Moves a guest; its source is left as the move left it. @param console - follows the target from before it runs */
export async function moveV86(
	guest: V86Guest,
	factory: V86GuestFactory,
	technique: Technique,
	{ console, options = {} }: { readonly console?: Console; readonly options?: MoveOptions } = {},
): Promise<{ readonly result: PostCopyResult; readonly target: V86Guest | undefined }> {
	const [near, far] = openLinkPair();
	const heard = console === undefined ? factory : heardFactory(factory, console);
	const receiving = receiveGuest({ link: far, factories: [heard], clock: systemClock });
	const result = await technique({ guest, link: near, clock: systemClock, random: systemRandom }, options);
	const received = await receiving;
	const target = received.outcome === "running" && received.guest instanceof V86Guest ? received.guest : undefined;
	return { result, target };
}

/** A factory whose targets are listened to from before they run. */
export function heardFactory(factory: GuestFactory, console: Console): GuestFactory {
	return {
		kind: factory.kind,
		check: factory.check.bind(factory),
		missing: factory.missing.bind(factory),
		setUp: async (...request) => {
			const prepared = await factory.setUp(...request);
			const { guest } = prepared;
			if (guest instanceof V86Guest || guest instanceof V86WorkerGuest) console.follow(guest);
			return prepared;
		},
	};
}
