/**
 * The host's side of the request protocol (messages.ts): hands numbered requests to the guest and answers back, and tells
 * clients where the guest went. It keeps nothing of its own: what was answered, the guest remembers in its memory.
 */
import { CallError, ProgramError } from "../guests/wasm/errors.ts";
import type { WasmGuest } from "../guests/wasm/guest.ts";
import type { ByteStream, ByteStreamListener, StreamAddress } from "../ports/byte-stream.ts";
import type { Platform } from "../ports/platform.ts";
import { LineStream } from "./line-stream.ts";
import type { ClientNews, NumberedRequest } from "./messages.ts";
import type { Seat } from "./seat.ts";

type Client = LineStream<ClientNews, NumberedRequest>;

/** See the head of this file. */
export class RequestServer {
	readonly #listener: ByteStreamListener;
	readonly #seat: Seat;
	readonly #clients = new Set<Client>();

	private constructor(listener: ByteStreamListener, seat: Seat) {
		this.#listener = listener;
		this.#seat = seat;
	}

	/** Opens the server on a free loopback port. @throws {LinkError} `refused` */
	static async open(platform: Platform, seat: Seat): Promise<RequestServer> {
		const server = new RequestServer(await platform.listen({ transport: "tcp", host: "127.0.0.1", port: 0 }), seat);
		void server.#accept();
		return server;
	}

	get address(): StreamAddress {
		return this.#listener.address;
	}

	/** Tells every client that the guest has gone; each is told once. */
	announce(to: StreamAddress): void {
		for (const client of this.#clients) this.#sendAway(client, to);
	}

	async close(): Promise<void> {
		await this.#listener.close();
		for (const client of this.#clients) client.abort("the host ends");
	}

	async #accept(): Promise<void> {
		for (let stream = await this.#listener.accept(); stream !== undefined; stream = await this.#listener.accept())
			void this.#serve(stream);
	}

	async #serve(stream: ByteStream): Promise<void> {
		const client: Client = new LineStream(stream);
		this.#clients.add(client);
		try {
			for await (const request of client.messages()) void this.#answer(client, request);
			await client.close();
		} catch (error) {
			client.abort(error); // a client that is gone asks again elsewhere, with the same numbers
		} finally {
			this.#clients.delete(client);
		}
	}

	async #answer(client: Client, message: NumberedRequest, refused?: WasmGuest): Promise<void> {
		const destination = await this.#seat.destination(refused);
		if ("forward" in destination) return this.#sendAway(client, destination.forward);
		const { guest } = destination;
		const { number } = message;
		try {
			const response = await guest.call(message);
			await client.send({ news: "answer", number, response });
		} catch (error) {
			if (error instanceof ProgramError) this.#send(client, { news: "failure", number, message: error.message });
			else if (!(error instanceof CallError && error.code === "moved")) client.abort(error);
			else if (this.#seat.forward !== undefined) this.#sendAway(client, this.#seat.forward);
			else await this.#answer(client, message, guest); // one that was to come in did not: the next may
		}
	}

	#sendAway(client: Client, to: StreamAddress): void {
		if (this.#clients.delete(client)) this.#send(client, { news: "moved", to });
	}

	#send(client: Client, news: ClientNews): void {
		client.send(news).catch((error: unknown) => client.abort(error));
	}
}
