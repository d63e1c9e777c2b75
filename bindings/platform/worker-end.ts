/** A worker that ends without being told to is a failure, even if it threw nothing. */
export class WorkerEndError extends Error {
	override readonly name = "WorkerEndError";
	readonly code = "worker-ended";
}
