// Instance state as bytes. All numbers are unsigned LEB128 unless said otherwise:
//
//   version (1)
//   globals: count, then for each: i32 and f32 four bytes, i64 and f64 eight, v128 sixteen (little-endian raw bits),
//            a reference as one number: entry + 2 (0 foreign, 1 null, else a function's index + 2)
//   tables:  count, then for each: length, then runs until the length is reached: entry + 2, times
//            (most entries differ; only the null and foreign ones repeat, so a function's index has no times)
//   dropped data segments: count, indices; dropped element segments: count, indices
//
// The types of the globals are the layout's: state without its module's layout means nothing.
import {
	FOREIGN_ENTRY,
	type GlobalState,
	type InstanceState,
	InstanceStateError,
	NULL_ENTRY,
	stateType,
} from "./instance-state.ts";
import { WasmModuleError } from "./module/errors.ts";
import type { GlobalLayout, ModuleLayout, TableLayout } from "./module/layout.ts";
import { TABLE_ENTRIES } from "./module/limits.ts";
import { ByteReader } from "./module/reader.ts";
import { ByteWriter } from "./module/writer.ts";

const VERSION = 1;
const ENTRY_BIAS = 2;

/** @returns the state as bytes, for `decodeInstanceState` with the same module's layout */
export function encodeInstanceState(state: InstanceState): Uint8Array {
	const writer = new ByteWriter();
	writer.u32(VERSION).u32(state.globals.length);
	for (const global of state.globals) encodeGlobal(writer, global);
	writer.u32(state.tables.length);
	for (const entries of state.tables) encodeTable(writer, entries);
	for (const dropped of [state.droppedData, state.droppedElements]) {
		writer.u32(dropped.length);
		for (const index of dropped) writer.u32(index);
	}
	return writer.written().slice();
}

function encodeGlobal(writer: ByteWriter, global: GlobalState): void {
	if (global.type === "reference") writer.u32(global.entry + ENTRY_BIAS);
	else if (global.type === "i32" || global.type === "f32") little(writer, BigInt.asUintN(32, BigInt(global.bits)), 4);
	else if (global.type === "v128") little(little(writer, global.low, 8), global.high, 8);
	else little(writer, BigInt(global.bits), 8);
}

function little(writer: ByteWriter, bits: bigint, bytes: number): ByteWriter {
	for (let i = 0; i < bytes; i++) writer.byte(Number((bits >> BigInt(8 * i)) & 0xffn));
	return writer;
}

function encodeTable(writer: ByteWriter, entries: Int32Array): void {
	writer.u32(entries.length);
	for (let slot = 0; slot < entries.length; ) {
		const entry = entries[slot]!;
		writer.u32(entry + ENTRY_BIAS);
		const start = slot++;
		if (entry >= 0) continue;
		while (slot < entries.length && entries[slot] === entry) slot++;
		writer.u32(slot - start);
	}
}

/**
 * Reads state that `encodeInstanceState` wrote. The bytes may come from anyone: nothing is allocated beyond what the
 * layout allows, and whatever is returned fits the layout.
 * @throws InstanceStateError `malformed` or `mismatch`
 */
export function decodeInstanceState(bytes: Uint8Array, layout: ModuleLayout): InstanceState {
	try {
		return decode(new ByteReader(bytes), layout);
	} catch (cause) {
		if (!(cause instanceof WasmModuleError)) throw cause;
		throw new InstanceStateError("malformed", "the instance state is damaged", { cause });
	}
}

function decode(reader: ByteReader, layout: ModuleLayout): InstanceState {
	const version = reader.u32();
	if (version !== VERSION)
		throw new InstanceStateError(
			"malformed",
			`instance state of version ${version}; this release reads version ${VERSION}`,
		);
	expectCount(reader, layout.globals.length, "globals");
	const globals = layout.globals.map((global) => decodeGlobal(reader, global, layout));
	expectCount(reader, layout.tables.length, "tables");
	const tables = layout.tables.map((table) => decodeTable(reader, table, layout));
	const droppedData = decodeDropped(reader, layout.droppableData);
	const droppedElements = decodeDropped(reader, layout.droppableElements);
	if (reader.offset !== reader.end)
		throw new InstanceStateError("malformed", `${reader.end - reader.offset} bytes too many after the instance state`);
	return { globals, tables, droppedData, droppedElements };
}

function expectCount(reader: ByteReader, expected: number, what: string): void {
	const count = reader.u32();
	if (count === expected) return;
	throw new InstanceStateError(
		"mismatch",
		`the state has ${count} ${what}, the module ${expected}: it is another build`,
	);
}

function decodeGlobal(reader: ByteReader, global: GlobalLayout, layout: ModuleLayout): GlobalState {
	const type = stateType(global);
	switch (type) {
		case "i32":
			return { type, bits: Number(BigInt.asIntN(32, readLittle(reader, 4))) };
		case "f32":
			return { type, bits: Number(BigInt.asIntN(32, readLittle(reader, 4))) };
		case "i64":
		case "f64":
			return { type, bits: BigInt.asIntN(64, readLittle(reader, 8)) };
		case "v128": {
			const low = BigInt.asIntN(64, readLittle(reader, 8));
			return { type, low, high: BigInt.asIntN(64, readLittle(reader, 8)) };
		}
		case "reference":
			return { type, entry: decodeEntry(reader, layout) };
	}
}

function readLittle(reader: ByteReader, bytes: number): bigint {
	let bits = 0n;
	for (let i = 0; i < bytes; i++) bits |= BigInt(reader.byte()) << BigInt(8 * i);
	return bits;
}

function decodeEntry(reader: ByteReader, layout: ModuleLayout): number {
	const entry = reader.u32() - ENTRY_BIAS;
	if (entry < layout.functionCount) return entry;
	throw new InstanceStateError(
		"mismatch",
		`the state refers to function ${entry}; the module has ${layout.functionCount}`,
	);
}

function decodeTable(reader: ByteReader, table: TableLayout, layout: ModuleLayout): Int32Array {
	const length = reader.u32();
	const most = table.maximumLength ?? TABLE_ENTRIES;
	if (length < table.minimumLength || length > most)
		throw new InstanceStateError(
			"mismatch",
			`the state's table ${table.index} has ${length} entries, the module allows ${table.minimumLength} to ${most}`,
		);
	const entries = new Int32Array(length).fill(NULL_ENTRY);
	for (let slot = 0; slot < length; ) {
		const entry = decodeEntry(reader, layout);
		const times = entry === NULL_ENTRY || entry === FOREIGN_ENTRY ? reader.u32() : 1;
		if (times === 0 || times > length - slot)
			throw new InstanceStateError("malformed", `a run of ${times} entries at slot ${slot} of table ${table.index}`);
		entries.fill(entry, slot, slot + times);
		slot += times;
	}
	return entries;
}

function decodeDropped(reader: ByteReader, droppable: readonly number[]): number[] {
	const count = reader.u32();
	if (count > droppable.length)
		throw new InstanceStateError("mismatch", `${count} dropped segments; the module can drop ${droppable.length}`);
	const allowed = new Set(droppable);
	const dropped: number[] = [];
	for (let i = 0; i < count; i++) {
		const index = reader.u32();
		if (index <= (dropped.at(-1) ?? -1) || !allowed.has(index))
			throw new InstanceStateError("mismatch", `segment ${index} is given as dropped; the module cannot drop it`);
		dropped.push(index);
	}
	return dropped;
}
