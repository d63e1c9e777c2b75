// Users' listeners of a guest: what one throws is told to the guest's owner, and harms neither the guest nor the other listeners.

/** Takes what a listener has thrown. */
export type ReportError = (error: unknown) => void;

/** Calls every listener, whatever the others do. */
export function tellListeners<T>(listeners: Iterable<(value: T) => void>, value: T, report: ReportError): void {
	// A copy: a listener may end itself, or add another, which hears what comes after.
	for (const listener of [...listeners]) {
		try {
			listener(value);
		} catch (error) {
			report(error);
		}
	}
}

/** What is done with an error that nobody wants: it is the process's, as that of an event target's listener is. */
export function throwLater(error: unknown): void {
	queueMicrotask(() => {
		throw error;
	});
}
