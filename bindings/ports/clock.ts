/**
 * Time as a port. Every wait and every duration in pageferry goes through it, so that the lab can run the same code in
 * virtual time. Real clocks live in `platform/`, the virtual one in `lab/`.
 */
export interface Clock {
	/** Milliseconds since an arbitrary origin, monotonic, with sub-millisecond resolution where the platform has it. */
	now(): number;
	/**
	 * Resolves after `durationMs` milliseconds (at the next turn of the event loop for 0).
	 * @throws the signal's reason as soon as `signal` aborts; the timer is then released.
	 */
	sleep(durationMs: number, signal?: AbortSignal): Promise<void>;
}
