// The two modules as built: what they must not contain.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { engineBase64, inplaceBase64 } from "../../bindings/engine/bytes.ts";
import { decodeBase64 } from "../../bindings/engine/engine.ts";

const test = suite("engine modules");

/** Ids of a module's sections, read by the binary format: 8 bytes of magic and version, then (id, LEB128 length, body). */
function sectionIds(bytes: Uint8Array): number[] {
	const ids: number[] = [];
	for (let at = 8; at < bytes.length; ) {
		ids.push(bytes[at++]!);
		let length = 0;
		for (let shift = 0; ; shift += 7) {
			const byte = bytes[at++]!;
			length += (byte & 127) * 2 ** shift;
			if (byte < 128) break;
		}
		at += length;
	}
	return ids;
}

const DATA_SECTION = 11;
const DATA_COUNT_SECTION = 12;

for (const [name, base64] of [
	["engine", engineBase64],
	["in-place", inplaceBase64],
] as const) {
	test(`the ${name} module has no data section`, () => {
		const ids = sectionIds(decodeBase64(base64));
		assert.ok(ids.includes(10), "a code section was found, so the parser works");
		assert.not.ok(ids.includes(DATA_SECTION));
		assert.not.ok(ids.includes(DATA_COUNT_SECTION));
	});
}

test("the engine module imports nothing", () => {
	assert.equal(WebAssembly.Module.imports(new WebAssembly.Module(decodeBase64(engineBase64))), []);
});

test("the in-place module imports the guest's memory and the engine's sinks only", () => {
	const imports = WebAssembly.Module.imports(new WebAssembly.Module(decodeBase64(inplaceBase64)));
	assert.equal(imports.map(({ module, name, kind }) => `${module}.${name} ${kind}`).sort(), [
		"engine.inplaceDiffers function",
		"engine.inplaceHash function",
		"engine.inplaceWord function",
		"env.memory memory",
	]);
});

test.run();
