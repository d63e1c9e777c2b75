// A guest that is nothing but pages: it fills them with bytes that do not compress and changes as many of them as it is told.
// Plain JavaScript, so that a host loads it as it is.
import { defineProgram } from "pageferry";

const PAGE_BYTES = 4096;
const WASM_PAGE_BYTES = 65_536;

/** (module (memory (export "memory") 1)) */
const MODULE = Uint8Array.from([
	...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
	...[0x05, 0x03, 0x01, 0x00, 0x01],
	...[0x07, 0x0a, 0x01, 0x06, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 0x02, 0x00],
]);

/**
 * Half of the pages zero, a third records of which LZ4 saves about half, the rest noise; pages of one kind lie together.
 */
function mix(memory) {
	const words = new Uint32Array(memory.buffer);
	const pageWords = PAGE_BYTES / 4;
	for (let page = 1; page < words.length / pageWords; page++) {
		const kind = (page >> 6) % 6;
		const first = page * pageWords;
		if (kind % 2 === 0) words.fill(0, first, first + pageWords);
		else if (kind < 5) for (let i = first; i < first + pageWords; i++) if (i % 3 !== 0) words[i] = 0x20202020 + (i % 7);
	}
	return words.length;
}

/** xorshift32: as good as random to a compressor, and the same on every run. */
function fill(memory, mebibytes) {
	const missing = mebibytes * 2 ** 20 - memory.buffer.byteLength;
	if (missing > 0) memory.grow(Math.ceil(missing / WASM_PAGE_BYTES));
	const words = new Uint32Array(memory.buffer);
	let x = 0x9e3779b9;
	for (let i = 0; i < words.length; i++) {
		x ^= x << 13;
		x ^= x >>> 17;
		x ^= x << 5;
		words[i] = x;
	}
	return words.length;
}

/** Page 0 holds a counter; each call changes a word in each of the next pages of a walk that comes by all of them, or all hot ones. */
function change(memory, count, hotPages) {
	const words = new Uint32Array(memory.buffer);
	const pages = hotPages ?? memory.buffer.byteLength / PAGE_BYTES;
	for (let i = 0; i < count; i++) {
		const step = words[0]++;
		const page = Math.imul(step, 0x9e3779b1) >>> 0;
		words[(page % pages) * (PAGE_BYTES / 4) + 1] ^= step + 1;
	}
	return words[0];
}

export default defineProgram({
	name: "pages",
	version: "1",
	policy: { clock: "none", random: "none" },
	keepsMemoryViews: false,
	moduleBytes: () => MODULE,
	async start({ instantiate }) {
		const { memory } = (await instantiate({})).exports;
		return {
			call(request) {
				if (request.fillMiB !== undefined) return fill(memory, request.fillMiB);
				if (request.mix === true) return mix(memory);
				return change(memory, request.request.changePages, request.request.hotPages);
			},
		};
	},
});
