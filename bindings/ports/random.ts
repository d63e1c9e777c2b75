/** Randomness as a port: seeded in the lab and in tests, the platform's own elsewhere. Not a source of secrets. */
export interface Random {
	/** An unsigned 32-bit integer, uniform. */
	nextU32(): number;
	/** Fills `bytes` and returns it. */
	fill(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer>;
}
