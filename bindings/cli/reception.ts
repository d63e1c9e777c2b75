/** A host's door for guests that come in: one at a time, and none while the seat is taken. */

import { WasmGuestFactory } from "../guests/wasm/factory.ts";
import { WasmGuest } from "../guests/wasm/guest.ts";
import type { TargetLedger } from "../handover/ledger.ts";
import { openLink } from "../links/open-link.ts";
import type { ReceivedPages } from "../migration/paging-reception.ts";
import { receiveGuest } from "../migration/target.ts";
import type { ByteStream, ByteStreamListener, StreamAddress } from "../ports/byte-stream.ts";
import type { GuestFactory, GuestLayout, PreparedTarget } from "../ports/guest.ts";
import type { Platform } from "../ports/platform.ts";
import { reportFailure } from "./failure.ts";
import type { HostEvent, HostOrders, ReceiveLimits } from "./messages.ts";
import type { Seat } from "./seat.ts";

/** What a reception works with. */
export interface ReceptionServices {
	readonly platform: Platform;
	readonly seat: Seat;
	/** One per process: questions about a move come on other links than the move. */
	readonly ledger: TargetLedger;
	readonly report: (event: HostEvent) => void;
}

/** See the head of this file. */
export class Reception {
	readonly #services: ReceptionServices;
	/** Post-copy moves whose pages are still coming, by move id. */
	readonly #paging = new Map<string, ReceivedPages>();
	#listener: ByteStreamListener | undefined;

	constructor(services: ReceptionServices) {
		this.#services = services;
	}

	/** Opens the door; a second call answers with the first one's address. @throws {LinkError} `refused` */
	async open(order: HostOrders["receive"]["order"]): Promise<StreamAddress> {
		if (this.#listener !== undefined) return this.#listener.address;
		const { platform } = this.#services;
		const { workers, clock } = platform;
		const factory = await WasmGuestFactory.open({ workers, clock, programUrls: order.programUrls, keepShadow: true });
		const listener = await platform.listen(order.at);
		this.#listener = listener;
		void this.#accept(listener, new SeatedFactory(factory, this.#services.seat), order.limits ?? {});
		return listener.address;
	}

	async close(): Promise<void> {
		await this.#listener?.close();
	}

	async #accept(listener: ByteStreamListener, factory: SeatedFactory, limits: ReceiveLimits): Promise<void> {
		for (let stream = await listener.accept(); stream !== undefined; stream = await listener.accept())
			void this.#receive(stream, factory, limits);
	}

	async #receive(stream: ByteStream, factory: SeatedFactory, limits: ReceiveLimits): Promise<void> {
		const { platform, seat, ledger, report } = this.#services;
		const incoming = factory.forOneMove();
		const result = await receiveGuest(
			{ link: openLink(stream), factories: [incoming], clock: platform.clock, ledger, receptions: this.#paging },
			{ ...limits, onState: (name) => report({ news: "state", name }) },
		);
		if (result.outcome === "discarded" && incoming.guest !== undefined) seat.left(incoming.guest);
		const failure = result.outcome === "discarded" ? reportFailure(result.error) : undefined;
		// A recovery belongs to a move that was reported when it came.
		const paging = "paging" in result ? result.paging : undefined;
		if (result.outcome !== "recovering")
			report({ news: "received", outcome: result.outcome, paging: paging !== undefined, failure });
		const end = await paging?.ended;
		if (paging !== undefined && end !== undefined)
			report({ news: "paged", outcome: end.outcome, missingPages: paging.missingPages });
	}
}

/** A factory whose targets take the host's seat as soon as they are set up. */
class SeatedFactory implements GuestFactory {
	readonly kind = "wasm";
	readonly #inner: WasmGuestFactory;
	readonly #seat: Seat;
	/** What this factory has set up. */
	guest: WasmGuest | undefined;

	constructor(inner: WasmGuestFactory, seat: Seat) {
		this.#inner = inner;
		this.#seat = seat;
	}

	forOneMove(): SeatedFactory {
		return new SeatedFactory(this.#inner, this.#seat);
	}

	check(...args: Parameters<GuestFactory["check"]>): ReturnType<GuestFactory["check"]> {
		if (this.#seat.taken) return [{ fact: "seat", message: "this process has a guest already, and room for one" }];
		return this.#inner.check(...args);
	}

	missing(layout: GuestLayout): readonly string[] {
		return this.#inner.missing(layout);
	}

	async setUp(...args: Parameters<GuestFactory["setUp"]>): Promise<PreparedTarget> {
		const prepared = await this.#inner.setUp(...args);
		if (!(prepared.guest instanceof WasmGuest)) throw new TypeError("setUp: not a wasm guest");
		try {
			this.#seat.take(prepared.guest);
		} catch (error) {
			await prepared.guest.discard();
			throw error;
		}
		this.guest = prepared.guest;
		return prepared;
	}
}
