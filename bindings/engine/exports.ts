// The engine's raw exports, as assembly/index.ts declares them: i32 and f64 only, offsets into the engine's memory.
// `bitmap` is always followed by its block count (layout.ts); a result written as -1 in wasm is read with `>>> 0`.
// Only the files of this folder call these.

/** Exports of build/engine.wasm. */
export interface EngineExports {
	readonly memory: WebAssembly.Memory;

	prefault(offset: number, byteLength: number): void;

	bitmapSet(bitmap: number, blocks: number, index: number): number;
	bitmapClear(bitmap: number, blocks: number, index: number): number;
	bitmapHas(bitmap: number, index: number): number;
	bitmapFill(bitmap: number, blocks: number, first: number, end: number, value: number): void;
	bitmapCount(bitmap: number, blocks: number, first: number, end: number): number;
	bitmapAndNot(target: number, other: number, blocks: number): void;
	bitmapOr(target: number, other: number, blocks: number): void;
	bitmapAnd(target: number, other: number, blocks: number): void;
	bitmapCopy(target: number, other: number, blocks: number): void;
	bitmapEqual(a: number, b: number, blocks: number): number;
	bitmapSummarize(bitmap: number, blocks: number, firstBlock: number, endBlock: number): void;
	bitmapNext(bitmap: number, blocks: number, first: number, end: number): number;
	bitmapList(bitmap: number, blocks: number, cell: number, end: number, out: number, capacity: number): number;
	bitmapHarvest(bitmap: number, blocks: number, cell: number, end: number, out: number, capacity: number): number;
	bitmapRuns(bitmap: number, blocks: number, cell: number, end: number, out: number, capacity: number): number;
	bitmapHarvestRuns(bitmap: number, blocks: number, cell: number, end: number, out: number, capacity: number): number;

	precopyStep(
		toSend: number,
		toSkip: number,
		toFix: number,
		blocks: number,
		cell: number,
		end: number,
		out: number,
		capacity: number,
		last: number,
	): number;

	comparePages(a: number, b: number, count: number, bitmap: number, blocks: number, firstBit: number): number;
	zeroPages(pages: number, count: number, bitmap: number, blocks: number, firstBit: number): number;

	hashSetUp(secret: number): void;
	hash64(secret: number, bytes: number, byteLength: number, out: number): void;
	hash128(secret: number, bytes: number, byteLength: number, out: number): void;
	hashPages64(secret: number, pages: number, count: number, out: number): void;
	hashPages128(secret: number, pages: number, count: number, out: number): void;
	hashPages64List(secret: number, pages: number, list: number, count: number, out: number): void;
	hashPages128List(secret: number, pages: number, list: number, count: number, out: number): void;
	hashStart(state: number): void;
	hashUpdate(secret: number, state: number, bytes: number, byteLength: number): void;
	hashDigest64(secret: number, state: number, out: number): void;
	hashDigest128(secret: number, state: number, out: number): void;

	lz4Encode(source: number, length: number, target: number, capacity: number, table: number): number;
	lz4EncodePage(page: number, target: number, capacity: number, table: number): number;
	lz4Decode(source: number, length: number, target: number, capacity: number): number;

	xbzrleEncode(old: number, page: number, target: number, capacity: number): number;
	xbzrleDecode(source: number, length: number, page: number): number;
	wordMaskEncode(old: number, page: number, target: number, capacity: number): number;
	wordMaskDecode(source: number, length: number, page: number): number;
	deltaEncodePages(
		format: number,
		old: number,
		page: number,
		count: number,
		target: number,
		stride: number,
		capacity: number,
		lengths: number,
	): number;
	deltaDecodePages(
		format: number,
		source: number,
		stride: number,
		lengths: number,
		page: number,
		count: number,
	): number;

	/** `request`: the struct that batch-encoder.ts writes. */
	batchStart(request: number): number;
	batchEncode(request: number, pages: number): number;
	batchEnd(request: number): void;
	batchSample(request: number, step: number): number;
	/** `request`: the struct that batch-decoder.ts writes. */
	batchCheck(request: number, pages: number): number;
	batchDecode(request: number, pages: number): number;

	bubbleInvert(order: number, count: number, inverse: number, pages: number): number;
	bubbleStart(
		state: number,
		count: number,
		pages: number,
		pivots: number,
		directions: number,
		options: number,
		missing: number,
		blocks: number,
		order: number,
		inverse: number,
	): void;
	bubbleFault(state: number, page: number): number;
	bubblePush(state: number, out: number, capacity: number): number;
	bubblePutBack(state: number, page: number): number;

	balloonStart(state: number, percent: number, backOffIntervals: number): void;
	balloonInterval(state: number, free: number): number;
	balloonPressure(state: number, pages: number): number;
	balloonInflate(state: number, out: number, blocks: number, list: number, count: number): number;
	balloonDeflate(state: number, out: number, blocks: number, list: number, count: number): number;

	// Called by the in-place kernels, wasm to wasm.
	inplaceWord(bitmap: number, blocks: number, wordIndex: number, bits: bigint): void;
	inplaceDiffers: CallableFunction;
	inplaceHash(out: number, low: bigint, high: bigint): void;
}

/** Exports of build/inplace.wasm, instantiated over a guest's own memory. */
export interface InplaceExports {
	inplaceZero(firstPage: number, count: number, bitmap: number, blocks: number, firstBit: number): number;
	inplaceCompare(
		firstPage: number,
		count: number,
		shadow: number,
		bitmap: number,
		blocks: number,
		firstBit: number,
	): number;
	inplaceHashPages(firstPage: number, count: number, out: number): void;
}
