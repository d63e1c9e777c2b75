import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BufferPool, classBytes } from "../../bindings/links/buffer-pool.ts";
import { Fifo } from "../../bindings/links/fifo.ts";
import { frameCharge, ReceiveWindow, SendWindow } from "../../bindings/links/window.ts";

const test = suite("windows and buffers, any traffic");

test("an honest sender never exceeds what the receiver enforces, nobody waits for ever, and what is out stays bounded", () => {
	const windowBytes = 65536;
	const frames = fc.array(fc.oneof(fc.nat(2000), fc.nat(40_000), fc.nat(300_000)), { minLength: 1, maxLength: 200 });
	fc.assert(
		fc.property(frames, fc.infiniteStream(fc.nat(2)), (sizes, choices) => {
			const [sender, receiver] = [new SendWindow(windowBytes), new ReceiveWindow(windowBytes)];
			const charges = sizes.map((size) => frameCharge(size, 0));
			const travelling = new Fifo<number>();
			const unread: number[] = [];
			const credits = new Fifo<number>();
			let out = 0;
			let outstanding = 0;
			/** What a dishonest sender tries fails exactly where the rule says so. */
			const enforces = (charge: number) => {
				const allowed = outstanding + charge <= windowBytes || outstanding < windowBytes / 4;
				assert.is(receiver.admits(charge), allowed);
			};
			const largest = Math.max(...charges);
			for (let next = 0; next < charges.length || travelling.length + unread.length + credits.length > 0; ) {
				const actions: (() => void)[] = [];
				const charge = charges[next];
				if (charge !== undefined && sender.admits(charge))
					actions.push(() => {
						sender.take(charge);
						travelling.push(charge);
						out += charge;
						next++;
					});
				if (travelling.length > 0)
					actions.push(() => {
						const arrived = travelling.take()!;
						receiver.accept(arrived); // throws if the sender were dishonest
						outstanding += arrived;
						unread.push(arrived);
					});
				if (unread.length > 0)
					actions.push(() => {
						receiver.release(unread.shift()!);
						const credit = receiver.takeCredit();
						if (credit > 0) credits.push(credit);
						outstanding -= credit;
					});
				if (credits.length > 0)
					actions.push(() => {
						const credit = credits.take()!;
						sender.restore(credit);
						out -= credit;
					});
				assert.ok(actions.length > 0, "sender and receiver wait for each other");
				actions[choices.next().value! % actions.length]!();
				for (const charge of [256, 30_000, windowBytes, largest]) enforces(charge);
				assert.ok(out <= Math.max(windowBytes, windowBytes / 4 + largest), `${out} bytes out`);
			}
		}),
		{ numRuns: 300 },
	);
});

test("a class holds what it is for, and wastes at most a fifth of its buffer", () => {
	fc.assert(
		fc.property(fc.integer({ min: 1, max: 8 << 20 }), (byteLength) => {
			const size = classBytes(byteLength);
			assert.ok(size >= byteLength);
			if (byteLength > 256) assert.ok(size - byteLength <= size / 5, `${byteLength} in ${size}`);
			assert.is(classBytes(size), size);
		}),
	);
});

test("a pool's account is true after any use, and what it keeps stays within its bound", () => {
	const bound = 100_000;
	const actions = fc.array(
		fc.oneof(
			fc.record({ kind: fc.constant("take" as const), byteLength: fc.nat(40_000) }),
			fc.record({ kind: fc.constantFrom("give" as const, "lose" as const), index: fc.nat() }),
		),
		{ maxLength: 200 },
	);
	fc.assert(
		fc.property(actions, (list) => {
			const pool = new BufferPool(bound);
			const lent: { byteLength: number; buffer: ArrayBuffer }[] = [];
			const everything = new Set<ArrayBuffer>();
			for (const action of list) {
				if (action.kind === "take") {
					const buffer = pool.take(action.byteLength);
					assert.ok(buffer.byteLength >= action.byteLength);
					assert.is(
						lent.some((loan) => action.byteLength > 0 && loan.buffer === buffer),
						false,
						"lent twice",
					);
					everything.add(buffer);
					lent.push({ byteLength: action.byteLength, buffer });
				} else if (lent.length > 0) {
					const [loan] = lent.splice(action.index % lent.length, 1);
					pool.giveBack(loan!.byteLength, action.kind === "give" ? loan!.buffer : undefined);
				}
				const lentBytes = lent.reduce(
					(sum, { byteLength }) => sum + (byteLength === 0 ? 0 : classBytes(byteLength)),
					0,
				);
				assert.ok(pool.heldBytes >= lentBytes);
				assert.ok(pool.heldBytes <= Math.max(bound, lentBytes), `${pool.heldBytes} held, ${lentBytes} lent`);
				assert.ok(pool.peakBytes >= pool.heldBytes);
			}
		}),
		{ numRuns: 300 },
	);
});

test.run();
