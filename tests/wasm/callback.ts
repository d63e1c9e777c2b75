import * as asm from "./assembler.ts";

const wrapper = new WebAssembly.Module(
	asm.wasm(
		asm.section(asm.SECTION_TYPE, asm.functionType([asm.I32])),
		asm.section(asm.SECTION_IMPORT, [...asm.text("h"), ...asm.text("f"), 0, 0]),
		asm.section(asm.SECTION_EXPORT, asm.exported("f", 0, 0)),
	),
);

/** @returns a function that tables take, calling the given one */
export function callback(call: (value: number) => void): CallableFunction {
	const { exports } = new WebAssembly.Instance(wrapper, { h: { f: call } });
	return exports.f as CallableFunction;
}
