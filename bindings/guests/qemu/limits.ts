/** Bytes of a machine's state beside RAM: as many as a move carries (wire/limits.ts); a `pc` with its devices has 320 KB. */
export const MAX_QEMU_STATE_BYTES: number = 64 * 1024 * 1024;
