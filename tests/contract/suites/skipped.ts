// In place of a contract suite that cannot run here: one test that prints why.
import { suite } from "uvu";

/** @param why - what is missing, in words. */
export function skippedContract(name: string, why: string): void {
	const test = suite(name);
	test("is not run here", () => {
		console.log(`skipped: ${why}`);
	});
	test.run();
}
