// Runs raw-peer.mjs: see there.
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface, type Interface } from "node:readline";

export class RawTransfer {
	readonly #receiver: ChildProcess;
	readonly #lines: AsyncIterator<string>;
	readonly #interface: Interface;
	readonly byteLength: number;

	private constructor(byteLength: number) {
		this.byteLength = byteLength;
		this.#receiver = spawn(process.execPath, ["bench/techniques/raw-peer.mjs", String(byteLength)], {
			stdio: ["pipe", "pipe", "inherit"],
		});
		this.#interface = createInterface({ input: this.#receiver.stdout! });
		this.#lines = this.#interface[Symbol.asyncIterator]();
	}

	static async open(byteLength: number): Promise<RawTransfer> {
		const raw = new RawTransfer(byteLength);
		await raw.#line();
		return raw;
	}

	/** One transfer. @param bytesPerMs - not faster than this. @returns bytes per ms */
	async run(bytesPerMs = 0): Promise<number> {
		this.#receiver.stdin!.write(`${bytesPerMs}\n`);
		return this.byteLength / Number(await this.#line());
	}

	close(): void {
		this.#receiver.stdin!.end();
		this.#interface.close();
	}

	async #line(): Promise<string> {
		const { value, done } = await this.#lines.next();
		if (done === true) throw new Error("the raw peers ended");
		return value;
	}
}
