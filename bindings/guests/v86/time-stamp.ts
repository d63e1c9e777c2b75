// The time-stamp counter of a v86 processor: 1 000 000 × the guest's clock (ms) − an offset, in 64 bits.
//
// The clock moves with the guest, so the offset is all there is to carry. v86 (0.5.462) does not tell it: a counter that is
// read twice at one time of the clock is guessed onwards, and `set_tsc` forgets the offset that was there. Both are exact at a
// time that differs from that of the reading before; so the clock, which stands still here, is moved for a moment.
import type { V86Machine } from "./machine.ts";

const TICKS_PER_MS = 1_000_000;
/** Between two readings, in ms. */
const STEP_MS = 1;

const bits64 = (value: bigint): bigint => BigInt.asUintN(64, value);
const ticks = (timeMs: number): bigint => BigInt(Math.trunc(timeMs * TICKS_PER_MS));

/** Reads the offset of a machine whose clock stands still. */
export function timeStampOffset(machine: V86Machine): bigint {
	return atOtherTimes(machine, (times) => {
		machine.exports.read_tsc(); // makes the next reading's time another one
		const timeMs = times();
		return bits64(ticks(timeMs) - machine.exports.read_tsc());
	});
}

/** Gives a machine whose clock stands still that offset. */
export function setTimeStampOffset(machine: V86Machine, offset: bigint): void {
	const before = timeStampOffset(machine);
	atOtherTimes(machine, (times) => {
		machine.exports.read_tsc();
		// `set_tsc` computes (counter − old offset) − value: with the counter as value the offset becomes 0,
		set(machine, ticks(times()) - before);
		// and without an offset, it becomes what it should.
		set(machine, ticks(times()) - offset);
	});
}

/** @param work - asks for a new time of the machine's clock before each reading */
function atOtherTimes<T>(machine: V86Machine, work: (times: () => number) => T): T {
	const { time } = machine;
	const { valueMs } = time;
	let nextMs = valueMs + STEP_MS;
	time.set(nextMs);
	try {
		return work(() => {
			nextMs += STEP_MS;
			time.set(nextMs);
			return nextMs;
		});
	} finally {
		time.set(valueMs);
	}
}

function set({ cpu }: V86Machine, value: bigint): void {
	const bits = bits64(value);
	cpu.set_tsc(Number(bits & 0xffff_ffffn) | 0, Number(bits >> 32n) | 0);
}
