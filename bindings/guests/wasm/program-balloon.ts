// The balloon of a program: what its allocator exports, and what the guest's worker makes of it.
import type { BalloonReport } from "../../ports/ballooning-guest.ts";
import { GuestError, PAGE_BYTES, type PageBits } from "../../ports/guest.ts";
import { bitsByteLength } from "../page-bits.ts";
import type { HostAccess } from "./host-access.ts";

/** How a program's allocator is asked. Called between calls of the program, never within one. */
export interface ProgramBalloon extends ProgramBalloonFacts {
	/** Puts up to so many free pages into the balloon, each made zero by the program. */
	inflate(pages: number): void;
	/** Takes up to so many pages back. */
	deflate(pages: number): void;
}

interface ProgramBalloonFacts {
	/** Pages of 4096 bytes that the allocator could do without now. */
	freePages(): number;
	/** Pages taken back by the allocator itself since it was asked last. */
	takePressure(): number;
	/** Which pages of the memory are out, one bit each; shorter than the memory: the rest is not. */
	out(): PageBits;
}

/**
 * The usual exports of a module whose allocator has a balloon (docs/programs.md): `balloon_free`, `balloon_pressure`,
 * `balloon_inflate`, `balloon_deflate`, and `balloon_bitmap` with `balloon_bitmap_bytes`, where bit i is page i of the memory.
 *
 * @throws TypeError naming an export that is missing
 */
export function balloonOf(exports: WebAssembly.Exports, host: HostAccess): ProgramBalloon {
	const named = (name: string): ((pages?: number) => number) => {
		const f = exports[`balloon_${name}`];
		if (typeof f !== "function") throw new TypeError(`exports.balloon_${name} is missing: see docs/programs.md`);
		return (pages) => Number(pages === undefined ? f() : f(pages)) >>> 0;
	};
	const bitmap = named("bitmap");
	const bitmapBytes = named("bitmap_bytes");
	return {
		freePages: named("free"),
		takePressure: named("pressure"),
		inflate: named("inflate"),
		deflate: named("deflate"),
		out: () => host.read(bitmap(), bitmapBytes()),
	};
}

/** What the worker does with a balloon. */
export type BalloonAct = "report" | "inflate" | "deflate" | "out";

/** What comes of it; what does not belong to the act is empty. */
export interface BalloonResult extends BalloonReport {
	/** `inflate` and `deflate`: the pages that moved. `out`: those that are out. */
	readonly bits: Uint8Array<ArrayBuffer>;
}

/** @throws GuestError `state` for pages that do not exist, or that went into the balloon and are not zero */
export function actOnBalloon(
	balloon: ProgramBalloon,
	memory: WebAssembly.Memory,
	act: BalloonAct,
	pages: number,
): BalloonResult {
	const none = { freePages: 0, pressurePages: 0, bits: new Uint8Array(0) };
	if (act === "report") return { ...none, freePages: balloon.freePages(), pressurePages: balloon.takePressure() };
	if (act === "out") return { ...none, bits: outBits(balloon, memory) };
	const before = outBits(balloon, memory);
	if (act === "inflate") balloon.inflate(pages);
	else balloon.deflate(pages);
	const after = outBits(balloon, memory);
	const bits = after.map((byte, i) => (act === "inflate" ? byte & ~before[i]! : before[i]! & ~byte));
	if (act === "inflate") checkZero(bits, memory);
	return { ...none, bits };
}

function outBits(balloon: ProgramBalloon, memory: WebAssembly.Memory): Uint8Array<ArrayBuffer> {
	const given = balloon.out();
	const bits = new Uint8Array(bitsByteLength(memory.buffer.byteLength / PAGE_BYTES));
	if (given.byteLength > bits.byteLength && given.subarray(bits.byteLength).some((byte) => byte !== 0))
		throw new GuestError("state", "the program's balloon holds pages that do not exist");
	bits.set(given.subarray(0, bits.byteLength));
	return bits;
}

/** A program that forgets to make its pages zero would find them changed after a move: here it is told at once. */
function checkZero(bits: PageBits, memory: WebAssembly.Memory): void {
	for (const [i, byte] of bits.entries())
		for (let rest = byte; rest !== 0; rest &= rest - 1) {
			const page = i * 8 + 31 - Math.clz32(rest & -rest);
			const words = new Uint32Array(memory.buffer, page * PAGE_BYTES, PAGE_BYTES / 4);
			if (words.some((word) => word !== 0))
				throw new GuestError("state", `page ${page} went into the balloon and is not zero: the program must wipe it`);
		}
}
