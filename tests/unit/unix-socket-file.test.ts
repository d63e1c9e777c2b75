import { suite } from "uvu";
import * as assert from "uvu/assert";
import { SeededRandom } from "../../bindings/lab/seeded-random.ts";
import { publishSocket, type SocketFiles } from "../../bindings/platform/unix-socket-file.ts";
import { LinkError } from "../../bindings/ports/link.ts";

const SEED = 7;
const PATH = "/run/guest.sock";

const systemError = (code: string) => Object.assign(new RangeError(code), { code });

/** A folder of sockets in memory, whose operations happen one at a time, in an order that the test draws. */
class Folder {
	readonly names = new Map<string, number>();
	readonly listening = new Set<number>();
	readonly #waiting: (() => void)[] = [];
	#lastInode = 100;

	/** A socket with this name; it listens, or its owner has died. */
	add(name: string, isAlive: boolean): number {
		const inode = this.#lastInode++;
		this.names.set(name, inode);
		if (isAlive) this.listening.add(inode);
		return inode;
	}

	/** Lets the operations happen in a drawn order until nobody asks for one any more. */
	async drain(random: SeededRandom): Promise<void> {
		for (;;) {
			// Whoever has been served gets to its next operation.
			for (let turn = 0; turn < 20; turn++) await undefined;
			const [next] = this.#waiting.splice(random.nextU32() % Math.max(1, this.#waiting.length), 1);
			if (next === undefined) return;
			next();
		}
	}

	files(): SocketFiles {
		const turn = () => new Promise<void>((resolve) => this.#waiting.push(resolve));
		const inodeOf = (path: string) => {
			const inode = this.names.get(path);
			if (inode === undefined) throw systemError("ENOENT");
			return inode;
		};
		return {
			inspect: async (path) => {
				await turn();
				return { inode: inodeOf(path), isSocket: true };
			},
			knock: async (path) => {
				await turn();
				if (!this.listening.has(inodeOf(path))) throw systemError("ECONNREFUSED");
			},
			link: async (from, to) => {
				await turn();
				if (this.names.has(to)) throw systemError("EEXIST");
				this.names.set(to, inodeOf(from));
			},
			rename: async (from, to) => {
				await turn();
				this.names.set(to, inodeOf(from));
				this.names.delete(from);
			},
			remove: async (path) => {
				await turn();
				inodeOf(path);
				this.names.delete(path);
			},
		};
	}
}

const test = suite("unix socket file");

test(`of several that replace a dead listener, in any order of their steps, exactly one gets the path (seed ${SEED})`, async () => {
	const random = new SeededRandom(SEED);
	for (let round = 0; round < 3000; round++) {
		const folder = new Folder();
		if (round % 3 > 0) folder.add(PATH, false);
		const publishers = Array.from({ length: 2 + (round % 3) }, (_, index) => {
			const own = `/run/.own${index}`;
			return { inode: folder.add(own, true), publishing: publishSocket(folder.files(), own, PATH) };
		});
		const outcomes = Promise.allSettled(publishers.map(({ publishing }) => publishing));
		await folder.drain(random);
		const won = (await outcomes).flatMap(({ status }, index) => (status === "fulfilled" ? [index] : []));
		const where = `round ${round}: ${[...folder.names].join(" ")}, won by ${won}`;
		assert.is(won.length, 1, where);
		assert.equal([...folder.names], [[PATH, publishers[won[0] ?? -1]?.inode]], where);
		for (const outcome of await outcomes)
			if (outcome.status === "rejected") assert.is((outcome.reason as LinkError).code, "refused", where);
	}
});

test(`publishers that are killed between any two steps block nobody for ever (seed ${SEED})`, async () => {
	const random = new SeededRandom(SEED);
	for (let round = 0; round < 2000; round++) {
		const folder = new Folder();
		folder.add(PATH, false);
		// Three generations: each but the last is killed after a drawn number of steps.
		for (let generation = 0; generation < 3; generation++) {
			const own = `/run/.own${generation}`;
			const inode = folder.add(own, true);
			let steps = random.nextU32() % 12;
			const files = folder.files();
			const mortal = Object.fromEntries(
				Object.entries(files).map(([name, call]) => [
					name,
					(...args: [string, string]) => (steps-- > 0 ? call(...args) : new Promise(() => {})),
				]),
			) as unknown as SocketFiles;
			void publishSocket(mortal, own, PATH);
			await folder.drain(random);
			folder.listening.delete(inode);
		}
		const inode = folder.add("/run/.last", true);
		const publishing = publishSocket(folder.files(), "/run/.last", PATH);
		await folder.drain(random);
		await publishing;
		assert.is(folder.names.get(PATH), inode, `round ${round}`);
	}
});

test("a living listener keeps its path, and nothing is left beside it", async () => {
	const folder = new Folder();
	const living = folder.add(PATH, true);
	folder.add("/run/.own", true);
	const outcome = Promise.allSettled([publishSocket(folder.files(), "/run/.own", PATH)]);
	await folder.drain(new SeededRandom(SEED));
	const [result] = await outcome;
	assert.ok(result?.status === "rejected" && result.reason instanceof LinkError);
	assert.equal([...folder.names], [[PATH, living]]);
});

test.run();
