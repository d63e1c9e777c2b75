// A folder store that is stopped, failed or overtaken at each single file operation: everything that a kill, a full disk or
// a slow process can do, without waiting for it to happen by chance.
import type { suite } from "uvu";
import * as assert from "uvu/assert";
import type { FolderFiles } from "../../../bindings/platform/folder-files.ts";
import { openFolder } from "../../../bindings/platform/open-folder.ts";
import { type Store, StoreError } from "../../../bindings/ports/store.ts";
import { isPiecewise } from "../../../bindings/ports/store-pieces.ts";
import { failsWith } from "./failures.ts";
import type { TestRuntime } from "./test-runtime.ts";

const text = (value: string) => new TextEncoder().encode(value);
const shown = (value: Uint8Array | undefined) => (value === undefined ? undefined : new TextDecoder().decode(value));

/** An error as the system gives it. */
const systemError = (code: string) => Object.assign(new RangeError(`${code}: made by the test`), { code });

/** Calls `before` before each file operation that waits for the medium, counted from 0; what it throws is the result. */
function watched(files: FolderFiles, before: (step: number, operation: string) => Promise<void>): FolderFiles {
	let steps = 0;
	const watch =
		<Arguments extends unknown[], Result>(operation: string, call: (...args: Arguments) => Promise<Result>) =>
		async (...args: Arguments) => {
			await before(steps++, operation);
			return call(...args);
		};
	return {
		pid: files.pid,
		isProcessAlive: files.isProcessAlive,
		makeFolder: watch("makeFolder", files.makeFolder),
		names: watch("names", files.names),
		writeNew: watch("writeNew", files.writeNew),
		create: watch("create", async (path: string) => {
			const file = await files.create(path);
			const { write, read, sync, close } = file;
			return { write: watch("write", write), read: watch("read", read), sync: watch("sync", sync), close };
		}),
		open: watch("open", async (path: string) => {
			const file = await files.open(path);
			return { byteLength: file.byteLength, read: watch("read", file.read), close: file.close };
		}),
		read: watch("read", files.read),
		byteLength: watch("byteLength", files.byteLength),
		syncFolder: watch("syncFolder", files.syncFolder),
		link: watch("link", files.link),
		rename: watch("rename", files.rename),
		remove: watch("remove", files.remove),
		removeFolder: watch("removeFolder", files.removeFolder),
		removeTree: watch("removeTree", files.removeTree),
	};
}

/** Something done to a store, and what a reader may find when it was stopped on the way or has failed. */
interface Deed {
	readonly name: string;
	readonly prepare?: (store: Store) => Promise<unknown>;
	readonly act: (store: Store) => Promise<unknown>;
	readonly look: (store: Store) => Promise<string | undefined>;
	readonly before: string | undefined;
	readonly after: string | undefined;
}

const reference = async (store: Store) => shown(await store.readReference("head"));
const DEEDS: readonly Deed[] = [
	{
		name: "storing an object",
		act: (store) => store.put("object", text("bytes")),
		look: async (store) => ((await store.list("")).includes("object") ? shown(await store.get("object")) : undefined),
		before: undefined,
		after: "bytes",
	},
	{
		name: "storing an object in pieces",
		act: async (store) => {
			if (!isPiecewise(store)) throw new TypeError("a folder store takes pieces");
			const writer = await store.create("object");
			try {
				await Promise.all([writer.write(text("by")), writer.write(text("tes"))]);
				await writer.finish();
			} catch (error) {
				await writer.abort();
				throw error;
			}
		},
		look: async (store) => ((await store.list("")).includes("object") ? shown(await store.get("object")) : undefined),
		before: undefined,
		after: "bytes",
	},
	{
		name: "creating a reference",
		act: (store) => store.compareAndSetReference("head", undefined, text("new")),
		look: reference,
		before: undefined,
		after: "new",
	},
	{
		name: "moving a reference",
		prepare: (store) => store.compareAndSetReference("head", undefined, text("old")),
		act: (store) => store.compareAndSetReference("head", text("old"), text("new")),
		look: reference,
		before: "old",
		after: "new",
	},
	{
		name: "removing a reference",
		prepare: (store) => store.compareAndSetReference("head", undefined, text("old")),
		act: (store) => store.compareAndSetReference("head", text("old"), undefined),
		look: reference,
		before: "old",
		after: undefined,
	},
	{
		name: "making a removed reference again",
		prepare: async (store) => {
			await store.compareAndSetReference("head", undefined, text("old"));
			await store.compareAndSetReference("head", text("old"), undefined);
		},
		act: (store) => store.compareAndSetReference("head", undefined, text("new")),
		look: reference,
		before: undefined,
		after: "new",
	},
];

/** More steps than any deed takes. */
const MAX_STEPS = 40;

/** Adds the tests to `test`. */
export function folderStoreSteps(test: ReturnType<typeof suite>, runtime: TestRuntime, files: FolderFiles): void {
	const inFolder = async (body: (folder: string) => Promise<void>) => {
		const folder = await runtime.temporaryFolder();
		try {
			await body(folder);
		} finally {
			await runtime.removeFolder(folder);
		}
	};

	for (const deed of DEEDS) {
		test(`${deed.name}: a writer that stops for ever before any step leaves all or nothing, and blocks nobody`, async () => {
			for (let stop = 0, hasFinished = false; !hasFinished; stop++) {
				assert.ok(stop < MAX_STEPS);
				await inFolder(async (folder) => {
					await deed.prepare?.(await openFolder(files, folder));
					let isArmed = false;
					let step = 0;
					let onStop = () => {};
					const stopped = new Promise<"stopped">((resolve) => {
						onStop = () => resolve("stopped");
					});
					const dying = watched(files, async () => {
						if (!isArmed || step++ < stop) return;
						onStop();
						await new Promise(() => {}); // a killed process never comes back
					});
					// It has no process any more, so that the next opening may tidy up after it.
					const store = await openFolder({ ...dying, pid: 999_999_999 }, folder);
					isArmed = true;
					hasFinished = (await Promise.race([deed.act(store), stopped])) !== "stopped";
					const later = await openFolder(files, folder);
					const found = await deed.look(later);
					assert.ok(found === deed.before || found === deed.after, `before step ${stop}: found ${found}`);
					if (hasFinished) assert.is(found, deed.after);
					assert.equal(await runtime.names(`${folder}/temporary`), [], `before step ${stop}`);
					await moveOn(later, deed);
				});
			}
		});

		test(`${deed.name}: any step that fails is a typed failure, is not tried again, and changes nothing`, async () => {
			for (const [systemCode, code] of [
				["EIO", "failed"],
				["ENOSPC", "full"],
			] as const) {
				for (let failing = 0, hasFinished = false; !hasFinished; failing++) {
					assert.ok(failing < MAX_STEPS);
					await inFolder(async (folder) => {
						await deed.prepare?.(await openFolder(files, folder));
						let isArmed = false;
						let step = 0;
						const done: string[] = [];
						const store = await openFolder(
							watched(files, async (_, operation) => {
								if (!isArmed) return;
								done.push(operation);
								if (step++ === failing) throw systemError(systemCode);
							}),
							folder,
						);
						isArmed = true;
						const outcome = await deed.act(store).catch((error: unknown) => error);
						isArmed = false;
						hasFinished = step <= failing;
						const where = `${systemCode} at step ${failing} (${done[failing]})`;
						if (outcome instanceof Error) {
							assert.instance(outcome, StoreError, where);
							assert.is((outcome as StoreError).code, code, where);
							assert.is(await deed.look(store), deed.before, where);
							const isRetried = /^sync/.test(done[failing] ?? "") && done.slice(failing + 1).includes(done[failing]!);
							assert.not.ok(isRetried, `${where} was tried again`);
						} else {
							// What fails after the acknowledged step is tidying up.
							assert.is(await deed.look(store), deed.after, where);
						}
						await moveOn(store, deed);
					});
				}
			}
		});
	}

	test("a mover that is overtaken at any step by any number of others never wins and never undoes their moves", async () => {
		for (const start of ["", undefined]) {
			for (let others = 0; others < 5; others++) {
				for (let pause = 0, hasFinished = false; !hasFinished; pause++) {
					assert.ok(pause < MAX_STEPS);
					await inFolder(async (folder) => {
						const other = await openFolder(files, folder);
						if (start !== undefined) await other.compareAndSetReference("head", undefined, text(start));
						const overtakers = async () => {
							for (let move = 0; move < others; move++) {
								const seen = await other.readReference("head");
								// Every third of them removes the reference instead, so that late creators are tried too.
								const next = move % 3 === 2 ? undefined : text(`${shown(seen) ?? ""}o`);
								assert.ok(await other.compareAndSetReference("head", seen, next));
							}
						};
						let isArmed = false;
						let step = 0;
						const store = await openFolder(
							watched(files, async () => {
								if (isArmed && step++ === pause) await overtakers();
							}),
							folder,
						);
						isArmed = true;
						const expected = start === undefined ? undefined : text(start);
						const won = await store.compareAndSetReference("head", expected, text(`${start ?? ""}m`));
						isArmed = false;
						hasFinished = step <= pause;
						const found = shown(await other.readReference("head"));
						const where = `${others} others before step ${pause}, from ${start}: found ${found}, won ${won}`;
						assert.ok(admissible(start, others, hasFinished).has(`${won} ${found}`), where);
						await moveOn(other, { look: reference });
					});
				}
			}
		}
	});

	test("two movers that stop each other at any two steps agree on who has moved", async () => {
		for (const start of ["", undefined]) {
			for (let pauseA = 0, hasA = true; hasA; pauseA++) {
				hasA = false;
				for (let pauseB = 0, hasB = true; hasB; pauseB++) {
					assert.ok(pauseA < MAX_STEPS && pauseB < MAX_STEPS);
					await inFolder(async (folder) => {
						const reader = await openFolder(files, folder);
						if (start !== undefined) await reader.compareAndSetReference("head", undefined, text(start));
						const [a, b] = [new Stoppable(files, pauseA), new Stoppable(files, pauseB)];
						const [storeA, storeB] = [await openFolder(a.files, folder), await openFolder(b.files, folder)];
						// A runs to its step, then B to its own, then A to its end, then B.
						const move = async (store: Store, mark: string) => {
							const seen = await store.readReference("head");
							return store.compareAndSetReference("head", seen, text(`${shown(seen) ?? ""}${mark}`));
						};
						const movingA = a.run(() => move(storeA, "a"));
						hasA = (await Promise.race([movingA, a.stopped])) === "stopped" || hasA;
						const movingB = b.run(() => move(storeB, "b"));
						hasB = (await Promise.race([movingB, b.stopped])) === "stopped";
						a.goOn();
						const wonA = await movingA;
						b.goOn();
						const wonB = await movingB;
						const found = shown(await reader.readReference("head"));
						const expected = [wonA && wonB ? ["ab", "ba"] : wonA ? ["a"] : ["b"]].flat();
						const where = `A before ${pauseA}, B before ${pauseB}, from ${start}: ${wonA} ${wonB} ${found}`;
						assert.ok((wonA || wonB) && found !== undefined && expected.includes(found), where);
						await moveOn(reader, { look: reference });
					});
				}
			}
		}
	});

	test("a remover and a mover that stop each other at any two steps agree on who was first", async () => {
		for (let pauseA = 0, hasA = true; hasA; pauseA++) {
			hasA = false;
			for (let pauseB = 0, hasB = true; hasB; pauseB++) {
				assert.ok(pauseA < MAX_STEPS && pauseB < MAX_STEPS);
				await inFolder(async (folder) => {
					const reader = await openFolder(files, folder);
					await reader.compareAndSetReference("head", undefined, text("x"));
					const [a, b] = [new Stoppable(files, pauseA), new Stoppable(files, pauseB)];
					const [storeA, storeB] = [await openFolder(a.files, folder), await openFolder(b.files, folder)];
					const removing = a.run(async () =>
						storeA.compareAndSetReference("head", await storeA.readReference("head"), undefined),
					);
					hasA = (await Promise.race([removing, a.stopped])) === "stopped" || hasA;
					let seen: Uint8Array | undefined;
					const moving = b.run(async () => {
						seen = await storeB.readReference("head");
						return storeB.compareAndSetReference("head", seen, text(`${shown(seen) ?? ""}b`));
					});
					hasB = (await Promise.race([moving, b.stopped])) === "stopped";
					a.goOn();
					const hasRemoved = await removing;
					b.goOn();
					const hasMoved = await moving;
					const found = shown(await reader.readReference("head"));
					const where = `A before ${pauseA}, B before ${pauseB}: ${hasRemoved} ${hasMoved} ${found}`;
					// Whoever has seen what the other has done came second.
					const expected = hasMoved && (!hasRemoved || seen === undefined) ? `${shown(seen) ?? ""}b` : undefined;
					assert.ok((hasRemoved || hasMoved) && found === expected, where);
					await moveOn(reader, { look: reference });
				});
			}
		}
	});

	test("a reference that was removed leaves nothing behind", async () => {
		await inFolder(async (folder) => {
			const store = await openFolder(files, folder);
			for (let turn = 0; turn < 3; turn++) {
				assert.ok(await store.compareAndSetReference("head", undefined, text("one")));
				assert.ok(await store.compareAndSetReference("head", text("one"), text("two")));
				assert.ok(await store.compareAndSetReference("head", text("two"), undefined));
				assert.equal(await runtime.names(`${folder}/references`), []);
			}
		});
	});

	test("a folder that is something else is left alone", async () => {
		await inFolder(async (folder) => {
			await runtime.writeFile(`${folder}/letter.txt`, text("dear reader"));
			await failsWith(StoreError, "invalid", openFolder(files, folder));
			assert.equal(await runtime.names(folder), ["letter.txt"]);
			await failsWith(StoreError, "failed", openFolder(files, `${folder}/letter.txt`));
		});
		await inFolder(async (folder) => {
			await openFolder(files, folder);
			await runtime.writeFile(`${folder}/format`, text("pageferry folder store 2\n"));
			const error = await failsWith(StoreError, "invalid", openFolder(files, folder));
			assert.match(error.message, /folder store 2/);
		});
	});

	test("a store on a medium that is read-only is read, also where a dead process has left something", async () => {
		await inFolder(async (folder) => {
			const store = await openFolder(files, folder);
			await store.put("one", text("x"));
			await store.compareAndSetReference("head", undefined, text("one"));
			const left = `${folder}/temporary/1-${"a".repeat(32)}`;
			await runtime.writeFile(left, text("half"));
			const CHANGES = ["makeFolder", "writeNew", "create", "link", "rename", "remove", "removeFolder", "removeTree"];
			const fixed = watched({ ...files, isProcessAlive: () => false }, async (_, operation) => {
				if (operation === "makeFolder") throw systemError("EEXIST");
				if (CHANGES.includes(operation)) throw systemError("EROFS");
			});
			const readable = await openFolder(fixed, folder);
			assert.equal(await readable.list(""), ["one"]);
			assert.is(shown(await readable.get("one")), "x");
			assert.is(shown(await readable.readReference("head")), "one");
			await failsWith(StoreError, "failed", readable.put("two", text("y")));
			await failsWith(StoreError, "failed", readable.compareAndSetReference("head", text("one"), text("two")));
			assert.equal(await runtime.names(`${folder}/temporary`), [left.slice(left.lastIndexOf("/") + 1)]);
		});
	});

	test("a store that cannot be made for want of room leaves nothing half behind", async () => {
		await inFolder(async (folder) => {
			const full = watched(files, async (_, operation) => {
				if (operation === "link") throw systemError("ENOSPC");
			});
			await failsWith(StoreError, "full", openFolder(full, folder));
			assert.equal(await runtime.names(`${folder}/temporary`), []);
		});
	});

	test("a half-made store is completed, by any number of openers at once", async () => {
		for (let stop = 0; stop < 12; stop++) {
			await inFolder(async (folder) => {
				const path = `${folder}/a/b`;
				const dying = watched(files, async (step) => {
					if (step >= stop) throw systemError("EIO");
				});
				await openFolder(dying, path).catch(() => {});
				const stores = await Promise.all(Array.from({ length: 5 }, () => openFolder(files, path)));
				for (const [index, store] of stores.entries()) await store.put(`${index}`, text("x"));
				assert.is((await stores[0]?.list(""))?.length, 5);
			});
		}
	});

	test("a value that was damaged on the medium is recognised", async () => {
		for (const damage of [
			(bytes: Uint8Array) => bytes.subarray(0, 9),
			(bytes: Uint8Array) => bytes.subarray(0, 0),
			(bytes: Uint8Array) => bytes.with(8, (bytes[8] ?? 0) ^ 1),
			(bytes: Uint8Array) => Uint8Array.from([...bytes, 0]),
		]) {
			await inFolder(async (folder) => {
				const store = await openFolder(files, folder);
				await store.compareAndSetReference("head", undefined, text("value"));
				const [state] = await runtime.names(`${folder}/references/head`);
				const [token] = await runtime.names(`${folder}/references/head/${state}`);
				const path = `${folder}/references/head/${state}/${token}`;
				await runtime.writeFile(path, damage(await runtime.readFile(path)));
				await failsWith(StoreError, "invalid", store.readReference("head"));
				await failsWith(StoreError, "invalid", store.compareAndSetReference("head", text("value"), text("x")));
				await files.remove(path);
				await failsWith(StoreError, "invalid", store.readReference("head"));
			});
		}
	});

	test("files that are no store's are not listed", async () => {
		await inFolder(async (folder) => {
			const store = await openFolder(files, folder);
			await store.put("a", text("x"));
			await runtime.writeFile(`${folder}/objects/not a name`, text("x"));
			await runtime.writeFile(`${folder}/references/.DS_Store+`, text("x"));
			assert.equal(await store.list(""), ["a"]);
			assert.equal(await store.listReferences(""), []);
		});
	});
}

/** File operations that stop before their nth step once {@link run} has begun, until {@link goOn}. */
class Stoppable {
	readonly files: FolderFiles;
	readonly stopped: Promise<"stopped">;
	goOn = () => {};
	#isArmed = false;

	constructor(files: FolderFiles, stop: number) {
		let step = 0;
		let onStop = () => {};
		this.stopped = new Promise((resolve) => {
			onStop = () => resolve("stopped");
		});
		const released = new Promise<void>((resolve) => {
			this.goOn = resolve;
		});
		this.files = watched(files, async () => {
			if (!this.#isArmed || step++ !== stop) return;
			onStop();
			await released;
		});
	}

	run<Result>(body: () => Promise<Result>): Promise<Result> {
		this.#isArmed = true;
		return body();
	}
}

/** Whatever happened before, the next move works and is found. */
async function moveOn(store: Store, deed: Pick<Deed, "look">): Promise<void> {
	if (deed.look === reference) {
		const seen = await store.readReference("head");
		assert.ok(await store.compareAndSetReference("head", seen, text("moved on")));
		assert.is(shown(await store.readReference("head")), "moved on");
	} else {
		await store.put("another", text("object"));
		assert.is(shown(await store.get("another")), "object");
	}
}

/**
 * Every outcome that some order of the moves explains: the mover `m` comes before all others, or after some of them if
 * the value it expects is there again (which removals do), or it loses.
 */
function admissible(start: string | undefined, others: number, isAlone: boolean): ReadonlySet<string> {
	const outcomes = new Set<string>();
	const other = (value: string | undefined, move: number) => (move % 3 === 2 ? undefined : `${value ?? ""}o`);
	const moves = isAlone ? 0 : others;
	for (let place = 0; place <= moves; place++) {
		let value = start;
		for (let move = 0; move < place; move++) value = other(value, move);
		const won = value === start;
		if (won) value = `${start ?? ""}m`;
		for (let move = place; move < moves; move++) value = other(value, move);
		outcomes.add(`${won} ${value}`);
	}
	return outcomes;
}
