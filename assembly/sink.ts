// What the in-place kernels call, wasm to wasm: they run over a guest's memory and may not write there, so every result,
// and everything they need from the engine's memory, passes through these three functions. A call costs about 2 ns.
import { mergeWord } from "./bitmap";

/** ORs 64 bits into a bitmap. */
export function inplaceWord(bitmap: usize, blocks: u32, wordIndex: u32, bits: u64): void {
  mergeWord(bitmap, blocks, wordIndex, bits);
}

/** Compares 128 bytes of the guest with the engine's at `at`. @returns 1 if they differ */
export function inplaceDiffers(
  at: usize, x0: v128, x1: v128, x2: v128, x3: v128, x4: v128, x5: v128, x6: v128, x7: v128,
): u32 {
  const low = v128.or(
    v128.or(v128.xor(x0, v128.load(at)), v128.xor(x1, v128.load(at, 16))),
    v128.or(v128.xor(x2, v128.load(at, 32)), v128.xor(x3, v128.load(at, 48))),
  );
  const high = v128.or(
    v128.or(v128.xor(x4, v128.load(at, 64)), v128.xor(x5, v128.load(at, 80))),
    v128.or(v128.xor(x6, v128.load(at, 96)), v128.xor(x7, v128.load(at, 112))),
  );
  return v128.any_true(v128.or(low, high)) ? 1 : 0;
}

/** Stores a 128-bit page hash. */
export function inplaceHash(out: usize, low: u64, high: u64): void {
  store<u64>(out, low);
  store<u64>(out, high, 8);
}
