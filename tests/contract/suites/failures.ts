// What a call that must fail throws.
import * as assert from "uvu/assert";

/** @returns what the call threw; it fails the test if it threw nothing. */
export async function failureOf(call: Promise<unknown>): Promise<unknown> {
	try {
		await call;
	} catch (error) {
		return error;
	}
	return assert.unreachable("the call did not fail");
}

/** The call must throw an error of this class with this code. */
export async function failsWith<Failure extends { readonly code: string }>(
	kind: new (code: never, message: string) => Failure,
	code: Failure["code"],
	call: Promise<unknown>,
): Promise<Failure> {
	const error = await failureOf(call);
	if (!(error instanceof kind)) throw error;
	assert.is(error.code, code, String(error));
	return error;
}
