// The engine's exports. One line per kernel; offsets, counts and status codes only.
export { prefault } from "./prefault";
export {
  bitmapSet, bitmapClear, bitmapHas, bitmapFill, bitmapCount, bitmapAndNot, bitmapOr, bitmapAnd, bitmapCopy, bitmapEqual,
  bitmapSummarize, bitmapNext,
} from "./bitmap";
export { bitmapHarvest, bitmapHarvestRuns, bitmapList, bitmapRuns } from "./bitmap-list";
export { precopyStep } from "./precopy";
export { comparePages } from "./compare";
export { zeroPages } from "./zero";
export {
  hashSetUp, hash64, hash128, hashPages64, hashPages128, hashPages64List, hashPages128List,
  hashStart, hashUpdate, hashDigest64, hashDigest128,
} from "./hash";
export { lz4Encode, lz4EncodePage, lz4Decode } from "./lz4";
export { xbzrleEncode, xbzrleDecode, wordMaskEncode, wordMaskDecode } from "./delta";
export { deltaEncodePages, deltaDecodePages } from "./delta-pages";
export { batchStart, batchEncode, batchEnd, batchSample } from "./batch-encode";
export { batchCheck, batchDecode } from "./batch-decode";
export { inplaceWord, inplaceDiffers, inplaceHash } from "./sink";
export { bubbleInvert, bubbleStart, bubbleFault, bubblePush, bubblePutBack } from "./bubble";
export { balloonStart, balloonInterval, balloonPressure, balloonInflate, balloonDeflate } from "./balloon";
