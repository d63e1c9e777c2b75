// A program whose host state is large (Go's runtime, esbuild's module for one) is refused with the runtime's name and with
// what to do, wherever its JavaScript has not said what it touches.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { WasmGuest } from "../../bindings/guests/wasm/guest.ts";
import { openLinkPair } from "../../bindings/links/open-link.ts";
import { hybrid } from "../../bindings/migration/hybrid.ts";
import { postCopy } from "../../bindings/migration/post-copy.ts";
import { systemRandom } from "../../bindings/platform/system-random.ts";
import { isFaultingGuest } from "../../bindings/ports/faulting-guest.ts";
import { esbuildModule, goModule } from "../wasm/go-module.ts";
import type { GoGlue } from "../wasm/go-program.ts";
import { guestPorts } from "../wasm/guest-ports.ts";
import { discardGuests, rejection, startGuest } from "../wasm/open-guests.ts";

const test = suite("wasm guest: large host state");
test.after.each(discardGuests);

const esbuild = esbuildModule();
const MODULES: Readonly<Record<string, Uint8Array<ArrayBuffer>>> = {
	"a small module like Go's": goModule(),
	"a small module like those before Go 1.21": goModule("go"),
	...(esbuild === undefined ? {} : { "esbuild's module": esbuild }),
};

const start = (glue: GoGlue, moduleBytes: Uint8Array<ArrayBuffer>): Promise<WasmGuest> =>
	startGuest(`go-${glue}`, { moduleBytes });

for (const [what, bytes] of Object.entries(MODULES)) {
	test(`${what}, nothing declared: post-copy and hybrid name the runtime and what is needed; it runs on`, async () => {
		const { clock } = await guestPorts();
		const guest = await start("stock", bytes);
		const before = await guest.call(null);
		for (const technique of [postCopy, hybrid]) {
			const [near] = openLinkPair();
			const result = await technique({ guest, link: near, clock, random: systemRandom });
			assert.ok(result.outcome === "kept" && result.error.code === "refused");
			const { message } = result.error;
			assert.match(message, /program go-stock does not declare its host access/);
			assert.match(message, /runs on Go's runtime \(imports go(js)?\.\S+, .* and \d+ more\)/);
			assert.match(message, /capture\(\).*docs\/programs\.md, "Programs whose host state is large".*use pre-copy/);
		}
		assert.is(await guest.call(null), before);
	});

	for (const glue of ["plain", "none"] as const)
		test(`${what}, host access declared but not its imports (${glue}): refused at the start, by their names`, async () => {
			const error = await rejection(start(glue, bytes));
			assert.is(error.name, "GuestError");
			assert.is(error.code, "incompatible");
			assert.match(error.message, new RegExp(`program go-${glue} declares its host access, but not .* Go's runtime`));
			assert.match(error.message, /\(imports go(js)?\.runtime\.\S+, .* and \d+ more\): make them with declareImports/);
		});

	test(`${what} with imports that are declared is taken`, async () => {
		const guest = await start("described", bytes);
		assert.type(await guest.call(null), "number");
		assert.ok(isFaultingGuest(guest));
	});
}

if (esbuild === undefined)
	test("esbuild's own module", () =>
		console.log("skipped: no esbuild.wasm; give its path (package esbuild-wasm) in PAGEFERRY_ESBUILD_WASM"));

test.run();
