/** Numbers for people. */

/** 1234567 → `1 234 567`. */
export function whole(value: number): string {
	return Math.round(value)
		.toString()
		.replace(/\B(?=(\d{3})+$)/g, " ");
}

/** Three digits are enough to compare: `0.42 ms`, `12.3 ms`, `1 234 ms`. */
export function milliseconds(value: number): string {
	if (value >= 100) return `${whole(value)} ms`;
	return `${value.toFixed(value >= 10 ? 1 : 2)} ms`;
}

/** Bytes in the unit that fits: `512 B`, `1.5 MiB`. */
export function bytes(value: number): string {
	if (value < 1024) return `${whole(value)} B`;
	if (value < 1024 * 1024) return `${(value / 1024).toFixed(1)} KiB`;
	return `${(value / (1024 * 1024)).toFixed(1)} MiB`;
}

/** Bytes per ms as MB/s. */
export function rate(bytesPerMs: number): string {
	return `${whole(bytesPerMs / 1000)} MB/s`;
}
