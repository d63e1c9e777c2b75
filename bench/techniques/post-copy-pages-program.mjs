// A guest that is nothing but pages, as pages-program.mjs, whose host access is declared: it can run while pages are missing.
// Plain JavaScript, so that a host loads it as it is.
import { defineProgram } from "pageferry";

const PAGE_BYTES = 4096;
const STEP_BYTES = 65_536;

/** (module (memory (export "memory") 1)) */
const MODULE = Uint8Array.from([
	...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
	...[0x05, 0x03, 0x01, 0x00, 0x01],
	...[0x07, 0x0a, 0x01, 0x06, 0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 0x02, 0x00],
]);

/** xorshift32: as good as random to a compressor, and the same on every run. */
function fill(host, mebibytes) {
	host.grow(mebibytes * 2 ** 20);
	const words = new Uint32Array(STEP_BYTES / 4);
	let x = 0x9e3779b9;
	for (let at = 0; at < host.byteLength; at += STEP_BYTES) {
		for (let i = 0; i < words.length; i++) {
			x ^= x << 13;
			x ^= x >>> 17;
			x ^= x << 5;
			words[i] = x;
		}
		host.write(at, new Uint8Array(words.buffer));
	}
	return host.byteLength;
}

/** Page 0 holds a counter; each call changes the next pages of a walk that comes by all of them, or by the hot ones. */
function change(host, count, hotPages) {
	const pages = hotPages ?? host.byteLength / PAGE_BYTES;
	for (let i = 0; i < count; i++) {
		const step = host.readWord(0);
		host.writeWord(0, step + 1);
		const pointer = ((Math.imul(step, 0x9e3779b1) >>> 0) % pages) * PAGE_BYTES + 4;
		host.writeWord(pointer, host.readWord(pointer) ^ (step + 1));
	}
	return host.readWord(0);
}

export default defineProgram({
	name: "declared-pages",
	version: "1",
	policy: { clock: "none", random: "none" },
	keepsMemoryViews: false,
	hostAccess: "declared",
	moduleBytes: () => MODULE,
	async start({ host, instantiate }) {
		await instantiate({});
		return {
			call(request) {
				if (request.fillMiB !== undefined) return fill(host, request.fillMiB);
				const { changePages, hotPages } = request.request;
				return change(host, changePages, hotPages);
			},
		};
	},
});
