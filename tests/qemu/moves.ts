// Moves of QEMU guests in tests, and what a machine says over all of them: a line that a move has cut in two is whole again where
// both consoles are one text.
import type { QemuGuest } from "../../bindings/guests/qemu/index.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import type { MoveOptions, MoveResult, MoveServices } from "../../bindings/migration/move.ts";
import { type ReceiveResult, receiveGuest } from "../../bindings/migration/target.ts";
import type { GuestFactory } from "../../bindings/ports/guest.ts";
import type { Link } from "../../bindings/ports/link.ts";
import type { Platform } from "../../bindings/ports/platform.ts";

/** A way to move a guest. */
export type Technique = (services: MoveServices, options?: MoveOptions) => Promise<MoveResult>;

/** What came of a move. */
export interface Moved {
	readonly result: MoveResult;
	readonly received: ReceiveResult;
	readonly target: QemuGuest | undefined;
}

/**
 * Moves a guest to a target of the factory. The source is left as the move left it.
 * @param options - `onLinks` gets the two ends before anything is said
 */
export async function moveTo(
	{ clock, random }: Platform,
	factory: GuestFactory,
	guest: QemuGuest,
	technique: Technique,
	{ onLinks, ...options }: MoveOptions & { readonly onLinks?: (source: Link, target: Link) => void } = {},
): Promise<Moved> {
	const [source, target] = openLinkPair();
	onLinks?.(source, target);
	const receiving = receiveGuest({ link: target, factories: [factory], clock });
	const result = await technique({ guest, link: source, clock, random }, options);
	const received = await receiving;
	// allowed (cast): the only factory is QEMU's
	return { result, received, target: received.outcome === "running" ? (received.guest as QemuGuest) : undefined };
}

/** See the head of this file. */
export class JoinedConsole {
	/** By machine, in the order in which they came to be. */
	readonly #texts: string[] = [];

	/** Listens from now on. */
	follow(guest: QemuGuest): void {
		const at = this.#texts.push("") - 1;
		guest.console.onText((text) => {
			this.#texts[at] += text;
		});
	}

	/** Targets of this factory are heard from their first word on. */
	hearing(factory: GuestFactory, onTarget: (target: QemuGuest) => void = () => undefined): GuestFactory {
		return {
			kind: factory.kind,
			check: (...args) => factory.check(...args),
			missing: (...args) => factory.missing(...args),
			setUp: async (...args) => {
				const prepared = await factory.setUp(...args);
				// allowed (cast): the only factory is QEMU's
				const target = prepared.guest as QemuGuest;
				this.follow(target);
				onTarget(target);
				return prepared;
			},
		};
	}

	/** Whole lines: the first may have begun before anybody listened, the last has no end yet. */
	get lines(): readonly string[] {
		return this.#texts.join("").replaceAll("\r", "").split("\n").slice(1, -1);
	}

	/** The numbers in those lines that have one. @param pattern - with the number as its first group */
	numbers(pattern: RegExp, radix = 10): readonly number[] {
		return this.lines.flatMap((line) => pattern.exec(line)?.[1] ?? []).map((digits) => Number.parseInt(digits, radix));
	}
}

/** @returns where numbers do not go up by `step`; `undefined` if they do */
export function gapIn(numbers: readonly number[], step = 1): string | undefined {
	const at = numbers.findIndex((number, index) => index > 0 && number !== numbers[index - 1]! + step);
	return at === -1 ? undefined : `${numbers[at - 1]} then ${numbers[at]}`;
}
