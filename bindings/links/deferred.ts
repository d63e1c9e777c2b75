/** A promise and its two ends (Node 20 has no `Promise.withResolvers`). */
export interface Deferred<Value> {
	readonly promise: Promise<Value>;
	resolve(value: Value): void;
	reject(error: unknown): void;
}

/** An open promise. A rejection that nobody waits for is no error: whoever asks later is told. */
export function deferred<Value>(): Deferred<Value> {
	let resolve!: (value: Value) => void;
	let reject!: (error: unknown) => void;
	const promise = new Promise<Value>((onValue, onError) => {
		resolve = onValue;
		reject = onError;
	});
	promise.catch(() => undefined); // whoever awaits it sees it
	return { promise, resolve, reject };
}
