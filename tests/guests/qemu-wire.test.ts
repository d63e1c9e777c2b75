// Real clients of a Linux under QEMU, whose connections end in a wire: they last when the Linux moves to another process and the
// process that it left is killed; and the Linux lasts when the wire is.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { sweepInstances } from "../../bindings/guests/qemu/index.ts";
import { stopWire, wireStatus } from "../../bindings/network/wire-client.ts";
import type { WireStatus } from "../../bindings/network/wire-orders.ts";
import { sweepWires } from "../../bindings/network/wire-place.ts";
import type { ByteStream } from "../../bindings/ports/byte-stream.ts";
import type { RunningProcess } from "../../bindings/ports/process.ts";
import { freePorts } from "../qemu/free-ports.ts";
import { addressOf, whyNoLinux } from "../qemu/linux.ts";
import { guestProgram } from "../qemu/programs.ts";
import { openPlatform, QemuStage, whyNoQemu } from "../qemu/stage.ts";

const test = suite("qemu guest: at a wire");
const { platform } = await openPlatform();
const missing = (await whyNoQemu(platform)) ?? (await whyNoLinux(platform.files));

/** A program of ours and what it says. */
class Program {
	readonly process: RunningProcess;
	readonly #said: Record<string, unknown>[] = [];
	#wake: () => void = () => undefined;
	#hasEnded = false;

	private constructor(process: RunningProcess) {
		this.process = process;
		void this.#listen();
	}

	static async start(name: string, ...args: readonly string[]): Promise<Program> {
		const command = guestProgram(name);
		return new Program(await platform.processes.start({ ...command, args: [...command.args, ...args] }));
	}

	/** Waits for the next line that has this. @throws with its last words when it ends */
	async says(key: string, value?: unknown): Promise<Record<string, unknown>> {
		for (;;) {
			const at = this.#said.findIndex((line) => key in line && (value === undefined || line[key] === value));
			if (at >= 0) return this.#said.splice(at, 1)[0]!;
			if (this.#hasEnded) throw new Error(`ended without ${key} ${value}: ${this.process.errorText()}`);
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
			});
		}
	}

	async kill(signal: "SIGTERM" | "SIGKILL" = "SIGKILL"): Promise<void> {
		this.process.kill(signal);
		await this.process.ended;
	}

	async #listen(): Promise<void> {
		for await (const line of this.process.lines) {
			this.#said.push(JSON.parse(line) as Record<string, unknown>);
			this.#wake();
		}
		this.#hasEnded = true;
		this.#wake();
	}
}

/** A client that sends numbers, and takes each answer once. */
class Client {
	readonly #stream: ByteStream;
	answers = 0;

	constructor(stream: ByteStream) {
		this.#stream = stream;
	}

	/** Sends so many more, each once the one before has come back. @throws when an answer is another's, or there is none */
	async asks(count: number): Promise<void> {
		const room = new Uint8Array(4);
		for (let i = 0; i < count; i++) {
			const number = this.answers + 1;
			await this.#stream.write([new Uint8Array(new Uint32Array([number]).buffer)]);
			for (let got = 0; got < 4; ) {
				const more = await this.#stream.readInto(room.subarray(got));
				if (more === 0) throw new Error(`the connection ended at ${number}`);
				got += more;
			}
			assert.is(new Uint32Array(room.slice().buffer)[0], number, "the answer to this question");
			this.answers = number;
		}
	}

	/** Closes, and makes sure that no answer came twice. */
	async close(): Promise<void> {
		await this.#stream.close();
	}
}

const connected = async (port: number): Promise<Client> =>
	new Client(await platform.connect({ transport: "tcp", host: "127.0.0.1", port }));

async function whyNoPasst(): Promise<string | undefined> {
	try {
		await (await platform.processes.start({ executable: "passt", args: ["--version"] })).ended;
		return undefined;
	} catch {
		return "passt is not installed (Debian: apt install passt)";
	}
}

if (missing === undefined) {
	const stage = await QemuStage.open();
	const { folder } = stage;
	const place = { name: "lab", folder };
	const programs = new Set<Program>();
	const start = async (name: string, ...args: readonly string[]): Promise<Program> => {
		const program = await Program.start(name, ...args);
		programs.add(program);
		return program;
	};
	test.before(() => platform.files.makePrivateFolder(folder));
	test.after.each(async () => {
		for (const program of programs) await program.kill();
		programs.clear();
		await sweepInstances(platform.files, folder);
		await sweepWires(platform, folder);
		assert.equal(await platform.files.names(folder), [], "nothing is left");
	});
	test.after(() => stage.close());

	const settled = async (isSo: (status: WireStatus) => boolean): Promise<WireStatus> => {
		for (;;) {
			const status = await wireStatus(platform, place);
			if (isSo(status)) return status;
		}
	};
	const machinesAt = ({ ports }: WireStatus, name: string): readonly string[] =>
		ports.find((port) => port.name === name)?.machines ?? [];

	for (const kind of ["user", "passt"]) {
		const whyNot = kind === "passt" ? await whyNoPasst() : undefined;
		if (whyNot !== undefined) {
			test(`by ${kind}`, () => console.log(`skipped: clients by passt: ${whyNot}`));
			continue;
		}

		test(`by ${kind}: a client's connection outlives the process that its Linux has left`, async () => {
			const [first, second] = await freePorts(platform, 2);
			const forwards = [`${first}:9000`, `${second}:9001`];
			const wire = await start("wire-process", "lab", folder, kind, ...forwards);
			await wire.says("pid");
			const source = await start("wire-host", "lab", folder, "host-1");
			const { address } = await source.says("news", "ready");
			const client = await connected(first!);
			await client.asks(20);
			assert.equal(machinesAt(await wireStatus(platform, place), "host-1"), [addressOf(15)]);

			const target = await start("wire-host", "lab", folder, "host-2", JSON.stringify(address));
			await target.says("news", "ready");
			const moved = target.says("news", "running");
			let isMoved = false;
			void moved.then(() => {
				isMoved = true;
			});
			while (!isMoved) await client.asks(1);
			await source.says("news", "moved");
			await source.kill();
			await client.asks(20);
			const after = await settled(({ ports }) => ports.length === 1);
			assert.equal(machinesAt(after, "host-2"), [addressOf(15)], "it has announced itself");
			await client.close();

			await wire.kill();
			await target.says("news", "lost");
			const again = await start("wire-process", "lab", folder, kind, ...forwards);
			await again.says("pid");
			await target.says("news", "back");
			const other = await connected(second!);
			await other.asks(20);
			await other.close();
			await stopWire(platform, place);
			assert.is((await again.process.ended).code, 0, "asked to end, it has");
			await target.says("news", "lost");
		});
	}
} else
	test("there is no Linux under QEMU here", () => {
		console.log(`skipped: ${missing}`);
	});

test.run();
