import { createInProcessLinks } from "../../bindings/links/in-process.ts";
import { testHash64 } from "./suites/hash.ts";
import { linkContract } from "./suites/link.ts";

linkContract("in-process link", async (options, body) => {
	const [source, target] = createInProcessLinks({ hash64: testHash64, ...options });
	await body(source, target);
});
